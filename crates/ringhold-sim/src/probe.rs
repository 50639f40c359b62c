//! Does a cluster answer (I17)?
//!
//! Asked at the end of every run, of all nodes with W = N, and in some runs when only as many nodes are left as
//! a put needs. A request is tried several times, as a client would, because a node needs a moment to notice
//! who is there.

use crate::cluster::Cluster;
use crate::invariants::{Violation, i17_liveness};
use crate::random::Random;
use bytes::Bytes;
use ringhold_core::quorum::{Count, PutSpec};
use ringhold_core::version::{Content, ContextToken};
use ringhold_wire::message::peer::{ClientPut, Reply, Request};
use ringhold_wire::message::{
    Change, Flush, GetOptions, GetRequest, ObjectName, PutOptions, PutRequest,
};

/// Tries of one request, each with a second of time.
pub const ATTEMPTS_MAX: u32 = 8;

/// Each of these nodes takes a put and a get of a key that nobody has used before.
///
/// # Errors
/// If one of them does not, often enough.
pub async fn answers(cluster: &Cluster, nodes: &[usize], w: Count) -> Result<(), Violation> {
    let mut random = Random::of(cluster.plan().seed, "probes");
    for &node in nodes {
        let name = ObjectName {
            bucket_type: "default".into(),
            bucket: "probes".into(),
            key: format!("of n{node}, {w:?}").into(),
        };
        let put = PutRequest {
            name: name.clone(),
            seen: ContextToken::default(),
            operation: ringhold_core::id::OperationId(random.next_u128()),
            change: Change::Content(Content::Value {
                bytes: "there".into(),
                metadata: Vec::new(),
            }),
            unchanged_since: None,
            options: PutOptions {
                quorum: PutSpec {
                    w,
                    ..PutSpec::default()
                },
                n_val: None,
                primaries_only: false,
                flush: Flush::AsBucket,
            },
            return_object: false,
            explain: false,
        };
        let stored = |reply: &Reply| matches!(reply, Reply::Coordinated(Ok(_)));
        if persist(
            cluster,
            node,
            &Request::Put(ClientPut {
                request: put,
                context: Bytes::new(),
            }),
            stored,
        )
        .await
        .is_none()
        {
            return Err(i17_liveness::silent(
                "a put",
                node,
                usize::MAX,
                ATTEMPTS_MAX,
            ));
        }
        let get = Request::Get(GetRequest {
            name,
            options: GetOptions::default(),
            explain: false,
        });
        let found = |reply: &Reply| matches!(reply, Reply::Got(Ok(answer)) if answer.answer.object.has_value());
        if persist(cluster, node, &get, found).await.is_none() {
            return Err(i17_liveness::silent(
                "a get",
                node,
                usize::MAX,
                ATTEMPTS_MAX,
            ));
        }
    }
    Ok(())
}

/// Asks until the reply is as it should be, or often enough.
pub async fn persist(
    cluster: &Cluster,
    node: usize,
    request: &Request,
    good: impl Fn(&Reply) -> bool,
) -> Option<Reply> {
    let executor = &cluster.around().executor;
    let host = cluster.plan().nodes;
    for _ in 0..ATTEMPTS_MAX {
        let deadline_us = executor.now_us() + 1_000_000;
        let sent = cluster
            .network()
            .call(host, node, request, deadline_us, 100_000);
        if let Ok(call) = sent
            && let Ok(reply) = call.await
            && good(&reply)
        {
            return Some(reply);
        }
        executor.sleep(500_000).await;
    }
    None
}
