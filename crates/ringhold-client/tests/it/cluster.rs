//! The partition-aware client against nodes that answer, hang up, fall silent, refuse or are gone.

use crate::fake::{Act, Asked, Fakes};
use bytes::Bytes;
use ringhold_client::{Client, ClientError, ClientOptions, Coordination};
use ringhold_core::id::{Incarnation, OperationId};
use ringhold_core::quorum::PutCounts;
use ringhold_core::version::{Actor, Content, ContextToken, Dot, KeyEpoch, Object};
use ringhold_wire::message::peer::{ClientGot, ClientPut, Refusal, Reply, Request};
use ringhold_wire::message::{
    Change, GetAnswer, GetError, GetOptions, GetRequest, NotStarted, ObjectName, PutAnswer,
    PutError, PutOptions, PutRequest,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// No node at all, where a node is silent.
const NOBODY: usize = usize::MAX;

fn name(key: u32) -> ObjectName {
    ObjectName {
        bucket_type: "default".into(),
        bucket: "b".into(),
        key: key.to_string().into(),
    }
}

fn get(key: u32) -> GetRequest {
    GetRequest {
        name: name(key),
        options: GetOptions::default(),
        explain: false,
    }
}

fn put(key: u32, operation: u128) -> ClientPut {
    let request = PutRequest {
        name: name(key),
        seen: ContextToken::default(),
        operation: OperationId(operation),
        change: Change::Content(Content::Tombstone),
        unchanged_since: None,
        options: PutOptions::default(),
        return_object: false,
        explain: false,
    };
    let context = Bytes::new();
    ClientPut { request, context }
}

/// What a node that is well says.
fn done(request: &Request) -> Act {
    Act::Answer(match request {
        Request::Get(_) => Reply::Got(Ok(ClientGot {
            answer: GetAnswer {
                object: Object::new(),
                explanation: None,
            },
            context: Bytes::new(),
        })),
        _ => Reply::Coordinated(Ok(PutAnswer {
            dot: Dot {
                actor: Actor {
                    incarnation: Incarnation(1),
                    epoch: KeyEpoch(1),
                },
                counter: 1,
            },
            counts: PutCounts::default(),
            object: None,
            explanation: None,
        })),
    })
}

fn operations(asked: &[Asked]) -> BTreeSet<u128> {
    let operation = |(_, _, request): &Asked| match request {
        Request::Put(put) => Some(put.request.operation.0),
        _ => None,
    };
    asked.iter().filter_map(operation).collect()
}

async fn client(fakes: &Fakes) -> Client {
    Client::connect(&fakes.addresses()[..1])
        .await
        .expect("the seed answers")
}

#[tokio::test]
async fn each_request_goes_to_the_first_primary_without_a_hop() {
    let fakes = Fakes::start(6, |_, _, request| done(request)).await;
    let client = client(&fakes).await;
    for key in 0..60 {
        client.get_object(get(key)).await.expect("an answer");
        client.put_object(put(key, 1)).await.expect("an answer");
        let primary = fakes.first_primary(&name(key));
        let nodes: Vec<usize> = fakes.asked().iter().map(|asked| asked.0).collect();
        assert_eq!(nodes, [primary, primary], "key {key}");
    }
    assert_eq!(client.done().retries, 0);
}

#[tokio::test]
async fn server_driven_each_node_has_its_turn_and_no_placement_is_claimed() {
    let fakes = Fakes::start(3, |_, _, request| done(request)).await;
    let options = ClientOptions {
        coordination: Coordination::Server,
        ..ClientOptions::default()
    };
    let client = Client::connect_with(fakes.addresses(), options)
        .await
        .expect("the seeds answer");
    for _ in 0..3 {
        client.get_object(get(1)).await.expect("an answer");
    }
    let asked = fakes.asked();
    assert!(
        asked
            .iter()
            .all(|(_, header, _)| header.placement_number == 0)
    );
    let nodes: BTreeSet<usize> = asked.iter().map(|asked| asked.0).collect();
    assert_eq!(nodes.len(), 3);
}

#[tokio::test]
async fn a_node_that_is_gone_is_gone_round_and_left_alone() {
    let mut fakes = Fakes::start(4, |_, _, request| done(request)).await;
    let client = client(&fakes).await;
    fakes.end(2).await;
    for key in 0..200 {
        let operation = u128::from(key);
        client.put_object(put(key, operation)).await.expect("done");
    }
    let asked = fakes.asked();
    assert_eq!(operations(&asked).len(), 200);
    assert!(asked.iter().all(|asked| asked.0 != 2));
    // At most the request that found the connection broken was tried a second time.
    assert!(client.done().retries <= 1, "{:?}", client.done());
}

#[tokio::test]
async fn nobody_there_means_nothing_was_sent() {
    let mut fakes = Fakes::start(2, |_, _, request| done(request)).await;
    let client = client(&fakes).await;
    fakes.end(0).await;
    fakes.end(1).await;
    let mut last = None;
    // The first one or two may find out that their connection broke after they were sent.
    for operation in 0..5 {
        last = client.put_object(put(1, operation)).await.err();
    }
    let error = last.expect("nobody answers");
    assert!(error.did_not_start() && error.is_passing(), "{error}");
}

#[tokio::test]
async fn a_put_whose_node_hangs_up_is_tried_elsewhere_as_the_same_write() {
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tries);
    let fakes = Fakes::start(3, move |_, _, request| {
        match counted.fetch_add(1, Ordering::Relaxed) {
            0 => Act::HangUp,
            _ => done(request),
        }
    })
    .await;
    let client = client(&fakes).await;
    client.put_object(put(7, 99)).await.expect("done elsewhere");
    let asked = fakes.asked();
    assert_eq!(asked.len(), 2);
    assert_ne!(asked[0].0, asked[1].0);
    assert_eq!(operations(&asked), BTreeSet::from([99]));
    assert_eq!(client.done().retries, 1);
}

