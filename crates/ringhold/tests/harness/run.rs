//! One scenario: machines, clients, faults, healing, and the verdict.
//!
//! The faults are drawn from a seed that is printed first; `RINGHOLD_HARNESS_SEED` runs the same ones again. Real
//! processes don't repeat themselves to the instruction, so a seed brings back the faults and the load, not the run; what
//! fails once in ten runs has to be run ten times.

use crate::check;
use crate::client::{self, Outcome};
use crate::cluster::{self, Cluster, NODES};
use crate::datatypes;
use crate::disk_image;
use crate::history::History;
use crate::process::Around;
use crate::tools::Missing;
use crate::watchdog::Watchdog;
use crate::workload::{Client, Contacts, Tries};
use ringhold_sim::random::Random;
use rustix::process::Signal;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

const SEED: &str = "RINGHOLD_HARNESS_SEED";
const CLIENTS: usize = 6;
const KEYS: std::ops::RangeInclusive<u64> = 20..=120;
/// Far above what a scenario takes: for what hangs.
pub(crate) const LIMIT: Duration = Duration::from_secs(240);

/// One loss looks like the next.
const LOST_SHOWN_MAX: usize = 10;

/// Scenarios share the machine's names and its two cores: one at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// What a scenario is.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) machines: usize,
    /// So many of them found the cluster; the others may join.
    pub(crate) founders: usize,
    pub(crate) disk_bytes: u64,
    /// How often clients try.
    pub(crate) tries: Tries,
    /// Settings of all nodes, beyond the defaults.
    pub(crate) settings: &'static [&'static str],
    /// Whether this machine has what it takes.
    pub(crate) needs: fn(&Cluster) -> Result<(), Missing>,
    /// What goes wrong, while clients work.
    pub(crate) faults: fn(&mut Adversary<'_>),
    /// What else must hold when all is well again; what does not is told.
    pub(crate) at_the_end: fn(&Cluster, &Watchdog) -> Vec<String>,
    /// That the nodes are set up to lose something, which has to be found.
    pub(crate) must_lose: bool,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            name: "",
            machines: NODES,
            founders: NODES,
            disk_bytes: disk_image::BYTES_DEFAULT,
            tries: Tries::FEW,
            settings: &[],
            needs: |_| Ok(()),
            faults: |_| {},
            at_the_end: |_, _| Vec::new(),
            must_lose: false,
        }
    }
}

/// Who makes things go wrong.
pub(crate) struct Adversary<'a> {
    pub(crate) cluster: &'a mut Cluster,
    pub(crate) random: Random,
    pub(crate) watchdog: Watchdog,
    pub(crate) history: &'a History,
    /// Whom the clients know.
    pub(crate) contacts: &'a Contacts,
    faults: usize,
    started: Instant,
}

impl Adversary<'_> {
    /// Says what happens to which nodes, at once: a scenario may not get to its end.
    pub(crate) fn note(&mut self, fault: &str, nodes: &[usize]) {
        self.tell(&format!("{fault}: {}", names(nodes)));
        self.faults += 1;
    }

    /// Says what else happens.
    pub(crate) fn tell(&self, text: &str) {
        println!("  {:6.1} s  {text}", self.started.elapsed().as_secs_f64());
    }

    /// Lets time pass, drawn between two ends.
    pub(crate) fn hold_ms(&mut self, low: u64, high: u64) {
        let hold = Duration::from_millis(self.random.between(low, high));
        self.watchdog.hold(hold);
    }

    /// So many different nodes.
    pub(crate) fn draw_nodes(&mut self, count: usize) -> Vec<usize> {
        let mut left: Vec<usize> = (0..NODES).collect();
        let mut draw = |_| left.swap_remove(self.random.index(left.len()));
        (0..count).map(&mut draw).collect()
    }

    pub(crate) fn cut_power(&mut self, nodes: &[usize]) {
        self.note("power cut", nodes);
        self.cluster.cut_power(nodes, &self.watchdog);
    }

    /// Starts a node that has ended or been killed, without anything around it.
    pub(crate) fn restart(&mut self, node: usize) {
        self.cluster.start(node, &Around::Nothing);
    }

    /// Starts a node if it stepped down by itself.
    pub(crate) fn start_if_ended(&mut self, node: usize) {
        if let Some(how) = self.cluster.ended(node) {
            self.note(&format!("ended by itself, {how}"), &[node]);
            self.restart(node);
        }
    }

    /// Waits until all nodes are well and reach each other.
    pub(crate) fn wait_until_connected(&self) {
        client::wait_until_connected(&self.cluster.addresses(), &self.watchdog);
    }
}

/// For people.
pub(crate) fn names(nodes: &[usize]) -> String {
    let names: Vec<String> = nodes.iter().copied().map(cluster::name).collect();
    names.join(", ")
}

/// Runs a scenario, and panics if the store has broken a promise.
pub(crate) fn run(scenario: &Scenario) {
    alone(scenario.name, |seed| run_seed(scenario, seed));
}

