//! The node as its HTTP edge sees it.

use crate::edge::{
    Door, Ended, Job, JobRefused, Listed, OrderFailed, PbDoor, Place, Recovery, RingOrder,
    TypeOrder,
};
use crate::peers::Authority;
use crate::riak_stats::{self, LastMinute};
use crate::{jobs, listings, metrics_text, recovery_orders, ring_orders, status};
use bytes::Bytes;
use ringhold_core::health::Standing;
use ringhold_core::id::{NodeId, TokenId};
use ringhold_core::join_token::JoinToken;
use ringhold_core::quorum::ReplicaKind;
use ringhold_core::version::TokenKey;
use ringhold_node::env::Deadline;
use ringhold_node::properties::{Overrides, Properties, PropertiesError};
use ringhold_node::{
    Admitted, ChangeFailed, ClockState, Errand, Insisting, Node, Query, QueryFailed,
    RestoreRefused, TypeView,
};
use ringhold_wire::backup::{Block, Head};
use ringhold_wire::message::{
    GetAnswer, GetError, GetRequest, ObjectName, PutAnswer, PutError, PutRequest,
};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc;

#[derive(Clone)]
pub(crate) struct NodeDoor {
    node: Arc<Node>,
    cluster_secret: [u8; 32],
    minute: Arc<LastMinute>,
}

impl NodeDoor {
    pub(crate) fn new(node: Arc<Node>, cluster_secret: [u8; 32], minute: Arc<LastMinute>) -> Self {
        Self {
            node,
            cluster_secret,
            minute,
        }
    }

    fn deadline(&self, timeout_ms: u64) -> Deadline {
        Deadline::after(&**self.node.environment(), timeout_ms.saturating_mul(1_000))
    }
}

impl Door for NodeDoor {
    async fn get(&self, request: GetRequest, timeout_ms: u64) -> Result<GetAnswer, GetError> {
        self.node.get(request, self.deadline(timeout_ms)).await
    }

    async fn put(&self, request: PutRequest, timeout_ms: u64) -> Result<PutAnswer, PutError> {
        self.node.put(request, self.deadline(timeout_ms)).await
    }

    fn query(&self, query: Query, timeout_ms: u64) -> mpsc::Receiver<Listed> {
        listings::start(&self.node, query, self.deadline(timeout_ms))
    }

    fn homes_to_ask(&self, bucket_type: &Bytes, bucket: &Bytes) -> Vec<Vec<NodeId>> {
        self.node.homes_to_ask(bucket_type, bucket)
    }

    fn pb_doors(&self) -> BTreeMap<NodeId, PbDoor> {
        let ring = self.node.ring();
        let members = ring.members().iter();
        let reached = members.filter(|member| {
            !member.state.is_gone() && self.node.standing(member.id) != Standing::Down
        });
        let doors = reached.filter_map(|member| {
            let addresses = self.node.addresses_of(member);
            let (host, port) = addresses.pb.rsplit_once(':')?;
            let door = PbDoor {
                name: member.name.clone(),
                ip: host.trim_matches(['[', ']']).to_owned(),
                port: port.parse().ok()?,
            };
            Some((member.id, door))
        });
        doors.collect()
    }

    async fn count_keys(
        &self,
        bucket_type: &Bytes,
        bucket: &Bytes,
        timeout_ms: u64,
    ) -> Result<(u64, Ended), QueryFailed> {
        let deadline = self.deadline(timeout_ms);
        let counted = self
            .node
            .count_bucket(bucket_type, bucket, deadline)
            .await?;
        let missing = counted.missing;
        Ok((counted.keys, listings::ended(&self.node, missing)))
    }

    fn properties(&self, bucket_type: &Bytes, bucket: &Bytes) -> Option<Arc<Properties>> {
        self.node.properties(bucket_type, bucket)
    }

    async fn change_properties(
        &self,
        bucket_type: &Bytes,
        bucket: &Bytes,
        change: Option<Overrides>,
        timeout_ms: u64,
    ) -> Result<(), PropertiesError> {
        let deadline = self.deadline(timeout_ms);
        self.node
            .change_properties(bucket_type, bucket, change.as_ref(), deadline)
            .await
    }

    fn bucket_types(&self) -> Vec<TypeView> {
        self.node.bucket_types()
    }

    /// Whose identity is the lowest: every node says the same.
    fn claimant(&self) -> String {
        let ring = self.node.ring();
        let members = ring
            .members()
            .iter()
            .filter(|member| !member.state.is_gone());
        let first = members.min_by_key(|member| member.id);
        first.map_or_else(|| self.own_name(), |member| member.name.clone())
    }

    async fn type_order(&self, name: &Bytes, order: TypeOrder) -> Result<(), ChangeFailed> {
        let (node, name) = (Arc::clone(&self.node), name.clone());
        let within = |timeout_ms| self.deadline(timeout_ms);
        let deadline = match &order {
            TypeOrder::Update { timeout_ms, .. } => within(*timeout_ms),
            TypeOrder::Create { .. } | TypeOrder::Activate => within(0),
        };
        // To its end, whoever hangs up.
        let carried_out = tokio::spawn(async move {
            match order {
                TypeOrder::Create { set } => node.create_bucket_type(&name, &set).await,
                TypeOrder::Activate => node.activate_bucket_type(&name).await,
                TypeOrder::Update { change, .. } => {
                    node.update_bucket_type(&name, &change, deadline).await
                }
            }
        });
        carried_out.await.unwrap_or(Err(ChangeFailed::StoreFailed))
    }

