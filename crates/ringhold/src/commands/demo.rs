//! `demo`: the main promise, shown on an empty machine.
//!
//! Three nodes, real carts, shoppers that fill them at the same time, one node killed when a third
//! of the items are in and started again when two thirds are; then every cart is read back and
//! compared with the file, item by item.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::watch;

use crate::carts::file::{self, Basket};
use crate::carts::report::Report;
use crate::carts::shop::Shop;
use crate::cli::DemoArgs;
use crate::commands::dev::Stop;
use crate::commands::{load, view};
use crate::dev::cluster::Cluster;
use crate::dev::plan::{Plan, Ports, Wish};
use crate::output::{Failure, Format, print, print_json, progress_bar, say};

const TRANSACTIONS: &[u8] = include_bytes!("../../../../data/journey/transactions.csv");
const PRODUCTS: &[u8] = include_bytes!("../../../../data/journey/products.csv");
const NODES: u16 = 3;
/// The node that is killed.
const VICTIM: &str = "node2";

pub(super) async fn run(arguments: DemoArgs, format: Format) -> Result<(), Failure> {
    let mut stop = Stop::listen()?;
    let baskets = baskets(&arguments)?;
    let dir = tempfile::Builder::new()
        .prefix("ringhold-demo-")
        .tempdir()
        .map_err(|error| Failure::failed(format!("can't make a temporary directory: {error}")))?;
    say(format!(
        "starting {NODES} nodes in {} …",
        dir.path().display()
    ));
    let wish = Wish {
        nodes: Some(NODES),
        ports: Ports::Free,
        zones: None,
    };
    let plan = Plan::prepare(dir.path(), wish)?;
    let mut cluster = tokio::select! {
        started = Cluster::start(plan) => started?,
        () = stop.asked() => return Err(interrupted()),
    };
    let shown = tokio::select! {
        shown = show(&mut cluster, baskets, &arguments) => shown,
        () = stop.asked() => Err(interrupted()),
    };
    // Before the directory goes, whatever happened.
    cluster.stop().await;
    let (report, away) = shown?;
    match format {
        Format::Table => print(readable(&report, away))?,
        Format::Json => {
            let mut out = report.to_json();
            let killed = json!({ "node": VICTIM, "away_seconds": away.as_secs_f64() });
            view::extend(&mut out, json!({ "killed": killed }));
            print_json(&out)?;
        }
    }
    load::verdict(&report)
}

fn interrupted() -> Failure {
    Failure::failed("interrupted before the carts were checked")
}

fn baskets(arguments: &DemoArgs) -> Result<Vec<Basket>, Failure> {
    if let Some(transactions) = &arguments.transactions {
        let files = load::Files {
            transactions: transactions.clone(),
            products: arguments.products.clone(),
        };
        return load::baskets(&files);
    }
    let refuse = |error: file::FileError| Failure::failed(error.to_string());
    let products = file::products("the shipped products", PRODUCTS).map_err(refuse)?;
    file::baskets("the shipped transactions", TRANSACTIONS, &products).map_err(refuse)
}

async fn show(
    cluster: &mut Cluster,
    baskets: Vec<Basket>,
    arguments: &DemoArgs,
) -> Result<(Report, Duration), Failure> {
    let urls = cluster.plan().urls();
    let shop = Shop::new(&urls, baskets, &arguments.replay)?;
    let replay = &arguments.replay;
    say(format!(
        "filling {} carts with {} items at {}: {} carts at a time, {} devices at each cart",
        shop.carts(),
        shop.items(),
        urls.join(", "),
        replay.shoppers,
        replay.devices
    ));
    let (filling, away) = tokio::try_join!(fill(&shop), kill_and_restart(cluster, &shop))?;
    let measurements = shop.measurements();
    say("reading every cart back and comparing it with the file …");
    let difference = shop
        .verify(progress_bar(shop.carts(), "carts checked"))
        .await?;
    let (carts, items) = (shop.carts(), shop.items());
    Ok((
        Report {
            carts,
            items,
            filling,
            measurements,
            difference,
        },
        away,
    ))
}

async fn fill(shop: &Arc<Shop>) -> Result<Duration, Failure> {
    Ok(shop.fill(progress_bar(shop.items(), "items")).await?)
}

/// Returns how long the node was away, from the kill until it was ready again.
async fn kill_and_restart(cluster: &mut Cluster, shop: &Arc<Shop>) -> Result<Duration, Failure> {
    let items = shop.items();
    let mut added = shop.added();
    reached(&mut added, items / 3).await?;
    cluster.kill(VICTIM).await?;
    let killed = Instant::now();
    say(format!(
        "{} items are in: killed {VICTIM} (SIGKILL); the shoppers go on",
        added_now(&added)
    ));
    reached(&mut added, items * 2 / 3).await?;
    say(format!(
        "{} items are in: starting {VICTIM} again …",
        added_now(&added)
    ));
    cluster.restart(VICTIM).await?;
    let away = killed.elapsed();
    say(format!(
        "{VICTIM} is back after {:.1} s, with what it had flushed; reads repair what it missed",
        away.as_secs_f64()
    ));
    Ok(away)
}

async fn reached(added: &mut watch::Receiver<u64>, items: u64) -> Result<(), Failure> {
    let reached = added.wait_for(|&added| added >= items).await;
    reached
        .map(drop)
        .map_err(|_| Failure::failed("the shoppers stopped before all items were in"))
}

fn added_now(added: &watch::Receiver<u64>) -> u64 {
    *added.borrow()
}

fn readable(report: &Report, away: Duration) -> String {
    format!(
        "\n{VICTIM} was killed on the way and away for {:.1} s; every acknowledged item counts.\n\n{report}",
        away.as_secs_f64()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_files_are_carts() {
        let products = file::products("p", PRODUCTS).expect("products");
        let baskets = file::baskets("t", TRANSACTIONS, &products).expect("transactions");
        let items = || baskets.iter().flat_map(|basket| &basket.items);
        assert!(baskets.len() > 100 && items().count() > 1_000);
        let named = items().filter(|item| item.name.is_some()).count();
        assert!(
            named * 10 > items().count() * 9,
            "most products have a name"
        );
    }
}
