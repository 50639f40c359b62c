//! What goes between two nodes that gossip, and how large it is.
//!
//! These are the messages as values; the wire crate makes bytes of them. They hold what a receiver may count on, because they can't be
//! made otherwise: a digest names each node once, in ascending order; the entries of a delta are in the order of their
//! versions, begin after its mark, and name each key once. What arrives as something else is refused where it is decoded.
//!
//! Sizes are known here as well, because how much goes into a message is decided by its bytes; a test of the wire crate
//! holds the two against each other.
//!
//! Not here: what the values mean. A node carries keys that it does not know, for those who do (T20).

use crate::id::NodeId;
use bytes::Bytes;
use std::fmt;

/// No value is longer, in bytes: even one of each kind is one message.
pub const VALUE_BYTES_MAX: usize = 16 * 1_024;

const NODE_BYTES: usize = 16;
const NUMBER_BYTES: usize = 8;
const COUNT_BYTES: usize = 4;

/// What an entry is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateKey(pub u8);

impl StateKey {
    /// Where the node is reached.
    pub const ADDRESSES: Self = Self(1);
    /// How much it owns and holds.
    pub const LOAD: Self = Self(2);
    /// The ring document that it has: epoch, hash, placement number.
    pub const EPOCH: Self = Self(3);
    /// How far partitions that move have come.
    pub const TRANSFERS: Self = Self(4);
    /// The protocols that it speaks.
    pub const PROTOCOLS: Self = Self(5);
    /// That it is alive; without a value, its version says it all.
    pub const HEARTBEAT: Self = Self(6);
}

impl fmt::Display for StateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::ADDRESSES => "addresses",
            Self::LOAD => "load",
            Self::EPOCH => "epoch",
            Self::TRANSFERS => "transfers",
            Self::PROTOCOLS => "protocols",
            Self::HEARTBEAT => "heartbeat",
            Self(code) => return write!(f, "state {code}"),
        })
    }
}

impl fmt::Debug for StateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateKey({self})")
    }
}

/// How far a node's map is known: everything up to this version of this generation. A later generation is beyond all versions of
/// an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark {
    pub generation: u64,
    pub version: u64,
}

impl Mark {
    /// Of a node that was never heard of.
    pub const NOTHING: Self = Self {
        generation: 0,
        version: 0,
    };
}

/// One thing that a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: StateKey,
    /// Rises with each change to the node's map; at least 1.
    pub version: u64,
    /// At most [`VALUE_BYTES_MAX`] bytes.
    pub value: Bytes,
}

impl Entry {
    /// The size of its encoding.
    #[must_use]
    pub fn wire_bytes(&self) -> usize {
        1 + NUMBER_BYTES + COUNT_BYTES + self.value.len()
    }
}

/// Marks of some nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Digest(Vec<(NodeId, Mark)>);

impl Digest {
    /// None if the nodes are not in strictly ascending order.
    #[must_use]
    pub fn new(marks: Vec<(NodeId, Mark)>) -> Option<Self> {
        let is_ascending = marks.is_sorted_by(|(left, _), (right, _)| left < right);
        is_ascending.then_some(Self(marks))
    }

    #[must_use]
    pub fn marks(&self) -> &[(NodeId, Mark)] {
        &self.0
    }

    /// The size of its encoding.
    #[must_use]
    pub fn wire_bytes(&self) -> usize {
        COUNT_BYTES + self.0.len() * (NODE_BYTES + 2 * NUMBER_BYTES)
    }
}

/// The entries of one node's map that come next after a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeDelta {
    node: NodeId,
    generation: u64,
    after: u64,
    entries: Vec<Entry>,
}

impl NodeDelta {
    /// The size of its encoding without its entries.
    pub const HEAD_BYTES: usize = NODE_BYTES + 2 * NUMBER_BYTES + COUNT_BYTES;

