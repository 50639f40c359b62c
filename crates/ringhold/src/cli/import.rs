//! What `import` needs to know.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Data from other stores.
#[derive(Debug, Subcommand)]
pub(crate) enum ImportCommand {
    /// Copy what another cluster holds that speaks Riak's HTTP API, bucket by bucket; the same command goes on after a stop.
    Riak(ImportArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// HTTP listeners of the cluster that is copied.
    #[arg(long, value_name = "URL", value_delimiter = ',', required = true)]
    pub(crate) from: Vec<String>,
    /// HTTP listeners of the cluster that takes it all.
    #[arg(long, value_name = "URL", value_delimiter = ',', default_value = super::AT_DEFAULT, env = "RINGHOLD_AT")]
    pub(crate) at: Vec<String>,
    /// Bucket types, which have to be there in both clusters. Else all that the other cluster lists; Riak lists none, so the default type.
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',')]
    pub(crate) types: Vec<String>,
    /// Only these buckets of each type. Else all: listing them is hard work for the other cluster.
    #[arg(long = "bucket", value_name = "BUCKET", value_delimiter = ',')]
    pub(crate) buckets: Vec<String>,
    /// Where it is kept how far the import is; one directory for one import.
    #[arg(long, value_name = "DIRECTORY", default_value = "ringhold-import")]
    pub(crate) progress: PathBuf,
    /// No more keys a second.
    #[arg(long, value_name = "KEYS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate: Option<u32>,
    /// Keys at a time.
    #[arg(long, value_name = "KEYS", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) connections: u16,
    /// Leave the properties of buckets here as they are.
    #[arg(long)]
    pub(crate) keep_properties: bool,
}
