//! Two operators who know nothing of each other want different things at once (§4.8.1, T14).
//!
//! First, two nodes are apart from three, and each side is told to change the ring. The side with the majority does; the other
//! refuses and says why, and when the network is whole again it has what the majority decided, and takes the same order. Then a
//! single node is all that the sides have in common, so each of them has a majority through it, and both operators stage and commit at the
//! same moments, a few times over. Whoever loses is told so in words, or finds his wish carried out by the other's commit.
//!
//! All the while a witness asks every node by which document it serves. Under one number there must never be two.

use crate::client;
use crate::cluster::Cluster;
use crate::network;
use crate::operator;
use crate::run::{LIMIT, Scenario, alone, started};
use crate::scenarios::network_can_part;
use crate::split;
use crate::tools::must;
use crate::watchdog::Watchdog;
use ringhold_sim::random::Random;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

const ROUNDS: u32 = 2;
/// Between two looks of the witness.
const LOOK: Duration = Duration::from_millis(10);
/// What an operator may hear whose order does not come about. Everything else would be a riddle.
const REFUSALS: [&str; 4] = [
    "no majority of the members answers, so the ring can't be changed now",
    "other changes of the ring were faster each time",
    "another change of the placement is under way: wait for its end",
    "nothing is staged",
];

/// What every document said that anybody served by, by its number.
#[derive(Default)]
struct Witness(Mutex<BTreeMap<u64, Value>>);

impl Witness {
    /// Asks until it is over.
    fn watch(&self, nodes: &[SocketAddr], over: &AtomicBool, watchdog: &Watchdog) {
        while !over.load(Ordering::Relaxed) {
            nodes.iter().for_each(|node| self.look(*node));
            watchdog.hold(LOOK);
        }
    }

    fn look(&self, node: SocketAddr) {
        let Some((epoch, document)) = document(node) else {
            return;
        };
        let mut known = self.0.lock().expect("no look panics half-way");
        let known = known
            .entry(epoch)
            .or_insert_with(|| document.clone())
            .clone();
        assert_eq!(
            known, document,
            "{node} has another document of epoch {epoch}"
        );
    }
}

/// What a node shows of the document that it serves by, and its number.
fn document(node: SocketAddr) -> Option<(u64, Value)> {
    let status = client::status(node)?;
    let members = status["members"].as_array()?.iter().map(|member| {
        let mut member = member.clone();
        // Whom it reaches is its own affair.
        member.as_object_mut()?.remove("reachable");
        Some(member)
    });
    let members: Option<Vec<Value>> = members.collect();
    let moves = &status["placement_change_under_way"];
    let document = json!({ "staged": status["staged"], "moves": moves, "members": members? });
    Some((status["cluster"]["epoch"].as_u64()?, document))
}

#[test]
fn two_operators_and_one_document_for_each_number() {
    let scenario = Scenario {
        name: "rivals",
        settings: &["timeouts.put_ms=1000", "background.controller=off"],
        needs: network_can_part,
        ..Scenario::default()
    };
    alone(scenario.name, |seed| rivals(&scenario, seed));
}

