//! Each rule by its name.

use super::sample::{Replica, change, dot, field, gather, set, text, texts, within, without};
use crate::crdt::*;
use crate::version::Timestamp;

fn pair(kind: Kind) -> (Replica, Replica) {
    (Replica::new(0, kind), Replica::new(1, kind))
}

fn both_see(a: &mut Replica, b: &mut Replica) {
    let (ours, theirs) = (a.state.clone(), b.state.clone());
    a.join(&theirs);
    b.join(&ours);
    assert_eq!(a.state, b.state);
}

#[test]
fn adding_wins_over_a_concurrent_remove() {
    let (mut a, mut b) = pair(Kind::Set);
    a.set("x", "", None);
    both_see(&mut a, &mut b);
    let seen = b.context();
    a.set("x", "", None);
    b.set("", "x", Some(&seen));
    assert_eq!(b.members(), "");
    both_see(&mut a, &mut b);
    assert_eq!(a.members(), "x");
}

#[test]
fn a_remove_of_what_was_seen_wins_over_old_states() {
    let (mut a, mut b) = pair(Kind::Set);
    a.set("x y", "", None);
    let old = a.state.clone();
    b.join(&old);
    b.set("", "x", None);
    b.join(&old);
    assert_eq!(b.members(), "y");
    a.join(&b.state);
    assert_eq!(
        a.members(),
        "y",
        "y was added under the same dot, and stays"
    );
}

#[test]
fn the_delta_of_a_remove_takes_nothing_else_that_its_update_added() {
    let (mut a, mut b) = pair(Kind::Set);
    let added = a.set("x y", "", None);
    b.join(&added);
    let removed = a.set("", "x", None);
    b.join(&removed);
    assert_eq!(b.members(), "y");
}

#[test]
fn a_remove_waits_for_what_its_context_has_seen_and_the_replica_has_not() {
    let (mut a, mut b) = pair(Kind::Set);
    let added = a.set("x", "", None);
    let seen = a.context();
    b.set("y", "", None);
    b.set("", "x", Some(&seen));
    assert_eq!((b.members().as_str(), b.state.deferred()), ("y", 1));
    b.join(&added);
    assert_eq!((b.members().as_str(), b.state.deferred()), ("y", 0));

    // The waiting remove travels with the state, and a later add is none of its business.
    let (mut c, mut d) = (Replica::new(2, Kind::Set), Replica::new(3, Kind::Set));
    c.set("", "x", Some(&seen));
    d.join(&c.state);
    d.set("x", "", None);
    d.join(&added);
    assert_eq!((d.members().as_str(), d.state.deferred()), ("x", 0));
}

#[test]
fn a_remove_without_context_of_something_absent_is_refused() {
    let mut a = Replica::new(0, Kind::Set);
    a.set("x", "", None);
    let before = a.state.clone();
    let update = Update::Set(set("new", "x nosuch"));
    let refused = a.take(&update, None).expect_err("nosuch is absent");
    let (fields, element) = (Vec::new(), text("nosuch"));
    assert_eq!(refused, Refused::ElementNotPresent { fields, element });
    assert_eq!(refused.reason(), "not_present");
    assert_eq!(a.state, before, "all or nothing");

    let mut m = Replica::new(0, Kind::Map);
    let update = Update::Map(without("nosuch", FieldKind::Set));
    let refused = m.take(&update, None).expect_err("absent");
    let fields = vec![field("nosuch", FieldKind::Set)];
    assert_eq!(refused, Refused::FieldNotPresent { fields });
    let inner = change(vec![("s", FieldUpdate::Set(set("", "x")))]);
    let outer = change(vec![("m", FieldUpdate::Map(inner))]);
    let refused = m.take(&Update::Map(outer), None).expect_err("absent");
    let fields = vec![field("m", FieldKind::Map), field("s", FieldKind::Set)];
    let element = text("x");
    assert_eq!(refused, Refused::ElementNotPresent { fields, element });
    assert_eq!(m.state, State::new(Kind::Map));
}

#[test]
fn a_remove_with_context_of_something_absent_succeeds() {
    let mut a = Replica::new(0, Kind::Set);
    a.set("x", "", None);
    let seen = a.context();
    a.set("", "nosuch", Some(&seen));
    a.set("", "nosuch", Some(&CausalContext::new()));
    assert_eq!((a.members().as_str(), a.state.deferred()), ("x", 0));
    let mut m = Replica::new(0, Kind::Map);
    m.map(
        without("nosuch", FieldKind::Map),
        Some(&CausalContext::new()),
    );
    assert_eq!(m.value(), Value::Map(Vec::new()));
}

