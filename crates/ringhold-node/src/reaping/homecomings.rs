//! What may still be on its way from this node, by the clock that never jumps.
//!
//! A hint that went home may be on its way once more, in a message that arrives twice or late; so the node remembers of
//! each key when it last sent it home, for as long as a question may ask. There is room for so many keys; of those that had to
//! make room it is only known that they went home no later than the last of them. A process that has just started
//! knows nothing of what the one before it sent, and says so in the same way.
//!
//! And a process that stood still (stopped, swapped out) goes on with whatever it had in its hands, an old object in the
//! middle of a repair perhaps, as if no time had passed. Its own tick tells, as it does of a peer's silence.

use crate::env::Environment;
use ringhold_storage::StorageKey;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Keys that are remembered.
const KEYS_MAX: usize = 100_000;
/// Shorter stops happen to every process.
const STANDSTILL_US_MIN: u64 = 1_000_000;

/// When each key last went home from here.
#[derive(Debug)]
pub(crate) struct Homecomings(Mutex<Recent>);

#[derive(Debug)]
struct Recent {
    of_keys: BTreeMap<StorageKey, u64>,
    /// In the order of time; a key is remembered by its last.
    order: VecDeque<(u64, StorageKey)>,
    /// No other key went home later.
    others_us: u64,
}

impl Homecomings {
    pub(crate) fn since_start(environment: &dyn Environment) -> Self {
        Self(Mutex::new(Recent {
            of_keys: BTreeMap::new(),
            order: VecDeque::new(),
            others_us: environment.now_us(),
        }))
    }

    pub(crate) fn note(&self, key: StorageKey, now_us: u64) {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recent.of_keys.insert(key, now_us);
        recent.order.push_back((now_us, key));
        if recent.order.len() <= KEYS_MAX {
            return;
        }
        if let Some((us, oldest)) = recent.order.pop_front() {
            recent.others_us = recent.others_us.max(us);
            if recent.of_keys.get(&oldest) == Some(&us) {
                recent.of_keys.remove(&oldest);
            }
        }
    }

    /// Whether nothing of a key went home for so long.
    pub(super) fn is_quiet(&self, key: StorageKey, quiet_us: u64, now_us: u64) -> bool {
        let recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last_us = recent.of_keys.get(&key).copied();
        let last_us = last_us.unwrap_or(0).max(recent.others_us);
        now_us.saturating_sub(last_us) >= quiet_us
    }
}

/// When this process last stood still.
#[derive(Debug)]
pub(crate) struct Standstill {
    /// For how long it takes to count.
    least_us: u64,
    ticked_us: AtomicU64,
    resumed_us: AtomicU64,
}

impl Standstill {
    /// A part of the settling time is left for it.
    pub(crate) fn since_start(environment: &dyn Environment, settle_us: u64) -> Self {
        Self {
            least_us: (settle_us / 4).max(STANDSTILL_US_MIN),
            ticked_us: AtomicU64::new(environment.now_us()),
            resumed_us: AtomicU64::new(0),
        }
    }

    /// Called a few times a second.
    pub(crate) fn tick(&self, now_us: u64) {
        let before_us = self.ticked_us.fetch_max(now_us, Ordering::Relaxed);
        if now_us.saturating_sub(before_us) > self.least_us {
            self.resumed_us.store(now_us, Ordering::Relaxed);
        }
    }

    /// Whether this process has gone on all the time for so long.
    pub(super) fn is_past(&self, quiet_us: u64, now_us: u64) -> bool {
        let resumed_us = self.resumed_us.load(Ordering::Relaxed);
        let since_us = |from_us: u64| now_us.saturating_sub(from_us);
        let is_late = since_us(self.ticked_us.load(Ordering::Relaxed)) > self.least_us;
        !is_late && (resumed_us == 0 || since_us(resumed_us) >= quiet_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u128) -> StorageKey {
        StorageKey::new(number, 0)
    }

    #[test]
    fn each_key_has_its_own_quiet_and_what_is_forgotten_is_not_taken_for_quiet() {
        let homecomings = Homecomings(Mutex::new(Recent {
            of_keys: BTreeMap::new(),
            order: VecDeque::new(),
            others_us: 100,
        }));
        homecomings.note(key(1), 150);
        let quiet = |number, now_us| homecomings.is_quiet(key(number), 50, now_us);
        assert!(!quiet(0, 149) && quiet(0, 150) && !quiet(1, 199) && quiet(1, 200));
        (1_000..)
            .take(KEYS_MAX)
            .for_each(|number| homecomings.note(key(number), 300));
        assert!(quiet(1, 200), "the first to make room was from then");
        homecomings.note(key(2), 301);
        assert!(
            !quiet(1_000, 349) && !quiet(1, 349),
            "somebody went home at 300"
        );
        assert!(quiet(1, 350) && !quiet(2, 350) && quiet(2, 351));
    }

    #[test]
    fn whoever_stood_still_is_not_asked_for_a_while() {
        let standstill = Standstill {
            least_us: 10,
            ticked_us: AtomicU64::new(100),
            resumed_us: AtomicU64::new(0),
        };
        standstill.tick(105);
        assert!(standstill.is_past(50, 115) && !standstill.is_past(50, 116));
        standstill.tick(150);
        assert!(!standstill.is_past(50, 151));
        (155..=200).for_each(|now_us| standstill.tick(now_us));
        assert!(!standstill.is_past(50, 199) && standstill.is_past(50, 200));
    }
}
