//! The laws of a lattice, on the states and deltas of random histories.

use super::histories::{History, any_history, run};
use super::updates::any_update;
use crate::crdt::*;
use crate::version::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestCaseError;

fn joined(left: &State, right: &State) -> State {
    let mut state = left.clone();
    state.join(right).expect("of one kind");
    state
}

/// Any three of them, by what they join to.
pub(super) fn check(a: &State, b: &State, c: &State) -> Result<(), TestCaseError> {
    let ab = joined(a, b);
    prop_assert_eq!(&ab, &joined(b, a), "commutative");
    prop_assert_eq!(joined(&ab, c), joined(a, &joined(b, c)), "associative");
    prop_assert_eq!(&joined(a, a), a, "idempotent");
    prop_assert_eq!(&joined(&ab, a), &ab, "nothing is new");
    prop_assert_eq!(&joined(&ab, b), &ab, "nothing is new");
    prop_assert_eq!(
        &joined(&State::new(a.kind()), a),
        a,
        "nothing comes from nothing"
    );
    Ok(())
}

pub(super) fn holds(history: &History, picks: &[Index; 3]) -> Result<(), TestCaseError> {
    let states = run(history)?.into_states();
    let [a, b, c] = picks.each_ref().map(|pick| pick.get(&states));
    check(a, b, c)
}

fn picks() -> impl Strategy<Value = [Index; 3]> {
    any::<[Index; 3]>()
}

/// States of what only grows, some with one precision and some with another.
fn growing(kind: Kind) -> impl Strategy<Value = Vec<State>> {
    let one = (
        vec(any_update(kind), 0..4),
        prop_oneof![Just(14_u8), Just(9), Just(4)],
    );
    let grown = one.prop_map(move |(updates, precision)| {
        let mut state = match kind {
            Kind::Hll => State::hll(Precision::new(precision).expect("in range")),
            _ => State::new(kind),
        };
        for update in &updates {
            let dot = super::sample::dot(0, 1);
            let delta = state.apply(update, dot, Timestamp(0), None).expect("taken");
            state.join(&delta).expect("of one kind");
            let again = state.apply(update, dot, Timestamp(0), None).expect("taken");
            assert_eq!(again, state.unchanged(), "a retry changes nothing");
        }
        assert_eq!(State::from_bytes(&state.to_bytes()), Ok(state.clone()));
        state
    });
    vec(grown, 3)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn counters_are_a_lattice(history in any_history(Kind::Counter, false), picks in picks()) {
        holds(&history, &picks)?;
    }

    #[test]
    fn sets_are_a_lattice(history in any_history(Kind::Set, true), picks in picks()) {
        holds(&history, &picks)?;
    }

    #[test]
    fn maps_are_a_lattice(history in any_history(Kind::Map, true), picks in picks()) {
        holds(&history, &picks)?;
    }

    #[test]
    fn growing_sets_are_a_lattice(states in growing(Kind::GrowingSet)) {
        check(&states[0], &states[1], &states[2])?;
    }

    #[test]
    fn estimates_are_a_lattice(states in growing(Kind::Hll)) {
        let low = State::hll(Precision::new(PRECISION_MAX).expect("in range"));
        for state in &states {
            prop_assert_eq!(&joined(&low, state), state, "the highest precision is the least state");
        }
        let [a, b, c] = [0, 1, 2].map(|at: usize| &states[at]);
        let ab = joined(a, b);
        prop_assert_eq!(&ab, &joined(b, a));
        prop_assert_eq!(joined(&ab, c), joined(a, &joined(b, c)));
        prop_assert_eq!(&joined(&ab, a), &ab);
    }
}
