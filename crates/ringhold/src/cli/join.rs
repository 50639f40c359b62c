//! What `serve` needs to know of a cluster that it joins.

use clap::Args;
use ringhold_server::founding::WEIGHT_DEFAULT;

/// Becoming a member of a cluster that is there.
#[derive(Args)]
pub(crate) struct JoinArgs {
    /// Join the cluster that this node is a member of, HOST:PORT of its peer listener; does nothing if that has
    /// been done.
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["founding", "bootstrap"], requires = "token")]
    pub(crate) join: Option<String>,
    /// What `cluster token` gave out.
    #[arg(
        long,
        value_name = "TOKEN",
        env = "RINGHOLD_JOIN_TOKEN",
        hide_env_values = true
    )]
    pub(crate) token: Option<String>,
    /// The zone in which the new node stands.
    #[arg(long, requires = "join", default_value = "")]
    pub(crate) zone: String,
    /// Its rack.
    #[arg(long, requires = "join", default_value = "")]
    pub(crate) rack: String,
    /// Its capacity relative to the others.
    #[arg(long, requires = "join", default_value_t = WEIGHT_DEFAULT, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) weight: u32,
}

/// Without the token.
impl std::fmt::Debug for JoinArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinArgs")
            .field("join", &self.join)
            .finish_non_exhaustive()
    }
}
