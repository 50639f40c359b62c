//! Listings and index queries, as both edges understand them.
//!
//! A client's words become a [`Query`], and what comes back of it is pulled through a channel that holds one batch: who reads
//! slowly slows the walk down, and who goes away ends it.
//!
//! A continuation is the place of the last row that was given out, behind a byte for its format. It is not secret and grants nothing; it
//! is checked to lie within the query that it comes with.

use super::pattern::Pattern;
use bytes::Bytes;
use ringhold_core::coverage::Share;
use ringhold_core::index::{
    BUCKET_FIELD, FieldKind, KEY_FIELD, PLACE_BYTES_MAX, Row, Span, field_kind, term_order,
    term_text,
};
use ringhold_node::{Filter, Found, Query, QueryFailed};
use std::collections::BTreeSet;
use tokio::sync::mpsc;

/// The first byte of a continuation.
const CONTINUATION_FORMAT: u8 = 1;

/// What comes of a query: batches of rows, and then its end or its failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    Rows(Vec<Found>),
    Ended(Ended),
    Failed(QueryFailed),
}

/// How a query has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Partitions of which fewer homes answered than were asked for.
    pub missing: BTreeSet<u32>,
    /// Partitions that there are.
    pub partitions: u32,
}

impl Ended {
    /// What Riak says of a query that could not be covered; none if it could.
    pub(crate) fn insufficient(&self) -> Option<String> {
        let missing = u32::try_from(self.missing.len()).unwrap_or(u32::MAX);
        let Self { partitions, .. } = self;
        let covered = partitions.saturating_sub(missing);
        (missing > 0).then(|| format!("{{insufficient_vnodes,{covered},need,{partitions}}}"))
    }

    /// The same for people and for programs that want to know which.
    pub(crate) fn coverage(&self) -> String {
        if self.missing.is_empty() {
            return "complete".to_owned();
        }
        let missing: Vec<String> = self.missing.iter().map(u32::to_string).collect();
        format!("missing {}", missing.join(","))
    }
}

/// All of a query's rows, or why not.
pub(crate) async fn collect(
    mut listed: mpsc::Receiver<Listed>,
    bytes_max: usize,
) -> Result<(Vec<Found>, Ended), CollectFailed> {
    let (mut rows, mut bytes) = (Vec::new(), 0);
    loop {
        match listed.recv().await {
            Some(Listed::Rows(more)) => {
                bytes += more.iter().map(bytes_of).sum::<usize>();
                if bytes > bytes_max {
                    return Err(CollectFailed::TooMuch);
                }
                rows.extend(more);
            }
            Some(Listed::Ended(ended)) => return Ok((rows, ended)),
            Some(Listed::Failed(failed)) => return Err(CollectFailed::Query(failed)),
            None => return Err(CollectFailed::Query(QueryFailed::TimedOut)),
        }
    }
}

fn bytes_of(found: &Found) -> usize {
    let entry = found.row.entry.as_ref();
    64 + found.row.key.len() + entry.map_or(0, |(_, term)| term.len())
}

/// Why an answer could not be put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CollectFailed {
    Query(QueryFailed),
    /// More than fits into one answer.
    TooMuch,
}

/// Which terms, or keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bounds {
    Equal(Bytes),
    /// From the one to the other, both included.
    Range(Bytes, Bytes),
}

/// An index query before it is checked.
#[derive(Clone, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) bucket_type: &'a Bytes,
    pub(crate) bucket: &'a Bytes,
    pub(crate) field: &'a [u8],
    pub(crate) bounds: Bounds,
    pub(crate) rows_max: Option<u64>,
    pub(crate) continuation: Option<&'a [u8]>,
    pub(crate) term_regex: Option<&'a [u8]>,
}

/// Why something is no index query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BadQuery {
    /// Neither `_bin` nor `_int`, nor one of the built-in ones.
    Field {
        field: String,
    },
    Value {
        field: String,
        value: String,
    },
    Range {
        first: String,
        last: String,
    },
    RegexOnNumbers,
    Regex {
        text: String,
    },
    Continuation,
}

/// Makes a query of it.
pub(crate) fn index_query(asked: &Asked<'_>) -> Result<Query, BadQuery> {
    let field = asked.field.to_ascii_lowercase();
    let span = span_of(asked, &field)?;
    let filter = asked
        .term_regex
        .map(|text| filter_of(&field, text))
        .transpose()?;
    let after = match asked.continuation {
        Some(token) => place_in(token, &span)?,
        None => Bytes::new(),
    };
    Ok(Query {
        bucket_type: asked.bucket_type.clone(),
        bucket: Some(asked.bucket.clone()),
        span,
        after,
        filter,
        share: Share::ALL,
        rows_max: asked.rows_max,
    })
}

