//! A client that changes bucket properties, now and then.
//!
//! Only HTTP's door offers that, so there is no message for it: the node is asked as its listener asks it, in a task
//! of its process, which ends with that process. The client does not wait; what became of the change shows in what
//! nodes tell each other.

use super::Client;
use crate::rare::Rare;
use crate::settings::BUCKETS;
use crate::trace::Who;
use bytes::Bytes;
use ringhold_core::ring::MemberState;
use ringhold_node::env::Deadline;
use ringhold_node::properties::{Overrides, PropertiesError, Value};

/// Properties that are counts of replicas.
const COUNTS: [&str; 7] = ["r", "pr", "w", "dw", "pw", "rw", "node_confirms"];

impl Client {
    /// Changes a few properties of a bucket that nobody uses, by way of some node.
    pub(super) fn change_properties(&mut self) {
        let (node, bucket) = (
            *self.random.pick(&self.cluster.members()),
            self.random.index(BUCKETS.len()),
        );
        let around = self.cluster.around().clone();
        let number = around.books.lock().settings.begin(bucket, node);
        let overrides = self.some_properties(number);
        let Some(serving) = self.cluster.network().serving(node) else {
            return;
        };
        around
            .trace
            .event(Who::Client(self.number), "properties", || {
                format!("change {number} of bucket {bucket} at n{node}")
            });
        let cluster = self.cluster.clone();
        let (executor, group) = (around.executor.clone(), serving.group);
        let task = async move {
            let bucket = Bytes::from_static(BUCKETS[bucket]);
            let at_once = Deadline { at_us: 0 };
            let changed = serving
                .node
                .change_properties(&"default".into(), &bucket, Some(&overrides), at_once)
                .await;
            match changed {
                Ok(()) => around.rare.hit(Rare::PropertiesChanged),
                Err(PropertiesError::Unconfirmed { .. }) => {
                    around.rare.hit(Rare::PropertiesUnconfirmed);
                }
                Err(_) => return,
            }
            // What one says that is no member any more, and does not know it, holds for nobody.
            let ring = cluster.ring();
            let state = ring.member(cluster.id_of(node)).map(|member| member.state);
            if matches!(state, None | Some(MemberState::Removed)) {
                return;
            }
            around.books.lock().settings.kept(node, number);
        };
        executor.spawn(group, Box::pin(task));
    }

    /// A number that names the change, and something that it changes.
    fn some_properties(&mut self, number: u64) -> Overrides {
        let named = Value::Integer(i64::try_from(number).expect("counts fit"));
        let mut proposals = vec![("young_vclock", named)];
        for _ in 0..self.random.between(1, 3) {
            let proposal = if self.random.chance(300_000) {
                let name = *self.random.pick(&["notfound_ok", "basic_quorum"]);
                (name, Value::Boolean(self.random.chance(500_000)))
            } else {
                let count = *self.random.pick(&["one", "quorum", "all"]);
                (*self.random.pick(&COUNTS), Value::Text(count.to_owned()))
            };
            proposals.push(proposal);
        }
        Overrides::propose(proposals).expect("values that every bucket takes")
    }
}
