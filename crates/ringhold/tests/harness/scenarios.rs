//! What goes wrong, one test each.
//!
//! Today two of a key's three primaries have to be up for a put. So while more than one node is away, refusals are
//! expected and counted; what is never expected is that something acknowledged is gone at the end.

use crate::run::{Adversary, Scenario, run};

#[test]
fn nodes_are_killed_at_random() {
    run(&Scenario {
        name: "kill",
        faults: kill,
        ..Scenario::default()
    });
}

fn kill(adversary: &mut Adversary<'_>) {
    for _ in 0..8 {
        // Mostly one, sometimes two, sometimes all.
        let count = *adversary.random.pick(&[1, 1, 1, 1, 2, 2, 5]);
        let nodes = adversary.draw_nodes(count);
        adversary.note(format!("kill -9 of nodes {nodes:?}"));
        nodes.iter().for_each(|&node| adversary.cluster.kill(node));
        adversary.hold_ms(200, 1_500);
        nodes.iter().for_each(|&node| adversary.restart(node));
        adversary.hold_ms(300, 1_000);
    }
}
