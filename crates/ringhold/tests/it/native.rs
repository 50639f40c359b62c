//! The native port: what a client may do there, and what not.

use crate::cluster::Cluster;
use bytes::Bytes;
use ringhold_client::NativeClient;
use ringhold_core::crdt::{Refused, SetUpdate, Update, Value};
use ringhold_core::datatype;
use ringhold_core::id::OperationId;
use ringhold_core::version::{Content, Context, ContextToken};
use ringhold_wire::message::peer::{ClientGot, ClientPut};
use ringhold_wire::message::{
    Change, GetOptions, GetRequest, ObjectName, PutError, PutOptions, PutRequest, Rejection,
    TypeUpdate,
};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

fn name(key: &'static str) -> ObjectName {
    ObjectName {
        bucket_type: "default".into(),
        bucket: "native".into(),
        key: key.into(),
    }
}

async fn get(client: &NativeClient, key: &'static str) -> ClientGot {
    let request = GetRequest {
        name: name(key),
        options: GetOptions::default(),
        explain: false,
    };
    client
        .get(request, PATIENCE)
        .await
        .expect("the node answers")
        .expect("the quorum is there")
}

async fn put(
    client: &NativeClient,
    key: &'static str,
    operation: u128,
    value: &'static str,
    context: Bytes,
) -> Result<(), PutError> {
    let request = PutRequest {
        name: name(key),
        seen: ContextToken::default(),
        operation: OperationId(operation),
        change: Change::Content(Content::Value {
            bytes: value.into(),
            metadata: Vec::new(),
        }),
        unchanged_since: None,
        options: PutOptions::default(),
        return_object: false,
        explain: false,
    };
    let answer = client
        .put(ClientPut { request, context }, PATIENCE)
        .await
        .expect("the node answers");
    answer.map(|_| ())
}

fn values(got: &ClientGot) -> Vec<Content> {
    got.answer
        .object
        .siblings()
        .into_iter()
        .map(|version| version.content.clone())
        .collect()
}

#[test]
fn contexts_are_sealed_retries_are_one_write_and_a_foreign_context_is_refused() {
    let mut cluster = Cluster::start(3);
    cluster.wait_until_connected();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let addresses: Vec<String> = cluster
        .members()
        .into_iter()
        .map(|member| member.native)
        .collect();
    runtime.block_on(async {
        let here = NativeClient::connect(&addresses[0], [1; 32])
            .await
            .expect("the node listens");
        let there = NativeClient::connect(&addresses[1], [2; 32])
            .await
            .expect("the node listens");
        let none = Bytes::new;
        assert_eq!(put(&here, "k", 1, "one", none()).await, Ok(()));
        // The same operation again, also through another node, is the same write.
        assert_eq!(put(&here, "k", 1, "one", none()).await, Ok(()));
        assert_eq!(put(&there, "k", 1, "one", none()).await, Ok(()));
        let got = get(&there, "k").await;
        assert_eq!(values(&got).len(), 1, "{got:?}");

        assert_eq!(
            put(&there, "k", 2, "two", got.context.clone()).await,
            Ok(())
        );
        assert_eq!(values(&get(&here, "k").await).len(), 1);
        // A retry of what was overwritten meanwhile brings nothing back.
        assert_eq!(put(&here, "k", 1, "one", none()).await, Ok(()));
        let after = get(&there, "k").await;
        let two = Content::Value {
            bytes: "two".into(),
            metadata: Vec::new(),
        };
        assert!(values(&after).contains(&two), "{after:?}");

        let refused = Err(PutError::Rejected(Rejection::ContextRefused));
        assert_eq!(
            put(&here, "other", 3, "three", got.context.clone()).await,
            refused
        );
        assert_eq!(
            put(&here, "k", 4, "four", Bytes::from_static(b"made up")).await,
            refused
        );
        assert!(
            get(&here, "other").await.answer.object.is_absent(),
            "nothing was written"
        );
    });
}

