//! Two clusters side by side: what is one's is refused by the other (T19, I19).

use crate::scenario::{cluster_with, pass, put};
use ringhold_sim::cluster::Cluster;

fn two_clusters() -> [Cluster; 2] {
    // Another seed draws other identities.
    [1, 2].map(|seed| cluster_with(|plan| plan.seed = seed))
}

/// A machine of one cluster is started with the disk of the other's: it starts neither as itself nor as the other, and
/// neither cluster notices.
#[test]
fn a_disk_of_another_cluster_does_not_start() {
    let [one, other] = two_clusters();
    let epochs = [&one, &other].map(|cluster| cluster.ring().document().cluster_id);
    assert_ne!(epochs[0], epochs[1]);
    one.kill(0);
    other.kill(0);
    one.disk(0).swap(other.disk(0));
    one.start(0);
    other.start(0);
    pass(&one, 3_000_000);
    pass(&other, 3_000_000);
    for cluster in [&one, &other] {
        assert!(
            cluster.node(0).is_none(),
            "it runs with a disk of another cluster"
        );
        assert!(put(cluster, 1, 1), "the other two go on");
    }
    one.kill(0);
    other.kill(0);
    one.disk(0).swap(other.disk(0));
    for cluster in [&one, &other] {
        cluster.start(0);
        pass(cluster, 5_000_000);
        assert!(cluster.node(0).is_some(), "it is itself again");
        assert!(put(cluster, 0, 2));
        cluster.dissolve();
    }
}
