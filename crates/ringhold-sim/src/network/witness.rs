//! What passes on the network, for the books.
//!
//! The simulator reads along: every object that is sent shows its dots, and every "done" is held against the disks
//! at the moment at which it leaves its node.

use super::Network;
use crate::books::Books;
use crate::cluster::{read_record, tree_of};
use crate::invariants::{Violation, i13_honest_acknowledgement, properties, t16_moves};
use crate::rare::Rare;
use crate::settings::number_of;
use crate::trace::Who;
use crate::value::operation_of;
use ringhold_core::id::{NodeId, OperationId};
use ringhold_core::version::{Dot, Object};
use ringhold_wire::message::peer::{Refusal, Reply, Request};
use ringhold_wire::message::{ObjectName, PutAnswer};
use std::collections::BTreeSet;

/// What a request was about, to judge its reply by.
pub(super) enum Asked {
    Replica {
        name: ObjectName,
        object: Object,
        asked_us: u64,
    },
    /// Several at once.
    Replicas {
        objects: Vec<(ObjectName, Object)>,
        asked_us: u64,
    },
    /// To do as a coordinator did.
    Update {
        dot: Dot,
        asked_us: u64,
    },
    Name(ObjectName),
    Names(Vec<ObjectName>),
    Put {
        operation: usize,
    },
    /// The numbers of changes of bucket properties.
    Properties(Vec<u64>),
    Other,
}

impl Asked {
    pub(super) fn by(request: &Request, now_us: u64) -> Self {
        match request {
            Request::Merge(merge) => Self::Replica {
                name: merge.name.clone(),
                object: merge.object.clone(),
                asked_us: now_us,
            },
            Request::Follow(follow) => Self::Update {
                dot: follow.record.dot,
                asked_us: now_us,
            },
            Request::MergeMany(objects) => Self::Replicas {
                objects: objects.clone(),
                asked_us: now_us,
            },
            Request::Fetch(name) => Self::Name(name.clone()),
            Request::FetchMany(names) => Self::Names(names.clone()),
            Request::Get(get) => Self::Name(get.name.clone()),
            Request::Properties(changes) => {
                let numbers = changes.iter();
                Self::Properties(numbers.filter_map(|c| number_of(&c.overrides)).collect())
            }
            Request::Put(put) => Self::put(put.request.operation),
            Request::Coordinate(put) => Self::put(put.operation),
            _ => Self::Other,
        }
    }

    fn put(id: OperationId) -> Self {
        operation_of(id).map_or(Self::Other, |operation| Self::Put { operation })
    }
}

impl Network {
    pub(super) fn witness_request(&self, from: usize, request: &Request) {
        let mut books = self.0.books.lock();
        match request {
            Request::Merge(merge) => books.saw_object(&merge.name, &merge.object),
            Request::Follow(follow) => {
                // What became of the update is not in the message, and is what its sender has.
                let sender = self.serving(from);
                let object = sender.map(|sender| read_record(sender.node.store(), &follow.name));
                if let Some(Ok(object)) = object {
                    books.saw_object(&follow.name, &object);
                }
            }
            Request::MergeMany(objects) => {
                for (name, object) in objects {
                    books.saw_object(name, object);
                }
            }
            Request::Properties(changes) => {
                for change in changes {
                    let is_same = books.settings.sent(from, change);
                    if let Err(violation) = properties::check_time(is_same, &change.overrides) {
                        books.fail(violation);
                    }
                }
            }
            _ => {}
        }
    }

    /// The nodes that are homes of an operation's key, or were a moment ago, by any ring that is about.
    fn homes_of_late(&self, books: &Books, operation: usize) -> BTreeSet<usize> {
        let homes = self.homes_by_rings(books, operation).into_iter().flatten();
        let number = |id| self.0.ids.iter().position(|known| *known == id);
        homes.filter_map(number).collect()
    }

    /// The homes of an operation's key by each ring that is about, or was a moment ago.
    fn homes_by_rings(&self, books: &Books, operation: usize) -> Vec<Vec<NodeId>> {
        let key = books.operations[operation].key;
        let write = books.write(operation);
        let named = write.filter(|write| write.names_n).map(|write| write.n);
        let named = named.map(|n| usize::try_from(n).expect("a handful"));
        let serving = self.lock().serving.clone();
        let in_use = serving.iter().flatten().map(|serving| serving.node.ring());
        let rings = books.rings.recent().cloned().chain(in_use);
        let homes = rings.map(|ring| {
            let tree = tree_of(&ring, &books.names[key]);
            match named {
                Some(n) => ring.homes(tree.partition, n).to_vec(),
                None => ring.homes_of(tree).to_vec(),
            }
        });
        homes.collect()
    }

