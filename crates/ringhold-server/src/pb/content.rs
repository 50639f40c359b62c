//! Objects as the contents of messages, and the other way.
//!
//! A user's metadata are handed back exactly as they were given, and so are names that the HTTP edge took from
//! headers, without the prefix that they have there.

use super::refusal::Refusal;
use crate::edge::datatype::binary;
use crate::edge::index_entry::{BadEntry, index_entry};
use crate::edge::names::vtag;
use crate::edge::shown;
use bytes::Bytes;
use ringhold_core::version::{Content, Object, Version};
use ringhold_node::properties::Properties;
use ringhold_wire::metadata::{Link, Metadata, NamedValue};
use ringhold_wire::riak;
use std::collections::BTreeSet;

const US_PER_S: u64 = 1_000_000;

/// What a client of this bucket is shown of an object; nothing where there are only tombstones.
pub(super) fn values_of<'a>(object: &'a Object, properties: &Properties) -> Vec<&'a Version> {
    let mut versions = shown(object, properties);
    if versions
        .iter()
        .all(|version| version.content.is_tombstone())
    {
        versions.clear();
    }
    versions
}

/// A version as a content; without its value if only the head is asked for.
pub(super) fn content_of(version: &Version, head_only: bool) -> riak::Content {
    let timestamp_us = version.timestamp.0;
    let number = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let mut content = riak::Content {
        vtag: Some(Bytes::from(vtag(version.dot))),
        last_mod: Some(number(timestamp_us / US_PER_S)),
        last_mod_usecs: Some(number(timestamp_us % US_PER_S)),
        ..riak::Content::default()
    };
    let Content::Value { bytes, metadata } = &version.content else {
        content.deleted = Some(true);
        return content;
    };
    if !head_only {
        content.value = bytes.clone();
    }
    // Every version was checked when it was taken in.
    let metadata = Metadata::from_fields(metadata).unwrap_or_default();
    content.content_type = metadata.content_type;
    content.charset = metadata.charset;
    content.content_encoding = metadata.content_encoding;
    content.links = metadata.links.into_iter().map(link_of).collect();
    content.usermeta = metadata.user.into_iter().map(pair_of).collect();
    content.indexes = metadata.indexes.into_iter().map(pair_of).collect();
    content
}

/// What a client says of a value besides its bytes.
///
/// # Errors
/// All index entries that are none, in Riak's words for a put that its checks refuse.
pub(super) fn metadata_of(content: &riak::Content) -> Result<Metadata, Refusal> {
    let named = |pairs: &[riak::Pair]| {
        let mut named: Vec<NamedValue> = pairs.iter().map(named_of).collect();
        // One order, so that a retry of the same request has the same bytes (T6).
        named.sort();
        named
    };
    Ok(Metadata {
        content_type: content.content_type.clone(),
        charset: content.charset.clone(),
        content_encoding: content.content_encoding.clone(),
        user: named(&content.usermeta),
        links: content.links.iter().map(stored_link).collect(),
        indexes: index_entries(&content.indexes)?,
        ..Metadata::default()
    })
}

fn index_entries(pairs: &[riak::Pair]) -> Result<Vec<NamedValue>, Refusal> {
    let (mut entries, mut bad) = (BTreeSet::new(), BTreeSet::new());
    for pair in pairs {
        let value = pair.value.clone().unwrap_or_default();
        match index_entry(&pair.key, &value) {
            Ok(entry) => drop(entries.insert(entry)),
            Err(refused) => drop(bad.insert(refused)),
        }
    }
    if bad.is_empty() {
        return Ok(entries.into_iter().collect());
    }
    let reasons: Vec<String> = bad.iter().map(reason).collect();
    let text = format!("{{precommit_fail,[{}]}}", reasons.join(","));
    Err(Refusal::text(text))
}

fn reason(bad: &BadEntry) -> String {
    match bad {
        BadEntry::Field { field } => format!("{{unknown_field_type,{}}}", binary(field)),
        BadEntry::Value { field, value } => {
            let (field, value) = (binary(field), binary(value));
            format!("{{field_parsing_failed,{{{field},{value}}}}}")
        }
    }
}

fn pair_of(named: NamedValue) -> riak::Pair {
    riak::Pair {
        key: named.name,
        value: Some(named.value),
    }
}

fn named_of(pair: &riak::Pair) -> NamedValue {
    NamedValue {
        name: pair.key.clone(),
        value: pair.value.clone().unwrap_or_default(),
    }
}

fn link_of(link: Link) -> riak::Link {
    riak::Link {
        bucket: Some(link.bucket),
        key: Some(link.key),
        tag: Some(link.tag),
    }
}

fn stored_link(link: &riak::Link) -> Link {
    let part = |part: &Option<Bytes>| part.clone().unwrap_or_default();
    Link {
        bucket: part(&link.bucket),
        key: part(&link.key),
        tag: part(&link.tag),
    }
}
