//! What a member answers who is asked about keys that may be reaped.
//!
//! An answer is about the store as the partition's writer will leave it: what the writer has taken in and not yet
//! committed is waited for, or an older copy could be on its way to the disk while this node says that it has none.
//! A primary's yes is about what has been flushed, or a power cut could take its tombstone back and leave the
//! older value.
//!
//! A member that is no home says yes only if nothing of the key is here and nothing of the partition went home from
//! here lately: what it sent may still be on its way. Since when that is so is kept in memory; a node that has just
//! started has been quiet since its start and no longer. And nobody says yes soon after having stood still: a process that
//! was stopped in the middle of a repair has an old object in its hands, and is about to send it.

use crate::clock_guard::ClockState;
use crate::env::Environment;
#[cfg(feature = "known-bad")]
use crate::known_bad::{self, Variant};
use crate::node::Node;
use crate::replica::Removal;
use ringhold_core::reaping::{dead_since_us, is_past_grace};
use ringhold_core::ring::{Partition, PartitionCount, Position};
use ringhold_core::version::Object;
use ringhold_storage::{Keyspace, StorageKey};
use ringhold_wire::message::ObjectName;
use ringhold_wire::message::peer::{LeafEntry, ReapRequest, Refusal, StraysRequest};
use ringhold_wire::metadata::expires_at_us;
use std::sync::atomic::{AtomicU64, Ordering};

/// Shorter stops happen to every process.
const STANDSTILL_US_MIN: u64 = 1_000_000;
/// Keys that a partition's writer removes at once. Few, so that puts do not wait for long.
const REMOVED_AT_ONCE: usize = 32;

/// When something of each partition last went home from here, and when this process last stood still, on this node's
/// own clock.
#[derive(Debug)]
pub(crate) struct Homecomings {
    of_partitions: Vec<AtomicU64>,
    /// A process that stood still for longer has kept what it had in its hands for too long.
    standstill_us: u64,
    ticked_us: AtomicU64,
    resumed_us: AtomicU64,
}

impl Homecomings {
    /// Nobody knows what a process before this one sent.
    pub(crate) fn since_start(
        partitions: PartitionCount,
        environment: &dyn Environment,
        settle_us: u64,
    ) -> Self {
        let now_us = environment.now_us();
        let all = (0..partitions.count()).map(|_| AtomicU64::new(now_us));
        Self {
            of_partitions: all.collect(),
            standstill_us: (settle_us / 4).max(STANDSTILL_US_MIN),
            ticked_us: AtomicU64::new(now_us),
            resumed_us: AtomicU64::new(0),
        }
    }

    /// Called a few times a second.
    pub(crate) fn tick(&self, now_us: u64) {
        let before_us = self.ticked_us.fetch_max(now_us, Ordering::Relaxed);
        if now_us.saturating_sub(before_us) > self.standstill_us {
            self.resumed_us.store(now_us, Ordering::Relaxed);
        }
    }

    /// Whether this process has gone on all the time for so long.
    fn went_on(&self, quiet_us: u64, now_us: u64) -> bool {
        let resumed_us = self.resumed_us.load(Ordering::Relaxed);
        let since_us = |from_us: u64| now_us.saturating_sub(from_us);
        let is_late = since_us(self.ticked_us.load(Ordering::Relaxed)) > self.standstill_us;
        !is_late && (resumed_us == 0 || since_us(resumed_us) >= quiet_us)
    }

    pub(crate) fn note(&self, partition: Partition, now_us: u64) {
        if let Some(last_us) = self.of(partition) {
            last_us.fetch_max(now_us, Ordering::Relaxed);
        }
    }

    fn is_quiet(&self, partition: Partition, quiet_us: u64, now_us: u64) -> bool {
        self.of(partition).is_some_and(|last_us| {
            now_us.saturating_sub(last_us.load(Ordering::Relaxed)) >= quiet_us
        })
    }

    fn of(&self, partition: Partition) -> Option<&AtomicU64> {
        self.of_partitions.get(usize::try_from(partition.0).ok()?)
    }
}

impl Node {
    pub(crate) fn grace_us(&self) -> u64 {
        #[cfg(feature = "known-bad")]
        if known_bad::is(Variant::ReapsBeforeGrace) {
            return 0;
        }
        self.tuning.reaping.grace_us
    }

    pub(crate) fn object_digest(&self, name: &ObjectName, object: &Object) -> Option<u128> {
        let ObjectName {
            bucket_type,
            bucket,
            key,
        } = name;
        let digest = self.tree_key.digest(bucket_type, bucket, key, object)?;
        Some(digest.0)
    }

    /// For each key, whether nothing of it is left on this node, which is no home of it.
    ///
    /// # Errors
    /// If this node is a home by its own ring, or its store is not able to tell.
    pub(crate) async fn lacks(&self, request: StraysRequest) -> Result<Vec<bool>, Refusal> {
        let names = request.names.iter();
        let partition = self.placed(request.partition, names.clone(), false)?;
        // Whatever was taken in before the question is looked at as well.
        self.replica.settle(self.start_of(partition)).await?;
        let now_us = self.environment.now_us();
        let homecomings = &self.homecomings;
        let went_on = homecomings.went_on(request.quiet_us, now_us);
        if !went_on || !homecomings.is_quiet(partition, request.quiet_us, now_us) {
            return Ok(vec![false; request.names.len()]);
        }
        Ok(names.map(|name| self.has_nothing_of(name)).collect())
    }

