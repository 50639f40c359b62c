//! Changing who is a member: staged one by one, then committed as one.

use clap::{Args, Subcommand};

use super::NodeArgs;

/// Staged for all to see; nothing moves before `commit`.
#[derive(Debug, Subcommand)]
pub(crate) enum RingCommand {
    /// Who is a member, where, with how much of the ring.
    Members(NodeArgs),
    /// Stage that a member hands over everything and then ends.
    Leave {
        /// Its name or id.
        name: String,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Stage that a member is given up as dead: what it held is copied from the others.
    Remove {
        /// Its name or id.
        name: String,
        #[command(flatten)]
        dead: DeadArgs,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Stage that a member which joins takes the place of a dead one.
    Replace {
        /// The dead one's name or id.
        old: String,
        /// The one that was started with `serve --join`.
        new: String,
        #[command(flatten)]
        dead: DeadArgs,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Stage another capacity of a member, relative to the others.
    Weight {
        /// Its name or id.
        name: String,
        /// An ordinary node has 100.
        weight: u32,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Stage that a member stands elsewhere.
    Place {
        /// Its name or id.
        name: String,
        #[arg(long)]
        zone: String,
        #[arg(long, default_value = "")]
        rack: String,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// What the staged changes come to, or those under way: who owns how much, what moves, what is at risk.
    Plan(NodeArgs),
    /// Have all that is staged begin.
    Commit {
        /// Return when it is done: everything is where it belongs, and who leaves is gone. It goes on without this
        /// command, too.
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Give up the changes under way, which are staged again then; or else those that are staged.
    Abort(NodeArgs),
    /// Go on without members that are lost for good, where those that are left are no majority and can't agree on anything.
    /// Shows what that comes to; does it with --unsafe and --yes.
    Recover {
        /// It loses what only the lost ones have, and makes two clusters of one if they live after all.
        #[arg(long)]
        r#unsafe: bool,
        /// Having seen what it comes to.
        #[arg(long)]
        yes: bool,
        /// A member that is lost for good, by name or id; by default all that the asked node can't reach.
        #[arg(long, value_name = "NAME")]
        give_up: Vec<String>,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// How far a change under way is, and why what waits waits.
    Transfers {
        /// Until it is done, print it anew whenever it has changed.
        #[arg(long)]
        watch: bool,
        #[command(flatten)]
        node: NodeArgs,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DeadArgs {
    /// Also if the member can be reached; one that lives should `leave`.
    #[arg(long)]
    pub(crate) yes_it_is_dead: bool,
}
