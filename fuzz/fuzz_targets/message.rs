//! Any bytes as a request, a reply or a step of the handshake.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| ringhold_wire::fuzzing::message(bytes));
