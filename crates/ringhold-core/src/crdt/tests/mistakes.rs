//! Wrong variants of the rules: each has to be found by the same properties that the right rules satisfy.

use super::histories::{any_history, run};
use super::laws::holds;
use crate::crdt::Kind;
use crate::crdt::known_bad::{Variant, with};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use std::cell::Cell;

/// How many histories it takes at most, of those in which deltas travel by themselves and then of the others.
const CASES: u32 = 600;

/// After how many random histories of a kind something is found; the same ones in each run.
fn found_after(kind: Kind, variant: Option<Variant>) -> Option<u32> {
    let histories_run = Cell::new(0);
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        max_shrink_iters: 0,
        ..Config::default()
    };
    let finds = |gaps: bool| {
        let mut runner = TestRunner::new_with_rng(config.clone(), deterministic());
        let histories = (any_history(kind, gaps), any::<[Index; 3]>());
        let outcome = runner.run(&histories, |(history, picks)| {
            histories_run.set(histories_run.get() + 1);
            run(&history)?;
            holds(&history, &picks)
        });
        match outcome {
            Ok(()) => false,
            Err(TestError::Fail(..)) => true,
            Err(TestError::Abort(reason)) => panic!("{reason}"),
        }
    };
    // The delta of a counter is a total, and has no gaps.
    let is_found = with(variant, || {
        kind.has_context() && finds(true) || finds(false)
    });
    is_found.then_some(histories_run.get())
}

fn deterministic() -> TestRng {
    TestRng::deterministic_rng(RngAlgorithm::ChaCha)
}

#[test]
fn what_is_right_passes_the_same_histories() {
    for kind in [Kind::Counter, Kind::Set, Kind::Map] {
        assert_eq!(found_after(kind, None), None, "{kind:?}");
    }
}

macro_rules! found {
    ($($test:ident: $kind:ident, $variant:ident;)*) => {$(
        #[test]
        fn $test() {
            let found = found_after(Kind::$kind, Some(Variant::$variant));
            assert!(found.is_some(), "{:?}", Variant::$variant);
        }
    )*};
}

found! {
    a_remove_that_wins_is_found: Set, RemoveWins;
    an_increment_that_carries_its_total_is_found: Map, IncrementCarriesTotal;
    a_deferred_remove_that_is_dropped_is_found: Set, DeferredDropped;
    a_cloud_that_is_taken_for_a_vector_is_found: Set, CloudIsVector;
    a_retry_that_counts_twice_is_found: Counter, RetryCountsTwice;
    an_add_without_its_dot_is_found: Set, AddWithoutDot;
    a_remove_that_claims_the_dots_is_found: Set, RemoveClaimsDots;
    a_remove_that_beats_its_own_add_is_found: Set, RemoveBeatsOwnAdd;
    an_update_without_presence_is_found: Map, UpdateWithoutPresence;
    a_reset_that_stays_at_the_top_is_found: Map, ResetIsShallow;
    a_register_that_goes_by_dots_is_found: Map, RegisterByDot;
    a_reset_that_takes_what_was_not_seen_is_found: Map, ResetTakesUnseen;
}
