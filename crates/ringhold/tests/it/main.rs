//! The binary from outside: real processes, sockets and disks.

mod backup;
mod bad_input;
mod bucket_types;
mod cluster;
mod handoff;
mod http;
mod import;
mod joiner;
mod kills;
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
