//! Whether this machine's wall clock can be believed.
//!
//! Timestamps decide which version a last-write-wins bucket shows. They never run behind what they replace, so a wrong clock
//! loses no write that was seen; but one that is an hour ahead gives out timestamps that win for an hour (T5). A node
//! can't know the time. It can know that it disagrees with the others: it compares its clock with each peer's and steps aside
//! when the median of the differences is too large.
//!
//! The median, because one wrong peer must not move the judgement. With few peers it does less than one would like:
//! - no peer, or one: two clocks that differ say nothing about which is wrong. Nobody is judged;
//! - an even number: of the two in the middle the one nearer to us counts. With two peers this needs *both* to disagree with us,
//!   and on the same side, so one wrong clock among three nodes silences exactly its own node;
//! - where half of the peers are wrong alike, the other half doubts itself. That is the limit of any majority.
//!
//! A reading is uncertain by half of its round trip, and that much is always forgiven. Readings fade after a while: a clock
//! may have been set right, and an absent peer is no witness.
//!
//! Readings are kept against the clock that never jumps, and our wall clock is looked at with each question. So a wall clock that
//! jumps is found out at once, and not only when the peers have been asked again (T26).

use crate::id::NodeId;
use std::collections::BTreeMap;

/// Peers that must have been heard for any judgement.
const PEERS_MIN: usize = 2;
/// After this long a reading is no evidence any more, in microseconds.
const READING_US_MAX: u64 = 60_000_000;

#[derive(Clone, Copy, Debug)]
struct Reading {
    at_us: u64,
    /// Peer's wall clock less our own clock that never jumps, in the middle of the round trip.
    ahead_us: i128,
    /// By how much that may be wrong.
    uncertain_us: i128,
}

impl Reading {
    /// Peer's wall clock less our own, moved towards 0 by what is uncertain.
    fn offset_us(&self, now_us: u64, own_wall_us: u64) -> i64 {
        let own_ahead_us = i128::from(own_wall_us) - i128::from(now_us);
        let difference_us = self.ahead_us - own_ahead_us;
        let certain_us = (difference_us.abs() - self.uncertain_us).max(0) * difference_us.signum();
        let most_us = i128::from(i64::MAX);
        i64::try_from(certain_us.clamp(-most_us, most_us)).expect("clamped to what fits")
    }
}

/// What the clocks of peers show, compared with our own.
#[derive(Clone, Debug, Default)]
pub struct ClockOffsets {
    readings: BTreeMap<NodeId, Reading>,
}

impl ClockOffsets {
    /// A peer's wall clock showed `peer_wall_us` some time within the last `round_trip_us`.
    pub fn note(&mut self, now_us: u64, peer: NodeId, peer_wall_us: u64, round_trip_us: u64) {
        let uncertain_us = i128::from(round_trip_us / 2);
        self.readings.insert(
            peer,
            Reading {
                at_us: now_us,
                ahead_us: i128::from(peer_wall_us) - (i128::from(now_us) - uncertain_us),
                uncertain_us,
            },
        );
    }

    /// The peer is no member any more.
    pub fn forget(&mut self, peer: NodeId) {
        self.readings.remove(&peer);
    }

    /// By how much the peers' clocks are ahead of ours, which shows `own_wall_us`, in the median; `None` with too few peers
    /// for one.
    #[must_use]
    pub fn median_us(&self, now_us: u64, own_wall_us: u64) -> Option<i64> {
        let mut offsets_us: Vec<i64> = self
            .readings
            .values()
            .filter(|reading| now_us.saturating_sub(reading.at_us) <= READING_US_MAX)
            .map(|reading| reading.offset_us(now_us, own_wall_us))
            .collect();
        if offsets_us.len() < PEERS_MIN {
            return None;
        }
        offsets_us.sort_unstable();
        let upper = offsets_us.len() / 2;
        let lower = (offsets_us.len() - 1) / 2;
        let middle = [offsets_us[lower], offsets_us[upper]];
        if middle[0] < 0 && middle[1] > 0 {
            // Half of them say that we are ahead, half that we are behind.
            return Some(0);
        }
        middle
            .into_iter()
            .min_by_key(|offset| offset.unsigned_abs())
    }

