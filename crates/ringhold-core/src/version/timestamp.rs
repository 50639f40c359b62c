//! Hybrid timestamps: wall clock when it is ahead, one more than what was seen when it is not.
//!
//! A timestamp orders the versions of one key for last-write-wins and for `Last-Modified`. It is at
//! least one more than the greatest that the writer had seen and the greatest on this key here, so a
//! write never loses to the version that it replaced, however wrong a clock is. No clock of the
//! node follows other nodes' clocks: one node with a wrong clock must not drag the rest along.

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The timestamp of a new write.
    #[must_use]
    pub fn after(wall_us: u64, seen: Self, on_key: Self) -> Self {
        Self(
            wall_us
                .max(seen.0.saturating_add(1))
                .max(on_key.0.saturating_add(1)),
        )
    }

    /// Whole seconds since 1970.
    #[must_use]
    pub fn seconds(self) -> u64 {
        self.0 / 1_000_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_later_than_what_it_saw_and_what_is_there() {
        let rows = [
            (100, 0, 0, 100),
            (100, 250, 0, 251),
            (100, 0, 300, 301),
            (0, u64::MAX, 0, u64::MAX),
        ];
        for (wall, seen, on_key, want) in rows {
            assert_eq!(
                Timestamp::after(wall, Timestamp(seen), Timestamp(on_key)),
                Timestamp(want)
            );
        }
    }
}
