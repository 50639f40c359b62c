//! Which rules for dots lose data: a model that knows the truth beside the rules that must guess it.
//!
//! One key, five replicas of which three coordinate, 4 to 14 random steps: puts with and without
//! a context, reads, replication. Faults: a replica forgets the key; a coordinator's write is sent,
//! then the coordinator crashes and its unflushed tail is lost. Beside each replica runs the exact
//! history (which events it has seen, and which of them nothing it saw has replaced). At the end all is
//! merged; an event that stands in the exact history and is not in the object is an acknowledged
//! write that was lost.
//!
//! The rule of the store must lose none in 100,000 runs. Four wrong rules, each of which some
//! store has shipped or was about to, must be caught by the same runs.

use ringhold_core::id::{Incarnation, OperationId};
use ringhold_core::version::coordinate::live_after_merge;
use ringhold_core::version::{
    Actor, Content, Context, Dot, KeyEpoch, LiveEpoch, NewVersion, Object, Timestamp, Version,
    coordinate,
};
use std::collections::BTreeSet;

const REPLICAS: usize = 5;
const COORDINATORS: u64 = 3;

/// How a replica names a new write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// The store's own: `coordinate`.
    LiveEpoch,
    /// Known bad: the incarnation survives an unclean start.
    OneIncarnation,
    /// Known bad: a fresh epoch only when the key is not found (Riak 2.1).
    EpochWhenNotFound,
    /// Known bad: one counter for the whole store, no epochs.
    StoreCounter,
    /// Known bad: the counter in the record, plus one.
    RecordCounter,
}

#[derive(Clone, Copy, Debug)]
struct Faults {
    forget: bool,
    lost_tail: bool,
}

#[derive(Clone, Default)]
struct Replica {
    object: Object,
    live: Option<LiveEpoch>,
    seen: BTreeSet<u64>,
    standing: BTreeSet<u64>,
}

#[derive(Clone, Copy)]
struct Store {
    incarnation: Incarnation,
    epochs_drawn: u64,
    counter: u64,
}

impl Store {
    fn fresh_epoch(&mut self) -> KeyEpoch {
        self.epochs_drawn += 1;
        KeyEpoch(self.epochs_drawn)
    }
}

/// SplitMix64: small, seeded, the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn replica(&mut self, bound: usize) -> usize {
        let drawn = self.below(u64::try_from(bound).expect("few replicas"));
        usize::try_from(drawn).expect("below a usize")
    }
}

#[derive(Clone, Default)]
struct Read {
    context: Context,
    seen: BTreeSet<u64>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Verdict {
    lost: usize,
    resurrected: usize,
    dot_reused: bool,
}

struct Run {
    rule: Rule,
    random: Random,
    replicas: Vec<Replica>,
    stores: Vec<Store>,
    read: Read,
    events: u64,
    dots: BTreeSet<Dot>,
    dot_reused: bool,
}

impl Run {
    fn new(seed: u64, rule: Rule) -> Self {
        let store = |n| Store {
            incarnation: Incarnation(n),
            epochs_drawn: 0,
            counter: 0,
        };
        Self {
            rule,
            random: Random(seed),
            replicas: vec![Replica::default(); REPLICAS],
            stores: (1..=REPLICAS as u128).map(store).collect(),
            read: Read::default(),
            events: 0,
            dots: BTreeSet::new(),
            dot_reused: false,
        }
    }

    fn step(&mut self, faults: Faults) {
        let at = usize::try_from(self.random.below(COORDINATORS)).expect("small");
        match self.random.below(if faults.forget { 7 } else { 6 }) {
            0..=2 => self.put(at, faults),
            3 => {
                let Replica { object, seen, .. } = &self.replicas[at];
                self.read = Read {
                    context: object.context().clone(),
                    seen: seen.clone(),
                };
            }
            4 | 5 => {
                let from = self.random.replica(REPLICAS);
                let to = (from + 1 + self.random.replica(REPLICAS - 1)) % REPLICAS;
                self.replicate(from, to);
            }
            _ => self.replicas[at] = Replica::default(),
        }
    }

