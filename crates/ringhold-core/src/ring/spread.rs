//! A ring from nothing: every owner as evenly apart as its quota allows.
//!
//! Write the ring as rows, as many as the greatest quota R, each of ⌊Q/R⌋ or one more cells, and
//! read it row by row. Fill it *column by column*, the largest quotas first. A node with quota R
//! gets a whole column: its partitions are a row apart. A node with less may run from the foot of
//! one column to the head of the next, but leaves at least one row between its two ends: its
//! partitions are at least two rows less one cell apart. So two partitions of one node are never
//! closer than a row, ⌊Q/R⌋, and since the circle's last row is followed by its first as by any
//! other, the wrap-around is nothing special.
//!
//! This is the proof that the window of `share` can be had, and what a ring is founded with. Zones
//! come first: the same construction deals partitions to zones, then each zone's among its nodes.
//!
//! Not here: what a ring was before. Placing with few moves is `search`.

use std::cmp::Reverse;

/// An arrangement of `quotas.iter().sum()` partitions in which each member owns its quota and no
/// two of a member's are closer, around the circle, than ⌊sum / greatest quota⌋.
pub(super) fn spread(quotas: &[usize]) -> Vec<usize> {
    let total: usize = quotas.iter().sum();
    let rows = quotas.iter().copied().max().unwrap_or(0);
    if rows == 0 {
        return Vec::new();
    }
    let mut members: Vec<usize> = (0..quotas.len()).collect();
    members.sort_by_key(|&member| Reverse(quotas[member]));

    let (row_length, longer_rows) = (total / rows, total % rows);
    let row_start = |row: usize| row * row_length + row.min(longer_rows);
    let mut owners = vec![0; total];
    let mut cells = (0..total).map(|cell| row_start(cell % rows) + cell / rows);
    for member in members {
        for position in cells.by_ref().take(quotas[member]) {
            owners[position] = member;
        }
    }
    owners
}

/// [`spread`] for zones, then for the nodes within each: zones as far apart as their quotas
/// allow, nodes as far apart as their zones then allow.
pub(super) fn spread_by_zone(quotas: &[usize], zone_of: &[usize], zones: usize) -> Vec<usize> {
    let mut zone_quotas = vec![0; zones];
    for (quota, &zone) in quotas.iter().zip(zone_of) {
        zone_quotas[zone] += quota;
    }
    let mut owners = spread(&zone_quotas);
    let mut dealt: Vec<std::vec::IntoIter<usize>> = Vec::with_capacity(zones);
    for zone in 0..zones {
        let members: Vec<usize> = (0..quotas.len()).filter(|&m| zone_of[m] == zone).collect();
        let within: Vec<usize> = members.iter().map(|&member| quotas[member]).collect();
        let order: Vec<usize> = spread(&within)
            .into_iter()
            .map(|index| members[index])
            .collect();
        dealt.push(order.into_iter());
    }
    for owner in &mut owners {
        *owner = dealt[*owner]
            .next()
            .expect("a zone's quota is the sum of its nodes'");
    }
    owners
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The closest that two partitions of one owner come, around the circle.
    fn closest(owners: &[usize]) -> usize {
        let total = owners.len();
        (1..total)
            .find(|gap| (0..total).any(|at| owners[at] == owners[(at + gap) % total]))
            .unwrap_or(total)
    }

    #[test]
    fn equal_quotas_go_round() {
        assert_eq!(spread(&[3, 3, 3]), [0, 1, 2, 0, 1, 2, 0, 1, 2]);
        assert_eq!(spread(&[3, 3, 2]), [0, 1, 2, 0, 1, 2, 0, 1]);
    }

    #[test]
    fn every_set_of_quotas_is_as_far_apart_as_the_greatest_allows() {
        // All ways to give up to 18 partitions to up to 5 members.
        let mut quotas = [0_usize; 5];
        let mut cases = 0;
        while let Some(digit) = quotas.iter().position(|&quota| quota < 6) {
            quotas[digit] += 1;
            quotas[..digit].fill(0);
            let total: usize = quotas.iter().sum();
            if total > 18 {
                continue;
            }
            let owners = spread(&quotas);
            let bound = total / quotas.iter().max().copied().unwrap_or(1);
            assert!(closest(&owners) >= bound, "{quotas:?} gives {owners:?}");
            for (member, &quota) in quotas.iter().enumerate() {
                assert_eq!(
                    owners.iter().filter(|&&owner| owner == member).count(),
                    quota
                );
            }
            cases += 1;
        }
        assert!(cases > 10_000, "only {cases} cases ran");
    }

    #[test]
    fn zones_alternate_and_nodes_follow() {
        let owners = spread_by_zone(&[2, 2, 2, 2], &[0, 0, 1, 1], 2);
        let zones: Vec<usize> = owners.iter().map(|owner| owner / 2).collect();
        assert_eq!(zones, [0, 1, 0, 1, 0, 1, 0, 1]);
        assert_eq!(closest(&owners), 4);
    }
}
