//! I10: no two ring documents have one epoch, and the epochs of a node never go down, whatever it was through.

use super::Violation;
use ringhold_core::ring::{RingDocument, RingHash, validate};
use std::collections::BTreeMap;

/// The documents that nodes were seen to serve by.
#[derive(Default)]
pub struct RingWitness {
    documents: BTreeMap<u64, RingHash>,
    served: BTreeMap<usize, u64>,
}

impl RingWitness {
    /// # Errors
    /// If the document that a node serves by is not valid, not the one of its epoch, or older than the node's last.
    pub fn note(&mut self, node: usize, document: &RingDocument) -> Result<(), Violation> {
        let (epoch, hash) = (document.epoch.0, document.hash());
        let broken = |why: String| Err(Violation::new("I10", why));
        let served = self.served.entry(node).or_insert(epoch);
        if *served > epoch {
            return broken(format!(
                "n{node} served by epoch {served} and serves by {epoch} now"
            ));
        }
        *served = epoch;
        match self.documents.get(&epoch) {
            Some(known) if *known == hash => Ok(()),
            Some(known) => broken(format!(
                "n{node} serves by document {hash} of epoch {epoch}, others by {known}"
            )),
            None => {
                if let Err(invalid) = validate(document) {
                    return broken(format!("n{node} serves by an invalid document: {invalid}"));
                }
                self.documents.insert(epoch, hash);
                Ok(())
            }
        }
    }

    /// A node's disk does not know any more by what it served.
    pub fn forget(&mut self, node: usize) {
        self.served.remove(&node);
    }
}
