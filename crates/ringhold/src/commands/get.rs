//! `get`: all current versions, and the context that covers them.

use std::time::Duration;

use ringhold_client::{Fetched, GetOptions, ObjectName, Quorums, Sibling};
use serde_json::{Value, json};

use crate::cli::{GetArgs, ObjectArgs};
use crate::commands::door::Door;
use crate::commands::{context, view};
use crate::output::{Failure, Format, print, print_json};

pub(super) fn name_of(object: &ObjectArgs) -> ObjectName {
    ObjectName::new(&object.bucket_type, &object.bucket, &object.key)
}

pub(super) async fn run(arguments: GetArgs, format: Format) -> Result<(), Failure> {
    let door = Door::at(&arguments.node.at)?;
    let timeout: Duration = arguments.node.timeout();
    let quorums = Quorums {
        r: arguments.quorum.r,
        pr: arguments.quorum.pr,
        ..Quorums::default()
    };
    let options = GetOptions {
        quorums,
        explain: arguments.explain,
        timeout: Some(timeout),
    };
    let fetched = door.get(&name_of(&arguments.object), &options).await?;
    if let Some(path) = &arguments.context_file {
        context::keep(fetched.context.as_deref(), path)?;
    }
    match format {
        Format::Table => print(readable(&fetched))?,
        Format::Json => print_json(&as_json(&fetched))?,
    }
    if fetched.values().next().is_none() {
        let how = if fetched.siblings.is_empty() {
            "not found"
        } else {
            "deleted"
        };
        return Err(Failure::not_found(format!(
            "{}: {how}",
            arguments.object.key
        )));
    }
    Ok(())
}

/// Values are printed as they are, bytes that are no text included.
fn readable(fetched: &Fetched) -> Vec<u8> {
    let mut out = Vec::new();
    let count = fetched.siblings.len();
    for (index, sibling) in fetched.siblings.iter().enumerate() {
        if count > 1 {
            let head = format!("--- version {} of {count}{}\n", index + 1, note(sibling));
            out.extend_from_slice(head.as_bytes());
        }
        out.extend_from_slice(&sibling.body);
        if !sibling.body.is_empty() && !sibling.body.ends_with(b"\n") {
            out.push(b'\n');
        }
    }
    if let Some(context) = &fetched.context {
        out.extend_from_slice(format!("context: {context}\n").as_bytes());
    }
    if let Some(explain) = &fetched.explain {
        out.extend_from_slice(view::explained(explain).as_bytes());
    }
    out
}

fn note(sibling: &Sibling) -> String {
    if sibling.deleted {
        " (deleted)".to_owned()
    } else {
        format!(" ({})", sibling.content_type)
    }
}

fn as_json(fetched: &Fetched) -> Value {
    let siblings: Vec<Value> = fetched
        .siblings
        .iter()
        .map(|sibling| {
            let metadata: serde_json::Map<String, Value> = sibling
                .metadata
                .iter()
                .map(|(name, value)| (name.clone(), Value::String(value.clone())))
                .collect();
            // Text as text; anything else as its bytes, so that nothing is changed on the way.
            let value = match std::str::from_utf8(&sibling.body) {
                Ok(text) => json!({ "value": text }),
                Err(_) => json!({ "value_bytes": sibling.body.to_vec() }),
            };
            let mut sibling = json!({
                "content_type": sibling.content_type,
                "vtag": sibling.vtag,
                "deleted": sibling.deleted,
                "metadata": metadata,
            });
            view::extend(&mut sibling, value);
            sibling
        })
        .collect();
    let mut out = json!({ "siblings": siblings, "context": fetched.context });
    if let Some(explain) = &fetched.explain {
        view::extend(&mut out, json!({ "explain": view::parsed(explain) }));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sibling(body: &'static [u8]) -> Sibling {
        Sibling {
            content_type: "text/plain".to_owned(),
            vtag: "v".to_owned(),
            deleted: body.is_empty(),
            metadata: Vec::new(),
            body: body.into(),
        }
    }

    #[test]
    fn one_value_stands_alone_and_siblings_have_heads() {
        let one = Fetched {
            siblings: vec![sibling(b"x")],
            context: Some("c".to_owned()),
            explain: None,
        };
        assert_eq!(readable(&one), b"x\ncontext: c\n");
        let two = Fetched {
            siblings: vec![sibling(b"x"), sibling(b"")],
            ..Fetched::default()
        };
        assert_eq!(
            readable(&two),
            b"--- version 1 of 2 (text/plain)\nx\n--- version 2 of 2 (deleted)\n"
        );
    }

    #[test]
    fn bytes_that_are_no_text_survive_json() {
        let fetched = Fetched {
            siblings: vec![sibling(&[0xff, 0])],
            ..Fetched::default()
        };
        assert_eq!(
            as_json(&fetched)["siblings"][0]["value_bytes"],
            json!([255, 0])
        );
    }
}
