//! Any bytes as the changes to a ring document.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| ringhold_wire::fuzzing::ring_changes(bytes));
