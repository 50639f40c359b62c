//! People who change the cluster while it works, and while things break.
//!
//! Two of them, who know nothing of each other: each asks any node that runs for what comes to mind: a machine joins, a
//! member leaves, weighs more, has died for good, a bucket gets another number of replicas; then somebody commits what is staged, or
//! aborts it. Most of what they ask is
//! refused for one reason or another, and that is part of it. At the end, when nothing breaks any more, what has begun has to
//! come to its end, and everybody has to know the same ring (I11).

use crate::cluster::Cluster;
use crate::executor::Group;
use crate::invariants::Violation;
use crate::neighbours;
use crate::plan::REPLICAS_CHOSEN;
use crate::random::Random;
use crate::rare::Rare;
use crate::trace::Who;
use ringhold_core::id::NodeId;
use ringhold_core::ring::{Addresses, Change, Member, MemberState, Ring};
use ringhold_node::env::Deadline;
use ringhold_node::{ChangeFailed, Changed, Node};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

const OPERATORS: usize = 2;
/// Between two wishes of one of them, about, in microseconds.
const THINKS_US: u64 = 1_500_000;
/// In a rush, at each multiple of this.
const RUSH_US: u64 = 400_000;
/// Longer than a put, and a look at what is left of it.
const LAST_LOOK_US: u64 = 20_000_000;
/// No change takes longer once nothing breaks any more.
const SETTLES_US: u64 = 400_000_000;
/// How long another number of replicas may wait for the change under way.
const REPLICATING_US: u64 = 3_000_000;

/// Sends the operators of a plan that has any, until some moment.
pub fn change_things(cluster: &Cluster, until_us: u64) {
    if cluster.plan().spares == 0 {
        return;
    }
    let leavers = Leavers::default();
    for number in 0..OPERATORS {
        let random = Random::of(cluster.plan().seed, &format!("operator {number}"));
        let operator = Operator {
            cluster: cluster.clone(),
            random,
            leavers: Arc::clone(&leavers),
        };
        let executor = &cluster.around().executor;
        executor.spawn(Group::WORLD, Box::pin(operator.work(until_us)));
    }
}

/// Whoever was asked to leave, by anybody: as many as keys have replicas have to stay.
type Leavers = Arc<Mutex<BTreeSet<NodeId>>>;

struct Operator {
    cluster: Cluster,
    random: Random,
    leavers: Leavers,
}

impl Operator {
    async fn work(mut self, until_us: u64) {
        let executor = self.cluster.around().executor.clone();
        loop {
            let pause_us = if self.cluster.plan().rush {
                RUSH_US - executor.now_us() % RUSH_US
            } else {
                self.random.around(THINKS_US)
            };
            if executor.now_us() + pause_us >= until_us {
                return;
            }
            executor.sleep(pause_us).await;
            let running = self.cluster.members().into_iter();
            let running: Vec<usize> = running
                .filter(|node| self.cluster.is_serving(*node))
                .collect();
            if running.is_empty() {
                continue;
            }
            let at = *self.random.pick(&running);
            if let Some(node) = self.cluster.node(at) {
                self.wish(at, node).await;
            }
        }
    }

    /// Asks one node for one thing.
    async fn wish(&mut self, at: usize, node: Arc<Node>) {
        let ring = self.cluster.ring();
        if self.cluster.plan().majority_dies && self.random.chance(150_000) {
            return self.survive(at, &node, &ring).await;
        }
        if self.random.chance(50_000) {
            return neighbours::mix_up(&self.cluster, at, &node, &mut self.random).await;
        }
        let wishes = if self.cluster.plan().replicates {
            17
        } else {
            13
        };
        match self.random.index(wishes) {
            13.. => self.replicate(at, node).await,
            10 => self.bury(at, node, &ring).await,
            11 => {
                let change = Change::Place {
                    node: *self.random.pick(&in_state(&ring, MemberState::Up)),
                    zone: (*self.random.pick(&["", "a", "b"])).to_owned(),
                    rack: (*self.random.pick(&["", "r"])).to_owned(),
                };
                let staged = node.stage(change).await;
                self.note(at, "place", &staged);
            }
            0..=2 => self.join(at, node).await,
            3 | 4 => {
                if let Some(leaver) = self.leaver(&ring) {
                    let staged = node.stage(Change::Leave { node: leaver }).await;
                    self.note(at, "leave", &staged);
                }
            }
            // Where all are leaving there is nobody to weigh.
            5 => {
                let up = in_state(&ring, MemberState::Up);
                if up.is_empty() {
                    return;
                }
                let change = Change::Weigh {
                    node: *self.random.pick(&up),
                    weight: u32::try_from(self.random.between(1, 3)).expect("a handful"),
                };
                let staged = node.stage(change).await;
                self.note(at, "weigh", &staged);
            }
            6 => {
                let aborted = node.abort_changes().await;
                if aborted.is_ok() {
                    self.cluster.around().rare.hit(Rare::ChangeAborted);
                }
                self.note(at, "abort", &aborted);
            }
            _ => {
                let committed = node.commit_changes().await;
                self.note(at, "commit", &committed);
            }
        }
    }

