//! Replicas of one key that take updates and deletes and hear of each other.

use super::*;
use crate::crdt::{SetUpdate, Value};
use crate::version::{Dot, NewVersion, coordinate};
use bytes::Bytes;

/// A replica with one key.
#[derive(Clone)]
struct Replica {
    incarnation: Incarnation,
    object: Object,
    live: Option<LiveEpoch>,
    epochs: u64,
}

impl Replica {
    fn new(number: u128) -> Self {
        Self {
            incarnation: Incarnation(number),
            object: Object::new(),
            live: None,
            epochs: 0,
        }
    }

    fn take(
        &mut self,
        operation: u128,
        change: &Update,
        context: Option<&CausalContext>,
    ) -> Result<Dot, NotUpdated> {
        self.epochs += 1;
        let epoch = KeyEpoch(self.epochs);
        let write = NewUpdate {
            update: change,
            context,
            operation: OperationId(operation),
            precision: Precision::DEFAULT,
            wall_us: 1,
        };
        let done = update(
            &mut self.object,
            self.live,
            self.incarnation,
            &write,
            || epoch,
        )?;
        self.live = done.coordinated.live;
        Ok(done.coordinated.dot)
    }

    fn add(&mut self, operation: u128, by: i64) {
        let done = self.take(operation, &Update::Counter(by), None);
        done.expect("a counter takes it");
    }

    fn delete(&mut self, operation: u128) {
        self.epochs += 1;
        let epoch = KeyEpoch(self.epochs);
        let write = NewVersion {
            seen: self.object.context().clone(),
            seen_timestamp: self.object.greatest_timestamp(),
            operation: OperationId(operation),
            content: Content::Tombstone,
            wall_us: 1,
        };
        let done = coordinate(&mut self.object, self.live, self.incarnation, write, || {
            epoch
        });
        self.live = done.live;
    }

    fn hear(&mut self, other: &Self) {
        self.object.merge(&other.object);
    }

    fn value(&self) -> Option<Value> {
        let held = value_of(&self.object).expect("of one type")?;
        Some(held.value().expect("in range"))
    }

    fn counter(&self) -> Option<i128> {
        self.value().map(|value| match value {
            Value::Counter(total) => total,
            other => panic!("{other:?}"),
        })
    }
}

fn set(adds: &[&'static str], removes: &[&'static str]) -> Update {
    let bytes = |item: &&'static str| Bytes::from_static(item.as_bytes());
    let items = |items: &[&'static str]| -> Vec<Bytes> { items.iter().map(bytes).collect() };
    Update::Set(SetUpdate {
        adds: items(adds),
        removes: items(removes),
    })
}

fn members(items: &[&'static str]) -> Option<Value> {
    let items = items.iter().map(|item| Bytes::from_static(item.as_bytes()));
    Some(Value::Set(items.collect()))
}

#[test]
fn updates_apart_are_siblings_that_a_read_joins_and_the_next_update_replaces() {
    let (mut a, mut b) = (Replica::new(1), Replica::new(2));
    a.add(1, 5);
    b.hear(&a);
    a.add(2, 10);
    b.add(3, 100);
    a.hear(&b);
    b.hear(&a);
    assert_eq!(a.object, b.object);
    assert_eq!((a.object.versions().len(), a.counter()), (2, Some(115)));
    b.add(4, 1_000);
    assert_eq!((b.object.versions().len(), b.counter()), (1, Some(1_115)));
    a.hear(&b);
    assert_eq!((&a.object, a.counter()), (&b.object, Some(1_115)));
}

#[test]
fn a_delete_takes_what_it_had_seen_and_an_update_beside_it_lives() {
    let (mut a, mut b) = (Replica::new(1), Replica::new(2));
    a.take(1, &set(&["old"], &[]), None).expect("taken");
    b.hear(&a);
    a.delete(2);
    assert_eq!(a.value(), None);
    b.take(3, &set(&["new"], &[]), None).expect("taken");
    a.hear(&b);
    assert_eq!(a.value(), members(&["new", "old"]), "beside the tombstone");
    let seen = value_of(&a.object).expect("a set").expect("alive");
    let seen = seen.context().clone();
    a.delete(4);
    a.take(5, &set(&["old"], &[]), None).expect("taken");
    let late = a.take(6, &set(&[], &["old", "new"]), Some(&seen));
    late.expect("has seen nothing of what is there");
    assert_eq!(a.value(), members(&["old"]));
    let held = value_of(&a.object).expect("a set").expect("alive");
    assert_eq!(held.state().deferred(), 0, "nothing waits for the deleted");
}

#[test]
fn an_ordinary_value_and_a_data_type_do_not_mix() {
    let mut a = Replica::new(1);
    let write = NewVersion {
        seen: Context::new(),
        seen_timestamp: Timestamp::default(),
        operation: OperationId(1),
        content: Content::Value {
            bytes: Bytes::from_static(b"plain"),
            metadata: Vec::new(),
        },
        wall_us: 1,
    };
    coordinate(&mut a.object, None, a.incarnation, write, || KeyEpoch(9));
    let before = a.object.clone();
    let refused = a.take(2, &Update::Counter(1), None);
    assert_eq!(refused, Err(NotUpdated::NoValue(NoValue::Ordinary)));
    assert_eq!(a.object, before);
    let mut b = Replica::new(2);
    b.add(3, 1);
    let refused = b.take(4, &set(&["x"], &[]), None);
    let (holds, update) = (Kind::Counter, Kind::Set);
    let wrong = Refused::WrongKind { holds, update };
    assert_eq!(refused, Err(NotUpdated::Refused(wrong)));
}

#[test]
fn a_replica_follows_from_the_same_base_to_the_same_bytes_and_from_no_other() {
    let (mut a, mut b) = (Replica::new(1), Replica::new(2));
    a.take(1, &set(&["x"], &[]), None).expect("taken");
    b.hear(&a);
    let change = set(&["y"], &["x"]);
    let write = NewUpdate {
        update: &change,
        context: None,
        operation: OperationId(2),
        precision: Precision::DEFAULT,
        wall_us: 1,
    };
    let done = update(&mut a.object, a.live, a.incarnation, &write, || KeyEpoch(9));
    let record = done.expect("taken").record.expect("it is new");
    let mut other = b.clone();
    other.take(3, &set(&["z"], &[]), None).expect("taken");
    let before = other.object.clone();
    assert_eq!(follow(&mut other.object, &write, &record), Err(OtherBase));
    assert_eq!(other.object, before);
    let wrong = Record {
        hash: ContentHash(0),
        ..record
    };
    assert_eq!(follow(&mut b.object, &write, &wrong), Err(OtherBase));
    for _ in 0..2 {
        assert_eq!(follow(&mut b.object, &write, &record), Ok(()));
        assert_eq!(b.object, a.object);
    }
}

#[test]
fn a_retry_at_another_replica_counts_once_whenever_the_two_meet() {
    let (mut a, mut b) = (Replica::new(1), Replica::new(2));
    a.add(1, 5);
    b.add(1, 5);
    let first = a.object.versions()[0].dot;
    a.hear(&b);
    assert_eq!((a.object.versions().len(), a.counter()), (2, Some(5)));
    assert_eq!(
        a.take(1, &Update::Counter(5), None),
        Ok(first),
        "it is known"
    );
    a.add(2, 1);
    b.hear(&a);
    assert_eq!(b.counter(), Some(6));
}
