//! A shopping cart (§1, §4.4): always writable, and what two devices put in at the same time is merged.
//!
//! Against `ringhold dev`: `cargo run -p ringhold-client --example cart [host:port]`.

#![expect(clippy::disallowed_macros, reason = "an example shows what it got")]

use ringhold_client::{Client, ClientError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How many of each product.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Cart(BTreeMap<String, u32>);

/// Whatever is in one of them is in the cart, and as often as in the fuller one.
fn union(siblings: Vec<Cart>) -> Cart {
    let mut all = BTreeMap::new();
    for (product, count) in siblings.into_iter().flat_map(|cart| cart.0) {
        let most: &mut u32 = all.entry(product).or_default();
        *most = count.max(*most);
    }
    Cart(all)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), ClientError> {
    let node = std::env::args().nth(1);
    let client = Client::connect(&[node.as_deref().unwrap_or("127.0.0.1:10010")]).await?;
    let carts = client.bucket("carts").json(union);
    let add = |product: &'static str| {
        carts.update("alice", move |cart: &mut Cart| {
            *cart.0.entry(product.to_owned()).or_default() += 1;
        })
    };
    // Two devices at the same time: neither waits for the other.
    tokio::try_join!(add("milk"), add("bread"))?;
    println!("{:?}", carts.get("alice").await?);
    Ok(())
}