    /// A bucket gets another number of replicas.
    async fn replicate(&mut self, at: usize, node: Arc<Node>) {
        let name = self.random.index(self.cluster.plan().keys);
        let mut name = self.cluster.around().books.lock().names[name].clone();
        // Of all buckets of its type that have no number of their own.
        if self.random.chance(200_000) {
            name.bucket.clear();
        }
        let n = *self.random.pick(&REPLICAS_CHOSEN);
        let n = u8::try_from(n).expect("a handful");
        let deadline = Deadline::after(&**node.environment(), REPLICATING_US);
        let replicated = node
            .replicate(&name.bucket_type, &name.bucket, n, deadline)
            .await;
        let around = self.cluster.around();
        around
            .trace
            .event(Who::Node(at), "replicate", || match &replicated {
                Ok(()) => format!("{:?} has {n} replicas", name.bucket),
                Err(reason) => reason.to_string(),
            });
        match replicated {
            Ok(()) => around.rare.hit(Rare::ReplicasChanged),
            Err(reason) => self.note_failure(at, &reason),
        }
    }

    /// Somebody who may go.
    fn leaver(&mut self, ring: &Ring) -> Option<NodeId> {
        let enough = usize::try_from(self.cluster.plan().replicas).expect("a handful");
        let mut leavers = self.leavers.lock().expect("no holder of this lock panics");
        let mut stay = in_state(ring, MemberState::Up);
        stay.retain(|node| !leavers.contains(node));
        if stay.len() <= enough {
            return None;
        }
        let leaver = *self.random.pick(&stay);
        leavers.insert(leaver);
        Some(leaver)
    }

    /// The node that dies for good dies, and is removed or replaced, if keys keep their replicas.
    async fn bury(&mut self, at: usize, node: Arc<Node>, ring: &Ring) {
        let plan = self.cluster.plan();
        let victim = plan.victim;
        if !plan.victim_dies || at == victim {
            return;
        }
        if self.cluster.is_member(victim) {
            let id = self.cluster.id_of(victim);
            let enough = usize::try_from(plan.replicas).expect("a handful");
            let mut leavers = self.leavers.lock().expect("no holder of this lock panics");
            let stay = in_state(ring, MemberState::Up).into_iter();
            let stay = stay
                .filter(|node| *node != id && !leavers.contains(node))
                .count();
            if stay < enough {
                return;
            }
            leavers.insert(id);
            drop(leavers);
            let trace = &self.cluster.around().trace;
            trace.event(Who::Node(victim), "dies", || "for good".to_owned());
            self.cluster.die(victim);
        }
        let removed = remove(
            &node,
            self.cluster.id_of(victim),
            ring,
            self.random.chance(500_000),
        );
        let staged = removed.await;
        self.note(at, "bury", &staged);
    }

    /// Most voters die, once; from then on, somebody has the others go on without them.
    async fn survive(&mut self, at: usize, node: &Arc<Node>, ring: &Ring) {
        let mut dead = dead_of(&self.cluster, ring);
        if dead.is_empty() {
            let me = self.cluster.id_of(at);
            let mut voters: Vec<NodeId> = ring.document().voters().into_iter().collect();
            let dying = voters.len() - voters.len() / 2;
            let quorum = usize::try_from(self.cluster.plan().quorum()).expect("a handful");
            if voters.len() - dying < quorum {
                return;
            }
            voters.retain(|voter| *voter != me);
            while voters.len() > dying {
                voters.swap_remove(self.random.index(voters.len()));
            }
            for voter in voters {
                let machine = self.cluster.number_of(voter).expect("voters have machines");
                let trace = &self.cluster.around().trace;
                trace.event(Who::Node(machine), "dies", || {
                    "for good, with others".to_owned()
                });
                self.cluster.die(machine);
                self.leavers
                    .lock()
                    .expect("no holder of this lock panics")
                    .insert(voter);
            }
            dead = dead_of(&self.cluster, ring);
        }
        recover(&self.cluster, at, node, &dead).await;
    }