#[test]
fn adding_wins_over_removing_in_one_operation() {
    for context in [false, true] {
        let mut a = Replica::new(0, Kind::Set);
        a.set("x", "", None);
        let seen = a.context();
        a.set("x", "x", context.then_some(&seen));
        assert_eq!(a.members(), "x");
        a.set("new", "new", context.then_some(&seen));
        assert_eq!(a.members(), "new x");
    }
}

#[test]
fn a_field_removed_and_updated_in_one_operation_has_the_effect_of_the_update_alone() {
    for context in [false, true] {
        let mut a = Replica::new(0, Kind::Map);
        let inner = || change(vec![("r", FieldUpdate::Register(text("in")))]);
        a.map(
            change(vec![
                ("c", FieldUpdate::Counter(5)),
                ("s", FieldUpdate::Set(set("x y", ""))),
                (
                    "m",
                    FieldUpdate::Map(change(vec![("c", FieldUpdate::Counter(9))])),
                ),
                ("f", FieldUpdate::Flag(true)),
            ]),
            None,
        );
        let seen = a.context();
        let mut update = change(vec![
            ("c", FieldUpdate::Counter(2)),
            ("s", FieldUpdate::Set(set("z", ""))),
            ("m", FieldUpdate::Map(inner())),
            ("f", FieldUpdate::Flag(false)),
        ]);
        update.removes = [
            ("c", FieldKind::Counter),
            ("s", FieldKind::Set),
            ("m", FieldKind::Map),
            ("f", FieldKind::Flag),
        ]
        .map(|(name, kind)| field(name, kind))
        .to_vec();
        a.map(update, context.then_some(&seen));
        assert_eq!(
            a.field("c", FieldKind::Counter),
            Some(FieldValue::Counter(2))
        );
        assert_eq!(
            a.field("s", FieldKind::Set),
            Some(FieldValue::Set(texts("z")))
        );
        assert_eq!(a.field("f", FieldKind::Flag), Some(FieldValue::Flag(false)));
        let Some(FieldValue::Map(inner)) = a.field("m", FieldKind::Map) else {
            panic!("the map is there");
        };
        assert_eq!(inner.len(), 1);
        let register = within(&inner, "r", FieldKind::Register);
        assert_eq!(register, Some(FieldValue::Register(text("in"))));
    }
}

#[test]
fn an_update_wins_over_a_concurrent_remove_of_its_field() {
    let (mut a, mut b) = pair(Kind::Map);
    a.update("s", FieldUpdate::Set(set("x y", "")));
    both_see(&mut a, &mut b);
    a.map(without("s", FieldKind::Set), None);
    b.update("s", FieldUpdate::Set(set("z", "")));
    both_see(&mut a, &mut b);
    assert_eq!(
        a.field("s", FieldKind::Set),
        Some(FieldValue::Set(texts("z")))
    );

    // So does one that leaves nothing in the field.
    a.map(without("s", FieldKind::Set), None);
    b.update("s", FieldUpdate::Set(set("", "z")));
    both_see(&mut a, &mut b);
    assert_eq!(
        a.field("s", FieldKind::Set),
        Some(FieldValue::Set(Vec::new()))
    );
}

/// The rule of the nested counter (decision 0019).
#[test]
fn an_increment_beside_a_reset_survives_with_its_own_amount_alone() {
    let (mut a, mut b) = pair(Kind::Map);
    for amount in [1, 2, 3] {
        a.update("c", FieldUpdate::Counter(amount));
    }
    both_see(&mut a, &mut b);
    a.update("c", FieldUpdate::Counter(100));
    b.map(without("c", FieldKind::Counter), None);
    assert_eq!(b.field("c", FieldKind::Counter), None);
    both_see(&mut a, &mut b);
    assert_eq!(
        a.field("c", FieldKind::Counter),
        Some(FieldValue::Counter(100))
    );
    // And again, for what has been reset once.
    b.update("c", FieldUpdate::Counter(7));
    a.map(without("c", FieldKind::Counter), None);
    both_see(&mut a, &mut b);
    assert_eq!(
        a.field("c", FieldKind::Counter),
        Some(FieldValue::Counter(7))
    );
}

