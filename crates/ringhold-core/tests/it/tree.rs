//! Hash trees against a map of what is there, through arbitrary histories.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use ringhold_core::tree::{Digest, FANOUT, LEAVES, Leaf, LeafSum, Tree, differing};

/// What each key has; keys with one leaf are neighbours.
type Contents = BTreeMap<(Leaf, u8), Digest>;

/// A key gets a digest, or goes.
type Change = ((Leaf, u8), Option<Digest>);

/// Few leaves, at the edges of branches and in one branch, so that keys meet.
fn any_leaf() -> impl Strategy<Value = Leaf> {
    select(vec![0, 1, 31, 32, 500, 1_023])
        .prop_map(|number| Leaf::new(number).expect("there are 1,024"))
}

/// Small digests, and great ones that make sums wrap.
fn any_digest() -> impl Strategy<Value = Digest> {
    prop_oneof![0..3_u128, u128::MAX - 2..=u128::MAX, any::<u128>()].prop_map(Digest)
}

fn any_contents() -> impl Strategy<Value = Contents> {
    btree_map((any_leaf(), 0..6_u8), any_digest(), 0..12)
}

fn any_changes() -> impl Strategy<Value = Vec<Change>> {
    let change = (
        (any_leaf(), 0..6_u8),
        proptest::option::weighted(0.7, any_digest()),
    );
    vec(change, 0..40)
}

fn change(tree: &mut Tree, contents: &mut Contents, (key, new): Change) {
    let old = match new {
        Some(digest) => contents.insert(key, digest),
        None => contents.remove(&key),
    };
    tree.change(key.0, old, new);
}

/// The tree of these contents, computed in one go.
fn computed(contents: &Contents) -> Tree {
    let mut leaves = vec![LeafSum::ZERO; LEAVES];
    for ((leaf, _), digest) in contents {
        leaves[leaf.index()] += LeafSum::of(Some(*digest));
    }
    Tree::new(leaves)
}

fn differing_leaves(ours: &mut Tree, theirs: &mut Tree) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    if ours.root() == theirs.root() {
        return found;
    }
    for branch in differing(&ours.branches(), &theirs.branches()) {
        let leaves = differing(&ours.leaves_of(branch), &theirs.leaves_of(branch));
        found.extend(leaves.into_iter().map(|leaf| branch * FANOUT + leaf));
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happened before, and whenever somebody looked, a tree is that of its contents.
    #[test]
    fn incremental_is_computed(changes in any_changes(), looks in vec(any::<bool>(), 40)) {
        let (mut tree, mut contents) = (Tree::default(), Contents::new());
        for (one, look) in changes.into_iter().zip(looks) {
            change(&mut tree, &mut contents, one);
            if look {
                prop_assert_eq!(tree.root(), computed(&contents).root());
            }
        }
        let mut computed = computed(&contents);
        prop_assert_eq!(tree.root(), computed.root());
        prop_assert_eq!(tree.branches(), computed.branches());
    }

    #[test]
    fn the_order_of_writes_does_not_matter(contents in any_contents(), shuffle in any::<u64>()) {
        let mut keys: Vec<_> = contents.iter().collect();
        keys.sort_by_key(|((leaf, key), _)| (u64::from(*key) + 6 * leaf.index() as u64).wrapping_mul(shuffle | 1));
        let mut tree = Tree::default();
        for ((leaf, _), digest) in keys {
            tree.change(*leaf, None, Some(*digest));
        }
        prop_assert_eq!(tree.root(), computed(&contents).root());
    }

    /// What the walk finds is what differs: no leaf more, none less.
    #[test]
    fn differences_are_found_exactly(common in any_contents(), ours in any_changes(), theirs in any_changes()) {
        let side = |changes: Vec<Change>| {
            let (mut tree, mut contents) = (computed(&common), common.clone());
            for one in changes {
                change(&mut tree, &mut contents, one);
            }
            (tree, contents)
        };
        let ((mut our_tree, ours), (mut their_tree, theirs)) = (side(ours), side(theirs));
        let leaf_of = |contents: &Contents, leaf: usize| {
            let mut digests: Vec<Digest> = contents
                .iter()
                .filter(|((of, _), _)| of.index() == leaf)
                .map(|(_, digest)| *digest)
                .collect();
            digests.sort_unstable();
            digests
        };
        let sum = |digests: &[Digest]| digests.iter().fold(0_u128, |sum, digest| sum.wrapping_add(digest.0));
        let expected: BTreeSet<usize> = (0..LEAVES)
            .filter(|&leaf| {
                let (ours, theirs) = (leaf_of(&ours, leaf), leaf_of(&theirs, leaf));
                // Digests as small as these may add up to the same; real ones don't.
                ours.len() != theirs.len() || sum(&ours) != sum(&theirs)
            })
            .collect();
        prop_assert_eq!(our_tree.root() == their_tree.root(), expected.is_empty());
        prop_assert_eq!(differing_leaves(&mut our_tree, &mut their_tree), expected);
    }

    #[test]
    fn a_leaf_that_comes_back_to_its_contents_comes_back_to_its_sum(
        contents in any_contents(),
        detour in any_changes(),
    ) {
        let (mut tree, mut now) = (computed(&contents), contents.clone());
        let root = tree.root();
        for one in detour {
            change(&mut tree, &mut now, one);
        }
        let keys: BTreeSet<_> = now.keys().chain(contents.keys()).copied().collect();
        for key in keys {
            change(&mut tree, &mut now, (key, contents.get(&key).copied()));
        }
        for number in 0..u16::try_from(LEAVES).expect("few") {
            let leaf = Leaf::new(number).expect("one of them");
            prop_assert_eq!(tree.leaf(leaf), computed(&contents).leaf(leaf));
        }
        prop_assert_eq!(tree.root(), root);
    }
}

#[test]
fn a_key_more_with_digest_zero_still_shows() {
    let (mut ours, mut theirs) = (Tree::default(), Tree::default());
    let leaf = Leaf::new(77).expect("there are 1,024");
    ours.change(leaf, None, Some(Digest(0)));
    assert_eq!(
        differing_leaves(&mut ours, &mut theirs),
        BTreeSet::from([77])
    );
}

/// Roots are compared between releases, so the hashes of the nodes stay what they are.
#[test]
fn node_hashes_keep_their_values() {
    let mut tree = Tree::default();
    let leaf = Leaf::new(33).expect("there are 1,024");
    tree.change(leaf, None, Some(Digest(5)));
    assert_eq!(
        format!("{:032x}", tree.branches()[1].0),
        "68d0ba9e39f697f2ee61acc4b9e9441e"
    );
    assert_eq!(
        format!("{:032x}", tree.root().0),
        "c33be5187f28f95fd4fb5dcc62fb9c2e"
    );
}