    /// A machine that is no member yet asks to be one. Where that is not answered, it asks somebody again later.
    async fn join(&mut self, at: usize, node: Arc<Node>) {
        let plan = self.cluster.plan();
        let spares = plan.founders()..plan.nodes;
        let strangers = spares.filter(|spare| !self.cluster.is_member(*spare));
        let strangers: Vec<usize> = strangers.collect();
        if strangers.is_empty() {
            return;
        }
        let spare = *self.random.pick(&strangers);
        let joiner = Member {
            id: self.cluster.id_of(spare),
            name: format!("n{spare}"),
            addresses: Addresses::default(),
            zone: String::new(),
            rack: String::new(),
            weight: 1,
            state: MemberState::Joining,
        };
        // One token for each machine, so that it may ask again.
        let token = u128::try_from(spare).expect("a handful");
        let enrolled = node.enrol(joiner, token).await;
        self.note(at, "join", &enrolled);
        if let Ok(document) = enrolled {
            let ring = Ring::new((*document).clone()).expect("a committed document is valid");
            self.cluster.enrol(spare, Arc::new(ring));
            self.cluster.start(spare);
        }
    }

    fn note(&self, at: usize, what: &'static str, outcome: &Changed) {
        let around = self.cluster.around();
        around.trace.event(Who::Node(at), what, || match outcome {
            Ok(document) => format!("epoch {}", document.epoch),
            Err(reason) => reason.to_string(),
        });
        match outcome {
            Ok(_) => around.rare.hit(Rare::RingChanged),
            Err(reason) => self.note_failure(at, reason),
        }
    }

    fn note_failure(&self, at: usize, reason: &ChangeFailed) {
        let around = self.cluster.around();
        match reason {
            ChangeFailed::Refused(_) | ChangeFailed::TokenSpent => {}
            ChangeFailed::Contradiction => around.books.lock().fail(Violation::new(
                "I10",
                format!("n{at} met two documents of one epoch"),
            )),
            _ => around.rare.hit(Rare::RingNotChanged),
        }
    }
}

/// Members whose machines are gone.
fn dead_of(cluster: &Cluster, ring: &Ring) -> BTreeSet<NodeId> {
    let present = ring
        .members()
        .iter()
        .filter(|member| !member.state.is_gone());
    let dead = present.filter(|member| {
        let number = cluster.number_of(member.id);
        number.is_some_and(|node| !cluster.is_member(node))
    });
    dead.map(|member| member.id).collect()
}

/// Has a node go on without the dead; whether that was possible.
async fn recover(cluster: &Cluster, at: usize, node: &Arc<Node>, dead: &BTreeSet<NodeId>) -> bool {
    let recovered = node.recover(dead).await;
    let around = cluster.around();
    around
        .trace
        .event(Who::Node(at), "recover", || match &recovered {
            Ok(document) => format!("epoch {}", document.epoch),
            Err(reason) => reason.to_string(),
        });
    if recovered.is_ok() {
        around.rare.hit(Rare::Recovered);
    }
    recovered.is_ok()
}

fn in_state(ring: &Ring, state: MemberState) -> Vec<NodeId> {
    let members = ring.members().iter().filter(|member| member.state == state);
    members.map(|member| member.id).collect()
}

/// Has a dead member's place given to one that joins, if there is one and it is to be so, or to all others.
async fn remove(node: &Arc<Node>, dead: NodeId, ring: &Ring, replaces: bool) -> Changed {
    match in_state(ring, MemberState::Joining).first() {
        Some(&new) if replaces => node.stage(Change::Replace { old: dead, new }).await,
        _ => node.stage(Change::Remove { node: dead }).await,
    }
}

