//! What a benchmark is told: where, what, how much, and what to print.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use super::{NodesArgs, duration};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Workload {
    Put,
    Get,
    /// Gets and puts, by --gets-percent.
    Mixed,
    /// A get and then a put with its context, counted as one operation.
    Rmw,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    Http,
    /// Riak's Protocol Buffers API.
    Pb,
    Native,
}

/// Who decides which node coordinates a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Coordination {
    /// The client, which knows the ring.
    Client,
    /// Whichever node is asked.
    Server,
}

/// Which keys are drawn how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum KeysDistribution {
    /// All alike.
    Uniform,
    /// The k-th most popular in proportion to 1/k^theta.
    Zipf,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    pub(crate) command: Option<BenchCommand>,
    #[command(flatten)]
    pub(crate) nodes: NodesArgs,
    #[arg(long, value_enum, default_value = "mixed")]
    pub(crate) workload: Workload,
    /// The share of gets in a mixed workload.
    #[arg(long, value_name = "PERCENT", default_value_t = 50, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) gets_percent: u8,
    /// Whether a put carries the context of what it replaces, as an application's does. The
    /// context comes from a get before it, which is measured as a get of its own; without it
    /// each put of a key leaves one more sibling. (`--workload rmw` always does.)
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub(crate) with_context: bool,
    #[arg(long, value_enum, default_value = "http")]
    pub(crate) protocol: Protocol,
    /// Of the native protocol: whether requests go to a primary of their key, or to any node in turn, which passes them on.
    #[arg(long, value_enum, default_value = "client")]
    pub(crate) coordination: Coordination,
    #[arg(long, value_name = "BYTES", default_value_t = 1024)]
    pub(crate) value_bytes: usize,
    /// Keys are drawn from this many.
    #[arg(long, value_name = "COUNT", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) keys: u64,
    /// How they are drawn.
    #[arg(long, value_enum, default_value = "uniform")]
    pub(crate) keys_distribution: KeysDistribution,
    /// The exponent of zipf: at 0.99 the most popular of 100,000 keys gets one request in thirteen.
    #[arg(long, value_name = "EXPONENT", default_value_t = 0.99)]
    pub(crate) zipf_theta: f64,
    /// Draws the same keys as another run with this number. Without it each run draws its own: puts without context would otherwise
    /// meet what the run before them left, and add siblings to it.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) random_seed: Option<u64>,
    /// Requests in flight at most.
    #[arg(long, value_name = "COUNT", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) connections: u16,
    /// How long, such as 10s, 500ms or 2m.
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub(crate) duration: Duration,
    /// Stop after this many operations instead.
    #[arg(long, value_name = "COUNT", conflicts_with = "duration")]
    pub(crate) operations: Option<u64>,
    /// Start this many operations a second whatever the answers do (open loop); latency then
    /// counts from the moment at which an operation should have started.
    #[arg(long, value_name = "PER_SECOND")]
    pub(crate) rate: Option<f64>,
    /// An answer is in time within this, from the moment at which its operation should have started. What is in time is told by
    /// seconds.
    #[arg(long, value_name = "MS", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) in_time_ms: u64,
    /// Put every key once before the measurement.
    #[arg(long)]
    pub(crate) prefill: bool,
    /// Processes of the servers, whose memory is reported, and for each operation their CPU time and what they wrote.
    #[arg(
        long,
        value_name = "PID",
        value_delimiter = ',',
        conflicts_with = "cluster"
    )]
    pub(crate) pids: Vec<u32>,
    /// HTTP listeners of the nodes, for their counts of flushes [default: those of --cluster, or --at if that speaks HTTP].
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    pub(crate) metrics: Vec<String>,
    /// A `dev` cluster's cluster.json: its nodes instead of --at, and their processes and HTTP listeners.
    #[arg(long, value_name = "FILE")]
    pub(crate) cluster: Option<PathBuf>,
    #[arg(long, short, default_value = "bench")]
    pub(crate) bucket: String,
    /// Also write the report as one page of HTML.
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Also measure what the parts cost alone, here and now: the store, the frames, one flush; and say how far the whole is from
    /// their sum.
    #[arg(long)]
    pub(crate) floors: bool,
    /// Where the store and the flush of --floors are tried, on the nodes' file system [default: beside cluster.json].
    #[arg(long, value_name = "DIR", requires = "floors")]
    pub(crate) floors_dir: Option<PathBuf>,
    /// What was built, such as a commit; stands among the conditions.
    #[arg(long, value_name = "TEXT", env = "RINGHOLD_BUILD", default_value = "")]
    pub(crate) build: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Ratios of two runs, from what `--output json` printed, and where their conditions differ.
    Compare { before: PathBuf, after: PathBuf },
    /// Medians over runs of the same settings, from what `--output json` printed.
    Summarize {
        #[arg(required = true)]
        runs: Vec<PathBuf>,
        /// Also write all of them as one page of HTML.
        #[arg(long, value_name = "FILE")]
        report: Option<PathBuf>,
    },
    /// A node that only echoes, for --floors; says where it listens and ends with its standard input.
    #[command(hide = true)]
    Echo(EchoArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct EchoArgs {
    /// Of each value.
    #[arg(long)]
    pub(crate) value_bytes: usize,
    /// Replicas that a get asks.
    #[arg(long)]
    pub(crate) r: u64,
    /// Replicas that a put waits for.
    #[arg(long)]
    pub(crate) w: u64,
}
