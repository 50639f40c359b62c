//! One committed batch of writes, as it stands in the log.
//!
//! ```text
//! ranges u32 │ entries u32 │ range … │ entry … │ (rows u32 │ row …), if there are any
//! range = keyspace u8 │ start 32 │ bounded u8 │ end 32 (all zero when not bounded)
//! entry = keyspace u8 │ 0 │ key 32                              the key is removed
//!       = keyspace u8 │ 1 │ key 32 │ length u32 │ sealed value  the key has this value
//! row   = 0 │ length u16 │ key                                  the row is gone
//!       = 1 │ length u16 │ key │ length u32 │ sealed value      the row has this value
//! ```
//!
//! A batch is already collapsed: what several writes did to one key is one entry. Ranges apply first,
//! then entries, in the log as in the buffer. The buffer keeps slices of the encoded record instead of
//! copies of the values, so a value is copied once on its way from the request to the log and memory.

use bytes::{Buf, BufMut, Bytes};

use crate::buffer::Buffer;
use crate::key::{KeyRange, Keyspace, StorageKey};
use crate::rows::{RowChanges, RowKey, sealed};
use crate::seal::{SEAL_BYTES, put_sealed};

/// A batch, as read from a record: sealed values that are slices of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WriteSet {
    pub(crate) ranges: Vec<(Keyspace, KeyRange)>,
    pub(crate) entries: Vec<(Keyspace, StorageKey, Option<Bytes>)>,
    pub(crate) rows: RowChanges,
}

/// The record body for what a writer has staged, with the seals put on the values.
pub(crate) fn encode(staged: &Buffer) -> Bytes {
    let count = |length: usize| u32::try_from(length).expect("a batch is bounded by who fills it");
    // All of it at once: whoever keeps slices of the record keeps whatever it grew to.
    let mut body = Vec::with_capacity(encoded_bytes(staged));
    body.put_u32_le(count(staged.removed().len()));
    body.put_u32_le(count(staged.entries().count()));
    for (keyspace, range) in staged.removed() {
        body.put_u8(keyspace.number());
        body.put_slice(&range.start.0);
        body.put_u8(u8::from(range.end.is_some()));
        body.put_slice(&range.end.unwrap_or(StorageKey::FIRST).0);
    }
    for ((keyspace, key), value) in staged.entries() {
        body.put_u8(keyspace.number());
        body.put_u8(u8::from(value.is_some()));
        body.put_slice(&key.0);
        if let Some(value) = value {
            body.put_u32_le(count(value.len() + SEAL_BYTES));
            put_sealed(&mut body, *keyspace, key, value);
        }
    }
    encode_rows(&mut body, staged);
    body.into()
}

/// As many bytes as the record has, or a few more.
fn encoded_bytes(staged: &Buffer) -> usize {
    let sealed = |value: Option<&Bytes>| SEAL_BYTES + value.map_or(0, Bytes::len);
    let ranges = 66 * staged.removed().len();
    let entries = staged.entries().map(|(_, value)| 38 + sealed(value));
    let rows = staged.all_rows().iter();
    let rows = rows.map(|(key, value)| 7 + key.bytes().len() + sealed(value.as_ref()));
    12 + ranges + entries.sum::<usize>() + rows.sum::<usize>()
}

fn encode_rows(body: &mut Vec<u8>, staged: &Buffer) {
    let rows = staged.all_rows();
    if rows.is_empty() {
        return;
    }
    let count = |length: usize| u32::try_from(length).expect("a batch is bounded by who fills it");
    body.put_u32_le(count(rows.len()));
    for (key, value) in rows {
        let length = u16::try_from(key.bytes().len()).expect("a row's key is short");
        body.put_u8(u8::from(value.is_some()));
        body.put_u16_le(length);
        body.put_slice(key.bytes());
        if let Some(value) = value {
            let value = sealed(key, value);
            body.put_u32_le(count(value.len()));
            body.put_slice(&value);
        }
    }
}

/// The batch in a record body; none if the body is not one. Allocates by what is there, never by
/// what a count claims.
pub(crate) fn decode(body: &Bytes) -> Option<WriteSet> {
    let mut rest = body.clone();
    let ranges = rest.try_get_u32_le().ok()?;
    let entries = rest.try_get_u32_le().ok()?;
    let mut writes = WriteSet::default();
    for _ in 0..ranges {
        writes.ranges.push(decode_range(&mut rest)?);
    }
    for _ in 0..entries {
        writes.entries.push(decode_entry(&mut rest)?);
    }
    if !rest.is_empty() {
        for _ in 0..rest.try_get_u32_le().ok()? {
            writes.rows.push(decode_row(&mut rest)?);
        }
    }
    rest.is_empty().then_some(writes)
}

