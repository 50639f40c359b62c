//! What a client of Riak's Protocol Buffers API says.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| ringhold_wire::fuzzing::riak_request(bytes));