fn span_of(asked: &Asked<'_>, field: &[u8]) -> Result<Span, BadQuery> {
    let (bucket_type, bucket) = (asked.bucket_type, asked.bucket);
    if field == BUCKET_FIELD {
        return Ok(Span::of_bucket(bucket_type, bucket));
    }
    let (first, last) = match &asked.bounds {
        Bounds::Equal(value) => (value, value),
        Bounds::Range(first, last) => (first, last),
    };
    let bad_range = || BadQuery::Range {
        first: text(first),
        last: text(last),
    };
    if field == KEY_FIELD {
        if first > last {
            return Err(bad_range());
        }
        return Ok(Span::of_keys(bucket_type, bucket, first, Some(last)));
    }
    if field_kind(field).is_none() {
        return Err(BadQuery::Field { field: text(field) });
    }
    let order = |value: &Bytes| {
        term_order(field, value).ok_or_else(|| BadQuery::Value {
            field: text(field),
            value: text(value),
        })
    };
    let (from, to) = (order(first)?, order(last)?);
    if from > to {
        return Err(bad_range());
    }
    Ok(Span::of_terms(bucket_type, bucket, field, &from, &to))
}

fn filter_of(field: &[u8], regex: &[u8]) -> Result<Filter, BadQuery> {
    if field_kind(field) == Some(FieldKind::Number) {
        return Err(BadQuery::RegexOnNumbers);
    }
    let pattern = std::str::from_utf8(regex).ok().and_then(Pattern::parse);
    let pattern = pattern.ok_or_else(|| BadQuery::Regex { text: text(regex) })?;
    Ok(Box::new(move |row: &Row| match &row.entry {
        Some((_, term)) => pattern.is_in(term),
        None => pattern.is_in(&row.key),
    }))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Where a query goes on whose last row this was.
pub(crate) fn continuation_behind(last: &Found) -> Vec<u8> {
    [&[CONTINUATION_FORMAT], &last.place[..]].concat()
}

pub(crate) fn place_in(token: &[u8], span: &Span) -> Result<Bytes, BadQuery> {
    let (from, to) = span.places();
    match token {
        [CONTINUATION_FORMAT, place @ ..]
            if place.len() <= PLACE_BYTES_MAX && from[..] <= *place && *place < to[..] =>
        {
            Ok(Bytes::copy_from_slice(place))
        }
        _ => Err(BadQuery::Continuation),
    }
}

/// A row's term as clients write it; none in `$key`.
pub(crate) fn term_of(found: &Found) -> Option<Bytes> {
    let (field, term) = found.row.entry.as_ref()?;
    Some(term_text(field, term))
}

/// Lists the keys of a bucket.
pub(crate) fn keys_query(bucket_type: &Bytes, bucket: &Bytes) -> Query {
    Query {
        bucket_type: bucket_type.clone(),
        bucket: Some(bucket.clone()),
        span: Span::of_bucket(bucket_type, bucket),
        after: Bytes::new(),
        filter: None,
        share: Share::ALL,
        rows_max: None,
    }
}

/// Lists the buckets of a type that have keys.
pub(crate) fn buckets_query(bucket_type: &Bytes) -> Query {
    Query {
        bucket_type: bucket_type.clone(),
        bucket: None,
        span: Span::of_type(bucket_type),
        after: Bytes::new(),
        filter: None,
        share: Share::ALL,
        rows_max: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringhold_core::index::{entry_row, place_of};

    fn asked<'a>(field: &'a [u8], bounds: Bounds, names: &'a (Bytes, Bytes)) -> Asked<'a> {
        Asked {
            bucket_type: &names.0,
            bucket: &names.1,
            field,
            bounds,
            rows_max: None,
            continuation: None,
            term_regex: None,
        }
    }

    #[test]
    fn what_is_no_query_is_refused_by_name() {
        let names = (Bytes::from("default"), Bytes::from("b"));
        let range = |first: &'static str, last: &'static str| {
            Bounds::Range(Bytes::from(first), Bytes::from(last))
        };
        let refused = |field: &'static [u8], bounds| {
            index_query(&asked(field, bounds, &names))
                .err()
                .expect("no query")
        };
        assert!(matches!(
            refused(b"f", range("a", "b")),
            BadQuery::Field { .. }
        ));
        assert!(matches!(
            refused(b"f_int", range("1", "x")),
            BadQuery::Value { .. }
        ));
        assert!(matches!(
            refused(b"f_int", range("10", "9")),
            BadQuery::Range { .. }
        ));
        assert!(matches!(
            refused(b"$key", range("b", "a")),
            BadQuery::Range { .. }
        ));
        assert!(index_query(&asked(b"F_INT", range("9", "10"), &names)).is_ok());
        assert!(index_query(&asked(b"$bucket", range("9", "1"), &names)).is_ok());
    }

    #[test]
    fn a_continuation_goes_on_in_its_own_query_only() {
        let names = (Bytes::from("default"), Bytes::from("b"));
        let whole = entry_row(b"default", b"b", b"f_bin", b"m", b"key");
        let found = Found {
            row: Row::read(&whole).expect("a row"),
            place: place_of(&whole),
        };
        let token = continuation_behind(&found);
        let with = |last: &'static str, token: &[u8]| {
            let bounds = Bounds::Range(Bytes::from("a"), Bytes::from(last));
            let asked = Asked {
                continuation: Some(token),
                ..asked(b"f_bin", bounds, &names)
            };
            index_query(&asked).map(|query| query.after)
        };
        assert_eq!(with("z", &token).ok(), Some(place_of(&whole)));
        for (last, token) in [
            ("b", &token[..]),
            ("z", b""),
            ("z", &token[1..]),
            ("z", b"\x01"),
        ] {
            assert_eq!(
                with(last, token).err(),
                Some(BadQuery::Continuation),
                "{last} {token:?}"
            );
        }
    }
}
