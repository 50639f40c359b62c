//! The names of what may go wrong and of what clients do, and which of it belongs together.
//!
//! A class is what a seed switches on or off as a whole, and what a failing run is shrunk by. A profile is a choice of
//! classes of faults that bite together; how likely each is, and what else a run of the profile is like, is the plan's.

use std::fmt;
use std::str::FromStr;

/// Which faults a campaign is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    Network,
    Disk,
    Clock,
    /// Disks that are copied and put back, restarts, and little else.
    Copies,
    /// Nodes that come and go, and power cuts while hints are on their way.
    Handoff,
    /// Disks that are replaced, and nodes that are away when they are filled again.
    Rebuild,
    /// Deletes whose tombstones go while members are away.
    Reaping,
    /// Members that come and go.
    Membership,
    All,
}

/// A text that names no profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownProfile;

impl fmt::Display for UnknownProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a profile is one of 'network', 'disk', 'clock', 'copies', 'handoff', 'rebuild', 'reaping', 'membership' and 'all'")
    }
}

impl std::error::Error for UnknownProfile {}

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(text: &str) -> Result<Self, UnknownProfile> {
        match text {
            "network" => Ok(Self::Network),
            "disk" => Ok(Self::Disk),
            "clock" => Ok(Self::Clock),
            "copies" => Ok(Self::Copies),
            "handoff" => Ok(Self::Handoff),
            "rebuild" => Ok(Self::Rebuild),
            "reaping" => Ok(Self::Reaping),
            "membership" => Ok(Self::Membership),
            "all" => Ok(Self::All),
            _ => Err(UnknownProfile),
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Network => "network",
            Self::Disk => "disk",
            Self::Clock => "clock",
            Self::Copies => "copies",
            Self::Handoff => "handoff",
            Self::Rebuild => "rebuild",
            Self::Reaping => "reaping",
            Self::Membership => "membership",
            Self::All => "all",
        })
    }
}

macro_rules! classes {
    ($(#[$type_doc:meta])* $type:ident { $($(#[$doc:meta])* $name:ident = $words:literal,)* }) => {
        $(#[$type_doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $type {
            $($(#[$doc])* $name,)*
        }

        impl $type {
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self {
                    $(Self::$name => $words,)*
                })
            }
        }

        impl FromStr for $type {
            type Err = UnknownClass;

            fn from_str(text: &str) -> Result<Self, UnknownClass> {
                match text {
                    $($words => Ok(Self::$name),)*
                    _ => Err(UnknownClass),
                }
            }
        }
    };
}

/// A text that names no class of faults or operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownClass;

impl fmt::Display for UnknownClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no class of faults or operations has this name")
    }
}

impl std::error::Error for UnknownClass {}

classes! {
    /// A kind of misfortune that a run may contain.
    FaultClass {
        /// Messages disappear.
        Loss = "loss",
        /// Messages arrive twice.
        Duplication = "duplication",
        /// Messages overtake each other.
        Reordering = "reordering",
        /// Now and then a message takes a hundred times as long.
        Spikes = "spikes",
        /// One way, or both, between some nodes is cut.
        Partition = "partition",
        /// One node is cut off from all others.
        Isolation = "isolation",
        /// One way is slow.
        SlowLink = "slow-link",
        /// Connections break, also within a frame.
        Reset = "reset",
        /// Bits flip on the way.
        Corruption = "corruption",
        /// A process stands still for a while.
        Pause = "pause",
        /// A process dies; what it wrote stays in the machine's cache.
        Kill = "kill",
        /// A process closes its store and ends.
        Stop = "stop",
        /// A machine loses power, and with it what was not flushed.
        PowerCut = "power-cut",
        /// All machines lose power at once.
        Blackout = "blackout",
        /// A machine loses power at a chosen point of the put path.
        CrashPoint = "crash-point",
        /// A flush or an append fails.
        FailedFlush = "failed-flush",
        /// A disk, or the engine's part of it, takes no more for a while.
        FullDisk = "full-disk",
        /// A read fails for once.
        ReadError = "read-error",
        /// Stored records are damaged.
        BitRot = "bit-rot",
        /// Everything on one disk takes much longer.
        SlowDisk = "slow-disk",
        /// A disk is replaced by an empty one.
        Wipe = "wipe",
        /// Records disappear from one store.
        Forget = "forget",
        /// A disk is put back from an older copy.
        RollBack = "roll-back",
        /// A copy of a disk is used for a while, then the original again.
        Clone = "clone",
        /// Two machines get each other's disks for a while.
        Swap = "swap",
        /// A process is started with an older ring document.
        OldRing = "old-ring",
        /// Wall clocks are off and drift.
        Skew = "skew",
        /// A wall clock jumps.
        Jump = "jump",
        /// A wall clock stops.
        StoppedClock = "stopped-clock",
    }
}

