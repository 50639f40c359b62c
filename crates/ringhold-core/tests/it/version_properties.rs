//! The laws of merging and coordinating, on arbitrary states.

use bytes::Bytes;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use ringhold_core::id::{Incarnation, OperationId};
use ringhold_core::version::token::TokenScope;
use ringhold_core::version::truncate::truncate;
use ringhold_core::version::{
    Actor, Content, Context, ContextToken, Dot, KeyEpoch, LiveEpoch, NewVersion, Object, Timestamp,
    TokenKey, Version, coordinate,
};

const STORE: Incarnation = Incarnation(2);

/// One dot names one write, so its version follows from it; every fifth is a delete, and few
/// operation ids and values occur, so that retries' twins do.
fn version_of(dot: Dot) -> Version {
    let number = dot.actor.epoch.0 * 10 + dot.counter;
    let bytes = Bytes::from((number % 3).to_be_bytes().to_vec());
    let content = if number.is_multiple_of(5) {
        Content::Tombstone
    } else {
        Content::Value {
            bytes,
            metadata: Vec::new(),
        }
    };
    Version {
        dot,
        timestamp: Timestamp(1_000 + dot.counter),
        operation: OperationId(u128::from(dot.counter % 3)),
        hash: content.hash(),
        content,
    }
}

/// Any context over a few actors with any of the covered dots alive: not only what runs reach.
fn any_object() -> impl Strategy<Value = Object> {
    let entries = btree_map((1..4u128, 1..3u64), 1..5u64, 0..5);
    (entries, vec(any::<bool>(), 64)).prop_map(|(entries, alive)| {
        let mut context = Context::new();
        let mut versions = Vec::new();
        let mut alive = alive.into_iter();
        for ((incarnation, epoch), counter) in entries {
            let actor = Actor {
                incarnation: Incarnation(incarnation),
                epoch: KeyEpoch(epoch),
            };
            context.observe(Dot { actor, counter });
            let dots = (1..=counter).map(|counter| Dot { actor, counter });
            versions.extend(dots.filter(|_| alive.next() == Some(true)).map(version_of));
        }
        Object::from_parts(context, versions).expect("sorted, and covered by the context")
    })
}

fn merged(left: &Object, right: &Object) -> Object {
    let mut object = left.clone();
    object.merge(right);
    object
}

