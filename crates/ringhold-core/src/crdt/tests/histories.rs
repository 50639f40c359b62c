//! Random histories of three to five replicas whose messages are lost, repeated and reordered, held against the model after every step.
//!
//! A delta is never delivered by itself: a step picks any delta that was ever made and any replica, so it may come never, twice, late, or
//! in a group with another. A context may be of now, or of a client that read long ago and elsewhere.

use super::model::{Model, Operations, Reading};
use super::sample::dot;
use super::updates::any_update;
use crate::crdt::*;
use crate::version::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestCaseError;

#[derive(Clone, Debug)]
pub(super) enum Step {
    Update {
        at: usize,
        update: Update,
        context: Remembered,
        timestamp: u64,
    },
    /// A client reads, and keeps the context.
    Read {
        at: usize,
        client: usize,
    },
    Delta {
        which: Index,
        to: usize,
    },
    /// Two deltas are joined and travel as one.
    Group {
        first: Index,
        second: Index,
        to: usize,
    },
    State {
        from: usize,
        to: usize,
    },
    /// An update that a replica has is taken there once more.
    Retry {
        which: Index,
        at: usize,
    },
}

#[derive(Clone, Debug)]
pub(super) enum Remembered {
    None,
    Now,
    Client(usize),
}

const REPLICAS: usize = 5;
const CLIENTS: usize = 3;

struct Replica {
    state: State,
    counter: u64,
    seen: Operations,
}

pub(super) struct World {
    kind: Kind,
    reading: Reading,
    model: Model,
    replicas: Vec<Replica>,
    clients: Vec<(CausalContext, Operations)>,
    deltas: Vec<(Delta, Update, Operations)>,
}

type Checked = Result<(), TestCaseError>;

impl World {
    fn new(kind: Kind, replicas: usize, reading: Reading) -> Self {
        // Some begin to count where a key that was deleted has ended.
        let replica = |number: usize| Replica {
            state: State::new(kind),
            counter: if number == 1 { 9 } else { 0 },
            seen: Operations::new(),
        };
        Self {
            kind,
            reading,
            model: Model::new(kind),
            replicas: (0..replicas).map(replica).collect(),
            clients: vec![(CausalContext::new(), Operations::new()); CLIENTS],
            deltas: Vec::new(),
        }
    }

    fn step(&mut self, step: &Step) -> Checked {
        let count = self.replicas.len();
        match step {
            Step::Update {
                at,
                update,
                context,
                timestamp,
            } => self.update(at % count, update, context, *timestamp),
            Step::Read { at, client } => {
                let replica = &self.replicas[at % count];
                self.clients[*client] = (replica.state.context().clone(), replica.seen.clone());
                Ok(())
            }
            Step::Delta { which, to } if !self.deltas.is_empty() => {
                let (delta, _, operations) = which.get(&self.deltas).clone();
                self.join(to % count, &delta, &operations)
            }
            Step::Group { first, second, to } if !self.deltas.is_empty() => {
                let (mut group, _, mut operations) = first.get(&self.deltas).clone();
                let (delta, _, more) = second.get(&self.deltas);
                group.join(delta).expect("of one kind");
                operations.extend(more);
                self.join(to % count, &group, &operations)
            }
            Step::State { from, to } => {
                let replica = &self.replicas[from % count];
                let (state, seen) = (replica.state.clone(), replica.seen.clone());
                self.join(to % count, &state, &seen)
            }
            Step::Retry { which, at } if !self.deltas.is_empty() => {
                self.retry(which.index(self.deltas.len()), at % count)
            }
            _ => Ok(()),
        }
    }

    fn update(
        &mut self,
        at: usize,
        update: &Update,
        context: &Remembered,
        timestamp: u64,
    ) -> Checked {
        let replica = &mut self.replicas[at];
        let now = (replica.state.context().clone(), replica.seen.clone());
        let context = match context {
            Remembered::None => None,
            Remembered::Now => Some(&now),
            Remembered::Client(client) => Some(&self.clients[*client]),
        };
        let dot = dot(at, replica.counter + 1);
        let (dots, operations) = context.map(|(dots, operations)| (dots, operations)).unzip();
        let delta = replica.state.apply(update, dot, Timestamp(timestamp), dots);
        let wanted = self
            .model
            .take(&replica.seen, update, dot, timestamp, operations);
        let (delta, operation) = match (delta, wanted) {
            (Ok(delta), Ok(operation)) => (delta, operation),
            (Err(refused), Err(reason)) => {
                prop_assert_eq!(refused.reason(), reason);
                return Ok(());
            }
            (delta, wanted) => {
                let difference = format!("{update:?}: {delta:?}, the model: {wanted:?}");
                return Err(TestCaseError::fail(difference));
            }
        };
        replica.counter += 1;
        let operations = Operations::from([operation]);
        self.deltas
            .push((delta.clone(), update.clone(), operations.clone()));
        self.join(at, &delta, &operations)
    }

    fn retry(&mut self, which: usize, at: usize) -> Checked {
        let (_, update, operations) = &self.deltas[which];
        let replica = &self.replicas[at];
        if !operations.is_subset(&replica.seen) {
            return Ok(());
        }
        let operation = *operations.first().expect("a delta is of one operation");
        let context = Some(&self.clients[0].0);
        let again = replica
            .state
            .apply(update, self.model.dot(operation), Timestamp(99), context);
        prop_assert_eq!(again, Ok(State::new(self.kind)), "a retry changes nothing");
        Ok(())
    }

