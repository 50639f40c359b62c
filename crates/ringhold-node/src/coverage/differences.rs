//! Looking for index rows that are not those of their objects, a few at a time.
//!
//! A partition is gone through twice: its objects, whether their rows are there, and its rows, whether they are their object's. Objects and
//! rows are read one after the other while writes go on, so what seems to differ is only in doubt. Whether it does is said by the writer of
//! the key, whom nothing overtakes, and who writes the rows anew if that is wanted.
//!
//! Who looks: the scrub, at its pace and at everything that is here ([`super::mend`]), and whoever verifies or repairs a tree, at the keys
//! of that tree.

use super::rows::rows_of;
use crate::node::Node;
use bytes::Bytes;
use ringhold_core::index::{PLACE_BYTES_MAX, Row};
use ringhold_core::ring::Class;
use ringhold_storage::{KeyRange, Keyspace, ReadError, RowFaults, RowKey, RowRange, StorageKey};
use ringhold_wire::message::ObjectName;
use ringhold_wire::message::peer::Refusal;
use ringhold_wire::record::Record;
use std::collections::BTreeMap;

/// Rows, or objects, that are looked at in one turn.
const AT_ONCE: usize = 64;

/// What is to be asked of the writers: for each object, the rows that may not be its.
pub(super) type Doubtful = BTreeMap<StorageKey, Vec<RowKey>>;

/// What is left of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) partition: u32,
    rest: Rest,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rest {
    /// From this object on, and all rows.
    Objects(StorageKey),
    /// The rows from this place on.
    Rows(Bytes),
}

const OF_OBJECTS: u8 = 0;
const OF_ROWS: u8 = 1;

impl Stretch {
    /// All of a partition.
    pub(super) fn whole(partition: u32, bits: u32) -> Self {
        let rest = Rest::Objects(KeyRange::of_partition(partition, bits).start);
        Self { partition, rest }
    }

    /// Whether objects are what is looked at next.
    pub(super) fn is_of_objects(&self) -> bool {
        matches!(self.rest, Rest::Objects(_))
    }

    /// For a peer who goes on later.
    pub(super) fn encode(&self) -> Bytes {
        match &self.rest {
            Rest::Objects(key) => [&[OF_OBJECTS], &key.0[..]].concat().into(),
            Rest::Rows(place) => [&[OF_ROWS], &place[..]].concat().into(),
        }
    }

    /// What a peer was given before, or all if that is nothing. None if it is no part of the partition.
    pub(super) fn decode(partition: u32, bits: u32, bytes: &Bytes) -> Option<Self> {
        let rest = match bytes.split_first() {
            None => return Some(Self::whole(partition, bits)),
            Some((&OF_OBJECTS, key)) => {
                let key = StorageKey(key.try_into().ok()?);
                let range = KeyRange::of_partition(partition, bits);
                Rest::Objects(range.contains(&key).then_some(key)?)
            }
            Some((&OF_ROWS, place)) if place.len() <= PLACE_BYTES_MAX + 1 => {
                Rest::Rows(bytes.slice(1..))
            }
            Some(_) => return None,
        };
        Some(Self { partition, rest })
    }
}

impl Node {
    /// Looks at the next few objects or rows, of one class of keys or of all. Returns what is left.
    pub(super) fn look_on(
        &self,
        stretch: Stretch,
        class: Option<Class>,
        doubtful: &mut Doubtful,
    ) -> Result<Option<Stretch>, ReadError> {
        let bits = self.ring().partition_count().bits();
        let partition = stretch.partition;
        let rest = match stretch.rest {
            Rest::Objects(start) => {
                let range = KeyRange {
                    start,
                    ..KeyRange::of_partition(partition, bits)
                };
                let next = self.look_at_objects(&range, bits, class, doubtful)?;
                Some(next.map_or_else(|| Rest::Rows(Bytes::new()), Rest::Objects))
            }
            Rest::Rows(place) => {
                let range = RowRange::new(partition, bits, &place, None);
                let next = self.look_at_rows(&range, bits, class, doubtful)?;
                next.map(Rest::Rows)
            }
        };
        Ok(rest.map(|rest| Stretch { partition, rest }))
    }

    /// Whether an object is of the class that is looked at.
    fn is_of(&self, class: Option<Class>, name: &ObjectName) -> bool {
        let of = || self.ring().classes().of(&name.bucket_type, &name.bucket);
        class.is_none_or(|class| class == of())
    }

