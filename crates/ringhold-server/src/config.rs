//! What an operator can set, and where each value came from.
//!
//! [`Config`] is a plain value: every setting has a default, so that a node starts on an empty
//! machine with nothing said. Four layers lie over each other, the later one winning: the default,
//! the key in the file, the variable in the environment, the flag. [`Layers`] holds the merged
//! table together with the [`Origin`] of every value that is not a default, because the first
//! question about a surprising setting is who said so.
//!
//! The default configuration, written as a table, *is* the list of settings: a key's variable is
//! its path in capitals behind `RINGHOLD_` (`listen.http` → `RINGHOLD_LISTEN_HTTP`), and its type
//! is the default's. A new field is therefore settable everywhere at once, and nothing can be set
//! that has no field. Variables that match no setting are left alone: schedulers put their own
//! into the environment of a service that is called `ringhold`.
//!
//! Invariants: an unknown key in the file is an error, never ignored; [`Config::check`] refuses
//! what could only go wrong later, a listener among it that the world can reach and that neither encrypts nor
//! asks who is there.
//!
//! Not here: secrets (they are read from files of their own, see [`crate::founding`]), and
//! properties of buckets beyond what a bucket has before anybody sets anything.

mod check;
mod layers;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub(crate) use layers::quoted;
pub use layers::{ENVIRONMENT_PREFIX, Layers, Origin, settings, variable_of};

const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;

/// All settings of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The node's name, for people; its identity is drawn and lives in the data directory.
    pub name: String,
    /// Where the node keeps everything. Created if missing; its parent must exist.
    pub data_dir: PathBuf,
    /// The list of members from which the cluster is founded, see [`crate::founding`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub founding: Option<PathBuf>,
    /// Listen beyond loopback although clients are neither encrypted nor asked who they are.
    pub insecure: bool,
    /// Whether nodes encrypt what they say to each other, and prove by certificates who they are. The same for all
    /// members.
    pub peer_tls: PeerTls,
    /// The highest protocol that is spoken with other nodes; 0 for all that this release speaks. Only for going back to the
    /// release before while some nodes run it.
    pub peer_protocol_max: u16,
    /// Where members may be found if they are not where they were: addresses of peer listeners, `HOST:PORT`, between commas.
    pub seeds: String,
    /// Threads that serve requests; 0 means one a core. Disks have threads of their own.
    pub threads: u32,
    /// What goes to the log, in `tracing`'s filter syntax: `info`, `ringhold_node=debug`, …
    pub log: String,
    pub listen: Listen,
    pub storage: Storage,
    pub limits: Limits,
    pub timeouts: Timeouts,
    pub background: Background,
    pub reaping: Reaping,
    pub default_bucket: DefaultBucket,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: "node1".to_owned(),
            data_dir: PathBuf::from("ringhold-data"),
            founding: None,
            insecure: false,
            peer_tls: PeerTls::Auto,
            peer_protocol_max: 0,
            seeds: String::new(),
            threads: 0,
            log: "info".to_owned(),
            listen: Listen::default(),
            storage: Storage::default(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            background: Background::default(),
            reaping: Reaping::default(),
            default_bucket: DefaultBucket::default(),
        }
    }
}

impl Config {
    /// The addresses in `seeds`.
    pub(crate) fn seed_addresses(&self) -> Vec<String> {
        let seeds = self.seeds.split(',').map(str::trim);
        let seeds = seeds.filter(|seed| !seed.is_empty());
        seeds.map(str::to_owned).collect()
    }
}

/// Addresses that the node listens on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Listen {
    pub http: SocketAddr,
    /// Node to node.
    pub peer: SocketAddr,
    /// The native client.
    pub native: SocketAddr,
    /// Riak's Protocol Buffers API.
    pub pb: PbListen,
}

/// Where the Protocol Buffers API is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum PbListen {
    /// Beside HTTP, eleven ports below it: 8087 where HTTP has 8098, as in Riak.
    Auto,
    Off,
    At(SocketAddr),
}

/// From HTTP's port down to that of the Protocol Buffers API.
const HTTP_ABOVE_PB: u16 = 11;

impl TryFrom<String> for PbListen {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            address => address.parse().map(Self::At).map_err(|_| {
                format!("{address:?} is not auto, off or an address such as 127.0.0.1:8087")
            }),
        }
    }
}

impl From<PbListen> for String {
    fn from(listen: PbListen) -> Self {
        match listen {
            PbListen::Auto => "auto".to_owned(),
            PbListen::Off => "off".to_owned(),
            PbListen::At(address) => address.to_string(),
        }
    }
}

