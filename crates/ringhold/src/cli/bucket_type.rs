//! Kinds of buckets.

use clap::Subcommand;

use super::NodeArgs;

/// Created, then activated once every member knows it; from then on its buckets can be used.
#[derive(Debug, Subcommand)]
pub(crate) enum BucketTypeCommand {
    /// Create a type, or create it anew as long as it is not active.
    Create {
        /// Its name.
        name: String,
        /// Its properties, such as '{"props":{"datatype":"counter"}}'.
        #[arg(value_name = "JSON")]
        properties: Option<String>,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Make a type active, for ever; waits a little while until every member knows it.
    Activate {
        /// Its name.
        name: String,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// How far a type is, and its properties.
    Status {
        /// Its name.
        name: String,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Every type that was created.
    List(NodeArgs),
    /// Change properties of an active type.
    Update {
        /// Its name.
        name: String,
        /// Those that change, such as '{"props":{"r":1}}'.
        #[arg(value_name = "JSON")]
        properties: String,
        #[command(flatten)]
        node: NodeArgs,
    },
}
