//! A client: thinks, chooses a key and something to do with it, talks to some node, and remembers.
//!
//! It behaves as the API's documentation tells clients to: reads, merges the siblings it got, writes back
//! with the context; keeps the context as the sealed token that it was given; tries again under the same
//! operation id. And, where its run says so, as clients do all the same: with old contexts, with those of other
//! keys, blindly, or giving up too soon.
//!
//! Every operation is in the books before its request leaves and when its outcome is known.

mod entries;
mod properties;
mod typed;
pub(crate) use typed::items_of as typed_items_of;

use crate::books::{Outcome, Replies};
use crate::cluster::{Cluster, Presence};
use crate::dots::DotSet;
use crate::invariants::{
    self, Violation, conditional, i15_read_after_write, i18_every_operation_ends, t11_reaping,
    workloads,
};
use crate::plan::{OperationClass, Plan, Profile};
use crate::queries;
use crate::random::Random;
use crate::rare::Rare;
use crate::workload::{Action, Kind, Workload};
use bytes::Bytes;
use ringhold_core::quorum::GetSpec;
use ringhold_core::version::token::TokenScope;
use ringhold_core::version::{Context, ContextToken, Object};
use ringhold_wire::message::peer::{ClientPut, Refusal, Reply, Request};
use ringhold_wire::message::{GetRequest, ObjectName, PutError, Rejection};
use std::collections::{BTreeMap, BTreeSet};

/// Tries of one put.
const ATTEMPTS_MAX: u32 = 3;

/// How long a key is in use at a time, in runs that are about reaping. It rests for twice as long.
const PHASE_US: u64 = 40_000_000;

/// What a client keeps of a read.
#[derive(Clone)]
struct Remembered {
    /// The context, as it was given out.
    sealed: Bytes,
    /// What was in it, for the books.
    past: DotSet,
    /// The same as it is: what a condition says was seen.
    context: Context,
    /// What was in it, of a data type.
    typed: Option<typed::Seen>,
}

/// See the module.
pub struct Client {
    cluster: Cluster,
    number: usize,
    random: Random,
    /// Of what it looks for in indexes: by itself, so that everything else goes as it would without.
    queries: Random,
    memory: BTreeMap<usize, Remembered>,
}

/// One write before it has a number.
struct Draft {
    kind: Kind,
    items: BTreeSet<u64>,
    adds_own: bool,
    removes: Option<u64>,
    context: Option<Remembered>,
    /// The context is of another key.
    is_stray: bool,
}

impl Draft {
    fn of(kind: Kind, items: BTreeSet<u64>, context: Option<Remembered>) -> Self {
        Self {
            kind,
            items,
            adds_own: false,
            removes: None,
            context,
            is_stray: false,
        }
    }
}

/// How one try went.
enum Try {
    Done(Outcome),
    /// Worth another try, and what is known if it is not made.
    Again(Outcome),
}

impl Client {
    #[must_use]
    pub fn new(cluster: Cluster, number: usize) -> Self {
        let random = Random::of(cluster.plan().seed, &format!("client {number}"));
        let queries = Random::of(cluster.plan().seed, &format!("queries {number}"));
        Self {
            cluster,
            number,
            random,
            queries,
            memory: BTreeMap::new(),
        }
    }

    /// Works until a moment of the run.
    pub async fn work(mut self, until_us: u64) {
        let executor = self.cluster.around().executor.clone();
        loop {
            executor
                .sleep(self.random.around(self.plan().think_us))
                .await;
            if executor.now_us() >= until_us {
                return;
            }
            if self.plan().does(OperationClass::Properties) && self.random.chance(20_000) {
                self.change_properties();
                continue;
            }
            if self.queries.chance(60_000) {
                self.query();
            }
            let key = self.choose_key();
            let workload = workload_of(key, self.cluster.plan());
            let action = Action::choose(workload, self.cluster.plan(), &mut self.random);
            self.act(key, workload, action).await;
        }
    }

    /// Looks for something in an index, by way of some node that runs.
    fn query(&mut self) {
        let members = self.cluster.members();
        let number = *self.queries.pick(&members);
        let books = self.cluster.around().books.lock();
        let buckets: BTreeSet<Bytes> = books.names.iter().map(|n| n.bucket.clone()).collect();
        drop(books);
        let buckets: Vec<Bytes> = buckets.into_iter().collect();
        let asked = queries::draw(&buckets, &mut self.queries);
        if let Some(node) = self.cluster.node(number) {
            queries::ask(&self.cluster, number, node, asked);
        }
    }

