//! The store as it ships, on machines that fail.
//!
//! A handful of `ringhold serve` processes run on networks and disks of their own, clients use the public HTTP API, and an adversary
//! kills, pauses, separates and starves the nodes. At the end everything heals, and what was promised is held
//! against what is there. `docs/testing.md` tells how to run it and how to read a report.
//!
//! ```console
//! $ cargo test --release -p ringhold --test harness -- --test-threads=1 --nocapture
//! ```
//!
//! | module | holds |
//! | --- | --- |
//! | `scenarios` | the faults, one test each |
//! | `grow` | one node becomes seven, then three, while nodes are killed |
//! | `rivals` | two operators who want different things at once |
//! | `operator` | who tells the cluster to change, and looks whether it is in order |
//! | `split` | two sides that both write, and what is there afterwards |
//! | `run` | one scenario from start to verdict |
//! | `cluster` | the machines |
//! | `namespace`, `disk_image`, `process` | their networks, disks and servers |
//! | `network`, `packets` | ways that close; packets that come late or twice |
//! | `client`, `workload`, `history` | who uses them, and what they heard |
//! | `datatypes` | what they do with counters, sets and maps |
//! | `check`, `check_datatypes`, `check_indexes` | what must hold at the end |
//! | `tools`, `watchdog` | programs of the system; an end to all waiting |

mod check;
mod check_datatypes;
mod check_indexes;
mod client;
mod cluster;
mod datatypes;
mod disk_image;
mod grow;
mod history;
mod namespace;
mod network;
mod operator;
mod packets;
mod process;
mod rivals;
mod run;
mod scenarios;
mod split;
mod tools;
mod watchdog;
mod workload;