/// Does something with a cluster of its own, on a thread of its own, while no other scenario runs.
pub(crate) fn alone(name: &str, work: impl FnOnce(u64) + Send) {
    // A scenario that failed has taken down what was its own.
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let seed = match std::env::var(SEED) {
        Ok(text) => text.parse().expect("the seed is a number"),
        Err(_) => getrandom::u32().map_or(1, u64::from),
    };
    println!("{name}: {SEED}={seed}");
    // A thread that has entered a namespace stays there, so each scenario has its own.
    thread::scope(|scope| {
        let ran = thread::Builder::new()
            .name(name.to_owned())
            .spawn_scoped(scope, || work(seed))
            .expect("there is room for a thread");
        if let Err(panic) = ran.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// A cluster whose nodes reach each other, and their addresses; none, and the reason said, where the machine lacks what the
/// scenario needs.
pub(crate) fn started(
    scenario: &Scenario,
    seed: u64,
    watchdog: &Watchdog,
) -> Option<(Cluster, Vec<SocketAddr>)> {
    let mut cluster = Cluster::make(scenario, seed);
    println!("  {}", cluster.describe());
    if let Err(missing) = (scenario.needs)(&cluster) {
        println!("  skipped: {missing}");
        return None;
    }
    let founders = 0..scenario.founders;
    founders.for_each(|node| cluster.start(node, &Around::Nothing));
    let nodes = cluster.addresses();
    client::wait_until_connected(&nodes, watchdog);
    Some((cluster, nodes))
}

fn run_seed(scenario: &Scenario, seed: u64) {
    let (watchdog, _guard) = Watchdog::start(scenario.name, LIMIT);
    let began = Instant::now();
    let Some((mut cluster, nodes)) = started(scenario, seed, &watchdog) else {
        return;
    };

    datatypes::create_types(&nodes, &watchdog);
    let history = History::default();
    let mut random = Random::of(seed, scenario.name);
    let keys = usize::try_from(random.between(*KEYS.start(), *KEYS.end())).expect("it is small");
    let contacts = Contacts::of(nodes);
    let mut adversary = Adversary {
        cluster: &mut cluster,
        random,
        watchdog,
        history: &history,
        contacts: &contacts,
        faults: 0,
        started: began,
    };
    under_load(keys, seed, &mut adversary, scenario);
    let mut random = adversary.random.clone();
    let faults = adversary.faults;
    heal(&mut cluster, &mut random, &watchdog);
    let mut verdict = check::check(&history, keys, &cluster.addresses(), &watchdog);
    let further = (scenario.at_the_end)(&cluster, &watchdog);
    verdict.violations.extend(further);

    println!("{}", report(faults, &history, keys, &verdict, began));
    let acknowledged = history.books().count(Outcome::Acknowledged);
    assert!(acknowledged > 0, "nothing was acknowledged");
    if scenario.must_lose {
        assert!(!verdict.lost.is_empty(), "{SEED}={seed}: no loss was found");
    } else {
        let kept = verdict == check::Verdict::default();
        assert!(kept, "{SEED}={seed}: {verdict:#?}");
    }
}

/// Stops the clients when dropped, also by a panic of the adversary.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Clients work while faults happen.
fn under_load(keys: usize, seed: u64, adversary: &mut Adversary<'_>, scenario: &Scenario) {
    let stop = AtomicBool::new(false);
    let (history, watchdog) = (adversary.history, adversary.watchdog);
    let (contacts, tries) = (adversary.contacts, scenario.tries);
    thread::scope(|scope| {
        let stop = &stop;
        let _stop = Stop(stop);
        for number in 0..CLIENTS {
            let client = Client {
                number,
                keys,
                run: seed,
                contacts,
                tries,
                history,
                random: Random::of(seed, &format!("client {number}")),
            };
            scope.spawn(move || client.work(stop, &watchdog));
        }
        adversary.hold_ms(500, 1_000);
        (scenario.faults)(adversary);
        adversary.hold_ms(500, 1_000);
    });
}

/// Makes everything well, and restarts all nodes: half of them kindly.
fn heal(cluster: &mut Cluster, random: &mut Random, watchdog: &Watchdog) {
    for node in cluster.members() {
        cluster.signal(node, Signal::CONT);
        if random.chance(500_000) {
            cluster.signal(node, Signal::TERM);
            watchdog.wait_until("a node stops", || !cluster.runs(node));
        }
        cluster.kill(node);
        cluster.start(node, &Around::Nothing);
    }
    client::wait_until_connected(&cluster.addresses(), watchdog);
}

fn report(
    faults: usize,
    history: &History,
    keys: usize,
    verdict: &check::Verdict,
    started: Instant,
) -> String {
    let books = history.books();
    let mut text = String::new();
    let mut line = |line: String| writeln!(text, "  {line}").expect("a string takes any text");
    line(format!(
        "{} faults, {} keys, {} reads, {} writes: {} acknowledged, {} refused, {} unknown; {} lost, {} violations; {:.1} s",
        faults,
        keys,
        books.reads,
        books.operations.len(),
        books.count(Outcome::Acknowledged),
        books.count(Outcome::Refused),
        books.count(Outcome::Unknown),
        verdict.lost.len(),
        verdict.violations.len(),
        started.elapsed().as_secs_f64(),
    ));
    if books.cured > 0 {
        line(format!(
            "{} requests failed and went well when they were tried again, after {:.1} s at most",
            books.cured,
            books.cured_after.as_secs_f64()
        ));
    }
    for (label, count) in &books.errors {
        line(format!("{count:6} × {label}"));
    }
    for &number in verdict.lost.iter().take(LOST_SHOWN_MAX) {
        line(format!("lost: {number}, {:?}", books.operations[number]));
    }
    text.trim_end().to_owned()
}