    /// Objects that lack rows, or whose rows can't be read. Returns where to go on.
    fn look_at_objects(
        &self,
        range: &KeyRange,
        bits: u32,
        class: Option<Class>,
        doubtful: &mut Doubtful,
    ) -> Result<Option<StorageKey>, ReadError> {
        let page = self.store().readable(Keyspace::Objects, range, AT_ONCE)?;
        for (key, value) in page.rows {
            let Ok(record) = Record::decode(value) else {
                continue;
            };
            if !self.is_of(class, &record.name) {
                continue;
            }
            let mut rows = rows_of(&key, &record, bits).into_iter();
            if rows.any(|(row, value)| !self.has_row(&row, &value)) {
                doubtful.entry(key).or_default();
            }
        }
        Ok(page.next.filter(|next| range.contains(next)))
    }

    fn has_row(&self, row: &RowKey, value: &Bytes) -> bool {
        let there = self.store().rows(&RowRange::of_one(row), 1);
        there.is_ok_and(|rows| rows.first().is_some_and(|(_, found)| found == value))
    }

    /// Rows that their objects don't have, or that can't be read. Returns where to go on.
    fn look_at_rows(
        &self,
        range: &RowRange,
        bits: u32,
        class: Option<Class>,
        doubtful: &mut Doubtful,
    ) -> Result<Option<Bytes>, ReadError> {
        let (rows, damaged) = match self.store().rows(range, AT_ONCE) {
            Ok(rows) => (rows, None),
            Err(ReadError::CorruptRow { key }) => {
                let before = self.store().rows(&range.before(&key), AT_ONCE)?;
                (before, Some(key))
            }
            Err(error) => return Err(error),
        };
        let is_full = rows.len() == AT_ONCE;
        let last = rows.last().map(|(row, _)| row.clone());
        for (row, value) in rows {
            // When it counts does not matter here.
            let whole = super::rows::read(&row, value, false, 0);
            let whole = whole.ok().flatten().unwrap_or_else(|| row.tail());
            let Some(name) = name_in(&whole).filter(|name| self.is_of(class, name)) else {
                continue;
            };
            let key = self.replica.key_of(&name);
            let record = match self.replica.record_at(key) {
                Ok(record) => record,
                // The object is damaged: it is brought back by others, and somebody looks again.
                Err(_) => continue,
            };
            let own = record.map_or_else(Vec::new, |record| rows_of(&key, &record, bits));
            if !own.iter().any(|(own, _)| *own == row) {
                doubtful.entry(key).or_default().push(row);
            }
        }
        if let Some(damaged) = &damaged
            && let Some(name) = name_in(&damaged.tail()).filter(|name| self.is_of(class, name))
        {
            let rows = doubtful.entry(self.replica.key_of(&name)).or_default();
            rows.push(damaged.clone());
        }
        let behind = damaged.or(last.filter(|_| is_full));
        Ok(behind.map(|row| [&row.tail()[..], &[0]].concat().into()))
    }

    /// Asks the writers what of this differs; they write it anew if that is wanted. An object that can't be read has no rows that anybody
    /// could know.
    pub(super) async fn settle_rows(
        &self,
        doubtful: Doubtful,
        set_right: bool,
    ) -> Result<RowFaults, Refusal> {
        let mut sum = RowFaults::default();
        for (key, rows) in doubtful {
            let faults = match self.replica.check_rows(key, rows, set_right).await {
                Ok(faults) => faults,
                Err(Refusal::Unreadable) => continue,
                Err(refusal) => return Err(refusal),
            };
            if set_right {
                self.metrics
                    .rows_set_right
                    .add(u64::from(!faults.is_empty()));
            }
            sum.missing += faults.missing;
            sum.strange += faults.strange;
        }
        Ok(sum)
    }
}

/// Whose row it is. None if it was cut within the names.
fn name_in(whole: &Bytes) -> Option<ObjectName> {
    let Row {
        bucket_type,
        bucket,
        key,
        ..
    } = Row::read(whole)?;
    Some(ObjectName {
        bucket_type,
        bucket,
        key,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_comes_back_as_it_was_given() {
        let places = [Bytes::new(), Bytes::from(vec![7; PLACE_BYTES_MAX + 1])];
        let mut stretches = vec![Stretch::whole(3, 4)];
        stretches.extend(places.map(|place| Stretch {
            partition: 3,
            rest: Rest::Rows(place),
        }));
        for stretch in stretches {
            let given = stretch.encode();
            assert_eq!(Stretch::decode(3, 4, &given), Some(stretch));
        }
        let all = Stretch::decode(3, 4, &Bytes::new());
        assert_eq!(all, Some(Stretch::whole(3, 4)));
    }

    #[test]
    fn what_no_peer_was_given_is_refused() {
        let elsewhere = Stretch::whole(4, 4).encode();
        let long = [&[OF_ROWS][..], &[7; PLACE_BYTES_MAX + 2]].concat();
        for bytes in [
            elsewhere,
            long.into(),
            Bytes::from_static(&[OF_OBJECTS, 1]),
            Bytes::from_static(&[9]),
        ] {
            assert_eq!(Stretch::decode(3, 4, &bytes), None, "{bytes:?}");
        }
    }
}