    fn plan(&self) -> &Plan {
        self.cluster.plan()
    }

    fn choose_key(&mut self) -> usize {
        let keys = self.plan().keys;
        let hot = self.plan().does(OperationClass::HotKey);
        let key = if hot && self.random.chance(700_000) {
            0
        } else {
            self.random.index(keys)
        };
        if self.plan().profile != Profile::Reaping {
            return key;
        }
        // One key of three is in use at a time, so that what is dead has the time to be reaped.
        let phase = self.cluster.around().executor.now_us() / PHASE_US;
        let of_phase = key / 3 * 3 + usize::try_from(phase % 3).expect("below 3");
        of_phase.min(keys - 1)
    }

    async fn act(&mut self, key: usize, workload: Workload, action: Action) {
        match action {
            Action::Read => drop(self.read(key, workload).await),
            Action::AddItem => {
                if let Some(object) = self.read(key, workload).await {
                    let items = workloads::items_of(&object);
                    let draft = Draft::of(Kind::Put, items, self.memory.get(&key).cloned());
                    self.write(
                        key,
                        workload,
                        Draft {
                            adds_own: true,
                            ..draft
                        },
                    )
                    .await;
                }
            }
            Action::RemoveItem => self.remove_item(key, workload).await,
            Action::AddBlindly => {
                let draft = Draft::of(Kind::Put, BTreeSet::new(), None);
                self.write(
                    key,
                    workload,
                    Draft {
                        adds_own: workload.keeps_items(),
                        ..draft
                    },
                )
                .await;
            }
            Action::Overwrite => {
                let context = self.memory.get(&key).cloned();
                self.write(
                    key,
                    workload,
                    Draft::of(Kind::Put, BTreeSet::new(), context),
                )
                .await;
            }
            Action::Stray => self.stray(key, workload).await,
            Action::Update => self.update(key, workload).await,
            Action::DeleteOrCreate => {
                let blind = self.random.chance(100_000);
                if let Some(object) = self.read(key, workload).await {
                    let kind = if object.has_value() {
                        Kind::Delete
                    } else {
                        Kind::Put
                    };
                    let context = self.memory.get(&key).cloned().filter(|_| !blind);
                    self.write(key, workload, Draft::of(kind, BTreeSet::new(), context))
                        .await;
                }
            }
        }
    }

    /// Takes one of the items out, if there is any.
    async fn remove_item(&mut self, key: usize, workload: Workload) {
        let Some(object) = self.read(key, workload).await else {
            return;
        };
        let mut items = workloads::items_of(&object);
        let at = self.random.index(items.len().max(1));
        let Some(&removed) = items.iter().nth(at) else {
            return;
        };
        items.remove(&removed);
        let removes = Some(removed);
        let draft = Draft::of(Kind::Put, items, self.memory.get(&key).cloned());
        self.write(key, workload, Draft { removes, ..draft }).await;
    }

    /// Reads a key and remembers its context.
    async fn read(&mut self, key: usize, workload: Workload) -> Option<Object> {
        let node = *self.random.pick(&self.cluster.members());
        let name = self.name(key);
        let options = self.get_options();
        let operation = self.begin(key, workload, Kind::Get, node, None);
        let n = options.n_val.unwrap_or(self.plan().replicas_at_least());
        let resolved = options
            .quorum
            .resolve(n, &GetSpec::default())
            .expect("no client asks for more than N");
        let r = resolved.notfound_ok.then(|| Replies {
            required: resolved.replies_required(),
            n,
        });
        self.cluster.around().books.lock().operations[operation].r = r;
        let explain = self.random.chance(50_000);
        let request = Request::Get(GetRequest {
            name: name.clone(),
            options,
            explain,
        });
        let reply = self.ask(node, operation, &request).await;
        let Some(Reply::Got(Ok(answer))) = reply else {
            self.end(operation, Outcome::Unknown, node);
            return None;
        };
        let object = answer.answer.object;
        self.check_read(operation, key, &object);
        self.remember(key, &name, &object, Some(answer.context));
        self.end(operation, Outcome::Read, node);
        Some(object)
    }

