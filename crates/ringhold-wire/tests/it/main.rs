//! Every format: its golden files, its round trip, and what it does with bytes that are not its
//! own.

mod backups;
mod frames;
mod golden;
mod gossip;
mod handshakes;
mod hostile;
mod messages;
mod release_before;
mod riak;
mod rings;
mod samples;
mod stored;
