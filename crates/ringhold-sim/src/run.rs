//! One run: load under faults, heal, quiesce, check.
//!
//! 1. All nodes start on empty disks.
//! 2. Clients work while the adversary rages. What must always hold is asked as it goes.
//! 3. Faults end, everybody is restarted, the last puts run out, damaged records are removed.
//! 4. Hints come home, and anti-entropy makes the homes of every key equal, without anybody reading. Then every
//!    key is read with R = N; in the runs without anti-entropy, that is what heals.
//! 5. In a run that reaps, whatever is dead goes from all stores, as soon as it is old enough.
//! 6. What must hold at the end is asked of the merge of all primaries; then each node has to take a put and
//!    a get, and in some runs so have those that are left when all but a quorum die.
//!
//! A panic of the program under test is a violation as well: no input and no fault may cause one.

use crate::administrator;
use crate::books::{Rules, SharedBooks};
use crate::client::{Client, workload_of};
use crate::cluster::{Cluster, GRACE_US, Surroundings};
use crate::executor::{Executor, Group};
use crate::faults::Adversary;
use crate::invariants::{
    self, Violation, i05_convergence, i08_placement, i09_hints, i10_founding, i17_liveness,
    properties, t11_reaping,
};
use crate::operators;
use crate::plan::{FaultClass, Plan};
use crate::probe::{self, ATTEMPTS_MAX};
use crate::queries;
use crate::random::Random;
use crate::rare::{Rare, RareCounts};
use crate::settings::BUCKETS;
use crate::trace::{Listener, Trace, Who};
use crate::types;
use bytes::Bytes;
use ringhold_core::quorum::{Count, GetSpec};
use ringhold_core::reaping::dead_since_us;
use ringhold_core::version::Object;
use ringhold_wire::message::peer::{Reply, Request};
use ringhold_wire::message::{GetOptions, GetRequest, ObjectName};
use ringhold_wire::metadata::expires_at_us;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Longer than any put's tail.
const TAIL_US: u64 = 12_000_000;
/// No healing takes longer.
const HEALING_US: u64 = 240_000_000;
/// Reads of every key at the end. Each brings every primary what any of them has; one more than that is for
/// repairs that came too late.
const SWEEPS_MAX: u32 = 4;
/// So often a violation is looked for.
const EVENTS_BETWEEN_LOOKS: u32 = 32;

/// What became of a run.
#[derive(Clone, Debug)]
pub struct Report {
    pub plan: Plan,
    pub violation: Option<Violation>,
    /// Equal for two runs of one plan, and hardly ever for two different runs.
    pub trace_hash: u64,
    pub events: u64,
    pub simulated_us: u64,
    pub messages: u64,
    pub operations: u64,
    pub acknowledged: u64,
    pub faults: BTreeMap<FaultClass, u64>,
    pub rare: BTreeMap<Rare, u64>,
}

/// Runs a plan to its end or to its first violation.
#[must_use]
pub fn run(plan: &Plan, listener: Option<Listener>) -> Report {
    let executor = Executor::new(Random::of(plan.seed, "scheduler"));
    let books = SharedBooks::default();
    let rare = Arc::new(RareCounts::default());
    let trace = Trace::new(executor.clone(), listener);
    let around = Surroundings {
        executor,
        trace,
        books,
        rare,
    };
    let cluster = Cluster::new(around.clone(), plan.clone());
    open_books(&cluster);
    around.trace.event(Who::World, "plan", || plan.to_string());

    let stage = Stage::default();
    let directed = direct(cluster.clone(), stage.clone());
    around.executor.spawn(Group::WORLD, Box::pin(directed));
    let went = catch_unwind(AssertUnwindSafe(|| go_on(&around, &stage, plan)));
    let panicked = went.is_err();
    let violation = match went {
        Ok(violation) => violation,
        Err(cause) => Some(Violation::new("panic", words_of(&*cause))),
    };
    if let Some(violation) = &violation {
        around
            .trace
            .event(Who::World, "violation", || violation.to_string());
    }
    let report = report(&cluster, plan, violation, &stage, panicked);
    if !panicked {
        cluster.dissolve();
    }
    report
}

