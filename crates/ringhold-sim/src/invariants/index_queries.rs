//! X2: what an index query or a listing finds.
//!
//! Always: rows come in order and each once; each key was written, with that term, by somebody. Of an answer that says that it is complete, where
//! primaries alone take part: with R + W > N, every key whose last write was acknowledged before the query began, and has the
//! term, is there; unless disks have lost it (see I15). "Last" means that nobody began another write of the key since that one began.

use super::Violation;
use super::i15_read_after_write::is_excused;
use crate::books::{Books, Operation, Outcome};
use crate::queries::{FIELD, term_of};
use crate::workload::Kind;
use bytes::Bytes;
use ringhold_core::version::Object;
use ringhold_wire::message::ObjectName;
use ringhold_wire::metadata::index_entries;
use std::collections::BTreeSet;

/// What was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    pub bucket: Bytes,
    /// Terms from the first to the last; none for all keys.
    pub terms: Option<(u64, u64)>,
    /// Rows on a page; none for all at once.
    pub page: Option<u64>,
    /// In so many shares of the ring it is asked for, as a power of two.
    pub share_bits: u32,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Places and keys, as they came.
    pub rows: Vec<(Bytes, Bytes)>,
    pub is_complete: bool,
    /// Homes of each partition that were asked.
    pub replicas: usize,
}

/// # Errors
/// If rows are out of order, one was never written, or a complete answer lacks one.
pub fn check(
    books: &Books,
    asked: &Asked,
    began_us: u64,
    answer: &Answer,
) -> Result<(), Violation> {
    let fail = |text: String| Err(Violation::new("X2", format!("{asked:?}: {text}")));
    if !answer.rows.is_sorted_by(|a, b| a.0 < b.0) {
        return fail(format!(
            "rows are out of order, or come twice: {:?}",
            answer.rows
        ));
    }
    let found: BTreeSet<&Bytes> = answer.rows.iter().map(|(_, key)| key).collect();
    for key in &found {
        let name = ObjectName {
            bucket_type: "default".into(),
            bucket: asked.bucket.clone(),
            key: (*key).clone(),
        };
        let number = books.key_of(&name);
        let mut writes = books.operations.iter().enumerate();
        let written = |(at, operation): (usize, &Operation)| {
            Some(operation.key) == number && leaves_value(asked, operation) && wants(asked, at)
        };
        if !writes.any(written) {
            return fail(format!("{key:?} was never written so"));
        }
    }
    if !answer.is_complete || !books.rules.primaries_only || books.rules.last_write_wins {
        return Ok(());
    }
    for (key, name) in books.names.iter().enumerate() {
        if name.bucket != asked.bucket || found.contains(&name.key) {
            continue;
        }
        if let Some(number) = due(books, key, asked, began_us, answer.replicas) {
            return fail(format!(
                "{:?} is missing: operation {number} was acknowledged before, and was the last",
                name.key
            ));
        }
    }
    Ok(())
}

/// The write because of which a key has to be found.
fn due(books: &Books, key: usize, asked: &Asked, began_us: u64, replicas: usize) -> Option<usize> {
    let of_key = books.operations.iter().enumerate();
    let mut writes =
        of_key.filter(|(_, operation)| operation.key == key && operation.kind != Kind::Get);
    let (number, last) = writes
        .by_ref()
        .max_by_key(|(at, operation)| (operation.called_us, *at))?;
    let write = last.write.as_ref()?;
    let acknowledged = matches!(last.outcome, Some(Outcome::Acknowledged(_)));
    let before = last
        .returned_us
        .is_some_and(|returned_us| returned_us <= began_us);
    let r = u32::try_from(replicas).expect("a handful");
    let overlaps = r + write.w > books.replicas.max(write.n);
    let is_due = acknowledged
        && before
        && overlaps
        && leaves_value(asked, last)
        && write.ending.is_none()
        && wants(asked, number)
        && !is_excused(books, key, last.called_us, write.w)
        && !books.may_be_gone(number, books.latest_us());
    is_due.then_some(number)
}

/// Whether a write leaves something to be found. Data types have no terms, and are listed.
fn leaves_value(asked: &Asked, operation: &Operation) -> bool {
    match operation.kind {
        Kind::Put => true,
        Kind::Update => asked.terms.is_none(),
        Kind::Get | Kind::Delete => false,
    }
}

fn wants(asked: &Asked, operation: usize) -> bool {
    let term = term_of(operation);
    asked
        .terms
        .is_none_or(|(first, last)| (first..=last).contains(&term))
}

/// Whether an object has one of the terms, as it is shown to clients; whether it has a value, if none are given.
#[must_use]
pub fn has(object: &Object, shows_one: bool, terms: Option<(u64, u64)>) -> bool {
    let last = object.last_write().map(|version| version.dot);
    let mut shown = object
        .versions()
        .iter()
        .filter(|version| !shows_one || Some(version.dot) == last);
    shown.any(|version| {
        let is_value = !version.content.is_tombstone();
        let Some((first, last)) = terms else {
            return is_value;
        };
        let mut entries = index_entries(version).filter(|entry| entry.name == FIELD);
        entries.any(|entry| {
            let term = std::str::from_utf8(&entry.value)
                .ok()
                .and_then(|text| text.parse().ok());
            term.is_some_and(|term| (first..=last).contains(&term))
        })
    })
}
