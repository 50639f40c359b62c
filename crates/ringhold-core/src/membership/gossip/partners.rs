//! With whom to gossip in a round.
//!
//! One living member at random: that is what makes news spread like an epidemic, in rounds that grow with the logarithm of the
//! number of members.
//!
//! That alone has a trap (T15). Two halves of a cluster that have taken each other for dead, or that started with only each other,
//! would gossip among themselves for ever after the network has healed; Dynamo met it and had its seeds for it (§4.8.2). So now and
//! then a round has a second partner: one of the *rest*, which are the members believed dead, those never seen, and the
//! seeds that an operator has named. With L living members beside this one, a round of one node has it with probability rest ∕ (L + 1). Over
//! the L + 1 nodes that are alive that makes one call a round for each node of the rest: a member that comes back
//! is found within a round or two whatever the size of the cluster, one that stays away costs the cluster one failed call a round, and
//! in a cluster cut in halves every node tries the other half nearly every round. A node that knows nobody alive always
//! tries.
//!
//! Not here: who is alive. That is the node's own experience, and gossip does not change it.

use crate::id::NodeId;

/// The partners of one round: at most one of the living and at most one of the rest. `random` is 64 random bits; a seed that is
/// among the other two lists counts once.
#[must_use]
pub fn partners(
    random: u64,
    living: &[NodeId],
    others: &[NodeId],
    seeds: &[NodeId],
) -> Vec<NodeId> {
    let mut rest = others.to_vec();
    for seed in seeds {
        if !living.contains(seed) && !rest.contains(seed) {
            rest.push(*seed);
        }
    }
    let mut draw = Draw(random);
    let mut partners = Vec::with_capacity(2);
    partners.extend(draw.one_of(living));
    if draw.below(living.len() + 1) < rest.len() {
        partners.extend(draw.one_of(&rest));
    }
    partners
}

/// Several draws out of one random number (SplitMix64: Steele, Lea, Flood, *Fast Splittable Pseudorandom Number Generators*, 2014).
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// From 0 to just below the bound, which is above 0.
    fn below(&mut self, bound: usize) -> usize {
        let bound = u128::try_from(bound).expect("a u128 holds a usize");
        let drawn = (u128::from(self.next()) * bound) >> 64;
        usize::try_from(drawn).expect("below a usize")
    }

    fn one_of(&mut self, nodes: &[NodeId]) -> Option<NodeId> {
        (!nodes.is_empty()).then(|| nodes[self.below(nodes.len())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const ROUNDS: u64 = 20_000;

    fn nodes(range: std::ops::Range<u128>) -> Vec<NodeId> {
        range.map(NodeId).collect()
    }

    /// How often each node is a partner, in thousandths of the rounds.
    fn thousandths(
        living: &[NodeId],
        others: &[NodeId],
        seeds: &[NodeId],
    ) -> BTreeMap<NodeId, u64> {
        let mut counts = BTreeMap::new();
        for round in 0..ROUNDS {
            for partner in partners(round, living, others, seeds) {
                *counts.entry(partner).or_insert(0) += 1;
            }
        }
        counts
            .values_mut()
            .for_each(|count| *count = *count * 1_000 / ROUNDS);
        counts
    }

    #[test]
    fn each_living_member_is_as_likely() {
        let counts = thousandths(&nodes(0..10), &[], &[]);
        assert_eq!(counts.len(), 10);
        assert!(
            counts.values().all(|count| (90..=110).contains(count)),
            "{counts:?}"
        );
    }

    /// Each of nine living nodes and this one does so: one call a round for each.
    #[test]
    fn one_that_is_dead_or_a_seed_is_tried_by_one_node_in_a_round() {
        let living = nodes(0..9);
        let counts = thousandths(&living, &nodes(10..12), &nodes(11..13));
        for node in nodes(10..13) {
            assert!((90..=110).contains(&counts[&node]), "{counts:?}");
        }
        let counts = thousandths(&living, &[], &nodes(0..1));
        assert!(
            counts.values().sum::<u64>() <= 1_000,
            "a living seed is met anyway"
        );
    }

    #[test]
    fn half_a_cluster_tries_the_other_half_nearly_always() {
        let counts = thousandths(&nodes(0..4), &nodes(5..10), &[]);
        let tried: u64 = nodes(5..10).iter().map(|node| counts[node]).sum();
        assert!(tried > 950, "{counts:?}");
    }

    #[test]
    fn a_node_that_knows_nobody_alive_tries_whom_it_can() {
        for random in 0..100 {
            assert_eq!(partners(random, &[], &[], &nodes(7..8)), nodes(7..8));
            assert_eq!(partners(random, &[], &[], &[]), []);
        }
    }
}
