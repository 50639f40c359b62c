//! The binary from outside: real processes, sockets and disks.

mod bad_input;
mod cluster;
mod http;
mod kills;
mod native;
mod properties;
mod siblings;
