//! The index rows of a record, as the store keeps them.
//!
//! The value of a row says until when it counts, since values may have an end, and whether it stands in the version that a bucket shows
//! which shows one. Nearly always that is "always" and "yes", and the value is empty:
//!
//! ```text
//! value = nothing
//!       | flags u8 │ (1: last u64, any u64) │ (2: the whole row, where its key was cut)
//! last  = until when the last write has it, in microseconds since 1970; 0 if that has it not, 2^64-1 for always
//! any   = until when any version has it
//! ```

use bytes::{Buf, BufMut, Bytes};
use ringhold_core::index::{entry_row, key_row, place_of, term_order};
use ringhold_core::version::Version;
use ringhold_storage::{RowKey, StorageKey};
use ringhold_wire::metadata::{expires_at_us, index_entries};
use ringhold_wire::record::Record;
use std::collections::BTreeMap;

const ALWAYS: u64 = u64::MAX;
const NEVER: u64 = 0;
const TIMES: u8 = 1;
const WHOLE: u8 = 2;

/// Until when a row counts, in microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Times {
    last: u64,
    any: u64,
}

/// All rows of a record, with their values.
pub(crate) fn rows_of(
    key: &StorageKey,
    record: &Record,
    partition_bits: u32,
) -> Vec<(RowKey, Bytes)> {
    let mut rows: BTreeMap<Bytes, Times> = BTreeMap::new();
    let last = record.object.last_write().map(|version| version.dot);
    for version in record.object.versions() {
        if version.content.is_tombstone() {
            continue;
        }
        let any = expires_at_us(version).unwrap_or(ALWAYS);
        let is_last = Some(version.dot) == last;
        for row in rows_of_version(record, version) {
            let times = rows.entry(row).or_insert(Times { last: NEVER, any });
            times.any = times.any.max(any);
            if is_last {
                times.last = any;
            }
        }
    }
    let rows = rows.into_iter();
    rows.map(|(row, times)| {
        let place = place_of(&row);
        let whole = (place != row).then_some(&row);
        let value = encode(times, whole);
        (RowKey::new(key.position(), partition_bits, &place), value)
    })
    .collect()
}

fn rows_of_version<'a>(
    record: &'a Record,
    version: &'a Version,
) -> impl Iterator<Item = Bytes> + 'a {
    let name = &record.name;
    let entries = index_entries(version).filter_map(|entry| {
        let field = entry.name.to_ascii_lowercase();
        let term = term_order(&field, &entry.value)?;
        Some(entry_row(
            &name.bucket_type,
            &name.bucket,
            &field,
            &term,
            &name.key,
        ))
    });
    std::iter::once(key_row(&name.bucket_type, &name.bucket, &name.key)).chain(entries)
}

fn encode(times: Times, whole: Option<&Bytes>) -> Bytes {
    let always = Times {
        last: ALWAYS,
        any: ALWAYS,
    };
    let has_times = times != always;
    if !has_times && whole.is_none() {
        return Bytes::new();
    }
    let mut value = Vec::with_capacity(17 + whole.map_or(0, Bytes::len));
    let flag = |is_set: bool, flag| if is_set { flag } else { 0 };
    value.put_u8(flag(has_times, TIMES) | flag(whole.is_some(), WHOLE));
    if has_times {
        value.put_u64(times.last);
        value.put_u64(times.any);
    }
    value.extend_from_slice(whole.map_or(&[], |whole| &whole[..]));
    value.into()
}

/// The whole row, if it counts now; none in `Ok` if it does not, an error if the value is none.
pub(super) fn read(
    key: &RowKey,
    mut value: Bytes,
    shows_one: bool,
    wall_us: u64,
) -> Result<Option<Bytes>, MalformedRow> {
    if value.is_empty() {
        return Ok(Some(key.tail()));
    }
    let flags = value.get_u8();
    if flags & TIMES != 0 {
        let mut time = || value.try_get_u64().map_err(|_| MalformedRow);
        let (last, any) = (time()?, time()?);
        let until_us = if shows_one { last } else { any };
        if until_us <= wall_us {
            return Ok(None);
        }
    }
    let is_cut = flags & WHOLE != 0;
    Ok(Some(if is_cut { value } else { key.tail() }))
}

/// A row that is none, under a checksum that fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MalformedRow;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_until_when_it_counts() {
        let key = RowKey::new(0, 8, b"row");
        let whole = Bytes::from_static(b"row and more");
        for (last, any) in [(ALWAYS, ALWAYS), (NEVER, ALWAYS), (5, 7), (NEVER, 7)] {
            for cut in [None, Some(&whole)] {
                let value = encode(Times { last, any }, cut);
                assert_eq!(value.is_empty(), cut.is_none() && last == ALWAYS);
                for (shows_one, until) in [(true, last), (false, any)] {
                    for wall_us in [4, 5, 6, 7] {
                        let found = read(&key, value.clone(), shows_one, wall_us);
                        let row = cut.cloned().unwrap_or_else(|| key.tail());
                        let expected = (wall_us < until).then_some(row);
                        assert_eq!(found, Ok(expected), "{last} {any} {wall_us}");
                    }
                }
            }
        }
        assert_eq!(
            read(&key, Bytes::from_static(&[1, 2]), true, 0),
            Err(MalformedRow)
        );
    }
}
