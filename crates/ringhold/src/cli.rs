//! The command line: names that people and scripts rely on.
//!
//! Definitions only; what a command does is in `commands`. A flag that several commands share is
//! one struct here, so that it is spelt and explained once.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::output::Format;

mod bench;
mod bucket_type;
mod import;
mod join;
mod ring;

pub(crate) use bench::{
    BenchArgs, BenchCommand, Coordination, EchoArgs, KeysDistribution, Protocol, Workload,
};
pub(crate) use bucket_type::BucketTypeCommand;
pub(crate) use import::{ImportArgs, ImportCommand};
pub(crate) use join::JoinArgs;
pub(crate) use ring::RingCommand;

/// Where a node's HTTP listener is, unless said otherwise.
const AT_DEFAULT: &str = "http://127.0.0.1:8098";

/// Dynamo, whole and current: an always-writable, leaderless key-value store.
#[derive(Debug, Parser)]
#[command(
    name = "ringhold",
    version,
    propagate_version = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    /// How results are printed.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "table",
        value_name = "FORMAT"
    )]
    pub(crate) output: Format,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// See it work: three nodes, real carts, one node killed on the way, every item checked.
    Demo(DemoArgs),
    /// A local cluster, one process a node, until Ctrl-C.
    Dev(DevArgs),
    /// Run one node.
    Serve(ServeArgs),
    /// Print all current versions of an object, and their context.
    Get(GetArgs),
    /// Write an object; the value is the argument or standard input.
    Put(PutArgs),
    /// Delete an object.
    Delete(DeleteArgs),
    /// List the keys of a bucket in order, count them, or list the buckets.
    List(ListArgs),
    /// Found a cluster, grow and shrink it; who is up, who owns what, where a key lives.
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Create kinds of buckets, such as those whose values are counters, and change them.
    #[command(subcommand)]
    BucketType(BucketTypeCommand),
    /// Write what running nodes hold into files.
    Backup(BackupArgs),
    /// Merge backups into a running cluster.
    Restore(RestoreArgs),
    /// Move in from another store.
    #[command(subcommand)]
    Import(ImportCommand),
    /// Look at a node's settings without starting it.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Load data from files and verify it.
    #[command(subcommand)]
    Load(LoadCommand),
    /// Put load on a cluster and measure it.
    Bench(Box<BenchArgs>),
    /// Simulate a cluster, its disks, its network and its time from a seed, and break them.
    Sim(SimArgs),
    /// Print the version.
    Version,
}

