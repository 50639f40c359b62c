//! One node becomes seven, then three, under load, and in each step somebody is killed in the middle of it (§4.8, §4.9).
//!
//! A step is what an operator does: tokens for two new nodes, or `cluster leave` for two old ones; `cluster plan`; `cluster commit`; then
//! waiting until nothing is under way. Between the commit and that end, at a moment drawn from the seed, one of the cast is
//! killed with SIGKILL and started again, in half of the steps a second one after it:
//!
//! | part | who |
//! | --- | --- |
//! | comer | gets the most replicas |
//! | source | gives the most |
//! | coordinator | was told to commit, and may not get to an answer |
//! | bystander | of all others that neither come nor go, gets and gives the least |
//!
//! The change has to come to its end by itself; clients, who try until they are answered, have to be answered all the time. There is
//! ballast beside what the clients write, so that copying takes a while.

use crate::client;
use crate::cluster::{self, Cluster};
use crate::operator;
use crate::run::{Adversary, Scenario, names, run};
use crate::watchdog::Watchdog;
use crate::workload::Tries;
use ringhold_sim::random::Random;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

const MACHINES: usize = 7;
const LEFT: usize = 3;
/// N of a bucket that nobody has said anything about.
const REPLICAS: usize = 3;
const BALLAST_KEYS: usize = 1_500;
const BALLAST_BYTES: usize = 1_000;
const BALLAST_WRITERS: usize = 6;
/// A change waits for as long as a put may take, and two seconds: with little patience it is short.
const IMPATIENT: &str = "timeouts.put_ms=1000";
/// Copying does not give way to clients: where a machine is slow for all, a change would take minutes.
const UNCHECKED: &str = "background.controller=off";
/// Of a change that takes longer it is told how far it is.
const SLOW: Duration = Duration::from_secs(30);
/// The end of a change, most of the time.
const CHANGE_MS: u64 = 5_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Comer,
    Source,
    Coordinator,
    Bystander,
}

const PARTS: [Part; 4] = [
    Part::Comer,
    Part::Source,
    Part::Coordinator,
    Part::Bystander,
];

/// What the steps came to.
#[derive(Default)]
struct Tally {
    steps: usize,
    kills: usize,
    rows: u64,
    rows_least: u64,
    replicas: u64,
    objects: u64,
    bytes: u64,
}

#[test]
fn one_node_becomes_seven_and_three_while_nodes_are_killed() {
    run(&Scenario {
        name: "grow",
        machines: MACHINES,
        founders: 1,
        tries: Tries::UNTIL_ANSWERED,
        settings: &[IMPATIENT, UNCHECKED],
        faults: grow_and_shrink,
        at_the_end: in_order,
        ..Scenario::default()
    });
}

fn grow_and_shrink(adversary: &mut Adversary<'_>) {
    load_ballast(adversary.cluster.address(0));
    let mut tally = Tally::default();
    let mut parts = Vec::new();
    let mut next = 1;
    while next < MACHINES {
        join(adversary, &[next, next + 1]);
        next += 2;
        step(adversary, &[], &mut parts, &mut tally);
    }
    loop {
        let members = adversary.cluster.members();
        if members.len() <= LEFT {
            break;
        }
        let leavers = drawn(&mut adversary.random, members, 2);
        leave(adversary, &leavers);
        step(adversary, &leavers, &mut parts, &mut tally);
    }
    adversary.tell(&format!(
        "{} steps, {} kills; {} partitions changed their owner (at least {} had to), {} replicas copied: ~{} objects, ~{} kB",
        tally.steps,
        tally.kills,
        tally.rows,
        tally.rows_least,
        tally.replicas,
        tally.objects,
        tally.bytes / 1_000
    ));
}

fn drawn(random: &mut Random, mut from: Vec<usize>, count: usize) -> Vec<usize> {
    let mut draw = |_| from.swap_remove(random.index(from.len()));
    (0..count).map(&mut draw).collect()
}

/// Machines are told where the cluster is, one-time tokens in hand.
fn join(adversary: &mut Adversary<'_>, joiners: &[usize]) {
    adversary.tell(&format!("to join: {}", names(joiners)));
    let members = adversary.cluster.members();
    for &joiner in joiners {
        let through = *adversary.random.pick(&members);
        let member = adversary.cluster.address(through);
        let token = given(adversary, member, &["token"]);
        adversary.cluster.join(joiner, through, &token);
        let known = || {
            members
                .iter()
                .all(|at| sees(adversary, *at, &[joiner], "joining"))
        };
        adversary.watchdog.wait_until("a joiner is known", known);
    }
}

