//! The binary from outside: real processes, sockets and disks.

mod backup;
mod bad_input;
mod bench;
mod bucket_types;
mod client;
mod cluster;
mod handoff;
mod http;
mod import;
mod joiner;
mod kills;
mod list;
mod membership;
mod moving;
mod native;
mod pb;
mod peer_tls;
mod properties;
mod reaping;
mod rebuild;
mod recover;
mod repair;
mod replicas;
mod siblings;
mod transcript;
mod verify;