classes! {
    /// A kind of thing that clients do.
    OperationClass {
        Set = "set",
        Cart = "cart",
        Counter = "counter",
        Register = "register",
        Blind = "blind",
        Deletes = "deletes",
        /// Unanswered puts are tried again under their operation id.
        Retries = "retries",
        /// Clients write with contexts that they have held for long.
        StaleContexts = "stale-contexts",
        /// Clients write with contexts of other keys.
        StrayContexts = "stray-contexts",
        /// Clients give up soon.
        Impatience = "impatience",
        /// Requests ask for their own R and W.
        Quorums = "quorums",
        /// Some puts are to be refused if anything was written since their writer's read.
        Conditional = "conditional",
        /// Requests name their own N, smaller than their bucket's.
        Replicas = "replicas",
        /// Bucket properties are changed.
        Properties = "properties",
        /// Most requests go to one key.
        HotKey = "hot-key",
        /// Some values are large.
        LargeValues = "large-values",
        /// Some keys hold data types that only grow: sets and estimates.
        GrowingTypes = "growing-types",
        /// Some keys hold data types.
        DataTypes = "data-types",
    }
}

const NETWORK: &[FaultClass] = &[
    FaultClass::Loss,
    FaultClass::Duplication,
    FaultClass::Reordering,
    FaultClass::Spikes,
    FaultClass::Partition,
    FaultClass::Isolation,
    FaultClass::SlowLink,
    FaultClass::Reset,
    FaultClass::Corruption,
    FaultClass::Pause,
];

const DISK: &[FaultClass] = &[
    FaultClass::Kill,
    FaultClass::Stop,
    FaultClass::PowerCut,
    FaultClass::Blackout,
    FaultClass::CrashPoint,
    FaultClass::FailedFlush,
    FaultClass::FullDisk,
    FaultClass::ReadError,
    FaultClass::BitRot,
    FaultClass::SlowDisk,
    FaultClass::Wipe,
    FaultClass::Forget,
    FaultClass::RollBack,
    FaultClass::Clone,
    FaultClass::Swap,
    FaultClass::OldRing,
];

const CLOCK: &[FaultClass] = &[
    FaultClass::Skew,
    FaultClass::Jump,
    FaultClass::StoppedClock,
    FaultClass::Spikes,
    FaultClass::Partition,
    FaultClass::Kill,
];

const COPIES: &[FaultClass] = &[
    FaultClass::RollBack,
    FaultClass::Clone,
    FaultClass::Stop,
    FaultClass::Kill,
    FaultClass::Spikes,
    FaultClass::Forget,
];

const HANDOFF: &[FaultClass] = &[
    FaultClass::Isolation,
    FaultClass::Partition,
    FaultClass::Kill,
    FaultClass::PowerCut,
    FaultClass::Blackout,
    FaultClass::CrashPoint,
    FaultClass::SlowDisk,
    FaultClass::Wipe,
];

const REBUILD: &[FaultClass] = &[
    FaultClass::Wipe,
    FaultClass::Isolation,
    FaultClass::Partition,
    FaultClass::Kill,
    FaultClass::Stop,
    FaultClass::PowerCut,
];

const REAPING: &[FaultClass] = &[
    FaultClass::Loss,
    FaultClass::Duplication,
    FaultClass::Reordering,
    FaultClass::Spikes,
    FaultClass::Isolation,
    FaultClass::Partition,
    FaultClass::Reset,
    FaultClass::Pause,
    FaultClass::Kill,
    FaultClass::Stop,
    FaultClass::PowerCut,
    FaultClass::CrashPoint,
    FaultClass::FailedFlush,
    FaultClass::SlowDisk,
    FaultClass::ReadError,
    FaultClass::Wipe,
    FaultClass::Forget,
    FaultClass::Skew,
];

const MEMBERSHIP: &[FaultClass] = &[
    FaultClass::Loss,
    FaultClass::Duplication,
    FaultClass::Reordering,
    FaultClass::Spikes,
    FaultClass::Isolation,
    FaultClass::Partition,
    FaultClass::SlowLink,
    FaultClass::Reset,
    FaultClass::Pause,
    FaultClass::Kill,
    FaultClass::Stop,
    FaultClass::PowerCut,
    FaultClass::Blackout,
    FaultClass::CrashPoint,
    FaultClass::FailedFlush,
    FaultClass::SlowDisk,
    FaultClass::Wipe,
];

impl Profile {
    /// The faults that it is about, and a few that make them bite.
    #[must_use]
    pub fn faults(self) -> Vec<FaultClass> {
        match self {
            Self::Network => NETWORK.to_vec(),
            Self::Disk => DISK.to_vec(),
            Self::Clock => CLOCK.to_vec(),
            Self::Copies => COPIES.to_vec(),
            Self::Handoff => HANDOFF.to_vec(),
            Self::Rebuild => REBUILD.to_vec(),
            Self::Reaping => REAPING.to_vec(),
            Self::Membership => MEMBERSHIP.to_vec(),
            Self::All => FaultClass::ALL.to_vec(),
        }
    }
}
