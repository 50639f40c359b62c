//! What must happen sometimes.
//!
//! A simulator that never reaches a branch says nothing about it, and nobody notices when a change of
//! the workload or of a timeout puts it out of reach. So the branches that matter are counted, and a
//! campaign in which one of them never fires fails.

use crate::plan::Profile;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! rare_events {
    ($($(#[$doc:meta])* $name:ident = $words:literal,)*) => {
        /// A branch that a campaign has to reach.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Rare {
            $($(#[$doc])* $name,)*
        }

        impl Rare {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Whether a large campaign of this profile has to meet it.
            #[must_use]
            pub fn is_due(self, profile: Profile) -> bool {
                match self {
                    Self::TombstoneReaped
                    | Self::ReapingObstructed
                    | Self::ReapingMetStray
                    | Self::RecreatedAfterReaping
                    | Self::VersionExpired => profile == Profile::Reaping,
                    Self::RingChanged
                    | Self::RingNotChanged
                    | Self::ChangeAborted
                    | Self::ReplicasChanged
                    | Self::TypeChanged
                    | Self::TypeRefused
                    | Self::TypeActivated
                    | Self::LeafSorted
                    | Self::Recovered
                    | Self::ClustersMixedUp
                    | Self::TooNewToSend
                    | Self::SaidInOlderWords
                    | Self::PartitionReceived
                    | Self::StrayFound
                    | Self::PlacementBehind => profile == Profile::Membership,
                    _ => profile == Profile::All,
                }
            }

            fn words(self) -> &'static str {
                match self {
                    $(Self::$name => $words,)*
                }
            }
        }
    };
}

rare_events! {
    /// An index query had an answer that covers the cluster.
    QueryComplete = "an index query with a complete answer",
    /// One had an answer that says what is missing.
    QueryIncomplete = "an index query that could not cover all",
    /// Nodes of another cluster came to this one by mistake.
    ClustersMixedUp = "another cluster mixed up with this one",
    /// A node of the release before was not sent what it does not know.
    TooNewToSend = "too new for the release before",
    /// A reply was put in words of the release before.
    SaidInOlderWords = "said in older words",
    /// A cluster without a majority went on in a new generation.
    Recovered = "lost majority recovered",
    /// A replica did not hold what an update was carried out on.
    OtherBase = "update on another base",
    /// One operation had two dots in a data type.
    TwinsMet = "twins met in a data type",
    /// A get gave a client more than one version.
    SiblingsRead = "siblings read",
    /// A get found a replica behind.
    ReadRepaired = "read repair sent",
    /// A put travelled from a node that is no replica to one that is.
    PutForwarded = "put forwarded",
    /// A fallback was asked to take a write for a primary that could not.
    StandIn = "fallback asked to stand in",
    /// Every home had given its receipt for what a fallback kept.
    HintDelivered = "hint delivered",
    /// A store that was in doubt had been compared with every other home.
    StoreRebuilt = "store rebuilt",
    /// A replica was asked for a key and did not know whether it had lost it.
    AskedInDoubt = "replica in doubt asked",
    /// Anti-entropy found keys that differed, and merged them.
    KeyMended = "key mended by anti-entropy",
    /// An administrator had everything repaired.
    Repaired = "repaired by an administrator",
    /// An administrator came upon index rows that were not those of their objects.
    RowsDamaged = "index rows damaged before a repair",
    /// The scrub found a sum that was not that of the objects.
    LeafSetRight = "leaf sum set right",
    /// A primary removed a tombstone that all had vouched for.
    TombstoneReaped = "tombstone reaped",
    /// A member could not be asked about tombstones, and they stayed.
    ReapingObstructed = "reaping stopped by an absent member",
    /// A member that is no home had something of what was to be reaped, or had just sent it home.
    ReapingMetStray = "reaping stopped by a stray",
    /// A key from which something was reaped had a value again.
    RecreatedAfterReaping = "value after reaping",
    /// An answer hid a value that was over.
    VersionExpired = "version expired",
    /// As few nodes were left as a put needs, and they had to do.
    QuorumAlone = "a quorum alone",
    /// The silent replica of a get was joined by another one.
    ReadHedged = "read hedged",
    /// A peer was taken for down after failures in a row, with a connection to it.
    PeerGoneDown = "peer taken for down",
    /// A retry met the first try's dot.
    OperationRepeated = "operation repeated",
    /// A retry became a second version, at another primary.
    TwinMade = "twin of one operation made",
    /// A store that had written a key took a fresh epoch there (T2).
    EpochRestarted = "epoch restarted",
    /// A client had seen writes of a store that the store had forgotten.
    OwnDotAhead = "own dot ahead of the store",
    /// A put ended with "may or may not be there".
    PutUnknown = "put unknown",
    /// A put was refused before anything was written.
    PutNotStarted = "put not started",
    /// Tombstones and a value side by side.
    TombstoneBesideValue = "tombstone beside a value",
    /// A context of another key was refused.
    StrayContextRefused = "stray context refused",
    /// A conditional put was acknowledged.
    ConditionHeld = "conditional put acknowledged",
    /// A conditional put met a write that its condition had not seen.
    ConditionRefused = "conditional put refused",
    /// A put went to fewer replicas than its bucket has.
    FewerReplicas = "put to fewer replicas acknowledged",
    /// All members that could be reached took a change of bucket properties.
    PropertiesChanged = "bucket properties changed",
    /// Some of them did not say so in time.
    PropertiesUnconfirmed = "bucket properties unconfirmed",
    /// Reopening cut off what a crash had left half written.
    TornTail = "torn log tail cut off",
    /// Reopening took a new incarnation, because the store had not been closed.
    NewIncarnation = "new incarnation after an unclean end",
    /// The others confirmed that a store which had been closed may go on under its name.
    BootConfirmed = "clean restart confirmed",
    /// They did not, or not in time.
    BootDoubted = "clean restart doubted",
    /// Reopening found something damaged that had been flushed, and took a new incarnation.
    HistoryDoubted = "history doubted at reopening",
    /// A failed flush or append ended a store's writing.
    StorePoisoned = "store poisoned",
    /// A full disk took no more of the log.
    AppendRefused = "disk full refused an append",
    /// The engine had no room for a checkpoint; the log kept what it would have moved.
    CheckpointPutOff = "checkpoint put off by a full disk",
    /// A checkpoint reached the engine.
    Checkpoint = "checkpoint finished",
    /// A power cut fell between a checkpoint's application and its flush.
    CheckpointTorn = "power cut during a checkpoint",
    /// A record could not be read, and that was not taken for absence.
    UnreadableRecord = "unreadable record refused",
    /// A frame arrived damaged and was refused.
    DamagedFrame = "damaged frame refused",
    /// A replica was asked too late and did nothing.
    Expired = "expired request refused",
    /// A process was killed at a point of the put path that was chosen beforehand.
    CrashPoint = "crash at a chosen point",
    /// A disk was replaced by an empty one.
    DiskReplaced = "disk replaced",
    /// A disk came back as an older copy of itself.
    DiskRolledBack = "disk rolled back to a copy",
    /// A process found another node's disk and did not start on it.
    ForeignDisk = "start on another node's disk refused",
    /// A process found an older ring than its store was served with, and served by the store's.
    OldRing = "start with an old ring file",
    /// A change of the ring was committed.
    RingChanged = "ring changed",
    /// A change of the ring found no majority, or was outbid.
    RingNotChanged = "ring change without a majority",
    /// What was staged or under way was given up.
    ChangeAborted = "ring change aborted",
    /// A bucket is on its way to another number of replicas.
    ReplicasChanged = "number of replicas changed",
    /// A bucket type was created, activated or changed.
    TypeChanged = "bucket type changed",
    /// A change of a bucket type was refused.
    TypeRefused = "bucket type not changed",
    /// A bucket type became active.
    TypeActivated = "bucket type activated",
    /// Keys were told apart because their buckets have another number of replicas.
    LeafSorted = "leaf sorted anew",
    /// A node has become a home of a partition.
    PartitionReceived = "partition received",
    /// A node found objects of partitions that are not its own any more.
    StrayFound = "stray found",
    /// A request was asked again by a newer placement.
    PlacementBehind = "request by an old placement",
    /// A handshake failed, and no connection came of it.
    HandshakeFailed = "handshake failed",
    /// A record disappeared from a store.
    KeyForgotten = "record forgotten",
}

impl fmt::Display for Rare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.words())
    }
}

/// How often each happened.
#[derive(Debug)]
pub struct RareCounts([AtomicU64; Rare::ALL.len()]);

impl Default for RareCounts {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl RareCounts {
    pub fn hit(&self, rare: Rare) {
        self.add(rare, 1);
    }

    pub fn add(&self, rare: Rare, times: u64) {
        self.of(rare).fetch_add(times, Ordering::Relaxed);
    }

    #[must_use]
    pub fn count(&self, rare: Rare) -> u64 {
        self.of(rare).load(Ordering::Relaxed)
    }

    fn of(&self, rare: Rare) -> &AtomicU64 {
        let at = Rare::ALL
            .iter()
            .position(|known| *known == rare)
            .expect("all are listed");
        &self.0[at]
    }
}