#[test]
fn a_reset_with_an_old_context_takes_the_increments_up_to_there() {
    let mut a = Replica::new(0, Kind::Map);
    a.update("c", FieldUpdate::Counter(1));
    a.update("c", FieldUpdate::Counter(20));
    let seen = a.context();
    a.update("c", FieldUpdate::Counter(300));
    a.update("c", FieldUpdate::Counter(4_000));
    a.map(without("c", FieldKind::Counter), Some(&seen));
    assert_eq!(
        a.field("c", FieldKind::Counter),
        Some(FieldValue::Counter(4_300))
    );
}

#[test]
fn a_counter_two_maps_deep_is_reset_by_what_was_seen_of_it() {
    let (mut a, mut b) = pair(Kind::Map);
    let count = |by| {
        let inner = change(vec![("c", FieldUpdate::Counter(by))]);
        let middle = change(vec![("inner", FieldUpdate::Map(inner))]);
        change(vec![("outer", FieldUpdate::Map(middle))])
    };
    a.map(count(5), None);
    both_see(&mut a, &mut b);
    a.map(without("outer", FieldKind::Map), None);
    b.map(count(2), None);
    both_see(&mut a, &mut b);
    let Some(FieldValue::Map(outer)) = a.field("outer", FieldKind::Map) else {
        panic!("the update wins");
    };
    let Some(FieldValue::Map(inner)) = within(&outer, "inner", FieldKind::Map) else {
        panic!("with all that leads to it");
    };
    assert_eq!(
        within(&inner, "c", FieldKind::Counter),
        Some(FieldValue::Counter(2))
    );
}

#[test]
fn enabling_wins_over_disabling_and_a_disabled_flag_is_there() {
    let (mut a, mut b) = pair(Kind::Map);
    a.update("f", FieldUpdate::Flag(false));
    assert_eq!(a.field("f", FieldKind::Flag), Some(FieldValue::Flag(false)));
    a.update("f", FieldUpdate::Flag(true));
    both_see(&mut a, &mut b);
    let seen = a.context();
    a.update("f", FieldUpdate::Flag(true));
    b.map(change(vec![("f", FieldUpdate::Flag(false))]), Some(&seen));
    assert_eq!(b.field("f", FieldKind::Flag), Some(FieldValue::Flag(false)));
    both_see(&mut a, &mut b);
    assert_eq!(a.field("f", FieldKind::Flag), Some(FieldValue::Flag(true)));
    // With a context that has not seen the last enabling, disabling does nothing yet.
    a.map(change(vec![("f", FieldUpdate::Flag(false))]), Some(&seen));
    assert_eq!(a.field("f", FieldKind::Flag), Some(FieldValue::Flag(true)));
}

#[test]
fn a_register_shows_the_newest_of_concurrent_assignments_and_then_the_greatest_dot() {
    let assign = |value: &str| FieldUpdate::Register(text(value));
    let shows = |replica: &Replica| replica.field("r", FieldKind::Register);
    let (mut a, mut b) = pair(Kind::Map);
    (a.clock, b.clock) = (9, 5);
    a.update("r", assign("late"));
    b.update("r", assign("early"));
    both_see(&mut a, &mut b);
    assert_eq!(shows(&a), Some(FieldValue::Register(text("late"))));

    (a.clock, b.clock) = (10, 10);
    a.update("r", assign("smaller dot"));
    b.update("r", assign("greater dot"));
    both_see(&mut a, &mut b);
    assert_eq!(shows(&a), Some(FieldValue::Register(text("greater dot"))));

    b.clock = 1;
    b.update("r", assign("of a slow clock"));
    both_see(&mut a, &mut b);
    let slow = Some(FieldValue::Register(text("of a slow clock")));
    assert_eq!(shows(&a), slow, "no write loses to what it replaced");
}

#[test]
fn a_remove_that_saw_the_newest_assignment_leaves_the_one_that_it_did_not_see() {
    let (mut a, mut b) = pair(Kind::Map);
    a.clock = 9;
    a.update("r", FieldUpdate::Register(text("newest")));
    let seen = a.context();
    b.update("r", FieldUpdate::Register(text("unseen")));
    both_see(&mut a, &mut b);
    a.map(without("r", FieldKind::Register), Some(&seen));
    let shown = a.field("r", FieldKind::Register);
    assert_eq!(shown, Some(FieldValue::Register(text("unseen"))));
}