/// How far a run has come, for the loop that drives it.
#[derive(Clone, Default)]
struct Stage {
    ended: Arc<AtomicBool>,
    faults: Arc<Mutex<BTreeMap<FaultClass, u64>>>,
}

fn open_books(cluster: &Cluster) {
    let plan = cluster.plan();
    let mut books = cluster.around().books.lock();
    books.graves.grace_us = plan.reaping.then_some(GRACE_US);
    books.rules = Rules {
        last_write_wins: plan.last_write_wins,
        durability: plan.durability,
        duplication: plan.has(FaultClass::Duplication),
        primaries_only: plan.primaries_only,
        blocking_repair: plan.blocking_repair,
    };
    books.replicas = plan.replicas;
    books.clocks.astray.clone_from(&plan.astray);
    books.add_nodes(plan.nodes);
    for key in 0..plan.keys {
        let workload = workload_of(key, plan);
        let name = ObjectName {
            bucket_type: "default".into(),
            bucket: workload.to_string().into(),
            key: format!("key {key}").into(),
        };
        books.set_homes(key, cluster.primaries(&name));
        let key = books.add_key(name);
        if workload_of(key, plan).is_typed() {
            books.typed.insert(key);
        }
    }
}

/// Event by event, until the run has ended or something is wrong.
fn go_on(around: &Surroundings, stage: &Stage, plan: &Plan) -> Option<Violation> {
    let limit_us = plan.load_us + 3 * HEALING_US;
    let mut events = 0;
    while around.executor.step(limit_us) {
        events += 1;
        if events < EVENTS_BETWEEN_LOOKS {
            continue;
        }
        events = 0;
        if let Some(violation) = around.books.lock().violation.clone() {
            return Some(violation);
        }
        if stage.ended.load(Ordering::Relaxed) {
            return None;
        }
    }
    let violation = around.books.lock().violation.clone();
    let stuck = || {
        Violation::new(
            "I17",
            format!("the run has not ended after {} s", limit_us / 1_000_000),
        )
    };
    violation.or_else(|| (!stage.ended.load(Ordering::Relaxed)).then(stuck))
}

/// The course of a run.
async fn direct(cluster: Cluster, stage: Stage) {
    let outcome = scenes(&cluster, &stage).await;
    if let Err(violation) = outcome {
        cluster.around().books.lock().fail(violation);
    }
    stage.ended.store(true, Ordering::Relaxed);
}

async fn scenes(cluster: &Cluster, stage: &Stage) -> Result<(), Violation> {
    let executor = &cluster.around().executor;
    i10_founding::check(cluster.document())?;
    cluster
        .members()
        .into_iter()
        .for_each(|node| cluster.start(node));
    all_serve(cluster).await?;

    let until_us = executor.now_us() + cluster.plan().load_us;
    let working = send_clients(cluster, until_us);
    if cluster.plan().administrator {
        administrator::repair_some_time(cluster, until_us);
    }
    operators::change_things(cluster, until_us);
    types::change_types(cluster, until_us);
    let mut adversary = Adversary::new(cluster.clone()).rage(until_us).await;
    *stage.faults.lock().expect("no holder of this lock panics") = adversary.done().clone();
    adversary.heal();
    while working.load(Ordering::Relaxed) > 0 {
        executor.sleep(100_000).await;
    }
    all_serve(cluster).await?;
    if !operators::settle(cluster).await? {
        return Ok(());
    }
    if cluster.plan().administrator {
        // Those of the release before have no index rows to be asked about.
        cluster.upgrade_all();
        all_serve(cluster).await?;
    }
    executor.sleep(TAIL_US).await;
    cluster.check_holdings();
    remove_rotten(cluster, &adversary);
    drain_hints(cluster).await?;
    all_whole(cluster).await?;
    check_placement(cluster)?;
    if cluster.plan().administrator {
        administrator::repair_everything(cluster).await?;
    }
    if cluster.plan().anti_entropy {
        converge(cluster).await?;
    }
    sweep(cluster).await?;
    if cluster.plan().reaping {
        bury(cluster).await?;
        sweep(cluster).await?;
    }
    check_end(cluster)?;
    // Nobody wrote since the hints came home, so nothing may have strayed again.
    check_placement(cluster)?;
    check_properties(cluster)?;
    queries::check_end(cluster).await?;
    let everybody = cluster.members();
    probe::answers(cluster, &everybody, Count::All).await?;
    if cluster.plan().liveness {
        leave_a_quorum(cluster).await?;
    }
    Ok(())
}

