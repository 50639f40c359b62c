//! What goes over the network and onto the disk, byte by byte.
//!
//! What is stored begins with a version; what is only sent has that of the protocol, on which the
//! handshake agrees. Golden files are in `tests/golden`. Lengths are checked
//! before anything is allocated, and no bytes make a decoder panic. No sockets here: [`frame`]
//! turns bytes into messages and messages into bytes.
//!
//! | module | format |
//! | --- | --- |
//! | [`bytes_io`] | the primitive readers and writers that all formats share |
//! | [`object`] | an object: the same on disk and on the wire |
//! | [`record`] | what a store keeps of a key: names, the local mark, the object |
//! | [`metadata`] | what a client said about a value besides its bytes |
//! | [`ring`] | the ring document |
//! | [`riak`] | Riak's Protocol Buffers messages |
//! | [`message`] | requests and answers between nodes, and of native clients |
//! | [`gossiped`] | what a node says of itself in gossip |
//! | [`frame`] | how messages share one connection |
//! | [`handshake`] | the first frame each way |
//! | [`backup`] | the objects of one store, in a file |
//! | [`fuzzing`] | what holds for any bytes whatever, for tests and fuzzers |

#![deny(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap
)]

pub mod backup;
pub mod bytes_io;
pub mod frame;
pub mod fuzzing;
pub mod gossiped;
pub mod handshake;
pub mod message;
pub mod metadata;
pub mod object;
pub mod record;
pub mod riak;
pub mod ring;
