//! One key, from there to here.
//!
//! Read there, read here, write what is missing, read again: what an outcome calls copied was read here after it was written.

use ringhold_client::ObjectName;

use super::data_type::{Kind, update_of, without_unset};
use super::remote::Remote;
use super::version::missing;
use crate::output::Failure;

/// The content types under which values of data types come to whoever asks for plain bytes.
const DATA_TYPE: &str = "application/riak_";

/// What became of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Deleted there since it was listed, or a tombstone.
    Gone,
    /// All of it is here already.
    Same,
    /// There was nothing here; now all of it is.
    Copied,
    /// There was something else here; now both are.
    Beside,
    /// It is not here as it is there.
    Left(String),
}

impl Outcome {
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Gone => "deleted there meanwhile",
            Self::Same => "were here already",
            Self::Copied => "copied",
            Self::Beside => "copied beside what was here",
            Self::Left(_) => "left",
        }
    }
}

pub(super) async fn copy(
    source: &Remote,
    target: &Remote,
    name: &ObjectName,
) -> Result<Outcome, Failure> {
    let there = source.versions(name).await?;
    let Some(first) = there.first() else {
        return Ok(Outcome::Gone);
    };
    if let Some(data_type) = first.content_type().strip_prefix(DATA_TYPE)
        && let Some(kind) = Kind::named(data_type)
    {
        let data_type = data_type.to_owned();
        return copy_data_type(source, target, name, &data_type, kind).await;
    }
    let here = target.versions(name).await?;
    let lacking = missing(&there, &here);
    if lacking.is_empty() {
        return Ok(Outcome::Same);
    }
    for version in &lacking {
        target.put(name, version).await?;
    }
    let lacking = missing(&there, &target.versions(name).await?);
    Ok(match (lacking.len(), here.len()) {
        (0, 0) => Outcome::Copied,
        (0, _) => Outcome::Beside,
        (left, _) => Outcome::Left(format!(
            "{left} of {} versions were not there when read again; does the bucket keep siblings (allow_mult)?",
            there.len()
        )),
    })
}

async fn copy_data_type(
    source: &Remote,
    target: &Remote,
    name: &ObjectName,
    data_type: &str,
    kind: Kind,
) -> Result<Outcome, Failure> {
    if kind == Kind::Estimate {
        return Ok(Outcome::Left(format!(
            "a {data_type} tells an estimate, of which it can't be made again: have it filled here anew"
        )));
    }
    let Some(there) = source.value(name).await? else {
        return Ok(Outcome::Gone);
    };
    let there = without_unset(&there);
    let here = target.value(name).await?.as_ref().map(without_unset);
    if here.as_ref() == Some(&there) {
        return Ok(Outcome::Same);
    }
    if let Some(here) = here {
        return Ok(Outcome::Left(format!(
            "it is {here} here and {there} there"
        )));
    }
    let Some(update) = update_of(data_type, &there) else {
        return Ok(Outcome::Left(format!(
            "{there} is no value of a {data_type}"
        )));
    };
    target.update(name, &update).await?;
    let read = target.value(name).await?.as_ref().map(without_unset);
    if read.as_ref() == Some(&there) {
        return Ok(Outcome::Copied);
    }
    let read = read.unwrap_or_default();
    Ok(Outcome::Left(format!(
        "it became {read} here and is {there} there"
    )))
}