fn send_clients(cluster: &Cluster, until_us: u64) -> Arc<AtomicUsize> {
    let working = Arc::new(AtomicUsize::new(cluster.plan().clients));
    for number in 0..cluster.plan().clients {
        let (client, left) = (Client::new(cluster.clone(), number), Arc::clone(&working));
        let task = async move {
            client.work(until_us).await;
            left.fetch_sub(1, Ordering::Relaxed);
        };
        cluster
            .around()
            .executor
            .spawn(Group::WORLD, Box::pin(task));
    }
    working
}

async fn all_serve(cluster: &Cluster) -> Result<(), Violation> {
    let executor = &cluster.around().executor;
    let until_us = executor.now_us() + HEALING_US;
    let ready = |node: usize| cluster.is_serving(node) && cluster.disk(node).is_idle();
    while let Some(silent) = cluster.members().into_iter().find(|&node| !ready(node)) {
        if executor.now_us() >= until_us {
            return Err(Violation::new(
                "I17",
                format!("n{silent} does not start, or its disk is never done"),
            ));
        }
        cluster
            .members()
            .into_iter()
            .for_each(|node| cluster.start(node));
        executor.sleep(200_000).await;
    }
    Ok(())
}

/// Only so many nodes live as a put needs, and they have to do: any key is read and written through any of them.
async fn leave_a_quorum(cluster: &Cluster) -> Result<(), Violation> {
    let plan = cluster.plan();
    let mut random = Random::of(plan.seed, "liveness");
    let mut living: Vec<usize> = (0..plan.nodes).collect();
    while living.len() > usize::try_from(plan.quorum()).expect("a handful") {
        let node = living.remove(random.index(living.len()));
        cluster.around().trace.event(Who::Node(node), "kill", || {
            "only a quorum is left".to_owned()
        });
        cluster.kill(node);
    }
    cluster.around().rare.hit(Rare::QuorumAlone);
    probe::answers(cluster, &living, Count::Default).await
}

/// Waits until nobody keeps anything for others (I9).
async fn drain_hints(cluster: &Cluster) -> Result<(), Violation> {
    let executor = &cluster.around().executor;
    let until_us = executor.now_us() + HEALING_US;
    loop {
        let kept = |node: usize| cluster.node(node).map(|node| node.hints_kept());
        let holder = cluster
            .members()
            .into_iter()
            .filter_map(|node| Some((node, kept(node)?)))
            .find(|(_, (rows, _))| *rows > 0);
        let Some((node, (rows, bytes))) = holder else {
            return Ok(());
        };
        if executor.now_us() >= until_us {
            return i09_hints::check(node, rows, bytes, HEALING_US / 1_000_000);
        }
        executor.sleep(200_000).await;
    }
}

/// Waits until every store has made up for what it lost (T18).
async fn all_whole(cluster: &Cluster) -> Result<(), Violation> {
    let executor = &cluster.around().executor;
    let until_us = executor.now_us() + HEALING_US;
    loop {
        let progress = |node: usize| Some((node, cluster.node(node)?.rebuild_progress()?));
        let in_doubt = cluster.members().into_iter().find_map(progress);
        let Some((node, progress)) = in_doubt else {
            return Ok(());
        };
        if executor.now_us() >= until_us {
            return Err(i17_liveness::in_doubt(node, &progress));
        }
        executor.sleep(200_000).await;
    }
}