    fn check_read(&self, operation: usize, key: usize, object: &Object) {
        let mut books = self.cluster.around().books.lock();
        books.now_us = self.cluster.around().executor.now_us();
        let asked_us = books.operations[operation].called_us;
        let verdict = i15_read_after_write::check(&books, operation, object)
            .and_then(|()| i15_read_after_write::check_monotone(&books, operation, object))
            .and_then(|()| t11_reaping::check_shown(&books, key, object, asked_us));
        books.operations[operation].shown = object
            .versions()
            .iter()
            .map(|version| version.dot)
            .collect();
        if let Err(violation) = verdict {
            books.fail(violation);
        }
    }

    fn check_refusal(&self, operation: usize) {
        let mut books = self.cluster.around().books.lock();
        if let Err(violation) = conditional::check_refusal(&books, operation) {
            books.fail(violation);
        }
    }

    /// Checks an object that was given to this client, and keeps its context.
    fn remember(&mut self, key: usize, name: &ObjectName, object: &Object, sealed: Option<Bytes>) {
        let mut books = self.cluster.around().books.lock();
        books.now_us = self.cluster.around().executor.now_us();
        let held = books.revealed(key, object);
        books.saw_object(name, &held);
        if let Err(violation) = invariants::check_answer(&books, key, &held) {
            return books.fail(violation);
        }
        let past = books.past_of(&held);
        drop(books);
        let rare = &self.cluster.around().rare;
        if object.siblings().len() > 1 {
            rare.hit(Rare::SiblingsRead);
        }
        if object.versions().len() > object.siblings().len() {
            rare.hit(Rare::TwinMade);
        }
        if object.has_value()
            && object
                .versions()
                .iter()
                .any(|version| version.content.is_tombstone())
        {
            rare.hit(Rare::TombstoneBesideValue);
        }
        let sealed = sealed.unwrap_or_else(|| {
            // Listeners of other protocols give the context of a put's answer out in this way.
            let token = ContextToken {
                context: object.context().clone(),
                timestamp: object.greatest_timestamp(),
            };
            self.cluster.token_key().seal(scope(name), &token).into()
        });
        let context = object.context().clone();
        if typed::has_twins(object) {
            self.cluster.around().rare.hit(Rare::TwinsMet);
        }
        let typed = typed::Seen::of(object, &self.cluster.token_key(), scope(name));
        self.memory.insert(
            key,
            Remembered {
                sealed,
                past,
                context,
                typed,
            },
        );
    }

    /// Writes, under one operation id, until an outcome is known or there were tries enough.
    async fn write(&mut self, key: usize, workload: Workload, draft: Draft) {
        let node = *self.random.pick(&self.cluster.members());
        let (operation, put) = self.record(key, workload, node, &draft);
        let outcome = self.attempts(key, node, operation, put).await;
        if draft.is_stray && matches!(outcome, Outcome::Acknowledged(_)) {
            self.fail(Violation::new(
                "T3",
                format!("the context of another key is accepted for key {key}"),
            ));
        }
        let modified = outcome == Outcome::Modified;
        if modified {
            self.check_refusal(operation);
        }
        self.end(operation, outcome, node);
        if modified {
            // Whoever is told that somebody else has written looks what it was.
            self.read(key, workload).await;
        }
    }

    async fn attempts(
        &mut self,
        key: usize,
        first: usize,
        operation: usize,
        put: ClientPut,
    ) -> Outcome {
        let retries = self.plan().does(OperationClass::Retries);
        let name = put.request.name.clone();
        let request = Request::Put(put);
        let mut node = first;
        let mut known = Outcome::NotStarted;
        for attempt in 1..=ATTEMPTS_MAX {
            if let Some(write) = &mut self.cluster.around().books.lock().operations[operation].write
            {
                write.tries = attempt;
            }
            let reply = self.ask(node, operation, &request).await;
            let outcome = match self.judge(key, &name, reply) {
                Try::Done(outcome) => return worse(&known, outcome),
                Try::Again(outcome) => outcome,
            };
            known = worse(&known, outcome);
            if !retries || attempt == ATTEMPTS_MAX {
                break;
            }
            let pause_us = self.random.around(30_000);
            self.cluster.around().executor.sleep(pause_us).await;
            if self.random.chance(600_000) {
                node = *self.random.pick(&self.cluster.members());
            }
        }
        known
    }

