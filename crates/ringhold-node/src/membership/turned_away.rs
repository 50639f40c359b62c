//! What a node hears of its own removal that was away meanwhile.
//!
//! Members turn a removed node away when it dials them (T17), so it gets no document from them that says why. Were it to go on
//! all the same, it would serve by its old ring, alone, for as long as nobody looks. So it believes them once more than half of the other members that
//! it knows say so, of an epoch that it has not seen. One voice is not enough: it may come from a member that is wrong, or,
//! where nodes do not encrypt, from somebody else.
//!
//! Not here: who is turned away (the handshake), and what the process does about it.

use crate::node::Node;
use ringhold_core::id::NodeId;
use ringhold_core::ring::{MemberState, Ring};
use std::collections::BTreeMap;
use tokio::sync::watch;

/// Who has turned this node away as removed, and as of which epoch.
pub(crate) struct TurnedAway(watch::Sender<BTreeMap<NodeId, u64>>);

impl Default for TurnedAway {
    fn default() -> Self {
        Self(watch::Sender::new(BTreeMap::new()))
    }
}

impl Node {
    /// A member does not let this node in, because it is removed.
    pub fn turned_away(&self, by: NodeId, epoch: u64) {
        self.turned_away
            .0
            .send_if_modified(|voices| voices.insert(by, epoch) != Some(epoch));
    }

    /// Ends when this node has to believe that it was removed, with the latest epoch that was named.
    pub async fn believes_removal(&self) -> u64 {
        let mut voices = self.turned_away.0.subscribe();
        let heard = voices.wait_for(|voices| believed(voices, self.id, &self.ring()));
        // The sender lives as long as the node.
        let heard = heard.await.expect("the node holds the sender");
        heard.values().copied().max().unwrap_or(0)
    }
}

fn believed(voices: &BTreeMap<NodeId, u64>, me: NodeId, ring: &Ring) -> bool {
    let present = ring.members().iter();
    let others = present.filter(|m| m.state != MemberState::Removed && m.id != me);
    let later = |id: &NodeId| {
        let epoch = voices.get(id);
        epoch.is_some_and(|epoch| *epoch > ring.document().epoch.0)
    };
    let (mut all, mut saying_so) = (0, 0);
    for member in others {
        all += 1;
        saying_so += usize::from(later(&member.id));
    }
    saying_so * 2 > all
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringhold_core::id::ClusterId;
    use ringhold_core::ring::{Addresses, Member, PartitionCount, RingDocument};

    fn ring(members: u128) -> Ring {
        let member = |number| Member {
            id: NodeId(number),
            name: format!("node{number}"),
            addresses: Addresses::default(),
            zone: String::new(),
            rack: String::new(),
            weight: 100,
            state: MemberState::Up,
        };
        let members = (1..=members).map(member).collect();
        let partitions = PartitionCount::new(16).expect("a power of two");
        let document = RingDocument::found(ClusterId(1), members, partitions, 3);
        Ring::new(document.expect("equal members")).expect("it is valid")
    }

    #[test]
    fn more_than_half_of_the_others_are_believed() {
        let me = NodeId(1);
        let says = |members: u128, voices: &[(u128, u64)]| {
            let voices = voices.iter().map(|(id, epoch)| (NodeId(*id), *epoch));
            believed(&voices.collect(), me, &ring(members))
        };
        assert!(says(2, &[(2, 5)]));
        assert!(!says(3, &[(2, 5)]));
        assert!(says(3, &[(2, 5), (3, 6)]));
        assert!(!says(5, &[(2, 5), (3, 5)]));
        assert!(says(5, &[(2, 5), (3, 5), (4, 5)]));
    }

    #[test]
    fn neither_strangers_nor_old_epochs_count() {
        let voices = |rows: &[(u128, u64)]| {
            let voices = rows.iter().map(|(id, epoch)| (NodeId(*id), *epoch));
            voices.collect::<BTreeMap<_, _>>()
        };
        let (me, ring) = (NodeId(1), ring(3));
        assert!(!believed(&voices(&[(2, 1), (3, 1)]), me, &ring));
        assert!(!believed(&voices(&[(2, 5), (9, 5), (1, 5)]), me, &ring));
        assert!(!believed(&voices(&[]), me, &self::ring(1)));
    }
}
