//! What clients do with data types.
//!
//! Every increment and every item is its operation's own, and what is removed was read before, with the context of that read. So
//! what a key must hold can be said of each operation by itself.

use super::entries::durable;
use super::{Client, Draft};
use crate::books::{Effect, Typed, Write};
use crate::value::{element, operation_id, operation_of, operation_of_element};
use crate::workload::{Kind, Workload};
use bytes::Bytes;
use ringhold_core::crdt::{
    Field, FieldKind, FieldUpdate, FieldValue, MapUpdate, OPERATIONS_MAX, SetUpdate, Update, Value,
};
use ringhold_core::datatype;
use ringhold_core::quorum::PutSpec;
use ringhold_core::version::token::TokenScope;
use ringhold_core::version::{ContextToken, Object, TokenKey};
use ringhold_wire::message::peer::ClientPut;
use ringhold_wire::message::{PutRequest, TypeUpdate};
use std::collections::BTreeSet;

/// The fields of a map.
pub(crate) const COUNTER: &str = "counter";
pub(crate) const SET: &str = "set";

/// What a client has read of a data type.
#[derive(Clone)]
pub(super) struct Seen {
    sealed: Bytes,
    operations: BTreeSet<usize>,
    /// The value has forgotten the eldest.
    forgot: bool,
    items: BTreeSet<u64>,
}

impl Seen {
    /// None if there is no data type, or nothing any more.
    pub(super) fn of(object: &Object, key: &TokenKey, scope: TokenScope<'_>) -> Option<Self> {
        let held = datatype::value_of(object).ok()??;
        let operations = held.operations();
        let operations = operations.filter_map(|(operation, _)| operation_of(operation));
        let mut operations: BTreeSet<usize> = operations.collect();
        let forgot = operations.len() >= OPERATIONS_MAX;
        let items = items_of(&held.value().ok()?);
        operations.extend(items.iter().filter_map(|item| usize::try_from(*item).ok()));
        Some(Self {
            sealed: key.seal_past(scope, held.context()).into(),
            operations,
            forgot,
            items,
        })
    }
}

/// Whether an operation is there by two names.
pub(super) fn has_twins(object: &Object) -> bool {
    let held = datatype::value_of(object).ok().flatten();
    held.is_some_and(|held| {
        let mut operations = held.operations();
        operations.any(|(_, dots)| dots.count() > 1)
    })
}

/// The items in a set, or in the set of a map. An estimate names none.
pub(crate) fn items_of(value: &Value) -> BTreeSet<u64> {
    let members: &[Bytes] = match value {
        Value::Set(members) => members,
        Value::Map(fields) => fields
            .iter()
            .find_map(|(_, value)| match value {
                FieldValue::Set(members) => Some(&members[..]),
                _ => None,
            })
            .unwrap_or_default(),
        Value::GrowingSet(members) => {
            let operations = members.iter().map(|member| operation_of_element(member));
            let known = operations.map(|operation| operation.and_then(|o| u64::try_from(o).ok()));
            return known.map(|item| item.unwrap_or(u64::MAX)).collect();
        }
        Value::Counter(_) | Value::Hll(_) => &[],
    };
    members.iter().map(item).collect()
}

/// What is no number was put in by nobody.
fn item(member: &Bytes) -> u64 {
    let number = std::str::from_utf8(member)
        .ok()
        .and_then(|text| text.parse().ok());
    number.unwrap_or(u64::MAX)
}

impl Client {
    /// Updates a data type, or deletes it.
    pub(super) async fn update(&mut self, key: usize, workload: Workload) {
        let seen = self.memory.get(&key).and_then(|read| read.typed.clone());
        let effect = self.effect(workload, seen.as_ref());
        if effect == Effect::Delete {
            let context = self.memory.get(&key).cloned();
            let draft = Draft::of(Kind::Delete, BTreeSet::new(), context);
            return self.write(key, workload, draft).await;
        }
        let node = *self.random.pick(&self.cluster.members());
        let (operation, put) = self.record_update(key, workload, node, effect, seen);
        let outcome = self.attempts(key, node, operation, put).await;
        self.end(operation, outcome, node);
    }

