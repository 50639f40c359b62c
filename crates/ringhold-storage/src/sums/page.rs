//! Pages: 32 sums, one allocation in memory and one row in the engine.
//!
//! ```text
//! page  u64 tag │ u32 doubtful, a bit a leaf │ u32 unsorted │ 32 × (u128 sum │ u64 keys)
//!       at the first position of its leaves, with the class for a fingerprint
//! head  u16 2, the version of both │ u64 tag │ u8 leaf bits │ the classes: (u64 bucket │ u16 class) each
//!       at the last key of all
//! ```
//!
//! The head says that the rows beside it hold all sums of all objects in the engine. A store that is written to
//! without anybody keeping sums takes it away. A page without keys and doubts has no row. What is said of a leaf as a whole, its
//! doubts, stands on its page of the default class.

use bytes::{Buf, BufMut};
use ringhold_core::ring::Class;
use ringhold_core::tree::{LeafSum, TreeTag};

use super::sorting::Sorting;
use super::{PAGE_LEAVES, Shape, leaves_of_page};
use crate::key::{Keyspace, StorageKey};

const VERSION: u16 = 2;
const LEAVES: usize = 32;
/// Of a head without its classes.
const HEAD_BYTES: usize = 2 + 8 + 1;

/// Where the head stands. No page does, as a page starts where a leaf does.
pub(super) const HEAD_PLACE: (Keyspace, StorageKey) = (Keyspace::Trees, StorageKey::LAST);

/// The sums of 32 neighbouring leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    sums: [u128; LEAVES],
    keys: [u64; LEAVES],
    doubtful: u32,
    unsorted: u32,
}

/// A page: which leaves, and of which keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PageId {
    pub(super) number: u64,
    pub(super) class: Class,
}

impl PageId {
    /// The page on which something is said of leaves as a whole.
    pub(super) fn of_all(number: u64) -> Self {
        let class = Class::DEFAULT;
        Self { number, class }
    }
}

/// The page of a leaf, and the leaf's place there.
pub(super) fn place_of(leaf: u64) -> (u64, usize) {
    let place = usize::try_from(leaf % PAGE_LEAVES).expect("one of 32");
    (leaf / PAGE_LEAVES, place)
}

/// Where a page's row stands.
pub(super) fn key_of(page: PageId, shape: Shape) -> StorageKey {
    let start = shape.start_of(leaves_of_page(page.number).start);
    StorageKey::new(start.position(), u128::from(page.class.0))
}

/// The page whose row stands there; none if no page's does.
pub(super) fn page_at(key: &StorageKey, shape: Shape) -> Option<PageId> {
    let (number, _) = place_of(shape.leaf_of(key));
    let class = Class(u16::try_from(key.fingerprint()).ok()?);
    let page = PageId { number, class };
    (key_of(page, shape) == *key).then_some(page)
}

impl Page {
    pub(super) fn sum(&self, place: usize) -> LeafSum {
        LeafSum {
            sum: self.sums[place],
            keys: self.keys[place],
        }
    }

    pub(super) fn set(&mut self, place: usize, sum: LeafSum) {
        self.sums[place] = sum.sum;
        self.keys[place] = sum.keys;
    }

    pub(super) fn is_doubtful(&self, place: usize) -> bool {
        self.doubtful & 1 << place != 0
    }

    pub(super) fn set_doubtful(&mut self, place: usize, doubtful: bool) {
        if doubtful {
            self.doubtful |= 1 << place;
        } else {
            self.doubtful &= !(1 << place);
        }
    }

    pub(super) fn is_unsorted(&self, place: usize) -> bool {
        self.unsorted & 1 << place != 0
    }

    pub(super) fn set_unsorted(&mut self, place: usize, unsorted: bool) {
        if unsorted {
            self.unsorted |= 1 << place;
        } else {
            self.unsorted &= !(1 << place);
        }
    }

    /// Whether it says nothing: no keys, no sums, no doubts.
    pub(super) fn is_blank(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn encode(&self, tag: TreeTag) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8 + 4 + 4 + LEAVES * (16 + 8));
        bytes.put_u64_le(tag.0);
        bytes.put_u32_le(self.doubtful);
        bytes.put_u32_le(self.unsorted);
        for (sum, keys) in self.sums.iter().zip(&self.keys) {
            bytes.put_u128_le(*sum);
            bytes.put_u64_le(*keys);
        }
        bytes
    }

    /// The page in these bytes; none if they are not one with this tag.
    pub(super) fn decode(mut bytes: &[u8], tag: TreeTag) -> Option<Self> {
        if bytes.try_get_u64_le().ok()? != tag.0 {
            return None;
        }
        let mut page = Self {
            doubtful: bytes.try_get_u32_le().ok()?,
            unsorted: bytes.try_get_u32_le().ok()?,
            ..Self::default()
        };
        for (sum, keys) in page.sums.iter_mut().zip(&mut page.keys) {
            *sum = bytes.try_get_u128_le().ok()?;
            *keys = bytes.try_get_u64_le().ok()?;
        }
        bytes.is_empty().then_some(page)
    }
}

/// The head's value, where sums are kept with this tag, shape and sorting.
pub(super) fn encode_head(tag: TreeTag, shape: Shape, sorting: &Sorting) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD_BYTES);
    bytes.put_u16_le(VERSION);
    bytes.put_u64_le(tag.0);
    bytes.put_u8(u8::try_from(shape.leaf_bits).expect("at most 36"));
    sorting.encode(&mut bytes);
    bytes
}

/// The sorting in a head; none if it is one of another version, tag or shape.
pub(super) fn decode_head(bytes: &[u8], tag: TreeTag, shape: Shape) -> Option<Sorting> {
    let (head, sorting) = bytes.split_at_checked(HEAD_BYTES)?;
    if head != encode_head(tag, shape, &Sorting::default()) {
        return None;
    }
    Sorting::decode(sorting)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_reads_back_with_its_tag_only() {
        let mut page = Page::default();
        page.set(
            0,
            LeafSum {
                sum: u128::MAX,
                keys: 3,
            },
        );
        page.set(31, LeafSum { sum: 1, keys: 1 });
        page.set_doubtful(31, true);
        page.set_unsorted(30, true);
        let bytes = page.encode(TreeTag(7));
        assert_eq!(Page::decode(&bytes, TreeTag(7)), Some(page));
        assert_eq!(Page::decode(&bytes, TreeTag(8)), None);
        for length in 0..bytes.len() {
            assert_eq!(Page::decode(&bytes[..length], TreeTag(7)), None);
        }
    }

    #[test]
    fn a_doubt_alone_is_worth_a_row() {
        let mut page = Page::default();
        assert!(page.is_blank());
        page.set_doubtful(4, true);
        assert!(page.is_doubtful(4) && !page.is_doubtful(5) && !page.is_blank());
        page.set_doubtful(4, false);
        assert!(page.is_blank());
    }

    #[test]
    fn pages_and_head_have_places_of_their_own() {
        let shape = Shape::new(9, 2);
        for number in 0..16 {
            for class in [Class::DEFAULT, Class(0x305), Class(u16::MAX)] {
                let page = PageId { number, class };
                assert_eq!(page_at(&key_of(page, shape), shape), Some(page));
            }
        }
        assert_eq!(page_at(&HEAD_PLACE.1, shape), None);
        assert_eq!(page_at(&shape.start_of(1), shape), None);
    }
}