    /// On how many disks an acknowledged put has to be. A cluster that has fewer members than the bucket has replicas, as one may that
    /// went on without a majority, has as many replicas as members, and a quorum of these.
    fn disks_required(&self, books: &Books, operation: usize) -> u32 {
        let Some(write) = books.write(operation) else {
            return 0;
        };
        let homes = self.homes_by_rings(books, operation);
        let fewest = homes.iter().map(Vec::len).min().unwrap_or(0);
        match u32::try_from(fewest).expect("a handful") {
            fewest if fewest < write.n => write.dw.min(fewest / 2 + 1),
            _ => write.dw,
        }
    }

    /// A put that its coordinator has just acknowledged.
    fn check_acknowledged(
        &self,
        books: &mut Books,
        operation: usize,
        answer: &PutAnswer,
    ) -> Result<(), Violation> {
        let holders = i13_honest_acknowledgement::holders(books, operation, answer.dot);
        let required = self.disks_required(books, operation);
        let said = answer.counts.durable;
        let verdict =
            i13_honest_acknowledgement::check_put(books, operation, &holders, said, required);
        // What is in memory only can't be looked for.
        let counts = &answer.counts;
        let is_on_disk = counts.durable == counts.acknowledged;
        let is_whole = !books.losses.iter().any(|loss| loss.flushed_too);
        let verdict = verdict.and_then(|()| {
            let is_untold = i13_honest_acknowledgement::is_untold(books, operation);
            if !is_on_disk || !is_whole || is_untold {
                return Ok(());
            }
            let homes = self.homes_of_late(books, operation);
            let held = homes.intersection(&holders).count();
            t16_moves::check_primaries(operation, counts.primaries, held)
        });
        if let Some(write) = books
            .operations
            .get_mut(operation)
            .and_then(|operation| operation.write.as_mut())
        {
            write.held_by = holders;
        }
        verdict
    }

    pub(super) fn witness_reply(&self, node: usize, asked: &Asked, reply: &Reply) {
        if matches!(reply, Reply::Refused(Refusal::Expired)) {
            self.0.rare.hit(Rare::Expired);
        }
        let mut books = self.0.books.lock();
        let verdict = match (asked, reply) {
            (
                Asked::Replica {
                    name,
                    object,
                    asked_us,
                },
                Reply::Merged { durable: true },
            ) => {
                books.saw_object(name, object);
                i13_honest_acknowledgement::check_replica(&books, node, object, *asked_us)
            }
            (Asked::Update { dot, asked_us }, Reply::Merged { durable: true }) => {
                i13_honest_acknowledgement::check_dot(&books, node, *dot, *asked_us)
            }
            (Asked::Update { .. }, Reply::Refused(Refusal::OtherBase)) => {
                self.0.rare.hit(Rare::OtherBase);
                Ok(())
            }
            (Asked::Replicas { objects, asked_us }, Reply::MergedMany(outcomes)) => {
                let merged = objects.iter().zip(outcomes);
                let mut merged = merged.filter(|(_, outcome)| outcome.is_ok());
                merged.try_for_each(|((name, object), _)| {
                    books.saw_object(name, object);
                    i13_honest_acknowledgement::check_replica(&books, node, object, *asked_us)
                })
            }
            (Asked::Names(names), Reply::FetchedMany(objects)) => {
                for (name, object) in names.iter().zip(objects) {
                    if let Ok(object) = object {
                        books.saw_object(name, object);
                    }
                }
                Ok(())
            }
            (Asked::Name(name), Reply::Fetched(object)) => {
                books.saw_object(name, object);
                Ok(())
            }
            (Asked::Name(name), Reply::Got(Ok(got))) => {
                books.now_us = self.0.executor.now_us();
                if let Some(key) = books.key_of(name) {
                    let held = books.revealed(key, &got.answer.object);
                    books.saw_object(name, &held);
                }
                Ok(())
            }
            (Asked::Properties(numbers), Reply::PropertiesKept) => {
                let settings = &mut books.settings;
                numbers
                    .iter()
                    .for_each(|number| settings.kept(node, *number));
                Ok(())
            }
            (Asked::Put { operation }, Reply::Coordinated(Ok(answer)))
                if books.write(*operation).is_some() =>
            {
                self.check_acknowledged(&mut books, *operation, answer)
            }
            _ => Ok(()),
        };
        if let Err(violation) = verdict {
            books.fail(violation);
        }
        drop(books);
        if let (Asked::Put { operation }, Reply::Coordinated(Ok(answer))) = (asked, reply) {
            self.0.trace.event(Who::Node(node), "acknowledge", || {
                format!("operation {operation} as {}", answer.dot)
            });
        }
    }
}