fn leave(adversary: &mut Adversary<'_>, leavers: &[usize]) {
    adversary.tell(&format!("to leave: {}", names(leavers)));
    let members = adversary.cluster.members();
    for &leaver in leavers {
        let member = adversary.cluster.address(*adversary.random.pick(&members));
        given(adversary, member, &["leave", &cluster::name(leaver)]);
    }
}

/// Gives an order while nobody is away, as often as it takes on a machine that is slow.
fn given(adversary: &Adversary<'_>, member: SocketAddr, words: &[&str]) -> String {
    let mut heard = String::new();
    adversary.watchdog.wait_until("an order is taken", || {
        let taken = operator::order(member, words);
        // What was refused for want of an answer may have come about.
        let is_done = |said: &String| said.contains("is staged for");
        let is_taken = taken.is_ok() || taken.as_ref().is_err_and(is_done);
        heard = taken.unwrap_or_else(|said| said);
        is_taken
    });
    heard
}

/// Whether a member sees these in a state.
fn sees(adversary: &Adversary<'_>, member: usize, these: &[usize], state: &str) -> bool {
    let states = operator::states(adversary.cluster.address(member)).unwrap_or_default();
    let is = |node: &usize| states.contains(&(cluster::name(*node), state.to_owned()));
    these.iter().all(is)
}

/// Whoever asked for its place when the member that it asked was killed gives up, and is told once more. Nobody else ends by itself.
fn join_again(adversary: &mut Adversary<'_>, node: usize) {
    if adversary.cluster.ended(node).is_none() {
        return;
    }
    let said = adversary.cluster.last_words(node);
    if !said.contains("joining through") {
        let name = cluster::name(node);
        adversary
            .history
            .violation(format!("{name} ended by itself: {said}"));
    }
    adversary.tell(&format!(
        "{}, which is started again, said: {said}",
        cluster::name(node)
    ));
    adversary.restart(node);
}

/// Has what is staged begin, kills somebody on the way, and waits for its end.
fn step(
    adversary: &mut Adversary<'_>,
    leavers: &[usize],
    parts: &mut Vec<Part>,
    tally: &mut Tally,
) {
    let members = adversary.cluster.members();
    let coordinator = *adversary.random.pick(&voters(adversary, &members));
    let at = adversary.cluster.address(coordinator);
    let mut plan = None;
    adversary.watchdog.wait_until("there is a plan", || {
        plan = client::document(at, "/ringhold/v1/cluster/plan");
        plan.is_some()
    });
    let plan = plan.expect("it was waited for");
    adversary.tell(&told(&plan, tally));

    let committed = thread::scope(|scope| {
        let committing = scope.spawn(move || operator::order(at, &["commit"]));
        kill_one(adversary, &plan, coordinator, parts, tally);
        committing.join().expect("an order does not panic")
    });
    if let Err(said) = committed {
        adversary.tell(&format!("the operator hears: {said}"));
        commit_anyway(adversary, &members);
    }
    if adversary.random.chance(500_000) {
        kill_one(adversary, &plan, coordinator, parts, tally);
    }
    await_end(adversary, &members, leavers);
    tally.steps += 1;
}

/// Those who may be told to commit: joiners know too little.
fn voters(adversary: &Adversary<'_>, members: &[usize]) -> Vec<usize> {
    let states = members
        .iter()
        .find_map(|&member| operator::states(adversary.cluster.address(member)));
    let states = states.expect("somebody answers");
    let is_up = |node: &usize| states.contains(&(cluster::name(*node), "up".to_owned()));
    members.iter().copied().filter(is_up).collect()
}

fn told(plan: &Value, tally: &mut Tally) -> String {
    let count = |value: &Value| value.as_u64().unwrap_or_default();
    let rows = count(&plan["partitions_change_owner"]);
    let least = count(&plan["partitions_change_owner_at_least"]);
    let replicas = count(&plan["replicas_copied"]);
    let objects = count(&plan["estimate"]["objects"]);
    let bytes = count(&plan["estimate"]["bytes"]);
    tally.rows += rows;
    tally.rows_least += least;
    tally.replicas += replicas;
    tally.objects += objects;
    tally.bytes += bytes;
    format!(
        "the plan: {rows} of {} partitions change their owner (at least {least} must), {replicas} replicas are copied: ~{objects} objects, ~{} kB",
        plan["partitions"],
        bytes / 1_000
    )
}

