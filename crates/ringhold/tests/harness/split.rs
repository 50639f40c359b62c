//! Three nodes apart from two, and both sides write (§4.6, §4.7).
//!
//! Each side has one writer, which reads a key on its side and replaces what it read, again and again. No node of one side reaches
//! the other, so for some keys a side has one home of three, or none, and takes writes all the same: fallbacks stand in. After
//! healing, what they kept goes home, and each key has exactly two siblings, the last write of each side: nothing is lost, and
//! what a side had replaced does not come back.
//!
//! `RINGHOLD_SPLIT_SECONDS` is how long the two are apart, 5 if it is not set.

use crate::client::{self, Outcome, Put};
use crate::cluster::Cluster;
use crate::network;
use crate::run::{LIMIT, Scenario, alone, started};
use crate::scenarios::network_can_part;
use crate::tools::must;
use crate::watchdog::Watchdog;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const KEYS: usize = 40;
const SIDES: [&[usize]; 2] = [&[0, 1], &[2, 3, 4]];
/// What a side may need to notice that the other is gone, and to be answered then.
const TRIES_MAX: usize = 50;

/// The last acknowledged value of each key, and how much it took.
#[derive(Debug, Default)]
struct Written {
    last: Vec<Vec<u8>>,
    acknowledged: usize,
    tried_again: usize,
}

#[test]
fn two_sides_write_and_nothing_is_lost_or_comes_back() {
    let scenario = Scenario {
        name: "split",
        needs: network_can_part,
        ..Scenario::default()
    };
    alone(scenario.name, |seed| split(&scenario, seed));
}

fn split(scenario: &Scenario, seed: u64) {
    let (watchdog, _guard) = Watchdog::start(scenario.name, LIMIT);
    let Some((cluster, nodes)) = started(scenario, seed, &watchdog) else {
        return;
    };

    // A write that is on its way when the network parts may get to the other side before its retry does on this one: it has
    // two names then, and shows twice (T6). That is for other scenarios.
    part(&cluster, &nodes, &watchdog);
    let seconds = std::env::var("RINGHOLD_SPLIT_SECONDS").map_or(5, |text| {
        text.parse().expect("RINGHOLD_SPLIT_SECONDS is a number")
    });
    let (began, over) = (Instant::now(), AtomicBool::new(false));
    let written: Vec<Written> = thread::scope(|scope| {
        let sides = SIDES.map(|side| {
            let side: Vec<SocketAddr> = side.iter().map(|node| nodes[*node]).collect();
            let over = &over;
            scope.spawn(move || write_on(&side, over))
        });
        watchdog.hold(Duration::from_secs(seconds));
        over.store(true, Ordering::Relaxed);
        sides.map(|side| side.join().expect("a writer ends")).into()
    });
    for (side, written) in SIDES.iter().zip(&written) {
        println!(
            "  {} nodes apart for {:.0} s: {} writes acknowledged, {} tries more than that",
            side.len(),
            began.elapsed().as_secs_f64(),
            written.acknowledged,
            written.tried_again
        );
    }

    must(network::open_all(&cluster));
    let healed = Instant::now();
    client::wait_until_connected(&nodes, &watchdog);
    watchdog.wait_until("no node keeps anything for another", || {
        nodes.iter().all(|node| client::hints(*node) == Some(0))
    });
    println!(
        "  all hints were home {:.1} s after healing",
        healed.elapsed().as_secs_f64()
    );
    for key in 0..KEYS {
        let mut expected: Vec<Vec<u8>> =
            written.iter().map(|side| side.last[key].clone()).collect();
        expected.sort_unstable();
        for node in &nodes {
            let found = client::get(*node, key, "&r=3&pr=3").expect("all three homes answer");
            assert_eq!(found.siblings, expected, "key {key} at {node}");
        }
    }
}

/// Parts two nodes from three, and waits until each side has noticed.
pub(crate) fn part(cluster: &Cluster, nodes: &[SocketAddr], watchdog: &Watchdog) {
    must(network::close(
        cluster,
        &network::between(SIDES[0], SIDES[1]),
    ));
    watchdog.wait_until("each side has noticed", || {
        SIDES.iter().all(|side| {
            side.iter()
                .all(|node| reachable(nodes[*node]) == Some(side.len()))
        })
    });
}

/// Replaces every key with a greater number until it is over, and once at least.
fn write_on(side: &[SocketAddr], over: &AtomicBool) -> Written {
    let mut written = Written {
        last: vec![Vec::new(); KEYS],
        ..Written::default()
    };
    for round in 0.. {
        for key in 0..KEYS {
            let node = |at: usize| side[(key + round + at) % side.len()];
            let body = format!("{} nodes, round {round}", side.len()).into_bytes();
            let seen = retry(&mut written, |at| client::get(node(at), key, "&r=2").ok());
            let ours = seen
                .siblings
                .iter()
                .all(|value| *value == written.last[key]);
            assert!(ours, "key {key}: {seen:?} is not what this side wrote last");
            let put = Put {
                key,
                context: seen.context,
                operation: format!("{} {key} {round}", side.len()),
                quorum: "&w=2",
                entries: Vec::new(),
                body: body.clone(),
            };
            retry(&mut written, |at| {
                let (outcome, _) = client::put(node(at), &put);
                (outcome == Outcome::Acknowledged).then_some(())
            });
            written.last[key] = body;
            written.acknowledged += 1;
        }
        if over.load(Ordering::Relaxed) {
            break;
        }
    }
    written
}

/// The same request, at one node of the side after the other, until it is answered.
fn retry<T>(written: &mut Written, mut attempt: impl FnMut(usize) -> Option<T>) -> T {
    for at in 0..TRIES_MAX {
        if let Some(answer) = attempt(at) {
            return answer;
        }
        written.tried_again += 1;
    }
    panic!("no node of this side answers, {TRIES_MAX} times in a row");
}

/// Members that a node reaches, itself among them.
fn reachable(node: SocketAddr) -> Option<usize> {
    let members = client::status(node)?["members"].as_array()?.clone();
    let reached = members.iter().filter(|member| member["reachable"] == true);
    Some(reached.count())
}
