//! `delete`: a tombstone over what the context covers, or over what a read finds without one.

use ringhold_client::Deleted;
use serde_json::json;

use crate::cli::DeleteArgs;
use crate::commands::door::Door;
use crate::commands::{get, put};
use crate::output::{Failure, Format, print, print_json};

pub(super) async fn run(arguments: DeleteArgs, format: Format) -> Result<(), Failure> {
    let options = put::options(&arguments.write)?;
    let door = Door::at(&arguments.write.node.at)?;
    let object = &arguments.write.object;
    match door.delete(&get::name_of(object), &options).await? {
        Deleted::Missing => Err(Failure::not_found(format!("{}: not found", object.key))),
        Deleted::Done => match format {
            Format::Table => print("deleted\n"),
            Format::Json => print_json(&json!({ "deleted": true })),
        },
    }
}