    fn join(&mut self, to: usize, other: &State, operations: &Operations) -> Checked {
        let replica = &mut self.replicas[to];
        replica.state.join(other).expect("of one kind");
        replica.seen.extend(operations);
        let replica = &self.replicas[to];
        self.check(&replica.state, &replica.seen)
    }

    fn check(&self, state: &State, seen: &Operations) -> Checked {
        let dots: CausalContext = seen.iter().map(|number| self.model.dot(*number)).collect();
        if self.kind.has_context() {
            prop_assert_eq!(state.context(), &dots, "what was seen, and nothing else");
        }
        let value = state.value().expect("in range");
        prop_assert_eq!(&value, &self.model.value(seen, Reading::Exact));
        if self.reading == Reading::Declared {
            prop_assert_eq!(&value, &self.model.value(seen, Reading::Declared));
        }
        Ok(())
    }

    /// Everything reaches everybody: all are equal, by their bytes too, and nothing waits.
    fn end(&mut self) -> Checked {
        let mut all = State::new(self.kind);
        for replica in &self.replicas {
            all.join(&replica.state).expect("of one kind");
        }
        let mut deltas = State::new(self.kind);
        for (delta, ..) in self.deltas.iter().rev() {
            deltas.join(delta).expect("of one kind");
        }
        prop_assert_eq!(&deltas, &all, "the deltas together are the states together");
        prop_assert_eq!(all.deferred(), 0);
        let seen = (0..self.deltas.len()).collect();
        self.check(&all, &seen)?;
        for replica in self.replicas.iter().rev() {
            let mut state = replica.state.clone();
            state.join(&all).expect("of one kind");
            prop_assert_eq!(state.to_bytes(), all.to_bytes());
            for state in [&state, &replica.state] {
                let read = State::from_bytes(&state.to_bytes());
                prop_assert_eq!(read.as_ref(), Ok(state));
            }
        }
        Ok(())
    }

    /// What the replicas have at the end, and all deltas.
    pub(super) fn into_states(self) -> Vec<State> {
        let deltas = self.deltas.into_iter().map(|(delta, ..)| delta);
        let states = self.replicas.into_iter().map(|replica| replica.state);
        states.chain(deltas).collect()
    }
}

fn any_remembered() -> impl Strategy<Value = Remembered> {
    prop_oneof![
        2 => Just(Remembered::None),
        2 => Just(Remembered::Now),
        3 => (0..CLIENTS).prop_map(Remembered::Client),
    ]
}

/// `gaps`: whether deltas travel by themselves.
pub(super) fn any_step(kind: Kind, gaps: bool) -> impl Strategy<Value = Step> {
    let replica = || 0..REPLICAS;
    let update = (replica(), any_update(kind), any_remembered(), 0..4_u64);
    let deltas = if gaps { (4, 1) } else { (0, 0) };
    let index = any::<Index>;
    prop_oneof![
        7 => update.prop_map(|(at, update, context, timestamp)| Step::Update { at, update, context, timestamp }),
        3 => (replica(), 0..CLIENTS).prop_map(|(at, client)| Step::Read { at, client }),
        deltas.0 => (index(), replica()).prop_map(|(which, to)| Step::Delta { which, to }),
        deltas.1 => (index(), index(), replica())
            .prop_map(|(first, second, to)| Step::Group { first, second, to }),
        3 => (replica(), replica()).prop_map(|(from, to)| Step::State { from, to }),
        1 => (index(), replica()).prop_map(|(which, at)| Step::Retry { which, at }),
    ]
}

#[derive(Clone, Debug)]
pub(super) struct History {
    pub(super) kind: Kind,
    replicas: usize,
    reading: Reading,
    steps: Vec<Step>,
}

pub(super) fn any_history(kind: Kind, gaps: bool) -> impl Strategy<Value = History> {
    let reading = if gaps {
        Reading::Exact
    } else {
        Reading::Declared
    };
    let parts = (3..=REPLICAS, vec(any_step(kind, gaps), 1..40));
    parts.prop_map(move |(replicas, steps)| History {
        kind,
        replicas,
        reading,
        steps,
    })
}

pub(super) fn run(history: &History) -> Result<World, TestCaseError> {
    let mut world = World::new(history.kind, history.replicas, history.reading);
    for step in &history.steps {
        world.step(step)?;
    }
    world.end()?;
    Ok(world)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn counters_are_what_the_model_says(history in any_history(Kind::Counter, false)) {
        run(&history)?;
    }

    #[test]
    fn sets_are_what_the_model_says(history in any_history(Kind::Set, true)) {
        run(&history)?;
    }

    #[test]
    fn sets_are_what_clients_are_promised(history in any_history(Kind::Set, false)) {
        run(&history)?;
    }

    #[test]
    fn maps_are_what_the_model_says(history in any_history(Kind::Map, true)) {
        run(&history)?;
    }

    #[test]
    fn maps_are_what_clients_are_promised(history in any_history(Kind::Map, false)) {
        run(&history)?;
    }
}
