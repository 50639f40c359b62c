//! Members that are not where they were, found by way of a seed.
//!
//! Who has moved tells the others, and is found by whoever is where it was. If all have moved at once nobody is. Then an
//! operator says where somebody is, and this task asks who: the handshake answers, and proves that it is a member. From there
//! on it is dialled as one, and says in gossip where the others are.
//!
//! A seed is asked while some member can't be reached, and left alone else. Whoever it is, it is no more than a member: nothing is taken
//! from it that would not be taken from any other.

use super::dial::{Calling, Met, call};
use super::links::Links;
use ringhold_core::id::NodeId;
use ringhold_node::Node;
use std::sync::Arc;
use std::time::Duration;

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs as long as the node does.
pub(crate) async fn seek(seed: String, links: Arc<Links>) {
    let mut last_reason = String::new();
    loop {
        let Some(dialler) = links.dialler() else {
            return;
        };
        let Some(node) = dialler.node.upgrade() else {
            return;
        };
        if somebody_is_missing(&node) {
            let calling = Calling {
                address: &seed,
                wanted: None,
                card: node.card(&dialler.name),
                secret: &dialler.secret,
                protocols: dialler.protocols,
                tls: dialler.tls.as_ref(),
            };
            let met = tokio::time::timeout(dialler.connect, call(calling)).await;
            match met {
                Ok(Ok(Met { node: found, .. })) => found_there(&node, found, &seed),
                Ok(Err(error)) => {
                    let reason = error.to_string();
                    if reason != last_reason {
                        tracing::info!(seed, reason, "no member was found at a seed's address");
                        last_reason = reason;
                    }
                }
                // Silence is asked again.
                Err(_) => {}
            }
        }
        drop(node);
        tokio::time::sleep(PAUSE).await;
    }
}

fn somebody_is_missing(node: &Node) -> bool {
    let ring = node.ring();
    let present = ring
        .members()
        .iter()
        .filter(|member| !member.state.is_gone());
    let mut others = present.filter(|member| member.id != node.id());
    others.any(|member| !node.is_reachable(member.id))
}

/// One that is reached where it is known to be says itself if it is elsewhere.
fn found_there(node: &Arc<Node>, found: NodeId, seed: &str) {
    if !node.is_reachable(found) {
        node.found_at(found, seed);
    }
}
