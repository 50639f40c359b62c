//! Prints how fast gossip spreads and what it costs, for clusters of several sizes.
//!
//! `cargo run --release -p ringhold-core --example gossip`

#[path = "../tests/it/simulated_gossip.rs"]
mod simulated_gossip;

use simulated_gossip::{rounds_until_everywhere, traffic};
use std::io::{self, Write};

const SEEDS: u64 = 101;

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    let columns = [
        "nodes",
        "rounds, nothing lost: median, worst",
        "rounds, 10 % lost: median, worst",
        "bytes a round and node, quiet",
        "while a new epoch spreads",
        "rounds until all know that all have it",
    ];
    writeln!(out, "| {} |", columns.join(" | "))?;
    writeln!(out, "|{}", " --- |".repeat(columns.len()))?;
    for n in [3, 10, 100, 1_000] {
        let (median, worst) = rounds(n, 0);
        let (lossy_median, lossy_worst) = rounds(n, 10);
        let traffic = traffic(n, 1);
        writeln!(
            out,
            "| {n} | {median}, {worst} | {lossy_median}, {lossy_worst} | {} | {} | {} |",
            traffic.quiet, traffic.changing, traffic.rounds
        )?;
    }
    Ok(())
}

/// The median and the worst of many seeds.
fn rounds(n: usize, loss_per_cent: u64) -> (u32, u32) {
    let mut rounds: Vec<u32> = (1..=SEEDS)
        .map(|seed| rounds_until_everywhere(n, seed, loss_per_cent))
        .collect();
    rounds.sort_unstable();
    (rounds[rounds.len() / 2], rounds[rounds.len() - 1])
}
