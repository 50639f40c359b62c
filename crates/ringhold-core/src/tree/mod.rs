//! Hash trees: how two replicas of a partition find what they differ in (§4.7).
//!
//! Comparing objects one by one costs as much as copying them. So each replica keeps, for each of its
//! partitions, a tree of fixed shape whose leaves sum up a small arc of positions each. Two replicas compare
//! roots; where these differ, the 32 branches; where those differ, the 32 leaves of each. What is left to be
//! looked at are the keys of a few arcs, so the cost follows the difference and not the data.
//!
//! ```text
//! root ── 32 branches ── 1,024 leaves      one tree a partition; a leaf is the next ten bits of a position
//! ```
//!
//! | module | question |
//! | --- | --- |
//! | [`digest`] | what of an object do two equal replicas agree on? |
//! | [`leaf`] | in which leaf is a position, and what does a leaf say? |
//! | [`hash_tree`] | where do two partitions differ? |
//! | [`basis`] | may two trees be compared at all? |
//!
//! A leaf is a *sum* of digests, modulo 2^128, and not a hash over a list. So it does not depend on the
//! order of writes, and a write changes it in constant time: take the old object's digest off, add the
//! new one's. Sums can be forged by whoever can compute digests (find a few that add up to another few), so
//! digests are keyed with a secret of the cluster, and clients, who choose names and values, see none.
//!
//! Invariants: equal contents give equal sums, whatever happened before; a sum says how many keys it covers;
//! the root is equal if all leaves are, and if it is equal they are, up to collisions of 128-bit hashes.
//!
//! Not here: who compares with whom and when (only primaries under one placement, T13), and how the sums stay
//! true to the store through a crash (T12), which is the store's.
//!
//! Rejected: trees over key ranges that follow the data (a split on one replica alone makes everything below it
//! differ), and a hash over the sorted digests of a leaf, which has to read the leaf for each write.

pub mod basis;
pub mod digest;
pub mod hash_tree;
pub mod leaf;

pub use basis::TreeBasis;
pub use digest::{Digest, TreeKey, TreeTag};
pub use hash_tree::{NodeHash, Tree, differing};
pub use leaf::{FANOUT, LEAF_BITS, LEAVES, Leaf, LeafSum, leaf_arc, leaf_of, leaves_of_partition};
