//! Ways that close: a packet filter in the namespace of whoever doesn't hear.
//!
//! Dropping at the receiver makes every direction a matter of its own: A may hear B while B doesn't hear A, which is how
//! half of all partitions in the field look. Clients keep their way to every node unless a cable is pulled, so that
//! a separated node goes on taking requests.

use crate::cluster::{Cluster, NODES};
use crate::namespace;
use crate::tools::Missing;

const TABLE: &str = "inet harness";

/// A direction between two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) from: usize,
    pub(crate) to: usize,
}

/// Both directions between each of one side and each of the other.
pub(crate) fn between(one: &[usize], other: &[usize]) -> Vec<Way> {
    let pairs = one.iter().flat_map(|&a| other.iter().map(move |&b| (a, b)));
    pairs
        .flat_map(|(a, b)| [Way { from: a, to: b }, Way { from: b, to: a }])
        .collect()
}

/// Only what these say is lost.
pub(crate) fn one_way(from: &[usize], to: &[usize]) -> Vec<Way> {
    let both = between(from, to);
    both.into_iter()
        .filter(|way| from.contains(&way.from))
        .collect()
}

/// All nodes but these.
pub(crate) fn others(nodes: &[usize]) -> Vec<usize> {
    (0..NODES).filter(|node| !nodes.contains(node)).collect()
}

/// Closes ways: what was sent on them is lost from now on.
pub(crate) fn close(cluster: &Cluster, ways: &[Way]) -> Result<(), Missing> {
    for to in 0..NODES {
        let deaf_to = ways.iter().filter(|way| way.to == to);
        let rules: Vec<String> = deaf_to
            .map(|way| {
                let from = namespace::address(way.from);
                format!("add rule {TABLE} input ip saddr {from} drop\n")
            })
            .collect();
        if rules.is_empty() {
            continue;
        }
        let chain = format!(
            "add table {TABLE}\nadd chain {TABLE} input {{ type filter hook input priority 0; }}\n"
        );
        cluster
            .namespace(to)
            .run("nft", &[&(chain + &rules.concat())])?;
    }
    Ok(())
}

/// Opens all ways.
pub(crate) fn open_all(cluster: &Cluster) -> Result<(), Missing> {
    (0..NODES).try_for_each(|node| cluster.namespace(node).run("nft", &["flush", "ruleset"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_are_counted_by_direction() {
        assert_eq!(between(&[0], &[1, 2]).len(), 4);
        let way = Way { from: 0, to: 1 };
        assert_eq!(one_way(&[0], &[1]), [way]);
        assert_eq!(others(&[0, 3]), [1, 2, 4]);
    }
}
