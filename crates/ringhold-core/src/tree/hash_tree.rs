//! The tree of one partition: leaf sums, and hashes over them.
//!
//! Sums change with every write, hashes are asked for once in a while. So a change touches its leaf, and
//! marks the branch above it; hashing is left until somebody asks, and then only what is marked is
//! hashed again: a branch is a hash of its 32 leaves, the root one of the 32 branches.
//!
//! Hashes need no key and no strength against forgers, because what they are made of has both. So it is
//! XXH3, which is as good at telling different sums apart and ten times cheaper.

use super::digest::Digest;
use super::leaf::{FANOUT, LEAVES, Leaf, LeafSum};

/// The hash of a node above the leaves, over its 32 children.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NodeHash(pub u128);

/// See the module.
#[derive(Clone, Debug)]
pub struct Tree {
    /// [`LEAVES`] of them.
    leaves: Vec<LeafSum>,
    branches: [NodeHash; FANOUT],
    /// Valid if no branch is marked.
    root: NodeHash,
    /// A bit for each branch under which something changed since it was hashed.
    marked: u32,
}

impl Default for Tree {
    /// The tree of a partition without keys.
    fn default() -> Self {
        Self::new(vec![LeafSum::ZERO; LEAVES])
    }
}

impl Tree {
    /// The tree over these sums.
    ///
    /// # Panics
    /// If there are not [`LEAVES`] of them.
    #[must_use]
    pub fn new(leaves: Vec<LeafSum>) -> Self {
        assert_eq!(leaves.len(), LEAVES, "a tree has one shape");
        Self {
            leaves,
            branches: [NodeHash::default(); FANOUT],
            root: NodeHash::default(),
            marked: u32::MAX,
        }
    }

    /// A key of this leaf had the one digest and has the other now. Constant time.
    pub fn change(&mut self, leaf: Leaf, old: Option<Digest>, new: Option<Digest>) {
        if old == new {
            return;
        }
        self.leaves[leaf.index()].change(old, new);
        self.marked |= 1 << leaf.branch();
    }

    #[must_use]
    pub fn leaf(&self, leaf: Leaf) -> LeafSum {
        self.leaves[leaf.index()]
    }

    /// The sums under a branch, in order.
    ///
    /// # Panics
    /// If there is no such branch.
    #[must_use]
    pub fn leaves_of(&self, branch: usize) -> [LeafSum; FANOUT] {
        let (leaves, _) = self.leaves[branch * FANOUT..]
            .split_first_chunk()
            .expect("each branch has 32 leaves");
        *leaves
    }

    /// Equal for two trees if all their leaves are equal, and else different but for a chance of 2^−128.
    #[must_use]
    pub fn root(&mut self) -> NodeHash {
        self.hash_what_is_marked();
        self.root
    }

    /// The hashes of the branches, in order.
    #[must_use]
    pub fn branches(&mut self) -> [NodeHash; FANOUT] {
        self.hash_what_is_marked();
        self.branches
    }

    fn hash_what_is_marked(&mut self) {
        if self.marked == 0 {
            return;
        }
        for branch in 0..FANOUT {
            if self.marked & 1 << branch != 0 {
                self.branches[branch] = hash_of_leaves(&self.leaves_of(branch));
            }
        }
        self.root = hash_of_branches(&self.branches);
        self.marked = 0;
    }
}

/// The places at which two nodes' children differ, in order.
#[must_use]
pub fn differing<T: PartialEq>(ours: &[T; FANOUT], theirs: &[T; FANOUT]) -> Vec<usize> {
    (0..FANOUT).filter(|&at| ours[at] != theirs[at]).collect()
}

/// Levels hash different alphabets: a list of branches never passes for a list of leaves.
fn hash_of_leaves(leaves: &[LeafSum; FANOUT]) -> NodeHash {
    let mut bytes = [0; 1 + FANOUT * (16 + 8)];
    bytes[0] = 1;
    for (place, leaf) in bytes[1..].chunks_exact_mut(16 + 8).zip(leaves) {
        place[..16].copy_from_slice(&leaf.sum.to_be_bytes());
        place[16..].copy_from_slice(&leaf.keys.to_be_bytes());
    }
    node_hash(&bytes)
}

fn hash_of_branches(branches: &[NodeHash; FANOUT]) -> NodeHash {
    let mut bytes = [0; 1 + FANOUT * 16];
    bytes[0] = 2;
    for (place, branch) in bytes[1..].chunks_exact_mut(16).zip(branches) {
        place.copy_from_slice(&branch.0.to_be_bytes());
    }
    node_hash(&bytes)
}

fn node_hash(bytes: &[u8]) -> NodeHash {
    NodeHash(xxhash_rust::xxh3::xxh3_128(bytes))
}