#[tokio::test]
async fn a_write_that_may_have_happened_stays_in_doubt_whatever_others_say() {
    let tries = AtomicUsize::new(0);
    let fakes = Fakes::start(3, move |_, _, _| {
        match tries.fetch_add(1, Ordering::Relaxed) {
            0 => Act::HangUp,
            _ => Act::Answer(Reply::Coordinated(Err(PutError::NotStarted(
                NotStarted::Starting,
            )))),
        }
    })
    .await;
    let client = client(&fakes).await;
    let error = client.put_object(put(7, 99)).await.expect_err("nobody did");
    assert!(
        matches!(error, ClientError::Unknown { .. }) && !error.did_not_start(),
        "{error}"
    );
}

#[tokio::test]
async fn retries_have_a_budget() {
    let fakes = Fakes::start(3, |_, _, _| {
        Act::Answer(Reply::Got(Err(GetError::Overloaded)))
    })
    .await;
    let client = client(&fakes).await;
    for key in 0..300 {
        client.get_object(get(key)).await.expect_err("overloaded");
    }
    // A tenth, and the ten that are there at first.
    let asked = fakes.asked().len();
    assert!((320..=341).contains(&asked), "{asked}");
}

#[tokio::test]
async fn a_refusal_that_will_not_pass_is_not_tried_again() {
    let fakes = Fakes::start(3, |_, _, _| {
        Act::Answer(Reply::Got(Err(GetError::UnknownBucketType)))
    })
    .await;
    let client = client(&fakes).await;
    client.get_object(get(1)).await.expect_err("no such type");
    assert_eq!(fakes.asked().len(), 1);
}

#[tokio::test]
async fn a_silent_node_is_joined_by_another_and_hedges_stay_few() {
    let silent = Arc::new(AtomicUsize::new(NOBODY));
    let who = Arc::clone(&silent);
    let fakes = Fakes::start(3, move |node, _, request| {
        if node == who.load(Ordering::Relaxed) {
            Act::Silence
        } else {
            done(request)
        }
    })
    .await;
    let client = client(&fakes).await;
    for key in 0..150 {
        client.get_object(get(key)).await.expect("an answer");
        client.put_object(put(key, 1)).await.expect("an answer");
    }
    let before = client.done();
    assert!(before.hedges <= 10, "{before:?}");
    fakes.asked();
    silent.store(0, Ordering::Relaxed);
    for key in 0..300 {
        client
            .get_object(get(key))
            .await
            .expect("somebody else's answer");
        client
            .put_object(put(key, 1_000 + u128::from(key)))
            .await
            .expect("somebody else's answer");
    }
    let after = client.done();
    assert!(after.hedges > before.hedges, "{after:?}");
    // What is there at first, and three of a hundred.
    assert!(after.hedges <= 10 + 450 * 3 / 100 + 1, "{after:?}");
    let asked = fakes.asked();
    let in_vain = asked.iter().filter(|asked| asked.0 == 0).count();
    assert!(
        in_vain < 30,
        "a node that does not answer is left alone: {in_vain}"
    );
    assert_eq!(operations(&asked).len(), 300);
}

#[tokio::test]
async fn a_stale_ring_is_replaced_and_the_request_asked_again() {
    let fakes = Fakes::start(5, |_, header, request| match header.placement_number {
        1 => Act::Answer(Reply::Refused(Refusal::PlacementBehind)),
        _ => done(request),
    })
    .await;
    fakes.place_anew(3, 1);
    let client = client(&fakes).await;
    fakes.place_anew(5, 2);
    client.put_object(put(1, 1)).await.expect("done");
    let asked = fakes.asked();
    let placements: Vec<u64> = asked.iter().map(|asked| asked.1.placement_number).collect();
    assert_eq!(placements, [1, 2]);
    assert_eq!(asked[1].0, fakes.first_primary(&name(1)));
    assert_eq!(operations(&asked).len(), 1);
    let done = client.done();
    assert_eq!((done.stale, done.retries), (1, 0), "it costs no retry");
    // From here on the two new nodes have their share.
    for key in 0..100 {
        client.get_object(get(key)).await.expect("an answer");
    }
    let nodes: BTreeSet<usize> = fakes.asked().iter().map(|asked| asked.0).collect();
    assert_eq!(nodes.len(), 5);
}

#[tokio::test]
async fn a_node_that_calls_every_ring_stale_is_told_to_serve_anyway() {
    let fakes = Fakes::start(3, |_, header, request| match header.placement_number {
        0 => done(request),
        _ => Act::Answer(Reply::Refused(Refusal::PlacementBehind)),
    })
    .await;
    let client = client(&fakes).await;
    client.get_object(get(1)).await.expect("an answer");
    assert_eq!(client.done().stale, 2);
}
