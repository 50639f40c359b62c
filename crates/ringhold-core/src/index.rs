//! Secondary indexes: what an entry is, and in which order entries stand.
//!
//! A client gives a value entries, `field = term`. The name of a field says what its terms are: `_bin` bytes, `_int`
//! whole numbers of any size. Each object with a value also stands in the built-in index `$key` of its bucket,
//! which is what key listings and `$bucket` queries read. An index is a sorted run of *rows*, one for each (term, key):
//!
//! ```text
//! row = type ∎ bucket ∎ 0 ‖ key                     $key
//!     = type ∎ bucket ∎ 1 ‖ field ∎ term ∎ key      an entry
//! ∎   = 00 01; a 00 in a name is written 00 ff, so that names of any bytes sort as they are
//! ```
//!
//! A term of numbers is written so that bytes sort as numbers do: sign, number of digits, digits; a negative one with all bits
//! turned. So no arithmetic is needed, however large they are.
//!
//! Stores want keys of bounded length. A row that is longer is *cut*: its first bytes and a hash of the whole take its place in
//! the order. Every node cuts alike, so rows of all nodes stand in one order; only rows that share nearly five hundred bytes stand among
//! themselves in no order that means anything. Bounds are compared with whole rows, so no query finds too much or too little.
//!
//! Not here: where rows are kept (the store), who is asked for them (`coverage`), and which entries a value has (the wire's metadata).

use crate::ring::Position;
use bytes::Bytes;

/// The built-in index of object keys.
pub const KEY_FIELD: &[u8] = b"$key";
/// The built-in index of everything in a bucket.
pub const BUCKET_FIELD: &[u8] = b"$bucket";

/// No place is longer: a row that is, is cut.
pub const PLACE_BYTES_MAX: usize = 496;
/// What is left of one that is, before the hash.
const CUT_BYTES: usize = PLACE_BYTES_MAX - 16;

/// Decimal digits of a number that are taken in.
pub const DIGITS_MAX: usize = 65_535;

const END: [u8; 2] = [0, 1];
const AFTER_END: [u8; 2] = [0, 2];
const OF_KEYS: u8 = 0;
const OF_ENTRIES: u8 = 1;
const AFTER_ENTRIES: u8 = 2;

/// What a field's terms are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    Bytes,
    Number,
}

/// Whether and how a field's name says what its terms are. Names are compared in lower case.
#[must_use]
pub fn field_kind(field: &[u8]) -> Option<FieldKind> {
    match field {
        _ if field.ends_with(b"_bin") => Some(FieldKind::Bytes),
        _ if field.ends_with(b"_int") => Some(FieldKind::Number),
        _ => None,
    }
}

/// A term in the bytes that sort as terms do; none if the field has no terms like it.
#[must_use]
pub fn term_order(field: &[u8], term: &[u8]) -> Option<Bytes> {
    match field_kind(field)? {
        FieldKind::Bytes => Some(Bytes::copy_from_slice(term)),
        FieldKind::Number => number_order(term),
    }
}

fn number_order(text: &[u8]) -> Option<Bytes> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    let digits = &digits[zeros..];
    let count = u16::try_from(digits.len()).ok()?;
    if digits.is_empty() {
        return Some(Bytes::from_static(&[1]));
    }
    let turned = if negative { u8::MAX } else { 0 };
    let mut order = Vec::with_capacity(3 + digits.len());
    order.push(if negative { 0 } else { 2 });
    let count = count.to_be_bytes();
    order.extend(count.iter().chain(digits).map(|byte| byte ^ turned));
    Some(order.into())
}

/// A term as clients write it, from the bytes that sort.
#[must_use]
pub fn term_text(field: &[u8], order: &Bytes) -> Bytes {
    if field_kind(field) != Some(FieldKind::Number) {
        return order.clone();
    }
    match &order[..] {
        [2, _, _, digits @ ..] => Bytes::copy_from_slice(digits),
        [0, _, _, digits @ ..] => {
            let digits = digits.iter().map(|digit| !digit);
            std::iter::once(b'-').chain(digits).collect()
        }
        _ => Bytes::from_static(b"0"),
    }
}

/// The whole row of a key in `$key`.
#[must_use]
pub fn key_row(bucket_type: &[u8], bucket: &[u8], key: &[u8]) -> Bytes {
    let mut row = bucket_prefix(bucket_type, bucket);
    row.push(OF_KEYS);
    row.extend_from_slice(key);
    row.into()
}

/// The whole row of an entry, whose term is in the bytes that sort.
#[must_use]
pub fn entry_row(
    bucket_type: &[u8],
    bucket: &[u8],
    field: &[u8],
    term: &[u8],
    key: &[u8],
) -> Bytes {
    let mut row = entry_prefix(bucket_type, bucket, field, term);
    row.extend_from_slice(&END);
    row.extend_from_slice(key);
    row.into()
}