#[test]
fn a_retried_update_changes_nothing() {
    let mut a = Replica::new(0, Kind::Counter);
    let delta = a.count(5);
    let again = a
        .state
        .apply(&Update::Counter(5), dot(0, 1), Timestamp(0), None);
    assert_eq!(again, Ok(State::new(Kind::Counter)), "nothing");
    a.join(&delta);
    a.join(&delta);
    assert_eq!(a.value(), Value::Counter(5));

    // A remove that is retried does not take what was added meanwhile.
    let mut s = Replica::new(0, Kind::Set);
    s.set("x", "", None);
    s.set("", "x", None);
    s.set("x", "", None);
    let again = s
        .state
        .apply(&Update::Set(set("", "x")), dot(0, 2), Timestamp(0), None);
    s.join(&again.expect("was carried out"));
    assert_eq!(s.members(), "x");
}

#[test]
fn a_counter_is_the_sum_of_all_increments_whatever_arrives_in_which_order() {
    let (mut a, mut b) = pair(Kind::Counter);
    let mut deltas: Vec<Delta> = [3, -8, 20, -1].map(|by| a.count(by)).to_vec();
    deltas.push(b.count(-100));
    let mut late = Replica::new(2, Kind::Counter);
    // The delta of an increment is its actor's total.
    for (at, sum) in [(1, -5), (0, -5), (3, 14), (3, 14), (4, -86), (2, -86)] {
        late.join(&deltas[at]);
        assert_eq!(late.value(), Value::Counter(sum));
    }
    gather(&mut [a, b, late]);
}

#[test]
fn a_counter_never_wraps() {
    let mut a = Replica::new(0, Kind::Counter);
    a.count(i64::MAX);
    let before = a.state.clone();
    assert_eq!(
        a.take(&Update::Counter(1), None),
        Err(Refused::CounterOverflow)
    );
    assert_eq!(a.state, before);
    a.count(-1);
    // Apart, each is in range; together they are beyond 64 bits, and the sum is still right.
    let mut b = Replica::new(1, Kind::Counter);
    b.count(i64::MAX);
    a.join(&b.state);
    assert_eq!(a.value(), Value::Counter(2 * i128::from(i64::MAX) - 1));
    assert_eq!(
        a.take(&Update::Counter(1), None),
        Err(Refused::CounterOverflow)
    );

    let mut m = Replica::new(0, Kind::Map);
    m.update("c", FieldUpdate::Counter(i64::MIN));
    let update = Update::Map(change(vec![("c", FieldUpdate::Counter(-1))]));
    assert_eq!(m.take(&update, None), Err(Refused::CounterOverflow));
    // In the operation that resets it there is room again; twice in one operation counts twice.
    let mut reset = without("c", FieldKind::Counter);
    reset.updates = change(vec![
        ("c", FieldUpdate::Counter(-1)),
        ("c", FieldUpdate::Counter(-2)),
    ])
    .updates;
    m.map(reset, None);
    assert_eq!(
        m.field("c", FieldKind::Counter),
        Some(FieldValue::Counter(-3))
    );
}

#[test]
fn empty_containers_are_there() {
    let mut m = Replica::new(0, Kind::Map);
    m.update("s", FieldUpdate::Set(set("x", "")));
    m.update("s", FieldUpdate::Set(set("", "x")));
    m.update("m", FieldUpdate::Map(MapUpdate::default()));
    let Value::Map(fields) = m.value() else {
        panic!("a map");
    };
    let want = vec![
        (field("m", FieldKind::Map), FieldValue::Map(Vec::new())),
        (field("s", FieldKind::Set), FieldValue::Set(Vec::new())),
    ];
    assert_eq!(fields, want, "in the order of names");
}

#[test]
fn fields_of_one_name_and_different_kinds_are_different_fields() {
    let (mut a, mut b) = pair(Kind::Map);
    a.update("x", FieldUpdate::Counter(1));
    b.update("x", FieldUpdate::Register(text("one")));
    both_see(&mut a, &mut b);
    a.map(without("x", FieldKind::Counter), None);
    assert_eq!(a.field("x", FieldKind::Counter), None);
    assert_eq!(
        a.field("x", FieldKind::Register),
        Some(FieldValue::Register(text("one")))
    );
}

