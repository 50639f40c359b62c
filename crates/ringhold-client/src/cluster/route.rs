//! Which nodes a request goes to, in which order (§6.4).
//!
//! *Client-driven*: the client knows the ring, so it computes the key's preference list with the nodes' own code and goes to the
//! first primary that can be asked, which coordinates: no load balancer and no hop between. After the primaries come the
//! fallbacks in the order in which they stand in: they coordinate too, or pass on. *Server-driven*: any node in turn, which
//! passes on what is not for it, as the paper's load balancers had it. It is what a client does while it knows no ring, and what
//! client-driven coordination is measured against.
//!
//! The first primary of a partition is as good as the others, and partitions are spread evenly over nodes; so keys are, too, and each
//! key has one coordinator at a time. This is deliberate: a coordinator that sees all writes of a key makes
//! fewer siblings and shorter contexts.
//!
//! Pure: who can be asked is for [`health`](super::health) to say.

use ringhold_core::id::NodeId;
use ringhold_core::ring::Ring;
use ringhold_wire::message::ObjectName;

/// Who decides which node coordinates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Coordination {
    /// The client: a primary of the key, without a hop.
    #[default]
    Client,
    /// The node that is asked, and any is asked in turn.
    Server,
}

/// What is known about who is there.
#[derive(Debug)]
pub(crate) struct Known<'a> {
    /// None as long as nobody has told it.
    pub(crate) ring: Option<&'a Ring>,
    /// Nodes with a native address, in order of identity.
    pub(crate) nodes: &'a [NodeId],
}

/// The nodes for a request on a key, each once; `turn` counts the requests that go to any node.
pub(crate) fn candidates(
    known: &Known<'_>,
    coordination: Coordination,
    name: &ObjectName,
    turn: usize,
) -> Vec<NodeId> {
    match (known.ring, coordination) {
        (Some(ring), Coordination::Client) => {
            let list = ring.preference_list(name.position()).iter();
            list.filter(|node| known.nodes.binary_search(node).is_ok())
                .copied()
                .collect()
        }
        _ => {
            let first = turn.checked_rem(known.nodes.len()).unwrap_or(0);
            let (before, after) = known.nodes.split_at(first);
            after.iter().chain(before).copied().collect()
        }
    }
}

/// The next node of a request: the first that has not been tried and can be asked now. `is_ready` may note that it was
/// asked about a node, and is asked about no more than needed.
pub(crate) fn next(
    candidates: &[NodeId],
    tried: &[NodeId],
    mut is_ready: impl FnMut(NodeId) -> bool,
) -> Option<NodeId> {
    let untried = candidates.iter().filter(|node| !tried.contains(node));
    untried.copied().find(|node| is_ready(*node))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringhold_core::id::ClusterId;
    use ringhold_core::ring::{Addresses, Member, MemberState, PartitionCount, RingDocument};
    use std::collections::BTreeSet;

    fn ring(nodes: u128) -> Ring {
        let member = |id| Member {
            id: NodeId(id),
            name: format!("node{id}"),
            addresses: Addresses::default(),
            zone: String::new(),
            rack: String::new(),
            weight: 1,
            state: MemberState::Up,
        };
        let members = (1..=nodes).map(member).collect();
        let count = PartitionCount::new(64).expect("a power of two");
        let document = RingDocument::found(ClusterId(1), members, count, 3).expect("a ring");
        Ring::new(document).expect("a valid one")
    }

    fn name(key: u32) -> ObjectName {
        ObjectName {
            bucket_type: "default".into(),
            bucket: "b".into(),
            key: key.to_string().into(),
        }
    }

    #[test]
    fn a_client_goes_to_the_preference_list_and_all_nodes_get_their_share() {
        let ring = ring(6);
        let nodes: Vec<NodeId> = (1..=6).map(NodeId).collect();
        let known = Known {
            ring: Some(&ring),
            nodes: &nodes,
        };
        let mut firsts = BTreeSet::new();
        for key in 0..500 {
            let list = candidates(&known, Coordination::Client, &name(key), 0);
            assert_eq!(list, ring.preference_list(name(key).position()));
            firsts.insert(list[0]);
        }
        assert_eq!(firsts.len(), 6);
    }

    #[test]
    fn nodes_without_an_address_are_left_out() {
        let ring = ring(4);
        let nodes = [NodeId(2), NodeId(3)];
        let known = Known {
            ring: Some(&ring),
            nodes: &nodes,
        };
        for key in 0..50 {
            let list = candidates(&known, Coordination::Client, &name(key), 0);
            assert_eq!(
                list.iter().copied().collect::<BTreeSet<_>>(),
                BTreeSet::from(nodes)
            );
        }
    }

    #[test]
    fn without_a_ring_and_for_server_driven_coordination_each_node_has_its_turn() {
        let ring = ring(3);
        let nodes: Vec<NodeId> = (1..=3).map(NodeId).collect();
        for (ring, coordination) in [
            (None, Coordination::Client),
            (Some(&ring), Coordination::Server),
        ] {
            let known = Known {
                ring,
                nodes: &nodes,
            };
            let firsts: Vec<u128> = (0..4)
                .map(|turn| candidates(&known, coordination, &name(1), turn)[0].0)
                .collect();
            assert_eq!(firsts, [1, 2, 3, 1]);
        }
        let nobody = Known {
            ring: None,
            nodes: &[],
        };
        assert_eq!(candidates(&nobody, Coordination::Server, &name(1), 7), []);
    }

    #[test]
    fn the_next_node_is_the_first_untried_one_that_can_be_asked() {
        let list = [NodeId(5), NodeId(1), NodeId(3)];
        assert_eq!(next(&list, &[], |_| true), Some(NodeId(5)));
        assert_eq!(next(&list, &[NodeId(5)], |_| true), Some(NodeId(1)));
        assert_eq!(next(&list, &[], |node| node == NodeId(3)), Some(NodeId(3)));
        assert_eq!(next(&list, &list, |_| true), None);
        let mut asked = Vec::new();
        next(&list, &[], |node| {
            asked.push(node);
            true
        });
        assert_eq!(asked, [NodeId(5)]);
    }
}
