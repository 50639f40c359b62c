//! What clients made of bucket properties, as far as messages and answers tell.
//!
//! Clients change the properties of two buckets that hold no keys, so nothing else that is checked depends on them. A
//! change is a few random properties and a number that no other change has; the number is kept in a property that
//! means nothing here (`young_vclock`), so a node's properties name the change that it holds. Nodes order changes by
//! time and a tie-breaker, which only their messages show: a change that nobody ever sent has no order here, and
//! nothing is asked about it.

use bytes::Bytes;
use ringhold_node::properties::{Overrides, Properties};
use ringhold_wire::message::peer::BucketProperties;
use std::collections::{BTreeMap, BTreeSet};

/// The buckets whose properties are changed.
pub const BUCKETS: [&[u8]; 2] = [b"settings 0", b"settings 1"];
/// The number of the first change: above every default of the property that it is kept in.
pub(crate) const FIRST: u64 = 1_000_000;

/// When a change was made, and what decides between two of one moment.
pub type Order = (u64, u128);

/// One change.
#[derive(Clone, Debug, Default)]
pub struct Change {
    pub bucket: usize,
    /// The node that was asked for it, and that sees to it that all have it.
    pub maker: usize,
    /// The maker's disk was replaced before all had it: nobody else passes it on.
    pub is_orphaned: bool,
    /// None until it shows in a message.
    pub order: Option<Order>,
    /// The nodes that have had it, or a later one, on their disks and have not lost it since.
    pub holders: BTreeSet<usize>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    changes: BTreeMap<u64, Change>,
}

impl Settings {
    /// A client is about to change a bucket by way of a node; returns the change's number.
    pub fn begin(&mut self, bucket: usize, maker: usize) -> u64 {
        let number = FIRST + u64::try_from(self.changes.len()).expect("counts fit");
        let change = Change {
            bucket,
            maker,
            ..Change::default()
        };
        self.changes.insert(number, change);
        number
    }

    #[must_use]
    pub fn change(&self, number: u64) -> Option<&Change> {
        self.changes.get(&number)
    }

    pub fn changes_of(&self, bucket: usize) -> impl Iterator<Item = (u64, &Change)> {
        let of = move |change: &&Change| change.bucket == bucket;
        let all = self
            .changes
            .iter()
            .map(|(number, change)| (*number, change));
        all.filter(move |(_, change)| of(change))
    }

    /// A node tells another one of this: it has it on its disk. False if the change had another time before.
    pub fn sent(&mut self, node: usize, properties: &BucketProperties) -> bool {
        let order = (properties.changed_us, properties.changed_by);
        let number = number_of(&properties.overrides);
        let Some(change) = number.and_then(|number| self.changes.get_mut(&number)) else {
            return true;
        };
        change.holders.insert(node);
        *change.order.get_or_insert(order) == order
    }

    /// A node has this on its disk, or something later.
    pub fn kept(&mut self, node: usize, number: u64) {
        if let Some(change) = self.changes.get_mut(&number) {
            change.holders.insert(node);
        }
    }

    /// A node's disk is empty, in a cluster of so many nodes.
    pub fn lost(&mut self, node: usize, nodes: usize) {
        for change in self.changes.values_mut() {
            change.is_orphaned |= change.maker == node && change.holders.len() < nodes;
            change.holders.remove(&node);
        }
    }
}

/// The number of the change that left these overrides; none if no change did.
#[must_use]
pub fn number_of(overrides: &Bytes) -> Option<u64> {
    let overrides = Overrides::decode(overrides.clone()).ok()?;
    let resolved = Properties::resolve(&Properties::default(), &overrides);
    Some(resolved.reported.young_vclock).filter(|number| *number >= FIRST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringhold_node::properties::Value;

    #[test]
    fn overrides_name_the_change_that_left_them() {
        let mut settings = Settings::default();
        let number = settings.begin(1, 2);
        let value = Value::Integer(i64::try_from(number).unwrap());
        let overrides = Overrides::propose([("young_vclock", value)]).unwrap();
        let mut properties = BucketProperties {
            bucket_type: "default".into(),
            bucket: Bytes::from_static(BUCKETS[1]),
            changed_us: 7,
            changed_by: 1,
            overrides: overrides.encode(),
        };
        assert_eq!(number_of(&properties.overrides), Some(number));
        assert_eq!(number_of(&Overrides::default().encode()), None);
        assert!(settings.sent(2, &properties) && settings.sent(3, &properties));
        settings.lost(2, 3);
        assert!(settings.change(number).unwrap().is_orphaned);
        assert_eq!(
            settings.change(number).unwrap().holders,
            BTreeSet::from([3])
        );
        properties.changed_us = 8;
        assert!(!settings.sent(2, &properties), "one change has one time");
    }
}
