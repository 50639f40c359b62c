//! The native client against real nodes: carts while a node is killed, and a ring that changes under it.

use crate::cluster::{Cluster, IMPATIENT, Member};
use crate::joiner::peer_address;
use crate::membership::{Joiner, done, is, states};
use ringhold_client::datatype::{FieldUpdate, MapUpdate};
use ringhold_client::{Client, ClientError, ClientOptions};
use ringhold_core::crdt::Value;
use std::collections::BTreeSet;
use std::time::Duration;

type Cart = BTreeSet<String>;

const CARTS: usize = 12;
const ITEMS: usize = 10;

fn union(siblings: Vec<Cart>) -> Cart {
    siblings.into_iter().flatten().collect()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

fn natives(members: &[Member]) -> Vec<String> {
    members.iter().map(|member| member.native.clone()).collect()
}

/// Adds to each cart, two devices at a time; adding twice is adding once.
async fn fill(client: &Client, items: std::ops::Range<usize>) {
    let carts = client.bucket("carts").json(union);
    for item in items {
        let add = |cart: usize, device: &'static str| {
            let carts = carts.clone();
            async move {
                let key = format!("cart-{cart}");
                for _ in 0..100 {
                    let added = carts.update(&key, |cart: &mut Cart| {
                        cart.insert(format!("{device}-{item}"));
                    });
                    match added.await {
                        Ok(_) => return,
                        Err(error) if error.is_passing() => {}
                        Err(error) => panic!("{key}: {error}"),
                    }
                }
                panic!("{key}: not added within a hundred times");
            }
        };
        for cart in 0..CARTS {
            tokio::join!(add(cart, "phone"), add(cart, "desk"));
        }
    }
}

async fn assert_full(client: &Client, items: usize) {
    let carts = client.bucket("carts").json(union);
    let whole: Cart = (0..items)
        .flat_map(|item| ["phone", "desk"].map(|device| format!("{device}-{item}")))
        .collect();
    for cart in 0..CARTS {
        let found = carts
            .get(&format!("cart-{cart}"))
            .await
            .expect("it is read");
        assert_eq!(found.as_ref(), Some(&whole), "cart {cart}");
    }
}

#[test]
fn carts_lose_nothing_when_a_node_is_killed_under_the_client() {
    let mut cluster = Cluster::start(4);
    cluster.wait_until_connected();
    let members = cluster.members();
    runtime().block_on(async {
        let client = Client::connect(&natives(&members)[..1])
            .await
            .expect("the node answers");
        assert_eq!(client.ring().expect("it tells its ring").members().len(), 4);
        fill(&client, 0..ITEMS).await;
        // The seed itself.
        cluster.kill(&members[0]);
        fill(&client, ITEMS..2 * ITEMS).await;
        assert_full(&client, 2 * ITEMS).await;
        let conditional = client.bucket("other").json(union).if_unchanged();
        let update = conditional.update("k", |cart: &mut Cart| {
            cart.insert("x".to_owned());
        });
        match update.await {
            Ok(cart) => assert_eq!(cart.len(), 1),
            // It needs the key's primaries, of which one is dead.
            Err(error) => assert!(error.is_passing(), "{error}"),
        }
    });
}

/// Puts that a node took and answered.
const COORDINATED: &str =
    "ringhold_request_duration_seconds_count{operation=\"put\",outcome=\"acknowledged\"}";

#[test]
fn the_client_follows_a_node_that_joins() {
    let mut dev = Cluster::start_with(3, &IMPATIENT);
    dev.wait_until_ready();
    let (members, peer) = (dev.members(), peer_address(&dev));
    let directory = tempfile::tempdir().expect("a directory");
    let runtime = runtime();
    // It hears of a new ring from the nodes that it asks, and from nothing else.
    let options = ClientOptions {
        refresh_interval: Duration::from_secs(3_600),
        ..ClientOptions::default()
    };
    let client = runtime
        .block_on(Client::connect_with(&natives(&members), options))
        .expect("the nodes answer");
    runtime.block_on(fill(&client, 0..2));
    let joiner = Joiner::start(directory.path(), "d", &members[0], &peer);
    dev.wait("the fourth is known", |_| {
        is(&states(&members[0]), "d", "joining")
    });
    done(&members[0], &["commit", "--wait"]);
    assert!(is(&states(&members[0]), "d", "up"));
    let before = client.ring().expect("it has one").placement_number();
    runtime.block_on(fill(&client, 2..6));
    let ring = client.ring().expect("it has one");
    assert!(ring.placement_number() > before);
    assert!(ring.members().iter().any(|member| member.name == "d"));
    let counted = client.done();
    assert!(counted.stale > 0, "{counted:?}");
    runtime.block_on(assert_full(&client, 6));
    assert!(
        joiner.member.metric(COORDINATED) > 0,
        "the new node coordinates"
    );
}

#[test]
fn data_types_over_the_native_protocol() {
    let mut cluster = Cluster::start(3);
    cluster.wait_until_connected();
    let members = cluster.members();
    let outcome: Result<(), ClientError> = runtime().block_on(async {
        let client = Client::connect(&natives(&members)).await?;
        let bucket = client.bucket("types");
        let visits = bucket.data_type("visits");
        assert_eq!(visits.value().await?, None);
        visits.add(2).await?;
        visits.add(3).await?;
        assert_eq!(visits.value().await?, Some(Value::Counter(5)));
        let tags = bucket.data_type("tags");
        tags.insert(&["new", "red"]).await?;
        tags.remove(&["new"]).await?;
        assert_eq!(tags.value().await?, Some(Value::Set(vec!["red".into()])));
        let profile = bucket.data_type("profile");
        let updates = vec![("visits".into(), FieldUpdate::Counter(1))];
        profile
            .update_map(MapUpdate {
                removes: Vec::new(),
                updates,
            })
            .await?;
        assert!(matches!(profile.value().await?, Some(Value::Map(fields)) if fields.len() == 1));
        bucket
            .write("plain", "text", "text/plain", bytes::Bytes::new())
            .await?;
        let error = bucket
            .data_type("plain")
            .value()
            .await
            .expect_err("no type");
        assert!(matches!(error, ClientError::Undecodable { .. }), "{error}");
        Ok(())
    });
    outcome.expect("the nodes answer");
}
