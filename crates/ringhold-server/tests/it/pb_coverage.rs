//! Coverage plans over Protocol Buffers: what their shares have together, and what is no context.

use crate::pb::{Client, put};
use bytes::Bytes;
use prost::Message;
use ringhold_wire::riak::{
    CoverageEntry, CoverageReq, CoverageResp, CsBucketReq, IndexBodyResp, IndexQueryType, IndexReq,
    IndexResp, PutResp,
};
use std::collections::BTreeSet;

const COVERAGE: u8 = 70;
const INDEX: u8 = 25;
const CS_BUCKET: u8 = 40;

fn plan_of(bucket: &'static str) -> CoverageReq {
    CoverageReq {
        bucket: Bytes::from(bucket),
        ..CoverageReq::default()
    }
}

fn all_keys(cover: &Bytes) -> IndexReq {
    IndexReq {
        bucket: Bytes::from("b"),
        index: Bytes::from("$bucket"),
        qtype: IndexQueryType::Eq.into(),
        key: Some(Bytes::from("b")),
        cover_context: Some(cover.clone()),
        ..IndexReq::default()
    }
}

async fn with_keys() -> (Client, Vec<String>) {
    let mut client = Client::connect();
    let keys: Vec<String> = (10..60).map(|number| format!("k{number}")).collect();
    for key in &keys {
        let mut message = put("", "value");
        message.key = Some(Bytes::from(key.clone()));
        let _: PutResp = client.answer(11, &message).await;
    }
    (client, keys)
}

#[tokio::test]
async fn the_shares_of_a_plan_have_each_key_once() {
    let (mut client, keys) = with_keys().await;
    for (wanted, count) in [(None, 8), (Some(1), 8), (Some(9), 16)] {
        let asked = CoverageReq {
            min_partitions: wanted,
            ..plan_of("b")
        };
        let plan: CoverageResp = client.answer(COVERAGE, &asked).await;
        assert_eq!(plan.entries.len(), count);
        let doors: BTreeSet<(&[u8], u32)> = plan
            .entries
            .iter()
            .map(|entry| (&entry.ip[..], entry.port))
            .collect();
        assert_eq!(
            doors,
            BTreeSet::from([(&b"127.0.0.1"[..], 8_001), (b"127.0.0.1", 8_002)])
        );
        let told = plan.entries[1].keyspace_desc.as_deref();
        let expected = format!("node2 : 1 of {count}");
        assert_eq!(told, Some(expected.as_bytes()));
        let (mut found, mut bodies) = (Vec::new(), Vec::new());
        for CoverageEntry { cover_context, .. } in &plan.entries {
            let some: IndexResp = client.answer(INDEX, &all_keys(cover_context)).await;
            found.extend(some.keys);
            bodies.extend(cs_keys(&mut client, cover_context).await);
        }
        for mut found in [found, bodies] {
            found.sort();
            assert_eq!(found, keys, "each once");
        }
    }
}

/// The keys of a share, with their objects.
async fn cs_keys(client: &mut Client, cover: &Bytes) -> Vec<Bytes> {
    let message = CsBucketReq {
        bucket: Bytes::from("b"),
        cover_context: Some(cover.clone()),
        ..CsBucketReq::default()
    };
    client.send(CS_BUCKET, &message).await;
    let mut keys = Vec::new();
    loop {
        let (code, bytes) = client.receive().await;
        assert_eq!(code, CS_BUCKET + 1);
        let some = IndexBodyResp::decode(bytes).expect("it is that message");
        keys.extend(some.objects.into_iter().map(|object| object.key));
        if some.done == Some(true) {
            return keys;
        }
    }
}

#[tokio::test]
async fn a_node_that_does_not_answer_is_replaced() {
    let (mut client, _) = with_keys().await;
    let plan: CoverageResp = client.answer(COVERAGE, &plan_of("b")).await;
    let of = |port: u32| {
        let mut entries = plan.entries.iter();
        let entry = entries.find(|entry| entry.port == port);
        entry.expect("both have work").cover_context.clone()
    };
    let replace = |replaced: Bytes, unavailable: Vec<Bytes>| CoverageReq {
        replace_cover: Some(replaced),
        unavailable_cover: unavailable,
        ..plan_of("b")
    };
    let other: CoverageResp = client
        .answer(COVERAGE, &replace(of(8_001), Vec::new()))
        .await;
    let [entry] = &other.entries[..] else {
        panic!("{other:?}");
    };
    assert_eq!(entry.port, 8_002);
    let before: IndexResp = client.answer(INDEX, &all_keys(&of(8_001))).await;
    let after: IndexResp = client.answer(INDEX, &all_keys(&entry.cover_context)).await;
    assert_eq!(before.keys, after.keys, "it is the same share");
    let nobody = replace(of(8_001), vec![of(8_002)]);
    let error = client.error(COVERAGE, &nobody).await;
    assert_eq!(error, "{insufficient_vnodes,0,need,1}");
}

#[tokio::test]
async fn what_is_no_context_of_this_bucket_is_refused() {
    let (mut client, _) = with_keys().await;
    let foreign: CoverageResp = client.answer(COVERAGE, &plan_of("c")).await;
    let own: CoverageResp = client.answer(COVERAGE, &plan_of("b")).await;
    let foreign = foreign.entries[0].cover_context.clone();
    let own = own.entries[0].cover_context.clone();
    let mut other_share = own.to_vec();
    other_share[5] ^= 1;
    let rows = [
        (foreign, "invalid_coverage_context_checksum"),
        (other_share.into(), "invalid_coverage_context_checksum"),
        (own.slice(1..), "bad_coverage_context"),
        (own.slice(..own.len() - 1), "bad_coverage_context"),
        (Bytes::new(), "bad_coverage_context"),
        (Bytes::from("x"), "bad_coverage_context"),
    ];
    for (context, text) in rows {
        assert_eq!(client.error(INDEX, &all_keys(&context)).await, text);
        let replace = CoverageReq {
            replace_cover: Some(context),
            ..plan_of("b")
        };
        assert_eq!(client.error(COVERAGE, &replace).await, text);
    }
    let error = client.error(COVERAGE, &plan_of("")).await;
    assert_eq!(error, "Bucket cannot be zero-length");
    let many = CoverageReq {
        min_partitions: Some(65_537),
        ..plan_of("b")
    };
    let error = client.error(COVERAGE, &many).await;
    assert_eq!(error, "min_partitions is at most 65536");
}