#[test]
fn members_are_in_the_order_of_their_bytes() {
    let mut a = Replica::new(0, Kind::Set);
    a.set("b a ab B", "", None);
    assert_eq!(a.members(), "B a ab b");
    let mut g = Replica::new(0, Kind::GrowingSet);
    g.take(&Update::GrowingSet(texts("b a")), None)
        .expect("taken");
    g.take(&Update::GrowingSet(texts("a B")), None)
        .expect("taken");
    assert_eq!(g.members(), "B a b");
}

#[test]
fn what_grows_only_has_no_context_and_small_deltas() {
    let mut h = Replica::new(0, Kind::Hll);
    h.take(&Update::Hll(texts("a b c a")), None).expect("taken");
    let again = h.take(&Update::Hll(texts("b c")), None).expect("taken");
    assert_eq!(h.value(), Value::Hll(3));
    assert_eq!(again, State::new(Kind::Hll));
    assert!(h.context().is_empty() && !Kind::Hll.has_context());
    let low = State::hll(Precision::new(4).expect("in range"));
    h.join(&low);
    let delta = h.take(&Update::Hll(texts("d")), None).expect("taken");
    assert!(delta.to_bytes().len() < 20);
}

#[test]
fn other_kinds_are_refused() {
    let mut a = Replica::new(0, Kind::Set);
    let (holds, update) = (Kind::Set, Kind::Counter);
    let refused = a.take(&Update::Counter(1), None);
    assert_eq!(refused, Err(Refused::WrongKind { holds, update }));
    let (ours, theirs) = (Kind::Set, Kind::Map);
    let joined = a.state.join(&State::new(Kind::Map));
    assert_eq!(joined, Err(KindMismatch { ours, theirs }));
}

#[test]
fn nothing_lies_deeper_than_it_may() {
    let nested = |depth: usize| {
        let mut update = change(vec![("c", FieldUpdate::Counter(1))]);
        for _ in 1..depth {
            update = change(vec![("m", FieldUpdate::Map(update))]);
        }
        Update::Map(update)
    };
    let mut a = Replica::new(0, Kind::Map);
    a.take(&nested(DEPTH_MAX), None)
        .expect("just as deep as it may be");
    assert_eq!(State::from_bytes(&a.state.to_bytes()), Ok(a.state.clone()));
    let limit = DEPTH_MAX;
    assert_eq!(
        a.take(&nested(DEPTH_MAX + 1), None),
        Err(Refused::TooDeep { limit })
    );
}

#[test]
fn what_is_too_long_is_refused() {
    let long = bytes::Bytes::from(vec![b'x'; NAME_BYTES_MAX + 1]);
    let updates = vec![(long, FieldUpdate::Counter(1))];
    let update = Update::Map(MapUpdate {
        removes: Vec::new(),
        updates,
    });
    let refused = Replica::new(0, Kind::Map)
        .take(&update, None)
        .expect_err("too long");
    assert_eq!(refused.reason(), "too_long");
}

#[test]
fn removes_that_would_have_to_wait_are_bounded() {
    let mut a = Replica::new(0, Kind::Set);
    let unseen = CausalContext::from_iter([dot(1, 1)]);
    let removes: Vec<_> = (0..DEFERRED_MAX)
        .map(|number| text(&number.to_string()))
        .collect();
    let update = Update::Set(SetUpdate {
        adds: Vec::new(),
        removes,
    });
    a.take(&update, Some(&unseen)).expect("as many as may be");
    let limit = DEFERRED_MAX;
    let one_more = a.take(&Update::Set(set("", "more")), Some(&unseen));
    assert_eq!(one_more, Err(Refused::TooManyDeferred { limit }));
    a.set("x", "", None);
    a.set("", "x", None);
}

#[test]
fn a_context_of_gaps_removes_what_it_has_seen() {
    let (mut a, mut b) = pair(Kind::Set);
    a.set("x", "", None);
    let second = a.set("y", "", None);
    b.join(&second);
    let seen = b.context();
    assert!(!seen.is_vector(), "the first update is missing");
    let sent = CausalContext::from_bytes(&seen.to_bytes()).expect("as it was written");
    a.set("", "x y", Some(&sent));
    assert_eq!(a.members(), "x");
}

