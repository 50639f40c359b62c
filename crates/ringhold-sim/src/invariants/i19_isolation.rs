//! I19: two clusters never mix (T19). Whatever operators, recycled addresses and exchanged disks bring together: no node serves by a document
//! of another cluster, and no connection between nodes of two clusters comes about.

use super::Violation;
use ringhold_core::id::ClusterId;
use ringhold_core::ring::RingDocument;

const NAME: &str = "I19";

/// # Errors
/// If a node serves by the ring of another cluster.
pub fn check_served(node: usize, own: ClusterId, document: &RingDocument) -> Result<(), Violation> {
    if document.cluster_id == own {
        return Ok(());
    }
    Err(Violation::new(
        NAME,
        format!(
            "n{node} serves by epoch {} of cluster {}, and is a node of {own}",
            document.epoch, document.cluster_id
        ),
    ))
}

/// # Errors
/// If two nodes of different clusters were connected.
pub fn check_met(node: usize, met: &Result<(), String>) -> Result<(), Violation> {
    match met {
        Err(_) => Ok(()),
        Ok(()) => Err(Violation::new(
            NAME,
            format!("n{node} was connected with a node of another cluster"),
        )),
    }
}
