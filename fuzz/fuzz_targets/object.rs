//! Any bytes as an object.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| ringhold_wire::fuzzing::object(bytes));