/// The simulator reads its own arguments: `ringhold sim --help`.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct SimArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Replay this file instead of the shipped one.
    #[arg(long, value_name = "CSV")]
    pub(crate) transactions: Option<PathBuf>,
    /// Names of products for that file.
    #[arg(long, value_name = "CSV")]
    pub(crate) products: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) replay: ReplayArgs,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct DevArgs {
    #[command(subcommand)]
    pub(crate) command: Option<DevCommand>,
    /// How many nodes [default: 3, or what DIR was founded with].
    #[arg(long, value_name = "COUNT")]
    pub(crate) nodes: Option<u16>,
    #[command(flatten)]
    pub(crate) dir: DevDir,
    /// Node 1 listens on this port + 8 (HTTP), + 9 (peer), + 10 (native), − 3 (PB), node 2 ten ports above,
    /// and so on; 0 takes whatever ports are free [default: 10000, or what DIR was founded with].
    #[arg(long, value_name = "PORT")]
    pub(crate) base_port: Option<u16>,
    /// Deal the nodes to this many zones.
    #[arg(long, value_name = "COUNT")]
    pub(crate) zones: Option<u16>,
    /// A setting of all nodes, such as background.controller=off.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Have what the test suites of Riak's client libraries want: bucket types, a default type without siblings, and nodes
    /// named dev1@127.0.0.1 and so on.
    #[arg(long)]
    pub(crate) riak_types: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DevDir {
    /// Where the cluster keeps everything.
    #[arg(long, value_name = "DIR", default_value = "ringhold-dev")]
    pub(crate) dir: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DevCommand {
    /// Start a node of a running `dev` again; stops it first if it runs.
    Restart {
        name: String,
        #[command(flatten)]
        dir: DevDir,
    },
}

/// Settings of a node, from a file and from flags.
#[derive(Debug, Args)]
pub(crate) struct SettingsArgs {
    /// Settings in TOML.
    #[arg(long, value_name = "FILE", env = "RINGHOLD_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// The node's name.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Where the node keeps everything.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The list of members that founds the cluster.
    #[arg(long, value_name = "FILE")]
    pub(crate) founding: Option<PathBuf>,
    /// Address of the HTTP listener.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) http: Option<SocketAddr>,
    /// Address of the listener for other nodes.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) peer: Option<SocketAddr>,
    /// Address of the listener for native clients.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) native: Option<SocketAddr>,
    /// Address of the listener for Riak's Protocol Buffers API, or off [default: auto, the address of
    /// HTTP, eleven ports below].
    #[arg(long, value_name = "ADDRESS|off|auto")]
    pub(crate) pb: Option<String>,
    /// Where some member is, HOST:PORT of its peer listener, for a node that knows only addresses that nobody has any more.
    #[arg(long = "seed", value_name = "ADDRESS")]
    pub(crate) seeds: Vec<String>,
    /// Whether nodes encrypt what they say to each other [default: auto, on unless the peer listener is on
    /// loopback]; the same for all members.
    #[arg(long, value_name = "on|off|auto")]
    pub(crate) peer_tls: Option<String>,
    /// Listen beyond loopback although nothing is encrypted and nobody is asked who they are.
    #[arg(long)]
    pub(crate) insecure: bool,
    /// What is logged, such as info or ringhold_node=debug.
    #[arg(long, value_name = "FILTER")]
    pub(crate) log: Option<String>,
    /// Any other setting, such as limits.value_bytes=1048576.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
    /// Found a cluster of this node alone; does nothing if that has been done.
    #[arg(long, conflicts_with = "founding")]
    pub(crate) bootstrap: bool,
    #[command(flatten)]
    pub(crate) join: JoinArgs,
    /// Stop when standard input closes, which it does when the starting process is gone.
    #[arg(long, hide = true)]
    pub(crate) exit_with_parent: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say whether a node would start with these settings.
    Check(SettingsArgs),
    /// Print every setting, and who set it.
    Show(SettingsArgs),
}

/// Which node is asked.
#[derive(Debug, Args)]
pub(crate) struct NodeArgs {
    /// A node's HTTP listener; to get, put and delete also its native one, as ringhold://host:port.
    #[arg(long, value_name = "URL", default_value = AT_DEFAULT, env = "RINGHOLD_AT")]
    pub(crate) at: String,
    /// How long an answer is waited for.
    #[arg(long, value_name = "MS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) timeout_ms: u64,
}

impl NodeArgs {
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}

/// Which node is asked to do something with the partitions.
#[derive(Debug, Args)]
pub(crate) struct PartitionArgs {
    /// A node's HTTP listener.
    #[arg(long, value_name = "URL", default_value = AT_DEFAULT, env = "RINGHOLD_AT")]
    pub(crate) at: String,
    /// This one alone, counted from 0 [default: all].
    #[arg(long, value_name = "NUMBER")]
    pub(crate) partition: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    #[command(flatten)]
    pub(crate) nodes: NodesArgs,
    /// The file; or a directory, for a file named after each node. Made where it is missing.
    #[arg(long, value_name = "PATH")]
    pub(crate) to: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// A backup, or a directory of them.
    #[arg(long, value_name = "PATH")]
    pub(crate) from: PathBuf,
    /// The HTTP listener of a node that brings the objects to their homes.
    #[arg(long, value_name = "URL", default_value = AT_DEFAULT, env = "RINGHOLD_AT")]
    pub(crate) at: String,
    /// Also if it is a backup of another cluster: keys that both have keep the versions of both.
    #[arg(long)]
    pub(crate) into_other_cluster: bool,
    /// Also if it is so old that deletes after it may have been forgotten: what they deleted comes back.
    #[arg(long)]
    pub(crate) older_than_grace: bool,
}

/// Which nodes are asked.
#[derive(Debug, Args)]
pub(crate) struct NodesArgs {
    /// HTTP listeners of nodes; to load, also native ones, as ringhold://host:port.
    #[arg(long, value_name = "URL", value_delimiter = ',', default_value = AT_DEFAULT, env = "RINGHOLD_AT")]
    pub(crate) at: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ObjectArgs {
    pub(crate) key: String,
    #[arg(long, short)]
    pub(crate) bucket: String,
    #[arg(long = "type", value_name = "TYPE", default_value = "default")]
    pub(crate) bucket_type: String,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Whose keys; without it the buckets of the type are listed.
    #[arg(long, short)]
    pub(crate) bucket: Option<String>,
    #[arg(long = "type", value_name = "TYPE", default_value = "default")]
    pub(crate) bucket_type: String,
    /// Begin behind this key.
    #[arg(long, value_name = "KEY", requires = "bucket")]
    pub(crate) after: Option<String>,
    /// So many keys at most.
    #[arg(long, value_name = "KEYS", requires = "bucket")]
    pub(crate) limit: Option<u64>,
    /// Say how many keys there are instead.
    #[arg(long, requires = "bucket", conflicts_with_all = ["after", "limit"])]
    pub(crate) count: bool,
    /// Also if too few homes of some partitions answer.
    #[arg(long)]
    pub(crate) partial: bool,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ContextArgs {
    /// What a get printed: the write replaces what that get saw.
    #[arg(long, value_name = "CONTEXT", conflicts_with = "context_file")]
    pub(crate) context: Option<String>,
    /// The same from a file.
    #[arg(long, value_name = "FILE")]
    pub(crate) context_file: Option<PathBuf>,
}

/// Quorums of a read.
#[derive(Debug, Args)]
pub(crate) struct ReadQuorumArgs {
    /// Replicas that must answer: a number, one, quorum or all.
    #[arg(long, value_name = "QUORUM")]
    pub(crate) r: Option<String>,
    /// Of them primaries.
    #[arg(long, value_name = "QUORUM")]
    pub(crate) pr: Option<String>,
}

/// Quorums of a write.
#[derive(Debug, Args)]
pub(crate) struct WriteQuorumArgs {
    /// Replicas that must acknowledge: a number, one, quorum or all.
    #[arg(long, value_name = "QUORUM")]
    pub(crate) w: Option<String>,
    /// Of them primaries.
    #[arg(long, value_name = "QUORUM")]
    pub(crate) pw: Option<String>,
    /// Of them durably.
    #[arg(long, value_name = "QUORUM")]
    pub(crate) dw: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    #[command(flatten)]
    pub(crate) object: ObjectArgs,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
    #[command(flatten)]
    pub(crate) quorum: ReadQuorumArgs,
    /// Tell which nodes were asked and what they answered.
    #[arg(long)]
    pub(crate) explain: bool,
    /// Write the context to this file, for a put with --context-file.
    #[arg(long, value_name = "FILE")]
    pub(crate) context_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct WriteArgs {
    #[command(flatten)]
    pub(crate) object: ObjectArgs,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
    #[command(flatten)]
    pub(crate) context: ContextArgs,
    #[command(flatten)]
    pub(crate) reads: ReadQuorumArgs,
    #[command(flatten)]
    pub(crate) writes: WriteQuorumArgs,
    /// Names this write; an attempt under the same name is the same write [default: drawn].
    #[arg(long, value_name = "NAME")]
    pub(crate) idempotency_key: Option<String>,
    /// Tell which nodes were asked and what they answered.
    #[arg(long)]
    pub(crate) explain: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PutArgs {
    #[command(flatten)]
    pub(crate) write: WriteArgs,
    /// Left out: read from standard input.
    pub(crate) value: Option<String>,
    #[arg(long, value_name = "TYPE", default_value = "text/plain; charset=utf-8")]
    pub(crate) content_type: String,
    /// From when on nobody is shown it: seconds since 1970, or an HTTP date.
    #[arg(long, value_name = "TIME")]
    pub(crate) expires_at: Option<String>,
    /// The same from now on, such as 90s, 30m or 12h, by this machine's clock.
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with = "expires_at")]
    pub(crate) ttl: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Draw a cluster's identities and its secret into the founding file.
    Init {
        /// The file; made if missing.
        #[arg(long, value_name = "FILE")]
        founding: PathBuf,
        /// Members for a new file, by the address of their peer listener; HTTP listens one port
        /// below it and native clients are served one port above.
        #[arg(long = "member", value_name = "NAME=HOST:PORT")]
        members: Vec<String>,
    },
    /// Give out a token with which one new node may join: `serve --join ADDRESS --token TOKEN`.
    Token {
        /// How long it is good, such as 1h or 30m; at most a week.
        #[arg(long, default_value = "1h", value_parser = duration)]
        ttl: Duration,
        #[command(flatten)]
        node: NodeArgs,
    },
    #[command(flatten)]
    Ring(RingCommand),
    /// Who is up, and what the asked node holds.
    Status(NodeArgs),
    /// Who owns which partitions.
    #[command(name = "ring")]
    Owners(NodeArgs),
    /// How far nodes that lost their disk have got with filling it again, and whom they wait for.
    Rebuild {
        /// The node at `--at` does without this member, which will not come back: what only that one had is lost.
        #[arg(long, value_name = "NAME")]
        without: Option<String>,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// What nodes keep for others that were away: holder, home, how much, since when, and why it waits.
    Hints(NodeArgs),
    /// Count what every primary really has, and say whether all agree.
    Verify(PartitionArgs),
    /// Make all primaries equal now, without waiting for anti-entropy's turn.
    Repair(PartitionArgs),
    /// Where a key lives, and what each replica holds.
    Explain {
        #[command(flatten)]
        object: ObjectArgs,
        #[command(flatten)]
        node: NodeArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum LoadCommand {
    /// Replay a file of transactions as shopping carts, and verify every item.
    Carts {
        #[command(flatten)]
        nodes: NodesArgs,
        /// One line item a row: timestamp, household_id, basket_id, product_id, quantity,
        /// sales_value.
        #[arg(long, value_name = "CSV")]
        transactions: PathBuf,
        /// Names of products: product_id, product_category, product_type.
        #[arg(long, value_name = "CSV")]
        products: Option<PathBuf>,
        #[command(flatten)]
        replay: ReplayArgs,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Carts that are filled at a time.
    #[arg(long, value_name = "COUNT", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) shoppers: u16,
    /// Devices that fill one cart at the same time, each with its own view of it.
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) devices: u16,
    /// One get or put is tried again until it is acknowledged, at most for this long.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) deadline_s: u64,
}

/// A number and a unit: `10s`, `500ms`, `2m`.
fn duration(text: &str) -> Result<Duration, String> {
    let refuse = || format!("{text:?} is not a duration such as 10s, 500ms or 2m");
    let unit = text
        .find(|character: char| character.is_ascii_alphabetic())
        .ok_or_else(refuse)?;
    let (number, unit) = text.split_at(unit);
    let number: u64 = number.parse().map_err(|_| refuse())?;
    let milliseconds = match unit {
        "ms" => Some(number),
        "s" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        _ => None,
    };
    milliseconds
        .filter(|&ms| ms > 0)
        .map(Duration::from_millis)
        .ok_or_else(refuse)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in [
            "",
            "10",
            "s",
            "0s",
            "-1s",
            "10 s",
            "99999999999999999999s",
            "1d",
        ] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn restart_is_a_command_of_dev() {
        let cli = Cli::try_parse_from(["ringhold", "dev", "restart", "node2", "--dir", "d"]);
        let Ok(Cli {
            command: Command::Dev(dev),
            ..
        }) = cli
        else {
            panic!("it parses")
        };
        assert!(matches!(dev.command, Some(DevCommand::Restart { name, .. }) if name == "node2"));
    }

    #[test]
    fn formats_stand_anywhere() {
        let cli = Cli::try_parse_from(["ringhold", "get", "k", "-b", "b", "--output", "json"]);
        assert_eq!(cli.expect("it parses").output, Format::Json);
    }
}