    /// Something to do, with what was read if it takes something away.
    fn effect(&mut self, workload: Workload, seen: Option<&Seen>) -> Effect {
        let amount = i64::try_from(self.random.between(1, 1_000)).expect("small");
        let dice = self.random.below(10);
        let mut items = seen.into_iter().flat_map(|seen| &seen.items);
        let some_item = items.nth(self.random.index(3)).copied();
        match (workload, some_item) {
            (Workload::TypedSet, Some(item)) if dice < 4 => Effect::Remove(item),
            (Workload::TypedSet, _) => Effect::Add,
            (Workload::TypedMap, Some(item)) if dice < 2 => Effect::Remove(item),
            (Workload::TypedMap, _) if dice < 5 => Effect::Add,
            (Workload::TypedMap, _) if dice == 5 && seen.is_some() => Effect::RemoveCounter,
            (Workload::TypedMap, _) if dice == 6 && seen.is_some() => Effect::RemoveSet,
            (Workload::GrowingSet | Workload::Estimate, _) => Effect::Add,
            (Workload::TypedDeletes, _) if dice < 3 && seen.is_some() => Effect::Delete,
            (Workload::TypedCounter, _) if dice < 3 => Effect::Increment(-amount),
            _ => Effect::Increment(amount),
        }
    }

    /// What the books say of a delete of a data type.
    pub(super) fn typed_delete(&self, key: usize, draft: &Draft) -> Option<Typed> {
        if !self.cluster.around().books.lock().typed.contains(&key) {
            return None;
        }
        let read = draft.context.as_ref()?.typed.as_ref()?;
        Some(Typed {
            effect: Effect::Delete,
            saw: read.operations.clone(),
            saw_more: read.forgot,
        })
    }

    /// Puts an update into the books and makes its request.
    fn record_update(
        &mut self,
        key: usize,
        workload: Workload,
        node: usize,
        effect: Effect,
        seen: Option<Seen>,
    ) -> (usize, ClientPut) {
        let (options, durability) = self.put_options();
        let n = options.n_val.unwrap_or(self.plan().replicas_at_least());
        let resolved = options.quorum.resolve(n, &PutSpec::default());
        let resolved = resolved.expect("no client asks for more than N");
        let saw = seen.as_ref().map(|seen| seen.operations.clone());
        let saw_more = seen.as_ref().is_some_and(|seen| seen.forgot);
        let write = Write {
            hash: None,
            typed: Some(Typed {
                effect,
                saw: saw.unwrap_or_default(),
                saw_more,
            }),
            adds: None,
            removes: None,
            saw: crate::dots::DotSet::default(),
            tries: 0,
            dots: Vec::new(),
            w: resolved.acknowledgements_required(),
            dw: durable(durability, &resolved),
            n,
            names_n: options.n_val.is_some(),
            held_by: BTreeSet::new(),
            condition: None,
            ending: None,
        };
        let operation = self.begin(key, workload, Kind::Update, node, Some(write));
        let update = TypeUpdate {
            update: update_of(workload, operation, effect),
            context: None,
        };
        let request = PutRequest {
            name: self.name(key),
            seen: ContextToken::default(),
            operation: operation_id(operation),
            change: update.into(),
            unchanged_since: None,
            options,
            return_object: self.random.chance(300_000),
            explain: self.random.chance(50_000),
        };
        let context = seen.map(|seen| seen.sealed).unwrap_or_default();
        (operation, ClientPut { request, context })
    }
}

fn update_of(workload: Workload, operation: usize, effect: Effect) -> Update {
    let bytes = |item: u64| Bytes::from(item.to_string());
    let own = || bytes(u64::try_from(operation).expect("counts fit"));
    let set = |adds, removes| SetUpdate { adds, removes };
    match workload {
        Workload::GrowingSet => return Update::GrowingSet(vec![element(operation)]),
        Workload::Estimate => return Update::Hll(vec![element(operation)]),
        _ => {}
    }
    if workload != Workload::TypedMap {
        return match effect {
            Effect::Increment(by) => Update::Counter(by),
            Effect::Remove(item) => Update::Set(set(Vec::new(), vec![bytes(item)])),
            _ => Update::Set(set(vec![own()], Vec::new())),
        };
    }
    let updates = |name: &'static str, update| MapUpdate {
        removes: Vec::new(),
        updates: vec![(Bytes::from(name), update)],
    };
    let removes = |name: &'static str, kind| MapUpdate {
        removes: vec![Field {
            name: name.into(),
            kind,
        }],
        updates: Vec::new(),
    };
    Update::Map(match effect {
        Effect::Increment(by) => updates(COUNTER, FieldUpdate::Counter(by)),
        Effect::Remove(item) => updates(SET, FieldUpdate::Set(set(Vec::new(), vec![bytes(item)]))),
        Effect::RemoveCounter => removes(COUNTER, FieldKind::Counter),
        Effect::RemoveSet => removes(SET, FieldKind::Set),
        Effect::Add | Effect::Delete => {
            updates(SET, FieldUpdate::Set(set(vec![own()], Vec::new())))
        }
    })
}