    /// None if there is no entry, their versions do not rise from above `after`, a key occurs twice, or a value is too long.
    #[must_use]
    pub fn new(node: NodeId, generation: u64, after: u64, entries: Vec<Entry>) -> Option<Self> {
        let starts_after = entries.first()?.version > after;
        let rises = entries.is_sorted_by(|left, right| left.version < right.version);
        let fits = |entry: &Entry| entry.value.len() <= VALUE_BYTES_MAX;
        let mut occurs = [false; 256];
        let is_new =
            |entry: &Entry| !std::mem::replace(&mut occurs[usize::from(entry.key.0)], true);
        let holds = starts_after && rises && entries.iter().all(fits) && entries.iter().all(is_new);
        holds.then_some(Self {
            node,
            generation,
            after,
            entries,
        })
    }

    #[must_use]
    pub fn node(&self) -> NodeId {
        self.node
    }

    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whoever has less than this of the map would be left with a gap.
    #[must_use]
    pub fn after(&self) -> u64 {
        self.after
    }

    /// At least one, in the order of their versions.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(super) fn into_entries(self) -> Vec<Entry> {
        self.entries
    }

    /// The mark of whoever has taken all of it.
    #[must_use]
    pub fn reaches(&self) -> Mark {
        let last = self.entries.last().expect("there is at least one");
        Mark {
            generation: self.generation,
            version: last.version,
        }
    }

    /// The size of its encoding.
    #[must_use]
    pub fn wire_bytes(&self) -> usize {
        let entries = self.entries.iter().map(Entry::wire_bytes);
        Self::HEAD_BYTES + entries.sum::<usize>()
    }
}

/// What one node tells another of several nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deltas(Vec<NodeDelta>);

impl Deltas {
    #[must_use]
    pub fn new(nodes: Vec<NodeDelta>) -> Self {
        Self(nodes)
    }

    #[must_use]
    pub fn nodes(&self) -> &[NodeDelta] {
        &self.0
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn push(&mut self, delta: NodeDelta) {
        self.0.push(delta);
    }

    pub(super) fn into_nodes(self) -> Vec<NodeDelta> {
        self.0
    }

    /// The size of its encoding.
    #[must_use]
    pub fn wire_bytes(&self) -> usize {
        COUNT_BYTES + self.0.iter().map(NodeDelta::wire_bytes).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: u8, version: u64) -> Entry {
        Entry {
            key: StateKey(key),
            version,
            value: Bytes::from_static(b"value"),
        }
    }

    #[test]
    fn a_digest_names_each_node_once_in_order() {
        let of = |ids: &[u128]| {
            let marks = ids.iter().map(|id| (NodeId(*id), Mark::NOTHING));
            Digest::new(marks.collect()).is_some()
        };
        assert!(of(&[]) && of(&[3]) && of(&[1, 2, 9]));
        assert!(!of(&[2, 1]) && !of(&[1, 1]));
    }

    #[test]
    fn a_delta_leaves_no_gap_within_itself() {
        let of = |after, entries: &[(u8, u64)]| {
            let entries = entries.iter().map(|(key, version)| entry(*key, *version));
            NodeDelta::new(NodeId(1), 1, after, entries.collect()).is_some()
        };
        assert!(of(0, &[(1, 1)]) && of(4, &[(2, 5), (1, 9)]));
        assert!(!of(0, &[]), "nothing to tell");
        assert!(!of(1, &[(1, 1)]), "what comes before its mark");
        assert!(!of(0, &[(1, 2), (2, 1)]) && !of(0, &[(1, 2), (2, 2)]));
        assert!(!of(0, &[(1, 1), (1, 2)]), "a key twice");
        let long = Entry {
            value: Bytes::from(vec![0; VALUE_BYTES_MAX + 1]),
            ..entry(1, 1)
        };
        assert!(NodeDelta::new(NodeId(1), 1, 0, vec![long]).is_none());
    }

    #[test]
    fn marks_are_ordered_by_generation_first() {
        let mark = |generation, version| Mark {
            generation,
            version,
        };
        assert!(mark(2, 0) > mark(1, 9) && mark(1, 9) > mark(1, 8));
        assert!(mark(0, 1) > Mark::NOTHING);
    }
}