fn rivals(scenario: &Scenario, seed: u64) {
    let (watchdog, _guard) = Watchdog::start(scenario.name, LIMIT);
    let Some((cluster, nodes)) = started(scenario, seed, &watchdog) else {
        return;
    };
    let (witness, over) = (Witness::default(), AtomicBool::new(false));
    thread::scope(|scope| {
        let watching = scope.spawn(|| witness.watch(&nodes, &over, &watchdog));
        // Also if what follows panics.
        let _over = Over(&over);
        apart(&cluster, &nodes, &watchdog);
        let mut random = Random::of(seed, scenario.name);
        for round in 1..=ROUNDS {
            contest(&cluster, &nodes, round, &mut random, &watchdog);
        }
        over.store(true, Ordering::Relaxed);
        watching.join().expect("one document for each number");
    });
    let known = witness.0.lock().expect("no look panics half-way").len();
    println!("  {known} documents, one for each number");
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Has somebody stage a weight and commit it, and says what he hears.
fn weigh(at: SocketAddr, name: &str, weight: u32) -> [Result<String, String>; 2] {
    let staged = operator::order(at, &["weight", name, &weight.to_string()]);
    [staged, operator::order(at, &["commit"])]
}

fn tell(at: SocketAddr, name: &str, weight: u32, heard: &[Result<String, String>; 2]) {
    for (order, heard) in ["stages", "commits"].iter().zip(heard) {
        let (Ok(said) | Err(said)) = heard;
        // Without the lines after it, which tell what to do next.
        let first = said.lines().next().unwrap_or_default();
        println!("  {at} {order} {name} with a weight of {weight}: {first}");
        if heard.is_err() {
            let is_clear = REFUSALS.iter().any(|reason| said.contains(reason));
            assert!(is_clear, "this helps nobody: {said}");
        }
    }
}

/// Both operators at once.
fn both(orders: [(SocketAddr, &str, u32); 2]) -> [[Result<String, String>; 2]; 2] {
    let heard = thread::scope(|scope| {
        let orders = orders.map(|(at, name, weight)| scope.spawn(move || weigh(at, name, weight)));
        orders.map(|order| order.join().expect("an order does not panic"))
    });
    for ((at, name, weight), heard) in orders.iter().zip(&heard) {
        tell(*at, name, *weight, heard);
    }
    heard
}

/// Two nodes without the other three, and orders on both sides.
fn apart(cluster: &Cluster, nodes: &[SocketAddr], watchdog: &Watchdog) {
    split::part(cluster, nodes, watchdog);
    let [fewer, more] = both([(nodes[0], "node1", 200), (nodes[4], "node5", 200)]);
    assert!(
        more.iter().all(Result::is_ok),
        "a majority decides: {more:?}"
    );
    assert!(
        fewer.iter().all(Result::is_err),
        "a minority decides: {fewer:?}"
    );
    must(network::open_all(cluster));
    settle(nodes, watchdog);
    assert_eq!(weights(nodes, "node1"), vec![100; nodes.len()]);
    assert_eq!(weights(nodes, "node5"), vec![200; nodes.len()]);
    let again = weigh(nodes[0], "node1", 200);
    tell(nodes[0], "node1", 200, &again);
    assert!(again.iter().all(Result::is_ok), "it is one cluster again");
    settle(nodes, watchdog);
    assert_eq!(weights(nodes, "node1"), vec![200; nodes.len()]);
}

/// One node in common, and orders at the same moments.
fn contest(
    cluster: &Cluster,
    nodes: &[SocketAddr],
    round: u32,
    random: &mut Random,
    watchdog: &Watchdog,
) {
    must(network::close(cluster, &network::between(&[0, 1], &[3, 4])));
    // Sometimes before anybody has noticed.
    watchdog.hold(Duration::from_millis(random.between(0, 3_000)));
    // Back and forth: each change moves something.
    let weight = 100 + 100 * (round % 2);
    let orders = [(nodes[0], "node2", weight), (nodes[4], "node4", weight)];
    let heard = both(orders);
    must(network::open_all(cluster));
    settle(nodes, watchdog);
    for ((_, name, weight), [staged, _]) in orders.iter().zip(&heard) {
        // What was refused for want of answers may have come about all the same.
        if staged.is_ok() {
            assert_eq!(weights(nodes, name), vec![*weight; nodes.len()], "{name}");
        }
    }
}

/// Waits until nothing is staged or under way, for anybody; what is still staged is committed.
fn settle(nodes: &[SocketAddr], watchdog: &Watchdog) {
    client::wait_until_connected(nodes, watchdog);
    watchdog.wait_until(
        "all serve by one document, and nothing is under way",
        || {
            if nodes.iter().all(|node| operator::is_quiet(*node)) {
                let documents: Vec<_> = nodes.iter().map(|node| document(*node)).collect();
                return documents
                    .iter()
                    .all(|known| known.is_some() && *known == documents[0]);
            }
            // Refused as long as something is under way.
            operator::order(nodes[2], &["commit"]).ok();
            false
        },
    );
}

/// A member's weight, as each node has it.
fn weights(nodes: &[SocketAddr], name: &str) -> Vec<u32> {
    let weight = |node: &SocketAddr| {
        let status = client::status(*node)?;
        let mut members = status["members"].as_array()?.iter();
        let member = members.find(|member| member["name"] == name)?;
        u32::try_from(member["weight"].as_u64()?).ok()
    };
    nodes.iter().filter_map(weight).collect()
}