fn delete(seen: &Context, operation: u128, wall_us: u64) -> NewVersion {
    NewVersion {
        seen: seen.clone(),
        seen_timestamp: Timestamp(7),
        operation: OperationId(operation),
        content: Content::Tombstone,
        wall_us,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn merge_is_commutative_associative_idempotent(
        a in any_object(), b in any_object(), c in any_object(),
    ) {
        let ab = merged(&a, &b);
        prop_assert_eq!(&ab, &merged(&b, &a));
        prop_assert_eq!(merged(&ab, &c), merged(&a, &merged(&b, &c)));
        prop_assert_eq!(merged(&a, &a), a.clone());
        prop_assert_eq!(merged(&ab, &a), ab.clone());
        prop_assert_eq!(merged(&ab, &b), ab);
    }

    #[test]
    fn a_merged_object_keeps_its_invariants(a in any_object(), b in any_object()) {
        let object = merged(&a, &b);
        let parts = Object::from_parts(object.context().clone(), object.versions().to_vec());
        prop_assert_eq!(parts, Ok(object.clone()));
        for version in a.versions() {
            let stays = object.versions().contains(version);
            prop_assert!(stays || b.context().covers(version.dot), "only who saw it removes it");
        }
    }

    #[test]
    fn a_put_replaces_exactly_what_its_writer_had_seen(before in any_object(), seen in any_object()) {
        let write = delete(seen.context(), 99, 0);
        let mut after = before.clone();
        let done = coordinate(&mut after, None, STORE, write.clone(), || KeyEpoch(77));
        for version in before.versions() {
            let kept = after.versions().contains(version);
            prop_assert_eq!(kept, !seen.context().covers(version.dot));
        }
        let added = after.versions().iter().find(|v| v.dot == done.dot).expect("it was added");
        prop_assert!(before.versions().iter().all(|old| old.timestamp < added.timestamp));
        prop_assert!(added.timestamp > Timestamp(7));
        // A retry of the operation adds nothing and answers with the same dot.
        let once = after.clone();
        let retried = coordinate(&mut after, done.live, STORE, write, || KeyEpoch(78));
        prop_assert!(retried.repeated && retried.dot == done.dot && retried.live == done.live);
        prop_assert_eq!(after, once);
    }

    #[test]
    fn only_a_live_epoch_that_equals_the_context_is_extended(
        object in any_object(), epoch in 1..4u64, counter in 1..6u64,
    ) {
        let live = LiveEpoch { epoch: KeyEpoch(epoch), counter };
        let newest = object.context().newest_of(STORE);
        let right = newest.is_some_and(|(a, n)| a.epoch.0 == epoch && n == counter);
        let mut after = object.clone();
        let write = delete(&Context::new(), 99, 0);
        let done = coordinate(&mut after, Some(live), STORE, write, || KeyEpoch(77));
        let want = if right { (epoch, counter + 1) } else { (77, 1) };
        prop_assert_eq!((done.dot.actor.epoch.0, done.dot.counter), want);
        prop_assert_eq!(done.epoch_restarted, !right && newest.is_some());
    }

    #[test]
    fn of_values_written_once_all_replicas_keep_the_same_one(a in any_object(), b in any_object()) {
        let (mut one, mut other) = (merged(&a, &b), merged(&b, &a));
        let values: Vec<Version> = one.versions().iter().filter(|v| !v.content.is_tombstone()).cloned().collect();
        one.keep_first_written();
        other.keep_first_written();
        prop_assert_eq!(&one, &other);
        if let Some(least) = values.iter().map(|version| version.hash).min() {
            prop_assert_eq!(one.versions().len(), 1);
            prop_assert_eq!(one.versions()[0].hash, least);
        }
    }

    #[test]
    fn an_answer_shows_each_operation_once_and_hides_nothing_else(object in any_object()) {
        let shown = object.siblings();
        for version in object.versions() {
            let twin = |v: &&Version| v.operation == version.operation && v.hash == version.hash;
            let greatest = object.versions().iter().filter(twin).map(|v| v.dot).max();
            let visible = shown.iter().any(|v| v.dot == version.dot);
            prop_assert_eq!(visible, greatest == Some(version.dot));
        }
    }

    #[test]
    fn truncation_never_drops_the_entry_of_a_living_version(
        object in any_object(), keep in 0..4usize,
    ) {
        let mut after = object.clone();
        let dropped = truncate(&mut after, keep);
        prop_assert_eq!(after.versions(), object.versions());
        prop_assert_eq!(after.context().len() + dropped, object.context().len());
        prop_assert!(after.versions().iter().all(|v| after.context().covers(v.dot)));
        let idle = |actor: &Actor| after.versions().iter().all(|v| v.dot.actor != *actor);
        let spare = after.context().entries().iter().any(|(actor, _)| idle(actor));
        prop_assert!(after.context().len() <= keep || !spare);
    }

    #[test]
    fn tokens_open_only_whole_and_for_their_key(
        object in any_object(), timestamp in any::<u64>(),
        at in any::<prop::sample::Index>(), flip in 1..=255u8,
    ) {
        let keys = TokenKey::new(&[7; 32], None);
        let scope = TokenScope { bucket_type: b"default", bucket: b"carts", key: b"k" };
        let timestamp = Timestamp(timestamp);
        let token = ContextToken { context: object.context().clone(), timestamp };
        let sealed = keys.seal(scope, &token);
        prop_assert_eq!(keys.open(scope, &sealed), Ok(token));
        for other in [
            TokenScope { key: b"other", ..scope },
            TokenScope { bucket: b"cart", key: b"sk", ..scope },
            TokenScope { bucket_type: b"maps", ..scope },
        ] {
            prop_assert!(keys.open(other, &sealed).is_err());
        }
        let mut forged = sealed.clone();
        forged[at.index(sealed.len())] ^= flip;
        prop_assert!(keys.open(scope, &forged).is_err());
        for end in 0..sealed.len() {
            prop_assert!(keys.open(scope, &sealed[..end]).is_err());
        }
        let rotated = TokenKey::new(&[8; 32], Some(&[7; 32]));
        prop_assert!(rotated.open(scope, &sealed).is_ok());
        prop_assert!(TokenKey::new(&[8; 32], None).open(scope, &sealed).is_err());
    }

    #[test]
    fn random_bytes_are_no_token(bytes in vec(any::<u8>(), 0..200)) {
        let scope = TokenScope { bucket_type: b"", bucket: b"", key: b"" };
        prop_assert!(TokenKey::new(&[7; 32], None).open(scope, &bytes).is_err());
    }
}

/// Two polite clients that read, modify and write in turn, each one step behind the other (T1):
/// each put replaces what its writer had seen, so siblings don't pile up.
#[test]
fn interleaved_clients_leave_two_siblings_not_ten_thousand() {
    let (mut object, mut live) = (Object::new(), None);
    let mut contexts = [Context::new(), Context::new()];
    for turn in 0..10_000u64 {
        let client = usize::from(turn % 2 == 1);
        let write = delete(&contexts[client], u128::from(turn), turn);
        live = coordinate(&mut object, live, STORE, write, || KeyEpoch(turn + 1)).live;
        contexts[client] = object.context().clone();
        let siblings = object.versions().len();
        assert!(siblings <= 2, "turn {turn}: {siblings} siblings");
    }
    assert_eq!(object.context().len(), 1);
}
