//! Seeds that pass, and passing that means something.

use ringhold_sim::campaign::Campaign;
use ringhold_sim::command::{Audience, Progress, main_with};
use ringhold_sim::plan::{Plan, Profile};
use ringhold_sim::run::run;
use std::io;

fn passes(profile: Profile, seeds: std::ops::Range<u64>) {
    let summary = Campaign::new(seeds, profile).run(&mut |_| {});
    assert!(summary.passed(), "{summary}");
    assert!(
        summary.acknowledged > 1_000,
        "nothing much happened: {summary}"
    );
}

#[test]
fn promises_hold_under_network_faults() {
    passes(Profile::Network, 0..15);
}

#[test]
fn promises_hold_under_disk_faults() {
    passes(Profile::Disk, 0..15);
}

#[test]
fn promises_hold_under_wrong_clocks() {
    passes(Profile::Clock, 0..15);
}

#[test]
fn promises_hold_under_everything() {
    passes(Profile::All, 0..25);
}

#[test]
fn a_run_repeats_event_by_event_and_another_seed_is_another_run() {
    let hashes = |seed| {
        let plan = Plan::draw(seed, Profile::All);
        let (first, second) = (run(&plan, None), run(&plan, None));
        assert_eq!(
            (first.trace_hash, first.events, first.simulated_us),
            (second.trace_hash, second.events, second.simulated_us)
        );
        first.trace_hash
    };
    assert_ne!(hashes(1), hashes(2));
}

#[test]
fn a_listener_changes_nothing() {
    let plan = Plan::draw(3, Profile::All);
    let heard = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let count = std::sync::Arc::clone(&heard);
    let listener = Box::new(move |_: &str| {
        count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(
        run(&plan, Some(listener)).trace_hash,
        run(&plan, None).trace_hash
    );
    assert!(heard.load(std::sync::atomic::Ordering::Relaxed) > 100);
}

/// An audience of a test: its clock stands still.
#[derive(Default)]
struct Counting {
    heard: Vec<Progress>,
}

impl Audience for Counting {
    fn elapsed_us(&mut self) -> u64 {
        1_000
    }

    fn hear(
        &mut self,
        progress: &Progress,
        print: &mut dyn FnMut() -> io::Result<()>,
    ) -> io::Result<()> {
        self.heard.push(*progress);
        print()
    }
}

#[test]
fn the_command_reports_and_traces() {
    let mut out = Vec::new();
    let arguments = "--seeds 0..2 --profile clock --load-ms 2000"
        .split(' ')
        .map(ToOwned::to_owned);
    let mut audience = Counting::default();
    assert!(main_with(arguments, &mut out, &mut audience).unwrap());
    let runs: Vec<(u64, u64, u64)> = audience
        .heard
        .iter()
        .map(|progress| (progress.runs, progress.runs_planned, progress.failures))
        .collect();
    assert_eq!(runs, [(1, 2, 0), (2, 2, 0)]);
    assert!(audience.heard[0].events < audience.heard[1].events);
    let text = String::from_utf8(out).unwrap();
    assert!(
        text.contains("2 runs (1 of them twice)") && text.contains("events a second"),
        "{text}"
    );

    let mut out = Vec::new();
    let arguments = "--seed 0 --load-ms 1000 --trace"
        .split(' ')
        .map(ToOwned::to_owned);
    assert!(main_with(arguments, &mut out, &mut Counting::default()).unwrap());
    assert!(String::from_utf8(out).unwrap().contains("world  heal"));
}