fn decode_range(rest: &mut Bytes) -> Option<(Keyspace, KeyRange)> {
    let keyspace = Keyspace::from_number(rest.try_get_u8().ok()?)?;
    let start = decode_key(rest)?;
    let bounded = decode_flag(rest)?;
    let end = decode_key(rest)?;
    let end = bounded.then_some(end);
    Some((keyspace, KeyRange { start, end }))
}

fn decode_entry(rest: &mut Bytes) -> Option<(Keyspace, StorageKey, Option<Bytes>)> {
    let keyspace = Keyspace::from_number(rest.try_get_u8().ok()?)?;
    let put = decode_flag(rest)?;
    let key = decode_key(rest)?;
    if !put {
        return Some((keyspace, key, None));
    }
    let length = usize::try_from(rest.try_get_u32_le().ok()?).ok()?;
    let whole = (SEAL_BYTES..=rest.len()).contains(&length);
    whole.then(|| (keyspace, key, Some(rest.split_to(length))))
}

fn decode_row(rest: &mut Bytes) -> Option<(RowKey, Option<Bytes>)> {
    let put = decode_flag(rest)?;
    let length = usize::from(rest.try_get_u16_le().ok()?);
    let whole = length <= rest.len();
    let key = RowKey::from_bytes(whole.then(|| rest.split_to(length))?)?;
    if !put {
        return Some((key, None));
    }
    let length = usize::try_from(rest.try_get_u32_le().ok()?).ok()?;
    let whole = (SEAL_BYTES..=rest.len()).contains(&length);
    whole.then(|| (key, Some(rest.split_to(length))))
}

fn decode_flag(rest: &mut Bytes) -> Option<bool> {
    match rest.try_get_u8().ok()? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

fn decode_key(rest: &mut Bytes) -> Option<StorageKey> {
    let mut key = [0; 32];
    rest.try_copy_to_slice(&mut key).ok()?;
    Some(StorageKey(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Write;
    use crate::seal::unseal;

    fn staged() -> Buffer {
        let key = |position| StorageKey::new(position, 1);
        let mut staged = Buffer::default();
        staged.write(Write::put(
            Keyspace::Objects,
            key(1),
            Bytes::from_static(b"gone"),
        ));
        staged.write(Write::remove_range(
            Keyspace::Objects,
            KeyRange::new(key(0), key(5)),
        ));
        staged.write(Write::put(
            Keyspace::Objects,
            key(2),
            Bytes::from_static(b"two"),
        ));
        staged.write(Write::remove(Keyspace::Hints, key(9)));
        staged
    }

    #[test]
    fn room_is_made_once() {
        let mut staged = staged();
        staged.insert_row(RowKey::new(1, 8, b"tail"), Some(Bytes::from_static(b"row")));
        staged.insert_row(RowKey::new(2, 8, b"other"), None);
        let (room, bytes) = (encoded_bytes(&staged), encode(&staged).len());
        assert!((bytes..bytes + 40).contains(&room), "{room} for {bytes}");
    }

    #[test]
    fn a_batch_reads_back_collapsed() {
        let writes = decode(&encode(&staged())).expect("just encoded");
        assert_eq!(writes.ranges.len(), 1);
        assert_eq!(
            writes.entries.len(),
            2,
            "the put before the range removal is gone"
        );
        let (keyspace, key, value) = &writes.entries[0];
        let value = unseal(*keyspace, key, value.as_ref().expect("a put"));
        assert_eq!(value.as_deref(), Some(&b"two"[..]));
        assert_eq!(writes.entries[1].2, None);
    }

    #[test]
    fn a_shortened_body_is_no_batch() {
        let body = encode(&staged());
        for length in 0..body.len() {
            assert_eq!(decode(&body.slice(..length)), None, "{length} bytes");
        }
    }

    #[test]
    fn a_claimed_count_allocates_nothing() {
        assert_eq!(decode(&Bytes::from_static(&[0xff; 8])), None);
    }
}
