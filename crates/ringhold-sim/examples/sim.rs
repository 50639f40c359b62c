//! Runs seeds.
use ringhold_sim::plan::{Plan, Profile};
#[allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types
)]
fn main() {
    let args: Vec<u64> = std::env::args()
        .skip(1)
        .filter_map(|a| a.parse().ok())
        .collect();
    let trace = std::env::args().any(|a| a == "--trace");
    let start = std::time::Instant::now();
    let mut events = 0;
    for seed in args[0]..args[1] {
        let plan = Plan::draw(seed, Profile::All);
        let listener: Option<ringhold_sim::trace::Listener> =
            trace.then(|| Box::new(|l: &str| println!("{l}")) as _);
        let r = ringhold_sim::run::run(&plan, listener);
        events += r.events;
        println!(
            "{seed} ev {} ops {} ack {} {:?}",
            r.events,
            r.operations,
            r.acknowledged,
            r.violation.map(|v| v.to_string())
        );
    }
    println!("{} events {:?}", events, start.elapsed());
}
