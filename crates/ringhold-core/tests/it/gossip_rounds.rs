//! How fast gossip spreads, and what it sends.

use crate::simulated_gossip::{rounds_until_everywhere, traffic};

/// Three rounds for each doubling of the cluster and five more are plenty: what is expected is about one.
fn rounds_max(n: usize) -> u32 {
    3 * n.ilog2() + 5
}

#[test]
fn news_is_everywhere_in_rounds_that_grow_with_the_logarithm() {
    for n in [2, 10, 100, 1_000] {
        for loss_per_cent in [0, 10] {
            for seed in 1..=5 {
                let rounds = rounds_until_everywhere(n, seed, loss_per_cent);
                assert!(
                    rounds <= rounds_max(n),
                    "{n} nodes, seed {seed}, {loss_per_cent} % loss: {rounds} rounds"
                );
            }
        }
    }
}

/// A digest of 32 bytes a member, and heartbeats of what has passed since; not what was said long ago.
#[test]
fn a_quiet_cluster_sends_marks_and_heartbeats() {
    for n in [5_usize, 20] {
        let traffic = traffic(n, 1);
        let (least, most) = (32 * n, (32 + 32 + 49 + 49) * n + 32);
        assert!((least..=most).contains(&traffic.quiet), "{traffic:?}");
        assert!(traffic.changing > traffic.quiet, "{traffic:?}");
        assert!(traffic.changing < traffic.quiet + 2 * 46 * n, "{traffic:?}");
        let rounds_max = usize::try_from(2 * rounds_max(n)).unwrap();
        assert!(traffic.rounds <= rounds_max, "{traffic:?}");
    }
}