    fn put(&mut self, at: usize, faults: Faults) {
        self.events += 1;
        let event = self.events;
        let read = if self.random.below(2) == 0 {
            self.read.clone()
        } else {
            Read::default()
        };
        let tail_is_lost = faults.lost_tail && self.random.below(5) == 0;
        let before = self.replicas[at].clone();
        let dot = self.coordinate(at, &read.context, event);
        self.dot_reused |= !self.dots.insert(dot);
        let replica = &mut self.replicas[at];
        replica.standing.retain(|old| !read.seen.contains(old));
        replica.standing.insert(event);
        replica.seen.extend(&read.seen);
        replica.seen.insert(event);
        let to = (at + 1 + self.random.replica(REPLICAS - 1)) % REPLICAS;
        self.replicate(at, to);
        if tail_is_lost {
            self.replicas[at] = before;
            self.end_uncleanly(at);
        }
    }

    /// The store takes a new incarnation; the wrong rules go on with the old one.
    fn end_uncleanly(&mut self, at: usize) {
        if self.rule == Rule::LiveEpoch {
            self.stores[at].incarnation.0 += REPLICAS as u128;
        }
    }

    fn coordinate(&mut self, at: usize, seen: &Context, event: u64) -> Dot {
        let incarnation = self.stores[at].incarnation;
        let (store, replica) = (&mut self.stores[at], &mut self.replicas[at]);
        let write = NewVersion {
            seen: seen.clone(),
            seen_timestamp: Timestamp(0),
            operation: OperationId(u128::from(event)),
            content: Content::Value {
                bytes: event.to_be_bytes().to_vec().into(),
                metadata: vec![],
            },
            wall_us: event,
        };
        if matches!(self.rule, Rule::LiveEpoch | Rule::OneIncarnation) {
            let fresh = || store.fresh_epoch();
            let done = coordinate(&mut replica.object, replica.live, incarnation, write, fresh);
            replica.live = done.live;
            return done.dot;
        }
        let dot = wrong_dot(self.rule, store, &replica.object, seen);
        replica.object = supersede_without_checks(&replica.object, seen, dot, write);
        dot
    }

    fn replicate(&mut self, from: usize, to: usize) {
        let sender = self.replicas[from].clone();
        let incarnation = self.stores[to].incarnation;
        let receiver = &mut self.replicas[to];
        receiver.object.merge(&sender.object);
        receiver.live = live_after_merge(&receiver.object, receiver.live, incarnation);
        receiver.merge_history(&sender);
    }

