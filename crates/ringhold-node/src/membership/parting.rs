//! The end of a leave (§4.8.1): a node that owns nothing any more has itself removed.
//!
//! It goes with empty hands: what it held is with its homes, by their receipts, nothing that was begun by an earlier document can
//! reach it any more, and what only it knew of bucket properties is told. Until then it is a member, votes, and serves its clients.

#[cfg(feature = "known-bad")]
use crate::known_bad::{self, Variant};
use crate::node::Node;
use ringhold_core::ring::{MemberState, Ring, RingDocument};
use ringhold_storage::{KeyRange, Keyspace};
use std::sync::Arc;

impl Node {
    /// Goes, if this node leaves and has handed over everything.
    pub(super) async fn part(self: &Arc<Self>, ring: &Ring) {
        let me = ring.member(self.id).map(|member| member.state);
        if me != Some(MemberState::Leaving) || self.first_behind(ring).await.is_some() {
            return;
        }
        // A put that was begun by an earlier document may still bring something.
        let now_us = self.environment.now_us();
        let known_us = self.transfers.known_by_all(ring.placement_number(), now_us);
        let is_settled = now_us >= known_us.saturating_add(self.tuning.anti_entropy.settle_us);
        #[cfg(feature = "known-bad")]
        let is_settled = is_settled || known_bad::is(Variant::LeaverGoesEarly);
        if !is_settled || !self.has_handed_over() {
            return;
        }
        // What only this node knows of bucket properties goes with it, unless it tells.
        for member in ring
            .members()
            .iter()
            .filter(|member| member.state == MemberState::Up)
        {
            if !self.tell(member.id).await {
                return;
            }
        }
        let id = self.id;
        if let Err(reason) = self.agree(|held: &RingDocument| held.parting(id)).await {
            tracing::warn!(
                ?reason,
                "this node has handed over everything, and can't be removed yet"
            );
        }
    }

    /// Whether nothing of anybody is left here.
    fn has_handed_over(&self) -> bool {
        #[cfg(feature = "known-bad")]
        if known_bad::is(Variant::LeaverGoesEarly) {
            return true;
        }
        let one = self.store().readable(Keyspace::Objects, &KeyRange::ALL, 1);
        let nothing = one.is_ok_and(|page| page.rows.is_empty() && page.next.is_none());
        nothing && self.hints_kept().0 == 0
    }
}