/// Kills one of the cast at a moment of the change, and starts it again.
fn kill_one(
    adversary: &mut Adversary<'_>,
    plan: &Value,
    coordinator: usize,
    parts: &mut Vec<Part>,
    tally: &mut Tally,
) {
    // All parts come before one comes again.
    if parts.is_empty() {
        parts.extend(PARTS);
    }
    let cast: Vec<(usize, Part, usize)> = parts
        .iter()
        .enumerate()
        .filter_map(|(place, part)| Some((place, *part, who(adversary, plan, coordinator, *part)?)))
        .collect();
    if cast.is_empty() {
        return;
    }
    let (place, part, node) = *adversary.random.pick(&cast);
    parts.swap_remove(place);
    // Sometimes before the commit is answered, mostly while replicas are copied or waited for.
    if adversary.random.chance(250_000) {
        adversary.hold_ms(0, 60);
    } else {
        adversary.hold_ms(60, CHANGE_MS);
    }
    if !adversary.cluster.runs(node) {
        adversary.tell(&format!("{} is not there", cluster::name(node)));
        return;
    }
    let progress = progress(adversary, Some(node));
    adversary.note(
        &format!("kill -9 the {part:?} ({progress})").to_lowercase(),
        &[node],
    );
    adversary.cluster.kill(node);
    tally.kills += 1;
    adversary.hold_ms(50, 1_500);
    adversary.restart(node);
}

/// Who plays a part in a plan, if anybody does.
fn who(adversary: &Adversary<'_>, plan: &Value, coordinator: usize, part: Part) -> Option<usize> {
    let moved = |end: &str, node: usize| -> u64 {
        let flows = plan["flows"].as_array().into_iter().flatten();
        let of_node = flows.filter(|flow| flow[end] == cluster::name(node).as_str());
        of_node.filter_map(|flow| flow["replicas"].as_u64()).sum()
    };
    let members = adversary.cluster.members();
    let most = |end: &str| {
        let most = members.iter().copied().max_by_key(|node| moved(end, *node));
        most.filter(|node| moved(end, *node) > 0)
    };
    let (comer, source) = (most("to"), most("from"));
    match part {
        Part::Comer => comer,
        Part::Source => source,
        Part::Coordinator => Some(coordinator),
        Part::Bystander => {
            let cast = [comer, source, Some(coordinator)];
            let others = members.iter().copied().filter(|node| stays(plan, *node));
            let others = others.filter(|node| !cast.contains(&Some(*node)));
            others.min_by_key(|node| moved("to", *node) + moved("from", *node))
        }
    }
}

/// Whether a node neither comes nor goes.
fn stays(plan: &Value, node: usize) -> bool {
    let mut members = plan["members"].as_array().into_iter().flatten();
    let name = cluster::name(node);
    members.any(|member| {
        let states = [&member["state"], &member["state_after"]];
        member["name"] == name.as_str() && states.iter().all(|state| **state == "up")
    })
}

/// How far the change is, by the word of anybody but one: replicas in place, and all that are to be; none where nothing is copied.
fn progress(adversary: &Adversary<'_>, except: Option<usize>) -> String {
    let members = adversary.cluster.members().into_iter();
    let mut others = members.filter(|node| Some(*node) != except);
    let path = "/ringhold/v1/cluster/transfers";
    let known = others.find_map(|node| client::document(adversary.cluster.address(node), path));
    let Some(known) = known else {
        return "nobody else can tell how far it is".to_owned();
    };
    let comers = known["comers"].as_array().into_iter().flatten();
    let comers = comers.map(|comer| {
        let (done, all) = (&comer["done"], &comer["replicas"]);
        format!("{} has {done} of {all}", comer["node"])
    });
    let comers: Vec<String> = comers.collect();
    let text = match &comers[..] {
        [] if known["leaving"] == json!([]) => "it knows of no change".to_owned(),
        [] => format!("nothing is copied, leaving: {}", known["leaving"]),
        comers => comers.join(", "),
    };
    text.replace('"', "")
}

/// The operator looks whether the change has begun, and tells somebody else to commit where it has not.
fn commit_anyway(adversary: &mut Adversary<'_>, members: &[usize]) {
    let mut addresses = members
        .iter()
        .map(|node| adversary.cluster.address(*node))
        .cycle();
    adversary.watchdog.wait_until("the change has begun", || {
        let member = addresses.next().expect("there are members");
        let Some(status) = client::status(member) else {
            return false;
        };
        let staged = status["staged"]
            .as_array()
            .is_some_and(|list| !list.is_empty());
        // Who is behind may still see it staged: then it is refused, and looked at once more.
        !staged || operator::order(member, &["commit"]).is_ok()
    });
}