    fn verdict(self) -> Verdict {
        let mut all = Replica::default();
        for replica in &self.replicas {
            all.object.merge(&replica.object);
            all.merge_history(replica);
        }
        let event = |v: &Version| u64::try_from(v.operation.0).expect("operations are events here");
        let kept: BTreeSet<u64> = all.object.versions().iter().map(event).collect();
        Verdict {
            lost: all.standing.difference(&kept).count(),
            resurrected: kept.difference(&all.standing).count(),
            dot_reused: self.dot_reused,
        }
    }
}

impl Replica {
    fn merge_history(&mut self, other: &Self) {
        let both = |e: &&u64| other.standing.contains(e) || !other.seen.contains(e);
        let ours = self.standing.iter().filter(both);
        let theirs = other.standing.iter().filter(|e| !self.seen.contains(e));
        self.standing = ours.chain(theirs).copied().collect();
        self.seen.extend(&other.seen);
    }
}

/// The dots that the wrong rules make.
fn wrong_dot(rule: Rule, store: &mut Store, object: &Object, seen: &Context) -> Dot {
    let incarnation = store.incarnation;
    let only = Actor {
        incarnation,
        epoch: KeyEpoch(0),
    };
    match rule {
        Rule::RecordCounter => {
            let counter = object.context().counter(only).max(seen.counter(only)) + 1;
            Dot {
                actor: only,
                counter,
            }
        }
        Rule::StoreCounter => {
            store.counter = store.counter.max(seen.counter(only)) + 1;
            Dot {
                actor: only,
                counter: store.counter,
            }
        }
        Rule::EpochWhenNotFound => {
            let ours = object.context().newest_of(incarnation);
            match ours {
                Some((actor, counter)) if seen.newest_of(incarnation) <= ours => Dot {
                    actor,
                    counter: counter + 1,
                },
                _ => Dot {
                    actor: Actor {
                        incarnation,
                        epoch: store.fresh_epoch(),
                    },
                    counter: 1,
                },
            }
        }
        Rule::LiveEpoch | Rule::OneIncarnation => unreachable!("those go through `coordinate`"),
    }
}

/// What stores with the wrong rules did: nothing stops a dot that was used before.
fn supersede_without_checks(old: &Object, seen: &Context, dot: Dot, write: NewVersion) -> Object {
    let mut context = old.context().clone();
    context.join(seen);
    context.observe(dot);
    let survives = |version: &&Version| !seen.covers(version.dot) && version.dot != dot;
    let mut versions: Vec<Version> = old.versions().iter().filter(survives).cloned().collect();
    let (operation, timestamp) = (write.operation, Timestamp(write.wall_us));
    let hash = write.content.hash();
    versions.push(Version {
        dot,
        timestamp,
        operation,
        hash,
        content: write.content,
    });
    versions.sort_by_key(|version| version.dot);
    Object::from_parts(context, versions).expect("sorted, and covered by the context")
}

fn run(seed: u64, rule: Rule, faults: Faults) -> Verdict {
    let mut run = Run::new(seed, rule);
    for _ in 0..4 + run.random.below(11) {
        run.step(faults);
    }
    run.verdict()
}

const NO_FAULTS: Faults = Faults {
    forget: false,
    lost_tail: false,
};
const FORGET: Faults = Faults {
    forget: true,
    lost_tail: false,
};
const LOST_TAIL: Faults = Faults {
    forget: false,
    lost_tail: true,
};
const BOTH: Faults = Faults {
    forget: true,
    lost_tail: true,
};

#[test]
fn the_live_epoch_rule_loses_nothing_in_100_000_runs() {
    for faults in [NO_FAULTS, FORGET, LOST_TAIL, BOTH] {
        for seed in 0..100_000 {
            let verdict = run(seed, Rule::LiveEpoch, faults);
            assert_eq!(verdict, Verdict::default(), "seed {seed}, {faults:?}");
        }
    }
}

#[test]
fn without_faults_every_rule_is_right() {
    let wrong = [
        Rule::OneIncarnation,
        Rule::EpochWhenNotFound,
        Rule::StoreCounter,
        Rule::RecordCounter,
    ];
    for (rule, seed) in wrong
        .into_iter()
        .flat_map(|rule| (0..5_000).map(move |s| (rule, s)))
    {
        assert_eq!(run(seed, rule, NO_FAULTS).lost, 0, "{rule:?}, seed {seed}");
    }
}

#[test]
fn the_same_runs_catch_the_four_wrong_rules() {
    // Each wrong rule, the faults that show it, and in how many of 20,000 runs they must.
    let rows = [
        (Rule::RecordCounter, FORGET, 1_000),
        (Rule::RecordCounter, LOST_TAIL, 1_000),
        (Rule::StoreCounter, FORGET, 1_000),
        (Rule::StoreCounter, LOST_TAIL, 1_000),
        (Rule::EpochWhenNotFound, FORGET, 5),
        (Rule::EpochWhenNotFound, LOST_TAIL, 500),
        (Rule::OneIncarnation, LOST_TAIL, 500),
    ];
    for (rule, faults, at_least) in rows {
        let found = (0..20_000)
            .filter(|&seed| run(seed, rule, faults).lost > 0)
            .count();
        assert!(
            found >= at_least,
            "{rule:?} under {faults:?}: only {found} of 20,000"
        );
    }
}
