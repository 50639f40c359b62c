//! The counter in a map, in *every* history of a few steps.
//!
//! Two replicas and a client. Each increment adds another power of two, so the value of the counter says which
//! increments stand. What must stand is two masks: an increment is gone where a reset has arrived whose context had seen it, and nowhere else.

use super::sample::{Replica, change, without};
use crate::crdt::*;

#[derive(Clone, Copy, Debug)]
enum Action {
    Increment,
    /// Removes the field, with what the replica has now as context.
    Reset,
    /// The client reads here.
    Read,
    /// The client, with what it read last, removes the field here.
    ResetOfClient,
    /// Sends the last delta that was made here to the other replica.
    SendDelta,
    SendState,
}

use Action::{Increment, Read, Reset, ResetOfClient, SendDelta, SendState};
const ACTIONS: [Action; 6] = [Increment, Reset, Read, ResetOfClient, SendDelta, SendState];
const STEPS: usize = 5;

/// Which increments have arrived, and which are to go.
#[derive(Clone, Copy, Debug, Default)]
struct Masks {
    seen: i128,
    gone: i128,
}

#[derive(Clone)]
struct World {
    replicas: [Replica; 2],
    wanted: [Masks; 2],
    /// The last delta of each, and what it says.
    deltas: [(State, Masks); 2],
    client: (CausalContext, i128),
    increments: u32,
}

fn counter() -> &'static str {
    "c"
}

impl World {
    fn new() -> Self {
        let nothing = || (State::new(Kind::Map), Masks::default());
        Self {
            replicas: [0, 1].map(|number| Replica::new(number, Kind::Map)),
            wanted: [Masks::default(); 2],
            deltas: [nothing(), nothing()],
            client: (CausalContext::new(), 0),
            increments: 0,
        }
    }

    fn step(&mut self, at: usize, action: Action) {
        let replica = &mut self.replicas[at];
        let says = match action {
            Increment => {
                let amount = 1_i64 << self.increments;
                self.increments += 1;
                let update = change(vec![(counter(), FieldUpdate::Counter(amount))]);
                let says = Masks {
                    seen: amount.into(),
                    gone: 0,
                };
                Some((replica.map(update, None), says))
            }
            Reset => {
                let now = replica.context();
                let says = Masks {
                    seen: 0,
                    gone: self.wanted[at].seen,
                };
                Some((
                    replica.map(without(counter(), FieldKind::Counter), Some(&now)),
                    says,
                ))
            }
            ResetOfClient => {
                let (context, seen) = &self.client;
                let says = Masks {
                    seen: 0,
                    gone: *seen,
                };
                Some((
                    replica.map(without(counter(), FieldKind::Counter), Some(context)),
                    says,
                ))
            }
            Read => {
                self.client = (replica.context(), self.wanted[at].seen);
                None
            }
            SendDelta => {
                let (delta, says) = self.deltas[at].clone();
                self.replicas[1 - at].join(&delta);
                self.learn(1 - at, says);
                None
            }
            SendState => {
                let state = replica.state.clone();
                self.replicas[1 - at].join(&state);
                self.learn(1 - at, self.wanted[at]);
                None
            }
        };
        if let Some((delta, says)) = says {
            self.learn(at, says);
            self.deltas[at] = (delta, says);
        }
    }

    fn learn(&mut self, at: usize, says: Masks) {
        self.wanted[at].seen |= says.seen;
        self.wanted[at].gone |= says.gone;
        let wanted = self.wanted[at].seen & !self.wanted[at].gone;
        let value = match self.replicas[at].field(counter(), FieldKind::Counter) {
            Some(FieldValue::Counter(value)) => value,
            _ => 0,
        };
        assert_eq!(value, wanted, "{:?}", self.wanted[at]);
    }
}

/// All histories that go on from here; how many there are.
fn explore(world: &World, steps_left: usize) -> u64 {
    if steps_left == 0 {
        return 1;
    }
    let mut histories = 0;
    for at in [0, 1] {
        for action in ACTIONS {
            let mut next = world.clone();
            next.step(at, action);
            histories += explore(&next, steps_left - 1);
        }
    }
    histories
}

#[test]
fn every_increment_stands_unless_a_reset_had_seen_it() {
    let choices = 2 * ACTIONS.len() as u64;
    let all = (0..STEPS).fold(1, |all, _| all * choices);
    assert_eq!(explore(&World::new(), STEPS), all);
}