/// Waits until all homes of every key are equal (I5): nobody reads meanwhile, so they have to find out by
/// themselves.
async fn converge(cluster: &Cluster) -> Result<(), Violation> {
    let executor = &cluster.around().executor;
    let until_us = executor.now_us() + HEALING_US;
    loop {
        let mut differs = None;
        for key in 0..cluster.plan().keys {
            if let Err(violation) = i05_convergence::check(key, &copies(cluster, key)?) {
                differs = Some(violation);
            }
        }
        match differs {
            None => return Ok(()),
            Some(violation) if executor.now_us() >= until_us => return Err(violation),
            Some(_) => executor.sleep(500_000).await,
        }
    }
}

/// Waits until nothing dead is left anywhere (T11). Nobody is away any more, and nobody writes.
async fn bury(cluster: &Cluster) -> Result<(), Violation> {
    let executor = &cluster.around().executor;
    let until_us = executor.now_us() + HEALING_US;
    loop {
        let mut dead = None;
        for key in 0..cluster.plan().keys {
            let copies = copies(cluster, key)?;
            let is_dead = |object: &Object| dead_since_us(object, expires_at_us).is_some();
            let home = copies.iter().find(|(_, object)| is_dead(object));
            dead = dead.or(home.map(|(node, _)| (*node, key)));
            // Where some have removed it and others not, somebody has to notice.
            if home.is_some() && !cluster.plan().anti_entropy {
                // Not by way of stand-ins: what a read leaves with them would be in the way again.
                read_at(cluster, key, true).await?;
            }
        }
        match dead {
            None => return Ok(()),
            Some((node, key)) if executor.now_us() >= until_us => {
                return Err(t11_reaping::stays(node, key, HEALING_US / 1_000_000));
            }
            Some(_) => executor.sleep(2_000_000).await,
        }
    }
}

/// Every key is at its homes and nowhere else (I8).
fn check_placement(cluster: &Cluster) -> Result<(), Violation> {
    for key in 0..cluster.plan().keys {
        let name = cluster.around().books.lock().names[key].clone();
        let homes = cluster.primaries(&name);
        for node in cluster
            .members()
            .into_iter()
            .filter(|node| !homes.contains(node))
        {
            // What can't be read is not there for anybody.
            if let Ok(object) = cluster.held(node, &name) {
                i08_placement::check(node, key, &object)?;
            }
        }
    }
    Ok(())
}

/// Records that a disk has damaged and nothing has replaced go away, as an operator would have them.
fn remove_rotten(cluster: &Cluster, adversary: &Adversary) {
    for &(node, key) in adversary.rotten() {
        let name = cluster.around().books.lock().names[key].clone();
        let unreadable = cluster.held(node, &name).is_err();
        if let (true, Some(place)) = (unreadable, cluster.place(node, &name)) {
            cluster.disk(node).forget(&place, key);
        }
    }
}

/// Reads every key at all primaries until they are equal (I5).
async fn sweep(cluster: &Cluster) -> Result<(), Violation> {
    let executor = &cluster.around().executor;
    let mut differs = None;
    for _ in 0..SWEEPS_MAX {
        differs = None;
        for key in 0..cluster.plan().keys {
            read_everywhere(cluster, key).await?;
        }
        executor.sleep(1_000_000).await;
        for key in 0..cluster.plan().keys {
            if let Err(violation) = i05_convergence::check(key, &copies(cluster, key)?) {
                differs = Some(violation);
            }
        }
        if differs.is_none() {
            return Ok(());
        }
    }
    differs.map_or(Ok(()), Err)
}

async fn read_everywhere(cluster: &Cluster, key: usize) -> Result<(), Violation> {
    read_at(cluster, key, false).await
}

