//! Short ways to write dots, updates and values down.

use crate::crdt::*;
use crate::id::Incarnation;
use crate::version::{Actor, Dot, KeyEpoch, Timestamp};
use bytes::Bytes;

pub(super) fn text(text: &str) -> Bytes {
    Bytes::from(text.as_bytes().to_vec())
}

pub(super) fn texts(words: &str) -> Vec<Bytes> {
    words.split_whitespace().map(text).collect()
}

pub(super) fn dot(replica: usize, counter: u64) -> Dot {
    let incarnation = Incarnation(u128::try_from(replica).expect("few") + 1);
    let epoch = KeyEpoch(1);
    let actor = Actor { incarnation, epoch };
    Dot { actor, counter }
}

pub(super) fn field(name: &str, kind: FieldKind) -> Field {
    let name = text(name);
    Field { name, kind }
}

pub(super) fn set(adds: &str, removes: &str) -> SetUpdate {
    let (adds, removes) = (texts(adds), texts(removes));
    SetUpdate { adds, removes }
}

pub(super) fn change(updates: Vec<(&str, FieldUpdate)>) -> MapUpdate {
    let updates = updates
        .into_iter()
        .map(|(name, update)| (text(name), update));
    let (removes, updates) = (Vec::new(), updates.collect());
    MapUpdate { removes, updates }
}

pub(super) fn without(name: &str, kind: FieldKind) -> MapUpdate {
    let removes = vec![field(name, kind)];
    let updates = Vec::new();
    MapUpdate { removes, updates }
}

/// A replica that counts its own dots. Its clock stands still unless it is set.
#[derive(Clone)]
pub(super) struct Replica {
    pub(super) number: usize,
    pub(super) counter: u64,
    pub(super) clock: u64,
    pub(super) state: State,
}

impl Replica {
    pub(super) fn new(number: usize, kind: Kind) -> Self {
        let state = State::new(kind);
        let (counter, clock) = (0, 0);
        Self {
            number,
            counter,
            clock,
            state,
        }
    }

    /// Takes an update and gives its delta.
    pub(super) fn take(
        &mut self,
        update: &Update,
        context: Option<&CausalContext>,
    ) -> Result<Delta, Refused> {
        let dot = dot(self.number, self.counter + 1);
        let delta = self
            .state
            .apply(update, dot, Timestamp(self.clock), context)?;
        self.counter += 1;
        self.join(&delta);
        Ok(delta)
    }

    pub(super) fn set(
        &mut self,
        adds: &str,
        removes: &str,
        context: Option<&CausalContext>,
    ) -> Delta {
        self.take(&Update::Set(set(adds, removes)), context)
            .expect("can be carried out")
    }

    pub(super) fn map(&mut self, update: MapUpdate, context: Option<&CausalContext>) -> Delta {
        self.take(&Update::Map(update), context)
            .expect("can be carried out")
    }

    pub(super) fn update(&mut self, name: &str, update: FieldUpdate) -> Delta {
        self.map(change(vec![(name, update)]), None)
    }

    pub(super) fn count(&mut self, by: i64) -> Delta {
        self.take(&Update::Counter(by), None).expect("in range")
    }

    pub(super) fn join(&mut self, other: &State) {
        self.state.join(other).expect("of one kind");
    }

    pub(super) fn context(&self) -> CausalContext {
        self.state.context().clone()
    }

    pub(super) fn value(&self) -> Value {
        self.state.value().expect("in range")
    }

    /// The members of the set, with spaces between.
    pub(super) fn members(&self) -> String {
        match self.value() {
            Value::Set(members) | Value::GrowingSet(members) => spaced(&members),
            other => panic!("{other:?} is no set"),
        }
    }

    pub(super) fn field(&self, name: &str, kind: FieldKind) -> Option<FieldValue> {
        let Value::Map(fields) = self.value() else {
            panic!("no map");
        };
        within(&fields, name, kind)
    }
}

pub(super) fn within(fields: &MapValue, name: &str, kind: FieldKind) -> Option<FieldValue> {
    let wanted = field(name, kind);
    let found = fields.iter().find(|(field, _)| *field == wanted);
    found.map(|(_, value)| value.clone())
}

fn spaced(members: &[Bytes]) -> String {
    let members = members
        .iter()
        .map(|member| String::from_utf8_lossy(member).into_owned());
    members.collect::<Vec<_>>().join(" ")
}

/// Everybody gets everything.
pub(super) fn gather(replicas: &mut [Replica]) {
    let mut all = replicas[0].state.clone();
    for replica in &replicas[1..] {
        all.join(&replica.state).expect("of one kind");
    }
    for replica in replicas {
        replica.join(&all);
        assert_eq!(replica.state, all);
    }
}
