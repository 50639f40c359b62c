//! Every mistake is found, and what is right passes the same seeds.
//!
//! A mistake is looked for first with the seed that found it last (`known_bad.txt`), then with one seed after the other. The record makes the
//! search short and decides nothing: where it is out of date, the search is longer. `RINGHOLD_HUNT=anew` searches without it, to
//! see how many seeds each takes now, and prints the record's lines.

use ringhold_sim::campaign::Campaign;
use ringhold_sim::known_bad::{KnownBad, hunt};
use ringhold_sim::plan::{Plan, Profile};
use ringhold_sim::run::run;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;

/// What is right passes these of each profile, and those on record.
fn right(profile: Profile) -> Range<u64> {
    match profile {
        // Such a run lasts ten times as long as others.
        Profile::Reaping => 0..30,
        _ => 0..100,
    }
}

/// No mistake may need more seeds; most need one to ten. A few are met by one in hundreds only, and which one changes with all that is
/// drawn before.
fn hunted(profile: Profile) -> Range<u64> {
    match profile {
        Profile::Reaping => 0..100,
        _ => 0..1_000,
    }
}

#[test]
fn every_mistake_is_found() {
    are_found(|mistake| mistake.profile() != Profile::Reaping);
}

#[test]
fn every_mistake_about_reaping_is_found() {
    are_found(|mistake| mistake.profile() == Profile::Reaping);
}

#[expect(
    clippy::disallowed_macros,
    reason = "the table is what one runs this test for"
)]
fn are_found(which: impl Fn(&KnownBad) -> bool) {
    let mut table = format!("\n{:<26} {:<5} {:>5}  broke\n", "variant", "trap", "seed");
    let mut missed = Vec::new();
    let record = record();
    let variants = KnownBad::all().into_iter().filter(is_wanted);
    for mistake in variants.filter(which) {
        let first = record.get(mistake.to_string().as_str()).copied();
        let seeds = first.into_iter().chain(hunted(mistake.profile()));
        let (trap, found) = (mistake.trap(), hunt(mistake, seeds));
        let Some((report, violation)) =
            found.and_then(|report| Some((report.clone(), report.violation?)))
        else {
            writeln!(table, "{mistake:<26} {trap:<5} missed").expect("a string takes everything");
            missed.push(mistake.to_string());
            continue;
        };
        let seed = report.plan.seed;
        writeln!(
            table,
            "{mistake:<26} {trap:<5} {seed:>5}  {}",
            violation.invariant
        )
        .expect("a string takes everything");
    }
    println!("{table}");
    assert!(
        missed.is_empty(),
        "not found within the seeds: {missed:?}\n{table}"
    );
}

/// The seed that has found each mistake, by its name: one a line, after the table that a search prints.
fn record() -> BTreeMap<&'static str, u64> {
    if is_set_to("RINGHOLD_HUNT", "anew") {
        return BTreeMap::new();
    }
    let lines = include_str!("../../known_bad.txt").lines();
    let found = lines.filter_map(|line| {
        let mut words = line.split_whitespace();
        let (name, _trap, seed) = (words.next()?, words.next()?, words.next()?);
        Some((name, seed.parse().ok()?))
    });
    found.collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test takes no arguments of its own"
)]
fn is_set_to(name: &str, value: &str) -> bool {
    std::env::var(name).is_ok_and(|set| set == value)
}

/// All of them, or those that `RINGHOLD_VARIANTS` names, between commas.
#[expect(
    clippy::disallowed_methods,
    reason = "a test takes no arguments of its own"
)]
fn is_wanted(mistake: &KnownBad) -> bool {
    let Ok(wanted) = std::env::var("RINGHOLD_VARIANTS") else {
        return true;
    };
    wanted.split(',').any(|name| name == mistake.to_string())
}

fn right_code_passes(profile: Profile) {
    let summary = Campaign::new(right(profile), profile).run(&mut |_| {});
    assert!(summary.passed(), "{summary}");
}

macro_rules! passes {
    ($($test:ident: $profile:ident;)*) => {$(
        #[test]
        fn $test() {
            right_code_passes(Profile::$profile);
        }
    )*};
}

passes! {
    what_is_right_passes_all_faults: All;
    what_is_right_passes_clocks: Clock;
    what_is_right_passes_copies: Copies;
    what_is_right_passes_handoff: Handoff;
    what_is_right_passes_rebuilds: Rebuild;
    what_is_right_passes_reaping: Reaping;
    what_is_right_passes_changes_of_members: Membership;
}

#[test]
fn what_is_right_passes_the_seeds_that_find_mistakes() {
    let record = record();
    for mistake in KnownBad::all() {
        let Some(seed) = record.get(mistake.to_string().as_str()) else {
            continue;
        };
        if !right(mistake.profile()).contains(seed) {
            let report = run(&Plan::draw(*seed, mistake.profile()), None);
            assert!(report.violation.is_none(), "{mistake}: {report:?}");
        }
    }
}