impl Listen {
    /// Key, address: all listeners.
    #[must_use]
    pub fn all(&self) -> Vec<(&'static str, SocketAddr)> {
        let always = [
            ("listen.http", self.http),
            ("listen.peer", self.peer),
            ("listen.native", self.native),
        ];
        let pb = self.pb().map(|address| ("listen.pb", address));
        always.into_iter().chain(pb).collect()
    }

    /// Where the Protocol Buffers API is served, if it is. A port that HTTP has from the system it has too.
    #[must_use]
    pub fn pb(&self) -> Option<SocketAddr> {
        match self.pb {
            PbListen::Auto => {
                let port = self.http.port().saturating_sub(HTTP_ABOVE_PB);
                Some(SocketAddr::new(self.http.ip(), port))
            }
            PbListen::Off => None,
            PbListen::At(address) => Some(address),
        }
    }
}

impl Default for Listen {
    fn default() -> Self {
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            http: loopback(8098),
            peer: loopback(8099),
            native: loopback(8100),
            pb: PbListen::Auto,
        }
    }
}

/// The engine under the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// A B-tree in a memory-mapped file.
    Lmdb,
    /// A tree of sorted tables that are merged in the background.
    Fjall,
    /// Nothing survives a restart: for experiments.
    Memory,
}

impl Engine {
    /// Its name in settings, in a data directory and in the status.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lmdb => "lmdb",
            Self::Fjall => "fjall",
            Self::Memory => "memory",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Storage {
    /// Which engine a new data directory gets. One that is there has its own, and is refused with another.
    pub engine: Engine,
    /// A segment of the commit log is closed, and a checkpoint taken, past this size.
    pub segment_bytes: u64,
    /// The address space that LMDB reserves: the most that a node can hold.
    pub map_size_bytes: u64,
    /// What fjall keeps in memory of what it has read; LMDB leaves that to the system.
    pub cache_bytes: u64,
    /// Partition groups, each with one writer; 0 means one a core, at most four.
    pub groups: u32,
    /// From so many per cent of the data directory's file system in use, the node warns.
    pub disk_warn_percent: u8,
    /// From here on it coordinates no puts but deletes, and keeps nothing for others.
    pub disk_refuse_percent: u8,
    /// From here on it takes nothing but deletes.
    pub disk_deletes_only_percent: u8,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            engine: Engine::Lmdb,
            segment_bytes: 64 * MIB,
            map_size_bytes: 64 * GIB,
            cache_bytes: 64 * MIB,
            groups: 0,
            disk_warn_percent: 85,
            disk_refuse_percent: 90,
            disk_deletes_only_percent: 95,
        }
    }
}

/// What is refused, and when the node answers "overloaded" instead of queueing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    pub value_bytes: u64,
    pub key_bytes: u64,
    /// The longest name of a bucket or a bucket type.
    pub name_bytes: u64,
    /// A put that would leave more concurrent versions than this is refused.
    pub siblings: u32,
    /// Open client connections, all listeners together.
    pub connections: u32,
    /// Client requests that are being worked on.
    pub requests_in_flight: u32,
    /// Bytes of bodies announced or held by those requests.
    pub bytes_in_flight: u64,
    /// Bytes of objects kept for nodes that are away. At this bound the node refuses to stand in and
    /// drops nothing; with 0 it never stands in.
    pub hint_bytes: u64,
    /// How far this node's clock may be from the median of its peers' before it coordinates no puts.
    pub clock_drift_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            value_bytes: 5 * MIB,
            key_bytes: 1024,
            name_bytes: 256,
            siblings: 100,
            connections: 10_000,
            requests_in_flight: 4096,
            bytes_in_flight: 256 * MIB,
            hint_bytes: GIB,
            clock_drift_ms: 5_000,
        }
    }
}

/// All in milliseconds of a monotonic clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// The deadline of a request that names none.
    pub request_ms: u64,
    /// How long a coordinator waits for the replicas of a put, whether or not its client has its answer.
    pub put_ms: u64,
    /// A peer that owes an answer and says nothing for this long counts as unreachable.
    pub peer_silence_ms: u64,
    /// Opening a connection to a peer.
    pub connect_ms: u64,
    /// A client has this long to send the head of a request.
    pub header_ms: u64,
    /// A client's connection without a request is closed after this.
    pub idle_ms: u64,
    /// Requests in flight have this long to finish when the node is told to stop.
    pub shutdown_ms: u64,
}

