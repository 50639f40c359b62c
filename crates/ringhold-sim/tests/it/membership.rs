//! Clusters of a certain shape whose members come and go.

use ringhold_sim::plan::{FaultClass, Plan, Profile};
use ringhold_sim::rare::Rare;
use ringhold_sim::run::run;
use std::collections::BTreeSet;

/// The shape in which an earlier store of this kind lost writes: five nodes, ten keys, forty clients, two that join and one that
/// leaves, with processes that die in between.
#[test]
fn five_nodes_ten_keys_forty_clients() {
    let mut received = 0;
    for seed in 0..4 {
        let plan = Plan {
            nodes: 7,
            spares: 2,
            replicas: 3,
            keys: 10,
            clients: 40,
            load_us: 30_000_000,
            think_us: 60_000,
            calm_us: 2_000_000,
            victim_dies: false,
            rush: seed % 2 == 0,
            faults: BTreeSet::from([FaultClass::Kill, FaultClass::Spikes]),
            ..Plan::draw(seed, Profile::Membership)
        };
        let report = run(&plan, None);
        assert_eq!(report.violation, None, "{plan}");
        assert!(report.acknowledged > 1_000, "{}", report.acknowledged);
        received += report.rare[&Rare::PartitionReceived];
    }
    assert!(received > 0, "partitions changed hands");
}