async fn read_at(cluster: &Cluster, key: usize, primaries_only: bool) -> Result<(), Violation> {
    let name = cluster.around().books.lock().names[key].clone();
    let quorum = GetSpec {
        r: Count::All,
        ..GetSpec::default()
    };
    let request = Request::Get(GetRequest {
        name: name.clone(),
        options: GetOptions {
            quorum,
            n_val: None,
            primaries_only,
        },
        explain: false,
    });
    let members = cluster.members();
    let node = members[key % members.len()];
    let answered = |reply: &Reply| matches!(reply, Reply::Got(Ok(_)));
    match probe::persist(cluster, node, &request, answered).await {
        Some(Reply::Got(Ok(answer))) => {
            let mut books = cluster.around().books.lock();
            books.now_us = cluster.around().executor.now_us();
            let held = books.revealed(key, &answer.answer.object);
            books.saw_object(&name, &held);
            invariants::check_answer(&books, key, &held)
        }
        _ => Err(i17_liveness::silent("a get", node, key, ATTEMPTS_MAX)),
    }
}

/// What each primary of a key holds.
pub(crate) fn copies(cluster: &Cluster, key: usize) -> Result<Vec<(usize, Object)>, Violation> {
    let name = cluster.around().books.lock().names[key].clone();
    let held = |node: usize| match cluster.held(node, &name) {
        Ok(object) => Ok((node, object)),
        Err(error) => Err(Violation::new(
            "I5",
            format!("key {key} can't be read at n{node}: {error}"),
        )),
    };
    cluster.primaries(&name).into_iter().map(held).collect()
}

fn check_end(cluster: &Cluster) -> Result<(), Violation> {
    for key in 0..cluster.plan().keys {
        let copies = copies(cluster, key)?;
        let mut books = cluster.around().books.lock();
        books.now_us = cluster.around().executor.now_us();
        let name = books.names[key].clone();
        let mut merged = Object::new();
        for (_, object) in &copies {
            books.saw_object(&name, object);
            merged.merge(object);
        }
        invariants::check_end(&books, key, &merged)?;
    }
    Ok(())
}

/// What all nodes hold of each bucket whose properties were changed.
fn check_properties(cluster: &Cluster) -> Result<(), Violation> {
    for (bucket, name) in BUCKETS.into_iter().enumerate() {
        let overrides = |node: usize| {
            let serving = cluster.node(node)?;
            let overrides = serving.overrides(&"default".into(), &Bytes::from_static(name));
            Some((node, overrides.encode()))
        };
        let held: Vec<_> = cluster
            .members()
            .into_iter()
            .filter_map(overrides)
            .collect();
        let books = cluster.around().books.lock();
        properties::check_end(&books.settings, bucket, &held)?;
    }
    Ok(())
}

fn report(
    cluster: &Cluster,
    plan: &Plan,
    violation: Option<Violation>,
    stage: &Stage,
    panicked: bool,
) -> Report {
    let Surroundings {
        executor,
        books,
        rare,
        ..
    } = cluster.around();
    let mut report = Report {
        plan: plan.clone(),
        violation,
        trace_hash: 0,
        events: 0,
        simulated_us: 0,
        messages: 0,
        operations: 0,
        acknowledged: 0,
        faults: BTreeMap::new(),
        rare: BTreeMap::new(),
    };
    if panicked {
        // Locks that were held then are of no use any more.
        return report;
    }
    cluster.harvest();
    let books = books.lock();
    let acknowledged = books.operations.iter().filter(|operation| {
        matches!(
            operation.outcome,
            Some(crate::books::Outcome::Acknowledged(_))
        )
    });
    report.acknowledged = acknowledged.count() as u64;
    report.operations = books.operations.len() as u64;
    report.trace_hash = executor.trace_hash();
    report.events = executor.events();
    report.simulated_us = executor.now_us();
    report.messages = cluster.network().messages();
    report.faults = stage
        .faults
        .lock()
        .expect("no holder of this lock panics")
        .clone();
    report.rare = Rare::ALL
        .iter()
        .map(|&event| (event, rare.count(event)))
        .collect();
    report
}

fn words_of(cause: &(dyn std::any::Any + Send)) -> String {
    let text = cause.downcast_ref::<String>().cloned();
    text.or_else(|| cause.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "without words".to_owned())
}
