//! I10: no two ring documents have one epoch, and the epochs of a node never go down, whatever it was through.

use super::Violation;
use super::t16_moves::UnderWay;
use ringhold_core::ring::{Ring, RingDocument, RingHash, validate};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// So many are remembered.
const RECENT: usize = 4;

/// The documents that nodes were seen to serve by.
#[derive(Default)]
pub struct RingWitness {
    documents: BTreeMap<u64, RingHash>,
    served: BTreeMap<usize, u64>,
    under_way: Option<UnderWay>,
    /// The latest rings of different placements.
    recent: VecDeque<Arc<Ring>>,
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

    /// A document was seen in use. The placement change that it finishes, if it does.
    pub fn see(&mut self, ring: &Arc<Ring>, now_us: u64) -> Option<UnderWay> {
        let recent = self.recent.iter();
        let known = recent.map(|recent| recent.placement_number()).max();
        // Somebody who is behind shows what is over.
        if known < Some(ring.placement_number()) {
            self.recent.push_back(Arc::clone(ring));
            if self.recent.len() > RECENT {
                self.recent.pop_front();
            }
            if ring.document().placement.next.is_some() {
                self.under_way = Some(UnderWay {
                    ring: Arc::clone(ring),
                    since_us: now_us,
                });
            }
        }
        self.under_way.take_if(|change| change.is_finished_by(ring))
    }

    /// The latest rings that were in use.
    pub fn recent(&self) -> impl Iterator<Item = &Arc<Ring>> {
        self.recent.iter()
    }

    /// A node's disk does not know any more by what it served.
    pub fn forget(&mut self, node: usize) {
        self.served.remove(&node);
    }
}
