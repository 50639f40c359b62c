//! From a get to a put: the context as an argument or in a file.

use std::path::Path;

use crate::cli::ContextArgs;
use crate::output::Failure;

/// The context that the write carries, if one was given.
pub(super) fn given(arguments: &ContextArgs) -> Result<Option<String>, Failure> {
    if let Some(context) = &arguments.context {
        return Ok(Some(context.trim().to_owned()));
    }
    let Some(path) = &arguments.context_file else {
        return Ok(None);
    };
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::usage(format!(
            "can't read the context from {}: {error}",
            path.display()
        ))
    })?;
    let context = text.trim();
    // An empty file is what a get of nothing wrote: there is nothing to replace.
    Ok((!context.is_empty()).then(|| context.to_owned()))
}

/// Keeps a context for the next write; an empty file if there is none.
pub(super) fn keep(context: Option<&str>, path: &Path) -> Result<(), Failure> {
    std::fs::write(path, context.unwrap_or_default()).map_err(|error| {
        Failure::failed(format!(
            "can't write the context to {}: {error}",
            path.display()
        ))
    })
}