/// Waits until a change is over for everybody, and sees to it that each partition has its homes.
fn await_end(adversary: &mut Adversary<'_>, before: &[usize], leavers: &[usize]) {
    let stay: Vec<usize> = before
        .iter()
        .copied()
        .filter(|node| !leavers.contains(node))
        .collect();
    let watchdog = adversary.watchdog;
    let mut slow = Instant::now() + SLOW;
    watchdog.wait_until("the change is over for everybody", || {
        stay.iter().for_each(|node| join_again(adversary, *node));
        if Instant::now() > slow {
            slow += SLOW;
            adversary.tell(&format!("it takes long: {}", progress(adversary, None)));
        }
        let all_up = stay
            .iter()
            .all(|member| sees(adversary, *member, &stay, "up"));
        let sees_leave = |member: &usize| sees(adversary, *member, leavers, "removed");
        all_up && stay.iter().all(sees_leave)
    });
    let addresses: Vec<SocketAddr> = stay
        .iter()
        .map(|node| adversary.cluster.address(*node))
        .collect();
    watchdog.wait_until("nothing is under way", || {
        addresses.iter().all(|member| operator::is_quiet(*member))
    });
    for &leaver in leavers {
        watchdog.wait_until("who has left ends", || !adversary.cluster.runs(leaver));
        let how = adversary.cluster.ended(leaver).unwrap_or_default();
        adversary.tell(&format!("{} has left, {how}", cluster::name(leaver)));
        adversary.cluster.has_left(leaver);
    }
    let homes = REPLICAS.min(stay.len());
    let mut compared = None;
    watchdog.wait_until("all primaries are asked", || {
        compared = operator::verified(addresses[0]);
        compared.is_some()
    });
    let wrong = operator::with_other_homes(&compared.unwrap_or_default(), homes);
    wrong
        .into_iter()
        .for_each(|violation| adversary.history.violation(violation));
    adversary.tell(&format!("done: {} members, {homes} homes each", stay.len()));
    adversary.contacts.replace(addresses);
}

/// What holds when all is well: nobody owes anything, nothing moves, all primaries agree, and the ballast is there.
fn in_order(cluster: &Cluster, watchdog: &Watchdog) -> Vec<String> {
    let members = cluster.addresses();
    watchdog.wait_until("no node keeps anything for another", || {
        members
            .iter()
            .all(|member| client::hints(*member) == Some(0))
    });
    watchdog.wait_until("nothing is under way", || {
        members.iter().all(|member| operator::is_quiet(*member))
    });
    let mut compared = Vec::new();
    watchdog.wait_until("all primaries agree", || {
        compared = operator::verified(members[0]).unwrap_or_default();
        let agrees = |line: &Value| line["state"] == "agrees";
        !compared.is_empty() && compared.iter().all(agrees)
    });
    println!(
        "  no hints, no transfers, {} of {} partitions agree",
        compared.len(),
        compared.len()
    );
    let mut wrong = operator::with_other_homes(&compared, REPLICAS);
    let rings: Vec<Option<Value>> = members
        .iter()
        .map(|member| Some(client::document(*member, "/ringhold/v1/ring")?["owners"].clone()))
        .collect();
    if rings.iter().any(|ring| ring.is_none() || *ring != rings[0]) {
        wrong.push(format!("members know different owners: {rings:?}"));
    }
    let ballast = (0..BALLAST_KEYS).map(|key| (key, members[key % members.len()]));
    let is_gone = |(key, member): &(usize, SocketAddr)| {
        let path = format!("{}?r=2", ballast_path(*key));
        let answer = client::request(*member, "GET", &path, &[], b"");
        !answer.is_ok_and(|answer| answer.status == 200 && answer.body == ballast_of(*key))
    };
    wrong.extend(
        ballast
            .filter(is_gone)
            .map(|(key, member)| format!("ballast {key} is not what it was, through {member}")),
    );
    wrong
}

fn ballast_path(key: usize) -> String {
    format!("/buckets/ballast/keys/{key}")
}

fn ballast_of(key: usize) -> Vec<u8> {
    format!("{key:08} ")
        .bytes()
        .cycle()
        .take(BALLAST_BYTES)
        .collect()
}

/// Written to the first node, while it is alone.
fn load_ballast(at: SocketAddr) {
    let load = |first: usize| {
        for key in (first..BALLAST_KEYS).step_by(BALLAST_WRITERS) {
            let plain = [("Content-Type", "text/plain")];
            let put = || client::request(at, "PUT", &ballast_path(key), &plain, &ballast_of(key));
            let written = put();
            let is_there = written.as_ref().is_ok_and(|answer| answer.status == 204);
            assert!(is_there, "nothing is wrong yet: {written:?}");
        }
    };
    thread::scope(|scope| {
        (0..BALLAST_WRITERS).for_each(|first| {
            scope.spawn(move || load(first));
        });
    });
}