impl Timeouts {
    /// Key, value: all of them.
    #[must_use]
    pub fn all(&self) -> [(&'static str, u64); 7] {
        [
            ("timeouts.request_ms", self.request_ms),
            ("timeouts.put_ms", self.put_ms),
            ("timeouts.peer_silence_ms", self.peer_silence_ms),
            ("timeouts.connect_ms", self.connect_ms),
            ("timeouts.header_ms", self.header_ms),
            ("timeouts.idle_ms", self.idle_ms),
            ("timeouts.shutdown_ms", self.shutdown_ms),
        ]
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            request_ms: 60_000,
            put_ms: 10_000,
            peer_silence_ms: 1_000,
            connect_ms: 1_000,
            header_ms: 5_000,
            idle_ms: 60_000,
            shutdown_ms: 5_000,
        }
    }
}

/// Whether something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Switch {
    On,
    Off,
}

/// Whether connections between nodes are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PeerTls {
    /// On, unless other nodes reach this one through loopback.
    Auto,
    On,
    Off,
}

/// Work that nobody waits for: hints that go home, comparisons of replicas, the scrub (§6.5).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Background {
    /// Slow it down while clients' requests are slow. Off, it takes what it can get.
    pub controller: Switch,
    /// Slow is a 99th percentile above this, over a minute; 0 stands for twice what it is when the node is calm.
    pub p99_target_ms: u64,
}

impl Default for Background {
    fn default() -> Self {
        Self {
            controller: Switch::On,
            p99_target_ms: 0,
        }
    }
}

/// When tombstones, and values past their time, are removed for good.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reaping {
    /// They are kept for so long at least.
    pub grace_s: u64,
    /// Longer than any request lives, its replication and its repairs included.
    pub settle_s: u64,
    /// Between two steps of looking for them, of 64 objects each; 0 if this node is not to look.
    pub pause_ms: u64,
}

impl Default for Reaping {
    fn default() -> Self {
        Self {
            grace_s: 10 * 86_400,
            settle_s: 300,
            pause_ms: 100,
        }
    }
}

/// When a replica's acknowledgement counts (§6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// After the flush that covers the write, on every replica that is counted.
    Flushed,
    /// After it on the replica that coordinates; from memory on the others.
    One,
    /// From memory.
    Buffered,
}

/// The properties of the default bucket type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DefaultBucket {
    /// Keep concurrent versions as siblings. On, so that nothing is lost by default.
    pub allow_mult: bool,
    pub n_val: u8,
    pub durability: Durability,
}

impl Default for DefaultBucket {
    fn default() -> Self {
        Self {
            allow_mult: true,
            n_val: 3,
            durability: Durability::Flushed,
        }
    }
}

impl Config {
    /// Whether connections between nodes are encrypted.
    #[must_use]
    pub fn peer_tls_is_on(&self) -> bool {
        match self.peer_tls {
            PeerTls::Auto => !self.listen.peer.ip().is_loopback(),
            PeerTls::On => true,
            PeerTls::Off => false,
        }
    }

    /// [`Layers::read`], converted. Call [`Config::check`] before anything is started with it.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
        overrides: &[(String, String)],
    ) -> Result<Self, ConfigError> {
        Ok(Layers::read(file, environment, overrides)?.config())
    }
}

/// Why there is no usable configuration. Nothing has been started or written.
#[derive(Debug)]
pub enum ConfigError {
    /// The file can't be read.
    Read { path: PathBuf, error: io::Error },
    /// The file is not TOML, has a key that is no setting, or a value of the wrong type.
    File { path: PathBuf, problem: String },
    /// A variable or flag holds what its setting can't take.
    Value {
        origin: Origin,
        key: String,
        value: String,
        problem: String,
    },
    /// A flag names a setting that doesn't exist.
    UnknownKey { key: String },
    /// A value of the right type that could only go wrong later.
    Refused {
        key: &'static str,
        problem: String,
        remedy: String,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, error } => write!(
                f,
                "can't read the configuration {}: {error}; name another with --config, or leave the flag out to run on defaults",
                path.display()
            ),
            Self::File { path, problem } => write!(
                f,
                "the configuration {} is not usable:\n{}\n`ringhold config show` prints every setting",
                path.display(),
                problem.trim_end()
            ),
            Self::Value {
                origin,
                key,
                value,
                problem,
            } => {
                write!(
                    f,
                    "{origin}: {value:?} does not fit the setting {key}: {}",
                    problem.trim_end()
                )
            }
            Self::UnknownKey { key } => {
                write!(
                    f,
                    "there is no setting {key:?}; `ringhold config show` prints every setting"
                )
            }
            Self::Refused {
                key,
                problem,
                remedy,
            } => write!(f, "{key}: {problem}; {remedy}"),
        }
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read { error, .. } => Some(error),
            _ => None,
        }
    }
}
