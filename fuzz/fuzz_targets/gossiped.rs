//! Any bytes as what a node says of itself in gossip.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| ringhold_wire::fuzzing::gossiped(bytes));
