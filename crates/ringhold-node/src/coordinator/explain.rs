//! The notes that a coordinator takes for a client that asks how its request went.

use super::plan::Placement;
use crate::env::Environment;
use bytes::Bytes;
use ringhold_core::id::NodeId;
use ringhold_core::quorum::{GetQuorum, PutQuorum, Requirement, Target};
use ringhold_core::version::Dot;
use ringhold_wire::message::explain::{Explanation, ReplyNote};
use std::sync::Arc;

/// Takes notes if the request asks for them, and costs nothing if not.
pub(crate) struct Notes {
    environment: Arc<dyn Environment>,
    started_us: u64,
    explanation: Option<Box<Explanation>>,
}

impl Notes {
    pub(crate) fn start(
        environment: Arc<dyn Environment>,
        wanted: bool,
        coordinator: NodeId,
        placement: &Placement,
    ) -> Self {
        let started_us = environment.now_us();
        let explanation = wanted.then(|| {
            let position = placement.name.position();
            Box::new(Explanation {
                coordinator,
                forwarded_by: None,
                partition: placement.ring.partition_of(position).0,
                preference_list: placement.ring.preference_list(position).to_vec(),
                n: placement.n,
                required: Vec::new(),
                replies: Vec::new(),
                met_after_us: None,
            })
        });
        Self {
            environment,
            started_us,
            explanation,
        }
    }

    pub(crate) fn require_get(&mut self, quorum: &GetQuorum) {
        let required = [
            (Requirement::R, quorum.replies_required()),
            (Requirement::PR, quorum.pr),
            (Requirement::NodeConfirms, quorum.node_confirms),
        ];
        self.require(&required);
    }

    pub(crate) fn require_put(&mut self, quorum: &PutQuorum) {
        let required = [
            (Requirement::W, quorum.acknowledgements_required()),
            (Requirement::DW, quorum.dw),
            (Requirement::PW, quorum.pw),
            (Requirement::NodeConfirms, quorum.node_confirms),
        ];
        self.require(&required);
    }

    fn require(&mut self, required: &[(Requirement, u32)]) {
        if let Some(explanation) = &mut self.explanation {
            explanation.required = required
                .iter()
                .filter(|(_, count)| *count > 0)
                .copied()
                .collect();
        }
    }

    pub(crate) fn forwarded_by(&mut self, node: Option<NodeId>) {
        if let Some(explanation) = &mut self.explanation {
            explanation.forwarded_by = node;
        }
    }

    pub(crate) fn reply(
        &mut self,
        target: Target,
        outcome: &'static str,
        dots: impl FnOnce() -> Vec<Dot>,
    ) {
        let after_us = self.elapsed_us();
        if let Some(explanation) = &mut self.explanation {
            let outcome = Bytes::from_static(outcome.as_bytes());
            let note = ReplyNote {
                node: target.node,
                kind: target.kind,
                after_us,
                outcome,
                dots: dots(),
            };
            explanation.replies.push(note);
        }
    }

    /// The notes, once the quorum is met.
    pub(crate) fn met(&mut self) -> Option<Box<Explanation>> {
        let elapsed_us = self.elapsed_us();
        let mut explanation = self.explanation.take()?;
        explanation.met_after_us = Some(elapsed_us);
        Some(explanation)
    }

    /// Microseconds since the request was taken up.
    pub(crate) fn elapsed_us(&self) -> u64 {
        self.environment.now_us().saturating_sub(self.started_us)
    }
}