    /// Whether our clock is off by more than `max_us`. A node for which this is so does not coordinate, and says why.
    #[must_use]
    pub fn is_off(&self, now_us: u64, own_wall_us: u64, max_us: u64) -> bool {
        self.median_us(now_us, own_wall_us)
            .is_some_and(|median_us| median_us.unsigned_abs() > max_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL_US: u64 = 1_790_000_000_000_000;
    const S: i64 = 1_000_000;

    fn offsets(of_peers: &[i64]) -> ClockOffsets {
        let mut offsets = ClockOffsets::default();
        for (peer, offset_us) in (1..).zip(of_peers) {
            let wall_us = WALL_US.saturating_add_signed(*offset_us);
            offsets.note(0, NodeId(peer), wall_us, 0);
        }
        offsets
    }

    #[test]
    fn the_median_of_few_and_of_many() {
        let rows: &[(&[i64], Option<i64>)] = &[
            (&[], None),
            (&[3_600 * S], None),
            (&[0, 3_600 * S], Some(0)),
            (&[-2 * S, 3_600 * S], Some(0)),
            (&[3_599 * S, 3_600 * S], Some(3_599 * S)),
            (&[-7 * S, -9 * S], Some(-7 * S)),
            (&[0, S, 3_600 * S], Some(S)),
            (&[0, 0, 3_600 * S, 3_600 * S], Some(0)),
            (&[0, 9 * S, 9 * S, 9 * S], Some(9 * S)),
        ];
        for (of_peers, expected) in rows {
            let offsets = offsets(of_peers);
            assert_eq!(offsets.median_us(0, WALL_US), *expected, "{of_peers:?}");
            let off = expected.is_some_and(|us| us.unsigned_abs() > 5_000_000);
            assert_eq!(offsets.is_off(0, WALL_US, 5_000_000), off, "{of_peers:?}");
        }
    }

    #[test]
    fn one_wrong_clock_among_three_silences_only_its_own_node() {
        let shown = [0, 40 * S, 0];
        for (me, mine) in shown.iter().enumerate() {
            let others: Vec<i64> = (0..3)
                .filter(|other| *other != me)
                .map(|other| shown[other] - mine)
                .collect();
            assert_eq!(offsets(&others).is_off(0, WALL_US, 5_000_000), me == 1);
        }
    }

    #[test]
    fn a_slow_way_is_no_evidence() {
        let mut offsets = ClockOffsets::default();
        for peer in 1..4 {
            // Taken anywhere within a round trip of twelve seconds, by a clock that is right.
            let taken_ago_us = [0, 6_000_000, 12_000_000][usize::try_from(peer - 1).unwrap()];
            offsets.note(0, NodeId(peer), WALL_US - taken_ago_us, 12_000_000);
        }
        assert_eq!(offsets.median_us(0, WALL_US), Some(0));
    }

    #[test]
    fn old_readings_and_former_members_are_no_witnesses() {
        let mut offsets = offsets(&[9 * S, 9 * S]);
        let later = |us: u64| (us, WALL_US + us, 5_000_000);
        let (now_us, wall_us, max_us) = later(READING_US_MAX);
        assert!(offsets.is_off(now_us, wall_us, max_us));
        let (now_us, wall_us, max_us) = later(READING_US_MAX + 1);
        assert!(!offsets.is_off(now_us, wall_us, max_us));
        offsets.forget(NodeId(1));
        assert!(!offsets.is_off(0, WALL_US, 5_000_000));
    }

    #[test]
    fn a_jump_of_the_own_clock_shows_before_anybody_is_asked_again() {
        let offsets = offsets(&[0, S, -S]);
        let (now_us, wall_us) = (7_000_000, WALL_US + 7_000_000);
        assert!(!offsets.is_off(now_us, wall_us, 5_000_000));
        assert!(offsets.is_off(now_us, wall_us + 6_000_000, 5_000_000));
        assert!(offsets.is_off(now_us, wall_us - 86_400_000_000, 5_000_000));
    }

    #[test]
    fn clocks_from_outside_time_do_not_panic() {
        let mut offsets = ClockOffsets::default();
        for peer in 1..3 {
            offsets.note(u64::MAX, NodeId(peer), u64::MAX, u64::MAX);
            offsets.note(0, NodeId(peer), 0, 0);
        }
        assert!(offsets.is_off(0, u64::MAX, u64::MAX / 4));
        assert!(offsets.median_us(u64::MAX, 0).is_none());
    }
}
