//! Any bytes as a store's record.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| ringhold_wire::fuzzing::record(bytes));