/// The place of a whole row in the order of all nodes: itself, or as much as fits.
#[must_use]
pub fn place_of(row: &Bytes) -> Bytes {
    if row.len() <= PLACE_BYTES_MAX {
        return row.clone();
    }
    let hash = Position::of(row, b"", b"").0.to_be_bytes();
    [&row[..CUT_BYTES], &hash].concat().into()
}

/// What is in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub bucket_type: Bytes,
    pub bucket: Bytes,
    /// Field and term, the latter in the bytes that sort; none in `$key`.
    pub entry: Option<(Bytes, Bytes)>,
    pub key: Bytes,
}

impl Row {
    /// Reads a whole row; none if it is none.
    #[must_use]
    pub fn read(row: &Bytes) -> Option<Self> {
        let mut rest = row.clone();
        let bucket_type = take(&mut rest)?;
        let bucket = take(&mut rest)?;
        let entry = match *rest.first()? {
            OF_KEYS => {
                rest = rest.slice(1..);
                None
            }
            OF_ENTRIES => {
                rest = rest.slice(1..);
                Some((take(&mut rest)?, take(&mut rest)?))
            }
            _ => return None,
        };
        Some(Self {
            bucket_type,
            bucket,
            entry,
            key: rest,
        })
    }
}

/// The first place after all rows of a bucket.
#[must_use]
pub fn after_bucket(bucket_type: &[u8], bucket: &[u8]) -> Bytes {
    let mut row = bucket_prefix(bucket_type, bucket);
    row.push(AFTER_ENTRIES);
    row.into()
}

/// A run of whole rows: from `from` up to but not including `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    pub from: Bytes,
    pub to: Bytes,
}

impl Span {
    /// All keys of a bucket.
    #[must_use]
    pub fn of_bucket(bucket_type: &[u8], bucket: &[u8]) -> Self {
        Self::of_keys(bucket_type, bucket, b"", None)
    }

    /// The keys of a bucket from `first` on, to `last`, which is one of them, or to the end.
    #[must_use]
    pub fn of_keys(bucket_type: &[u8], bucket: &[u8], first: &[u8], last: Option<&[u8]>) -> Self {
        let from = key_row(bucket_type, bucket, first);
        let to = match last {
            Some(last) => [&key_row(bucket_type, bucket, last)[..], &[0]].concat(),
            None => {
                let mut row = bucket_prefix(bucket_type, bucket);
                row.push(OF_ENTRIES);
                row
            }
        };
        Self {
            from,
            to: to.into(),
        }
    }

    /// The entries of a field with terms from `first` to `last`, both among them and in the bytes that sort.
    #[must_use]
    pub fn of_terms(
        bucket_type: &[u8],
        bucket: &[u8],
        field: &[u8],
        first: &[u8],
        last: &[u8],
    ) -> Self {
        let mut from = entry_prefix(bucket_type, bucket, field, first);
        from.extend_from_slice(&END);
        let mut to = entry_prefix(bucket_type, bucket, field, last);
        to.extend_from_slice(&AFTER_END);
        Self {
            from: from.into(),
            to: to.into(),
        }
    }

    /// All rows of a bucket type; of those, listing buckets looks at one in each.
    #[must_use]
    pub fn of_type(bucket_type: &[u8]) -> Self {
        let mut from = Vec::new();
        put_escaped(&mut from, bucket_type);
        let mut to = from.clone();
        from.extend_from_slice(&END);
        to.extend_from_slice(&AFTER_END);
        Self {
            from: from.into(),
            to: to.into(),
        }
    }

    /// Whether a whole row is in it.
    #[must_use]
    pub fn contains(&self, row: &[u8]) -> bool {
        self.from[..] <= *row && *row < self.to[..]
    }

    /// Where in the order to begin so that no row is missed, and where to end; rows in between that are cut may be outside.
    #[must_use]
    pub fn places(&self) -> (Bytes, Bytes) {
        let from = self.from.slice(..self.from.len().min(CUT_BYTES));
        if self.to.len() <= CUT_BYTES {
            return (from, self.to.clone());
        }
        (from, after_prefix(&self.to[..CUT_BYTES]))
    }
}

/// The first place behind all that begin with this.
fn after_prefix(prefix: &[u8]) -> Bytes {
    let mut after = prefix.to_vec();
    while after.pop_if(|last| *last == u8::MAX).is_some() {}
    if let Some(last) = after.last_mut() {
        *last += 1;
    }
    after.into()
}

fn bucket_prefix(bucket_type: &[u8], bucket: &[u8]) -> Vec<u8> {
    let mut row = Vec::with_capacity(64);
    put(&mut row, bucket_type);
    put(&mut row, bucket);
    row
}