/// What is updated a thousand times is as large as what was updated twice, but for the length of a number.
#[test]
fn what_is_updated_often_does_not_grow() {
    let (mut m, mut s, mut c) = (
        Replica::new(0, Kind::Map),
        Replica::new(0, Kind::Set),
        Replica::new(0, Kind::Counter),
    );
    let mut sizes = Vec::new();
    for turn in 0..1_000_i64 {
        m.clock += 1;
        m.map(
            change(vec![
                ("f", FieldUpdate::Flag(turn % 3 > 0)),
                ("r", FieldUpdate::Register(text("value"))),
                ("s", FieldUpdate::Set(set("x y", ""))),
                ("c", FieldUpdate::Counter(1)),
            ]),
            None,
        );
        s.set("x y", "", None);
        s.set("z", "y", None);
        c.count(turn);
        sizes.push([&m, &s, &c].map(|replica| replica.state.to_bytes().len()));
    }
    for (first, last) in sizes[1].iter().zip(sizes[999]) {
        assert!(last < first + 16, "from {first} to {last} bytes");
    }
}

#[test]
fn an_update_of_a_large_value_has_a_small_delta() {
    let mut s = Replica::new(0, Kind::Set);
    let all: Vec<String> = (0..10_000)
        .map(|number| format!("element-{number}"))
        .collect();
    for some in all.chunks(100) {
        s.set(&some.join(" "), "", None);
    }
    let seen = s.context();
    let deltas = [
        s.set("another", "", None),
        s.set("element-77", "", None),
        s.set("", "element-78", Some(&seen)),
    ];
    for delta in deltas {
        assert!(delta.to_bytes().len() < 96, "{delta:?}");
    }
    assert!(s.state.to_bytes().len() > 100_000);
}

#[test]
fn a_delta_that_comes_before_its_elders_claims_nothing_of_them() {
    let (mut a, mut b) = pair(Kind::Set);
    let deltas = ["x", "y", "z"].map(|element| a.set(element, "", None));
    b.join(&deltas[2]);
    assert_eq!(b.members(), "z");
    assert!(!b.context().contains(dot(0, 1)) && !b.context().is_vector());
    let gap = b.state.to_bytes().len();
    b.join(&deltas[0]);
    assert_eq!(b.members(), "x z", "an elder is taken in when it comes");
    b.join(&deltas[1]);
    assert_eq!(
        b.state.to_bytes(),
        a.state.to_bytes(),
        "and the gap is closed"
    );
    let (two, one) = (a.state.to_bytes().len(), deltas[2].to_bytes().len());
    assert!(gap == one && two < 3 * one);
}

#[test]
fn a_value_goes_on_where_the_one_before_it_ended() {
    // A counter that was deleted and written anew, by whom and where it was counted before.
    let mut old = Replica::new(0, Kind::Counter);
    (1..=20).for_each(|by| drop(old.count(by)));
    let mut new = old.clone();
    new.state = State::new(Kind::Counter);
    new.counter += 1;
    (1..=100).for_each(|by| drop(new.count(by)));
    assert_eq!(new.value(), Value::Counter(5_050));
    assert!(new.state.to_bytes().len() < 50);
    // Somebody who knew nothing of the delete has updated the old one: both are there, in whatever order they meet.
    let mut beside = Replica::new(1, Kind::Counter);
    beside.join(&old.state);
    beside.count(1_000);
    let (mut one, mut other) = (new.clone(), beside.clone());
    one.join(&beside.state);
    other.join(&new.state);
    assert_eq!(one.state, other.state);
    assert_eq!(one.value(), Value::Counter(210 + 1_000 + 5_050));
    one.count(1);
    other.join(&one.state);
    assert_eq!(other.value(), Value::Counter(210 + 1_000 + 5_051));
    assert_eq!(State::from_bytes(&one.state.to_bytes()), Ok(one.state));

    let mut set = Replica::new(0, Kind::Set);
    set.set("old", "", None);
    let before = set.state.clone();
    set.state = State::succeeding(Kind::Set, before.context());
    set.set("new", "", None);
    set.join(&before);
    assert_eq!(set.members(), "new");
    for kind in Kind::ALL {
        let empty = State::succeeding(kind, before.context());
        assert_eq!(State::from_bytes(&empty.to_bytes()), Ok(empty));
    }
}