    fn has_nothing_of(&self, name: &ObjectName) -> bool {
        let is_absent = self
            .replica
            .fetch(name)
            .is_ok_and(|object| object.is_absent());
        is_absent && self.has_no_hint(name)
    }

    fn has_no_hint(&self, name: &ObjectName) -> bool {
        let row = self
            .store()
            .get(Keyspace::Hints, &self.replica.key_of(name));
        row.is_ok_and(|row| row.is_none())
    }

    /// For each key, whether this primary has exactly that object, flushed, and it may go by its own clock.
    ///
    /// # Errors
    /// If this node is no home, is rebuilding, or its store is not able to tell.
    pub(crate) async fn vouch(&self, request: ReapRequest) -> Result<Vec<bool>, Refusal> {
        let names = request.entries.iter().map(|entry| &entry.name);
        let partition = self.placed(request.partition, names, true)?;
        if !self.vouches_for_partition(partition) {
            return Err(Refusal::Rebuilding);
        }
        let settle_us = self.tuning.reaping.settle_us;
        let went_on = self
            .homecomings
            .went_on(settle_us, self.environment.now_us());
        let entries = request.entries.iter();
        // A clock that is wrong can't tell how old anything is (T26).
        let knows_time = self.clock() == ClockState::Trusted;
        let may_go = entries.map(|entry| went_on && knows_time && self.reapable(entry).is_some());
        let answers = may_go.collect();
        self.replica.settle(self.start_of(partition)).await?;
        Ok(answers)
    }

    /// The object of an entry, if it is the one that is meant, and may go.
    fn reapable(&self, LeafEntry { name, digest }: &LeafEntry) -> Option<Object> {
        let object = self.replica.fetch(name).ok()?;
        let is_same = self.object_digest(name, &object) == Some(*digest);
        let wall_us = self.environment.wall_us();
        let is_old = dead_since_us(&object, expires_at_us)
            .is_some_and(|since_us| is_past_grace(since_us, self.grace_us(), wall_us));
        #[cfg(feature = "known-bad")]
        let is_old = is_old || known_bad::is(Variant::ReapsOnOneClock);
        (is_same && is_old && self.has_no_hint(name)).then_some(object)
    }

    /// Removes what all have vouched for. For each key, whether it is gone.
    ///
    /// # Errors
    /// If this node is no home, or its store has failed.
    pub(crate) async fn reap(&self, request: ReapRequest) -> Result<Vec<bool>, Refusal> {
        let names = request.entries.iter().map(|entry| &entry.name);
        let partition = self.placed(request.partition, names, true)?;
        let mut answers = Vec::with_capacity(request.entries.len());
        for entries in request.entries.chunks(REMOVED_AT_ONCE) {
            let removal = |entry: &LeafEntry| Removal {
                key: self.replica.key_of(&entry.name),
                object: self.to_be_removed(entry),
            };
            let removals = entries.iter().map(removal).collect();
            let gone = self
                .replica
                .remove(self.start_of(partition), removals)
                .await?;
            let count = gone.iter().filter(|gone| **gone).count() as u64;
            self.metrics.tombstones_reaped.add(count);
            answers.extend(gone);
        }
        Ok(answers)
    }

    fn to_be_removed(&self, entry: &LeafEntry) -> Option<Object> {
        let object = self.reapable(entry);
        #[cfg(feature = "known-bad")]
        if known_bad::is(Variant::ReapsUnconditionally) {
            return object.or_else(|| Some(Object::new()));
        }
        object
    }

    /// The partition of a question, if all names are in it and this node is, or is not, a home of it.
    fn placed<'a>(
        &self,
        partition: u32,
        mut names: impl Iterator<Item = &'a ObjectName>,
        as_home: bool,
    ) -> Result<Partition, Refusal> {
        let partitions = self.ring.partition_count();
        let partition = Partition(partition);
        let is_one = partition.0 < partitions.count();
        if !is_one || names.any(|name| partitions.partition_of(name.position()) != partition) {
            return Err(Refusal::Malformed);
        }
        let is_home = self.homes_of_partition(partition).contains(&self.id);
        if is_home != as_home {
            return Err(Refusal::PlacementBehind);
        }
        Ok(partition)
    }

    /// A key of the partition, for finding its writer.
    fn start_of(&self, partition: Partition) -> StorageKey {
        let Position(start) = *self.ring.partition_count().arc(partition).start();
        StorageKey::new(start, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn homecomings() -> Homecomings {
        Homecomings {
            of_partitions: vec![AtomicU64::new(100), AtomicU64::new(100)],
            standstill_us: 10,
            ticked_us: AtomicU64::new(100),
            resumed_us: AtomicU64::new(0),
        }
    }

    #[test]
    fn whoever_stood_still_is_not_asked_for_a_while() {
        let homecomings = homecomings();
        homecomings.tick(105);
        assert!(homecomings.went_on(50, 115) && !homecomings.went_on(50, 116));
        homecomings.tick(150);
        assert!(!homecomings.went_on(50, 151));
        (155..=200).for_each(|now_us| homecomings.tick(now_us));
        assert!(!homecomings.went_on(50, 199) && homecomings.went_on(50, 200));
    }

    #[test]
    fn each_partition_has_its_own_quiet() {
        let homecomings = homecomings();
        homecomings.note(Partition(1), 150);
        homecomings.note(Partition(1), 120);
        let quiet = |partition, now_us| homecomings.is_quiet(Partition(partition), 50, now_us);
        assert!(quiet(0, 150) && !quiet(1, 199) && quiet(1, 200));
        assert!(!quiet(2, u64::MAX), "there is no such partition");
    }
}
