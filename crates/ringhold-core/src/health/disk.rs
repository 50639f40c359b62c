//! How full a disk may get before a node takes less (§11 of the design, T22).
//!
//! A disk that is full stops more than writes: nothing can be deleted, checkpoints can't free the log, and a store whose append
//! failed has to be reopened. So a node takes less before it comes to that, in three steps:
//!
//! | used | level | taken |
//! | --- | --- | --- |
//! | below 85 % | [`Ample`](DiskLevel::Ample) | everything |
//! | from 85 % | [`Low`](DiskLevel::Low) | everything, with a warning |
//! | from 90 % | [`Full`](DiskLevel::Full) | what this node is a home of and others have coordinated; deletes |
//! | from 95 % | [`Exhausted`](DiskLevel::Exhausted) | deletes |
//!
//! On a large disk a tenth is a lot, so a level also needs little to be left: less than 64, 32 and 16 GiB.
//!
//! In between others coordinate in this node's place, and other fallbacks stand in. What is on the disk can be read and given away at
//! any level. A level is left when the disk is one point below its mark, so that a disk at the mark does not go to and fro.
//!
//! Not here: who measures, and what a request is.

/// What is left on a file system, for this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskSpace {
    pub total_bytes: u64,
    pub available_bytes: u64,
}

impl DiskSpace {
    /// How much is used, in thousandths, rounded up; a file system of no size is full.
    #[must_use]
    pub fn used_thousandths(self) -> u64 {
        let used = self.total_bytes.saturating_sub(self.available_bytes);
        let share = (u128::from(used) * 1_000).div_ceil(u128::from(self.total_bytes.max(1)));
        if self.total_bytes == 0 {
            return 1_000;
        }
        u64::try_from(share).expect("at most a thousand")
    }
}

/// See the module; the fuller, the greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DiskLevel {
    #[default]
    Ample,
    Low,
    Full,
    Exhausted,
}

/// What a write is, as far as the disk is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskUse {
    /// A new version of a key, to be coordinated here.
    Put,
    /// An object that is kept for others.
    Hint,
    /// An object of which this node is a home, and that others have as well.
    Copy,
    /// What brings a tombstone.
    Delete,
}

impl DiskLevel {
    /// Whether a write is taken at this level.
    #[must_use]
    pub fn takes(self, what: DiskUse) -> bool {
        match what {
            DiskUse::Delete => true,
            DiskUse::Copy => self < Self::Exhausted,
            DiskUse::Put | DiskUse::Hint => self < Self::Full,
        }
    }
}

/// From how many per cent of the disk each level begins. They rise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermarks {
    pub low_percent: u8,
    pub full_percent: u8,
    pub exhausted_percent: u8,
}

/// With more than this available no level begins, whatever the percentage.
const LOW_BYTES_MAX: u64 = 32 << 30;
const FULL_BYTES_MAX: u64 = 16 << 30;
const EXHAUSTED_BYTES_MAX: u64 = 8 << 30;

impl Default for Watermarks {
    fn default() -> Self {
        Self {
            low_percent: 85,
            full_percent: 90,
            exhausted_percent: 95,
        }
    }
}

impl Watermarks {
    /// The level of a disk that was at `before` when it was last looked at.
    #[must_use]
    pub fn level(self, before: DiskLevel, space: DiskSpace) -> DiskLevel {
        let used = space.used_thousandths();
        let marks = [
            (
                DiskLevel::Exhausted,
                self.exhausted_percent,
                EXHAUSTED_BYTES_MAX,
            ),
            (DiskLevel::Full, self.full_percent, FULL_BYTES_MAX),
            (DiskLevel::Low, self.low_percent, LOW_BYTES_MAX),
        ];
        let holds = |(level, percent, bytes_max): &(DiskLevel, u8, u64)| {
            let mark = u64::from(*percent) * 10;
            let hysteresis = if before >= *level { 10 } else { 0 };
            used + hysteresis >= mark && space.available_bytes < *bytes_max
        };
        let level = marks.iter().find(|mark| holds(mark));
        level.map_or(DiskLevel::Ample, |(level, ..)| *level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(percent: u64) -> DiskSpace {
        DiskSpace {
            total_bytes: 100 << 30,
            available_bytes: (100 - percent) << 30,
        }
    }

    #[test]
    fn a_level_begins_at_its_mark_and_ends_below_it() {
        use DiskLevel::{Ample, Exhausted, Full, Low};
        let rows = [
            (Ample, 0, Ample),
            (Ample, 84, Ample),
            (Ample, 85, Low),
            (Low, 84, Low),
            (Low, 83, Ample),
            (Low, 90, Full),
            (Full, 89, Full),
            (Full, 88, Low),
            (Ample, 95, Exhausted),
            (Exhausted, 94, Exhausted),
            (Exhausted, 93, Full),
            (Exhausted, 50, Ample),
            (Ample, 100, Exhausted),
        ];
        for (before, percent, expected) in rows {
            let level = Watermarks::default().level(before, used(percent));
            assert_eq!(level, expected, "{before:?} at {percent} %");
        }
    }

    #[test]
    fn a_large_disk_has_room_for_longer() {
        let left = |gib: u64| {
            let space = DiskSpace {
                total_bytes: 4 << 40,
                available_bytes: gib << 30,
            };
            Watermarks::default().level(DiskLevel::Ample, space)
        };
        assert_eq!(left(100), DiskLevel::Ample, "97.5 %");
        assert_eq!(left(20), DiskLevel::Low);
        assert_eq!(left(12), DiskLevel::Full);
        assert_eq!(left(6), DiskLevel::Exhausted);
    }

    #[test]
    fn the_fuller_the_less_is_taken_and_deletes_always_are() {
        use DiskLevel::{Ample, Exhausted, Full, Low};
        for (what, last) in [
            (DiskUse::Put, Low),
            (DiskUse::Hint, Low),
            (DiskUse::Copy, Full),
            (DiskUse::Delete, Exhausted),
        ] {
            for level in [Ample, Low, Full, Exhausted] {
                assert_eq!(level.takes(what), level <= last, "{what:?} at {level:?}");
            }
        }
    }

    #[test]
    fn strange_file_systems_do_no_harm() {
        let space = |total_bytes, available_bytes| DiskSpace {
            total_bytes,
            available_bytes,
        };
        assert_eq!(space(0, 0).used_thousandths(), 1_000);
        assert_eq!(space(10, 20).used_thousandths(), 0);
        assert_eq!(space(u64::MAX, 0).used_thousandths(), 1_000);
        assert_eq!(space(3, 2).used_thousandths(), 334);
    }
}
