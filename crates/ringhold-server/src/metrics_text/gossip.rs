//! What gossip costs.

use super::Page;
use ringhold_node::Node;

pub(super) fn render(page: &mut Page, node: &Node) {
    let metrics = node.metrics();
    page.counter(
        "ringhold_gossip_rounds_total",
        "Rounds of gossip that this node has begun, one a second.",
        metrics.gossip_rounds.count(),
    );
    page.counter(
        "ringhold_gossip_bytes_sent_total",
        "Bytes of gossip that this node has sent, asking and answering.",
        metrics.gossip_bytes_sent.count(),
    );
}