/// Up to the term, without what ends it.
fn entry_prefix(bucket_type: &[u8], bucket: &[u8], field: &[u8], term: &[u8]) -> Vec<u8> {
    let mut row = bucket_prefix(bucket_type, bucket);
    row.push(OF_ENTRIES);
    put(&mut row, field);
    put_escaped(&mut row, term);
    row
}

fn put(row: &mut Vec<u8>, name: &[u8]) {
    put_escaped(row, name);
    row.extend_from_slice(&END);
}

fn put_escaped(row: &mut Vec<u8>, name: &[u8]) {
    for &byte in name {
        row.push(byte);
        if byte == 0 {
            row.push(u8::MAX);
        }
    }
}

/// Takes a name off the front.
fn take(rest: &mut Bytes) -> Option<Bytes> {
    let mut name = Vec::new();
    let mut at = 0;
    loop {
        match (*rest.get(at)?, rest.get(at + 1)) {
            (0, Some(1)) => break,
            (0, Some(&u8::MAX)) => {
                name.push(0);
                at += 2;
            }
            (0, _) => return None,
            (byte, _) => {
                name.push(byte);
                at += 1;
            }
        }
    }
    *rest = rest.slice(at + END.len()..);
    Some(name.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(text: &str) -> Bytes {
        term_order(b"age_int", text.as_bytes()).expect("a number")
    }

    #[test]
    fn numbers_of_any_size_sort_as_numbers() {
        let ascending = [
            "-100000000000000000000000000000000000000000",
            "-18446744073709551616",
            "-10",
            "-9",
            "-1",
            "0",
            "1",
            "9",
            "10",
            "99",
            "100",
            "18446744073709551616",
            "100000000000000000000000000000000000000000",
        ];
        for pair in ascending.windows(2) {
            assert!(number(pair[0]) < number(pair[1]), "{pair:?}");
        }
        for text in ascending {
            assert_eq!(term_text(b"age_int", &number(text)), text.as_bytes());
        }
        assert_eq!(number("-000"), number("0"));
        assert_eq!(number("+007"), number("7"));
        for text in ["", "-", "1.0", "x", "1 ", "--1"] {
            assert_eq!(term_order(b"age_int", text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(term_order(b"age", b"1"), None, "no kind of field");
    }

    #[test]
    fn a_type_holds_its_buckets_and_no_others() {
        let span = Span::of_type(b"t");
        for (bucket_type, inside) in [
            (&b"t"[..], true),
            (b"s", false),
            (b"t\0", false),
            (b"tt", false),
            (b"u", false),
        ] {
            for bucket in [&b""[..], b"\0", b"b", b"\xff\xff"] {
                let row = key_row(bucket_type, bucket, b"k");
                assert_eq!(span.contains(&row), inside, "{bucket_type:?} {bucket:?}");
            }
        }
    }

    fn name() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![Just(0_u8), Just(1), Just(2), Just(255), any::<u8>()];
        prop::collection::vec(byte, 0..5)
    }

    proptest! {
        #[test]
        fn rows_sort_as_what_they_say(
            a in (name(), name(), name()), b in (name(), name(), name()),
        ) {
            let row = |(bucket, term, key): &(Vec<u8>, Vec<u8>, Vec<u8>)| {
                entry_row(b"t", bucket, b"f_bin", term, key)
            };
            prop_assert_eq!(row(&a).cmp(&row(&b)), a.cmp(&b));
            let read = Row::read(&row(&a)).expect("a row");
            prop_assert_eq!(&read.bucket[..], &a.0[..]);
            prop_assert_eq!(&read.entry.expect("an entry").1[..], &a.1[..]);
            prop_assert_eq!(&read.key[..], &a.2[..]);
            prop_assert!(key_row(b"t", &a.0, &a.2) < entry_row(b"t", &a.0, b"f_bin", &a.1, b""));
            prop_assert!(after_bucket(b"t", &a.0) > row(&a));
        }

        #[test]
        fn a_span_holds_what_is_between(
            term in name(), key in name(), first in name(), last in name(), long in any::<bool>(),
        ) {
            let bucket = if long { vec![7; 490] } else { vec![7] };
            let span = Span::of_terms(b"t", &bucket, b"f_bin", &first, &last);
            let row = entry_row(b"t", &bucket, b"f_bin", &term, &key);
            prop_assert_eq!(span.contains(&row), first <= term && term <= last);
            let keys = Span::of_keys(b"t", &bucket, &first, Some(&last));
            let row_of_key = key_row(b"t", &bucket, &key);
            prop_assert_eq!(keys.contains(&row_of_key), first <= key && key <= last);
            for (span, row) in [(span, row), (keys, row_of_key)] {
                let (from, to) = span.places();
                let place = place_of(&row);
                prop_assert!(place.len() <= PLACE_BYTES_MAX);
                prop_assert!(!span.contains(&row) || (from <= place && place < to));
            }
        }
    }
}