/// What is left to do for operators when nothing breaks any more: the dead are removed, and what waits for them is given up.
async fn tidy_up(cluster: &Cluster) {
    let ring = cluster.ring();
    let is_gone = |id: NodeId| {
        cluster
            .number_of(id)
            .is_some_and(|node| !cluster.is_member(node))
    };
    let in_ring = |member: &&Member| member.state != MemberState::Removed;
    let dead = ring
        .members()
        .iter()
        .filter(in_ring)
        .find(|member| is_gone(member.id));
    let running = cluster
        .members()
        .into_iter()
        .find_map(|node| cluster.node(node));
    let (Some(dead), Some(node)) = (dead, running) else {
        return;
    };
    let lost = dead_of(cluster, &ring);
    if cluster.plan().majority_dies && cluster.plan().mixed_releases {
        cluster.upgrade_all();
    }
    if cluster.plan().majority_dies
        && let Some(at) = cluster.number_of(node.id())
        && recover(cluster, at, &node, &lost).await
    {
        return;
    }
    let document = ring.document();
    let removes = |change: &Change| match change {
        Change::Remove { node } | Change::Replace { old: node, .. } => *node == dead.id,
        _ => false,
    };
    // A machine whose join was agreed on when its operator had given up on it never starts.
    let lets_in = |change: &Change| match change {
        Change::Join { node } | Change::Replace { new: node, .. } => is_gone(*node),
        _ => false,
    };
    let outcome = match &document.placement.next {
        Some(next) if next.changes.iter().any(removes) && !next.changes.iter().any(lets_in) => {
            return;
        }
        // It waits for the dead one, or may do so.
        Some(_) => node.abort_changes().await,
        None if document.staged.is_empty() => remove(&node, dead.id, &ring, false).await,
        None if document.staged.iter().all(removes) => node.commit_changes().await,
        None => node.abort_changes().await,
    };
    let trace = &cluster.around().trace;
    trace.event(Who::World, "tidy up", || match outcome {
        Ok(document) => format!("epoch {}", document.epoch),
        Err(reason) => reason.to_string(),
    });
}

/// Whether a majority is there, and is not allowed to speak.
fn too_few_speak(cluster: &Cluster, ring: &Ring) -> bool {
    let voters = ring.document().voters();
    let machines = voters.iter().filter_map(|voter| cluster.number_of(*voter));
    let living: Vec<usize> = machines.filter(|node| cluster.is_member(*node)).collect();
    let voiceless = voiceless(cluster);
    let speaking = living
        .iter()
        .filter(|node| !voiceless.contains(node))
        .count();
    let majority = voters.len() / 2 + 1;
    living.len() >= majority && speaking < majority
}

/// Who may not speak in agreements on the ring.
fn voiceless(cluster: &Cluster) -> Vec<usize> {
    let mut members = cluster.members();
    members.retain(|node| cluster.node(*node).is_none_or(|node| !node.votes_now()));
    members
}

/// What the placement change under way waits for, at any node.
async fn waits(cluster: &Cluster) -> Vec<String> {
    let running = cluster.members().into_iter();
    let running = running.filter_map(|node| cluster.node(node)).next();
    let views = match running {
        Some(node) => node.transfers().await.unwrap_or_default(),
        None => Vec::new(),
    };
    let told = views.into_iter().map(|view| {
        let comer = cluster.number_of(view.comer);
        format!(
            "{comer:?} has {} of {}: {:?}",
            view.done, view.moves, view.waits
        )
    });
    told.collect()
}

/// Waits until nothing is under way, leavers are gone, and everybody serves by one document. False if nothing can be agreed on any more,
/// because so many voters may have forgotten their word that nobody is left to bring it back: then the ring stays as it is.
pub async fn settle(cluster: &Cluster) -> Result<bool, Violation> {
    if cluster.plan().spares == 0 {
        return Ok(true);
    }
    let executor = &cluster.around().executor;
    let until_us = executor.now_us() + SETTLES_US;
    loop {
        tidy_up(cluster).await;
        let ring = cluster.ring();
        let document = ring.document();
        let gone = ring.members().iter().any(|member| {
            let number = cluster.number_of(member.id);
            member.state != MemberState::Removed
                && number.is_none_or(|node| !cluster.is_member(node))
        });
        let leaving = !in_state(&ring, MemberState::Leaving).is_empty();
        let behind = cluster.members().into_iter().find(|node| {
            let ring = cluster.node(*node).map(|node| node.ring());
            ring.is_none_or(|ring| ring.document().epoch != document.epoch)
        });
        if document.placement.next.is_none() && !leaving && !gone && behind.is_none() {
            // Whoever has lost partitions looks once more when the last put by the earlier ring must be over.
            executor.sleep(LAST_LOOK_US).await;
            return Ok(true);
        }
        if executor.now_us() >= until_us && too_few_speak(cluster, &ring) {
            return Ok(false);
        }
        if executor.now_us() >= until_us {
            let text = format!(
                "after {} s without faults: epoch {}, a placement change under way: {}, somebody leaving: {leaving}, somebody dead: {gone}, behind: {behind:?}, without a vote: {:?}, what copies wait for: {:?}",
                SETTLES_US / 1_000_000,
                document.epoch,
                document.placement.next.is_some(),
                voiceless(cluster),
                waits(cluster).await,
            );
            return Err(Violation::new("I11", text));
        }
        executor.sleep(300_000).await;
    }
}