/// A context that a client writes into the request itself counts for nothing.
#[test]
fn a_context_outside_its_seal_is_ignored() {
    let mut cluster = Cluster::start(1);
    cluster.wait_until_connected();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let address = cluster.members()[0].native.clone();
    runtime.block_on(async {
        let client = NativeClient::connect(&address, [1; 32])
            .await
            .expect("the node listens");
        assert_eq!(put(&client, "k", 1, "one", Bytes::new()).await, Ok(()));
        let seen: Context = get(&client, "k").await.answer.object.context().clone();
        let request = PutRequest {
            name: name("k"),
            seen: ContextToken {
                context: seen,
                ..ContextToken::default()
            },
            operation: OperationId(2),
            change: Content::Tombstone.into(),
            unchanged_since: None,
            options: PutOptions::default(),
            return_object: false,
            explain: false,
        };
        let put = ClientPut {
            request,
            context: Bytes::new(),
        };
        client
            .put(put, PATIENCE)
            .await
            .expect("the node answers")
            .expect("it is a blind delete");
        let got = get(&client, "k").await;
        assert_eq!(
            values(&got).len(),
            2,
            "the value stands beside the tombstone: {got:?}"
        );
    });
}

/// Updates as one of three nodes; the answer says what became of it.
async fn update(
    client: &NativeClient,
    key: &'static str,
    operation: u128,
    update: Update,
    context: Bytes,
) -> Result<(), PutError> {
    let change = TypeUpdate {
        update,
        context: None,
    };
    let request = PutRequest {
        name: name(key),
        seen: ContextToken::default(),
        operation: OperationId(operation),
        change: change.into(),
        unchanged_since: None,
        options: PutOptions::default(),
        return_object: false,
        explain: false,
    };
    let answer = client.put(ClientPut { request, context }, PATIENCE).await;
    answer.expect("the node answers").map(|_| ())
}

fn value(got: &ClientGot) -> Value {
    let held = datatype::value_of(&got.answer.object).expect("a data type");
    held.expect("alive").value().expect("in range")
}

#[test]
fn data_types_are_updated_at_any_node_and_a_retry_counts_once() {
    let mut cluster = Cluster::start(3);
    cluster.wait_until_connected();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let members = cluster.members();
    let addresses = [members[0].native.clone(), members[1].native.clone()];
    runtime.block_on(async {
        let here = NativeClient::connect(&addresses[0], [1; 32])
            .await
            .expect("the node listens");
        let there = NativeClient::connect(&addresses[1], [2; 32])
            .await
            .expect("the node listens");
        let none = Bytes::new;
        for operation in 1..=40 {
            for client in [&here, &there] {
                let by = Update::Counter(1);
                assert_eq!(update(client, "n", operation, by, none()).await, Ok(()));
            }
        }
        assert_eq!(value(&get(&there, "n").await), Value::Counter(40));

        let set = |adds: &[&'static str], removes: &[&'static str]| {
            let items = |items: &[&'static str]| items.iter().map(|item| (*item).into()).collect();
            Update::Set(SetUpdate {
                adds: items(adds),
                removes: items(removes),
            })
        };
        let taken = update(&here, "s", 100, set(&["x", "y"], &[]), none()).await;
        assert_eq!(taken, Ok(()));
        let seen = get(&there, "s").await.context;
        let taken = update(&here, "s", 101, set(&["x"], &[]), none()).await;
        assert_eq!(taken, Ok(()));
        let taken = update(&there, "s", 102, set(&[], &["x", "y"]), seen.clone()).await;
        assert_eq!(taken, Ok(()));
        let left = Value::Set(vec!["x".into()]);
        assert_eq!(
            value(&get(&here, "s").await),
            left,
            "added since it was read"
        );
        let refused = update(&here, "n", 103, Update::Counter(1), seen).await;
        assert_eq!(refused, Err(PutError::Rejected(Rejection::ContextRefused)));
        let refused = update(&here, "s", 104, set(&[], &["z"]), none()).await;
        let (fields, element) = (Vec::new(), "z".into());
        let absent = Refused::ElementNotPresent { fields, element };
        assert_eq!(refused, Err(PutError::Rejected(Rejection::Update(absent))));
        let refused = put(&here, "s", 105, "plain", none()).await;
        assert_eq!(refused, Err(PutError::Rejected(Rejection::NotADataType)));
    });
}