    fn token_key(&self) -> &TokenKey {
        self.node.token_key()
    }

    fn random(&self) -> u128 {
        self.node.environment().random()
    }

    fn own_name(&self) -> String {
        status::node_name(&self.node, self.node.id())
    }

    fn node_name(&self, node: NodeId) -> String {
        status::node_name(&self.node, node)
    }

    fn status(&self) -> serde_json::Value {
        status::status(&self.node)
    }

    fn ring(&self) -> serde_json::Value {
        status::ring(&self.node)
    }

    fn rebuild_without(&self, member: &str) -> Result<(), String> {
        let ring = self.node.ring();
        let members = ring.members();
        let Some(found) = members.iter().find(|known| known.name == member) else {
            let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
            return Err(format!(
                "no member is called {member}; there are {}\n",
                names.join(", ")
            ));
        };
        if self.node.is_reachable(found.id) {
            return Err(format!(
                "{member} can be reached: rebuilding will not do without it\n"
            ));
        }
        if self.node.rebuild_progress().is_none() {
            return Err("this node's store is whole: it waits for nobody\n".to_owned());
        }
        self.node.rebuild_without(found.id);
        Ok(())
    }

    fn join_token(&self, ttl_s: u64) -> serde_json::Value {
        let environment = self.node.environment();
        let now_s = environment.wall_us() / 1_000_000;
        let token = JoinToken::issue(
            &self.cluster_secret,
            TokenId(environment.random()),
            now_s.saturating_add(ttl_s),
            Authority::of(&self.cluster_secret).public_key(),
        );
        tracing::info!(id = %token.id, ttl_s, "a token for joining was given out");
        json!({
            "token": token.to_text(),
            "id": token.id.to_string(),
            "expires_at": token.expires_at_s,
        })
    }

    async fn order(&self, order: RingOrder) -> Result<serde_json::Value, OrderFailed> {
        ring_orders::order(&self.node, order).await
    }

    async fn recovery(&self, recovery: Recovery) -> Result<serde_json::Value, OrderFailed> {
        recovery_orders::recovery(&self.node, recovery).await
    }

    async fn plan(&self) -> Result<serde_json::Value, OrderFailed> {
        ring_orders::plan(&self.node).await
    }

    async fn transfers(&self) -> serde_json::Value {
        ring_orders::transfers(&self.node).await
    }

    async fn explain(&self, name: ObjectName, timeout_ms: u64) -> serde_json::Value {
        status::inspection(
            &self.node,
            self.node.inspect(name, self.deadline(timeout_ms)).await,
        )
    }

    fn preference_list(&self, name: ObjectName) -> Option<Vec<Place>> {
        let wanted = self.properties(&name.bucket_type, &name.bucket)?.n_val;
        let preference = self.node.preference(name)?;
        let partitions = self.node.ring().partition_count().partitions().count();
        let (nodes, first) = (preference.targets.len(), to_usize(preference.partition));
        // In Riak each replica is of a partition of its own, those that follow each other; a node that stands for several is told as often.
        let places = (0..nodes.max(to_usize(wanted))).filter_map(|replica| {
            let target = preference.targets.get(replica % nodes.max(1))?;
            let partition = (first + replica) % partitions;
            Some(Place {
                partition: u32::try_from(partition).expect("Q is a 32-bit number"),
                node: self.node_name(target.node),
                is_primary: target.kind == ReplicaKind::Primary,
            })
        });
        Some(places.collect())
    }

    fn stats(&self) -> serde_json::Value {
        riak_stats::stats(&self.node, &self.minute)
    }

    fn start(&self, job: Job) -> Result<mpsc::Receiver<Bytes>, JobRefused> {
        jobs::start(&self.node, job)
    }

    async fn restore(
        &self,
        head: Head,
        block: Block,
        insisting: Insisting,
    ) -> Result<serde_json::Value, RestoreRefused> {
        jobs::restore(&self.node, head, block, insisting).await
    }

    /// The doors open last, so whoever can ask is asking a node that has recovered.
    fn ready(&self) -> Result<(), String> {
        match self.node.store().poisoned() {
            Some(reason) => Err(format!(
                "the store has failed: {reason}; restart the node to recover it"
            )),
            None if !self.node.is_admitted() => Err(
                "the node has just started and asks the others whether its store is the latest"
                    .to_owned(),
            ),
            None if self.node.clock() == ClockState::Unknown => {
                Err("the node has just started and asks the others what time it is".to_owned())
            }
            None => Ok(()),
        }
    }

    fn metrics(&self) -> String {
        metrics_text::render(&self.node)
    }

    fn note_siblings_returned(&self, versions: usize) {
        self.node
            .metrics()
            .siblings_returned
            .observe(versions as u64);
    }

    fn is_full(&self, errand: Errand) -> bool {
        self.node.is_full(errand)
    }

    fn admit(&self, errand: Errand) -> Option<Admitted> {
        self.node.admit(errand)
    }

    fn note_request_shed(&self) {
        self.node.metrics().requests_shed.client.add(1);
    }
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).expect("a machine counts with 32 bits at least")
}
