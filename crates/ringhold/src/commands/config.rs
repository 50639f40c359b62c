//! `config check` and `config show`: a node's settings without the node.

use crate::cli::ConfigCommand;
use crate::commands::serve;
use crate::output::{Failure, Format, print, print_json};

pub(super) fn run(command: &ConfigCommand, format: Format) -> Result<(), Failure> {
    match command {
        ConfigCommand::Check(settings) => {
            serve::layers(settings)?.config().check()?;
            match format {
                Format::Table => print("the configuration is usable\n"),
                Format::Json => print_json(&serde_json::json!({ "usable": true })),
            }
        }
        ConfigCommand::Show(settings) => {
            let layers = serve::layers(settings)?;
            match format {
                Format::Table => print(layers.to_string()),
                Format::Json => {
                    let config = serde_json::to_value(layers.config()).map_err(|error| {
                        Failure::failed(format!("can't print the settings: {error}"))
                    })?;
                    print_json(&config)
                }
            }
        }
    }
}