    /// What a reply to a put says.
    fn judge(&mut self, key: usize, name: &ObjectName, reply: Option<Reply>) -> Try {
        match reply {
            Some(Reply::Coordinated(Ok(answer))) => {
                match &answer.object {
                    Some(object) => self.remember(key, name, object, None),
                    None if self.plan().does(OperationClass::StaleContexts) => {}
                    None => drop(self.memory.remove(&key)),
                }
                Try::Done(Outcome::Acknowledged(answer.dot))
            }
            Some(Reply::Coordinated(Err(PutError::NotStarted(_)))) => {
                Try::Again(Outcome::NotStarted)
            }
            Some(Reply::Coordinated(Err(PutError::Rejected(rejection)))) => {
                if rejection == Rejection::ContextRefused {
                    self.cluster.around().rare.hit(Rare::StrayContextRefused);
                }
                Try::Done(match rejection {
                    Rejection::Modified => Outcome::Modified,
                    _ => Outcome::Rejected,
                })
            }
            Some(Reply::Refused(
                Refusal::Overloaded | Refusal::Expired | Refusal::OlderProtocol,
            )) => Try::Again(Outcome::NotStarted),
            Some(_) | None => Try::Again(Outcome::Unknown),
        }
    }

    /// Uses the context of another key, which has to be refused.
    async fn stray(&mut self, key: usize, workload: Workload) {
        let other = self
            .memory
            .iter()
            .find(|(other, remembered)| **other != key && !remembered.sealed.is_empty());
        if let Some(remembered) = other.map(|(_, remembered)| remembered.clone()) {
            let draft = Draft::of(Kind::Put, BTreeSet::new(), Some(remembered));
            self.write(
                key,
                workload,
                Draft {
                    is_stray: true,
                    ..draft
                },
            )
            .await;
        }
    }

    /// One request to one node; none without a reply.
    async fn ask(&mut self, node: usize, operation: usize, request: &Request) -> Option<Reply> {
        let impatient = self.plan().does(OperationClass::Impatience) && self.random.chance(200_000);
        let timeout_us = if impatient {
            self.random.between(2_000, 80_000)
        } else {
            self.random.between(1_000_000, 4_000_000)
        };
        let executor = self.cluster.around().executor.clone();
        let deadline_us = executor.now_us() + timeout_us;
        let host = self.plan().nodes + self.number;
        if request.since() > self.cluster.network().protocol_between(host, node) {
            return Some(Reply::Refused(Refusal::OlderProtocol));
        }
        let present: Option<Presence> = self.cluster.presence(node);
        let patience_us = i18_every_operation_ends::GRACE_US;
        let call = self
            .cluster
            .network()
            .call(host, node, request, deadline_us, patience_us)
            .ok()?;
        let reply = call.await.ok();
        let overdue = reply.is_none() && executor.now_us() >= deadline_us + patience_us;
        if overdue && present.is_some() && self.cluster.presence(node) == present {
            self.fail(i18_every_operation_ends::overdue(operation, node));
        }
        reply
    }

    fn name(&self, key: usize) -> ObjectName {
        self.cluster.around().books.lock().names[key].clone()
    }

    fn fail(&self, violation: Violation) {
        self.cluster.around().books.lock().fail(violation);
    }
}

/// The workload of a key, the same for all clients.
#[must_use]
pub fn workload_of(key: usize, plan: &Plan) -> Workload {
    let on = plan.workloads();
    on[key % on.len()]
}

/// Of two tries, what is known of the write: one that may have happened outweighs one that did not.
fn worse(before: &Outcome, now: Outcome) -> Outcome {
    match (before, &now) {
        (Outcome::Unknown, Outcome::NotStarted | Outcome::Rejected | Outcome::Modified) => {
            Outcome::Unknown
        }
        _ => now,
    }
}

fn scope(name: &ObjectName) -> TokenScope<'_> {
    TokenScope {
        bucket_type: &name.bucket_type,
        bucket: &name.bucket,
        key: &name.key,
    }
}
