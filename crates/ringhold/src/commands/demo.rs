//! `demo`: the main promise, shown on an empty machine.
//!
//! Five nodes, real carts, shoppers that fill them at the same time. When a third of the items are in, two nodes are killed at
//! once; when two thirds are, one of them is started again with what it had flushed, and the other one with an empty disk. Then
//! the cluster puts itself in order: what others kept goes home, the empty disk is filled, all primaries are compared. In the
//! end every cart is read back and compared with the file, item by item.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ringhold_client::HttpPool;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::carts::file::{self, Basket};
use crate::carts::report::Report;
use crate::carts::shop::Shop;
use crate::cli::DemoArgs;
use crate::commands::dev::Stop;
use crate::commands::{job, load, view};
use crate::dev::cluster::Cluster;
use crate::dev::plan::{Plan, Ports, Wish};
use crate::output::{Failure, Format, print, print_json, progress_bar, say};

const TRANSACTIONS: &[u8] = include_bytes!("../../../../data/journey/transactions.csv");
const PRODUCTS: &[u8] = include_bytes!("../../../../data/journey/products.csv");
const NODES: u16 = 5;
/// The node that is killed and comes back with its disk.
const KILLED: &str = "node2";
/// The node that is killed and comes back with an empty disk.
const WIPED: &str = "node4";
/// The cluster is in order after seconds; one that needs longer than this hangs.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(100);
const STATUS_TIMEOUT: Duration = Duration::from_secs(5);

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
        riak_types: false,
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
    let (report, outage) = shown?;
    match format {
        Format::Table => print(readable(&report, &outage))?,
        Format::Json => {
            let mut out = report.to_json();
            view::extend(&mut out, outage.to_json());
            print_json(&out)?;
        }
    }
    load::verdict(&report)
}

/// What happened to the cluster, and how it came out of it.
struct Outage {
    /// From the kill until both nodes were ready again.
    away: Duration,
    /// From then on until nothing was owed and no store in doubt.
    recovery: Duration,
    /// Objects that the wiped node took over.
    rebuilt: u64,
    /// What `cluster verify` says in the end.
    verified: Value,
}

impl Outage {
    fn to_json(&self) -> Value {
        json!({
            "killed": [KILLED, WIPED],
            "wiped": WIPED,
            "away_seconds": self.away.as_secs_f64(),
            "recovery_seconds": self.recovery.as_secs_f64(),
            "objects_rebuilt": self.rebuilt,
            "verified": self.verified,
        })
    }
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
) -> Result<(Report, Outage), Failure> {
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
    let outage = recover(&urls, away).await?;
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
        outage,
    ))
}

async fn fill(shop: &Arc<Shop>) -> Result<Duration, Failure> {
    Ok(shop.fill(progress_bar(shop.items(), "items")).await?)
}

/// Returns how long the nodes were away, from the kill until both were ready again.
async fn kill_and_restart(cluster: &mut Cluster, shop: &Arc<Shop>) -> Result<Duration, Failure> {
    let items = shop.items();
    let mut added = shop.added();
    reached(&mut added, items / 3).await?;
    cluster.kill(KILLED).await?;
    cluster.kill(WIPED).await?;
    let killed = Instant::now();
    say(format!(
        "{} items are in: killed {KILLED} and {WIPED} (SIGKILL); the shoppers go on",
        added_now(&added)
    ));
    reached(&mut added, items * 2 / 3).await?;
    say(format!(
        "{} items are in: starting {KILLED} again, and {WIPED} with an empty disk …",
        added_now(&added)
    ));
    cluster.restart(KILLED).await?;
    cluster.wipe(WIPED)?;
    cluster.restart(WIPED).await?;
    let away = killed.elapsed();
    say(format!("both are back after {:.1} s", away.as_secs_f64()));
    Ok(away)
}

/// Waits until nothing is owed to anybody and no store is in doubt, then has all primaries compared.
async fn recover(urls: &[String], away: Duration) -> Result<Outage, Failure> {
    say("waiting until what others kept is home and the empty disk is filled …");
    let started = Instant::now();
    while let Some(left) = out_of_order(urls).await? {
        if started.elapsed() > RECOVERY_TIMEOUT {
            return Err(Failure::failed(format!(
                "the cluster is still not in order: {left}"
            )));
        }
        tokio::time::sleep(POLL).await;
    }
    let recovery = started.elapsed();
    say("comparing all primaries of every partition …");
    let at = urls.first().ok_or_else(interrupted)?;
    job::last_line(at, "repair").await?;
    let verified = job::last_line(at, "verify").await?;
    Ok(Outage {
        away,
        recovery,
        rebuilt: rebuilt(urls).await?,
        verified,
    })
}

/// What is not in order yet, in words.
async fn out_of_order(urls: &[String]) -> Result<Option<String>, Failure> {
    for url in urls {
        let status = status(url).await?;
        let name = status["node"]["name"].as_str().unwrap_or(url);
        if !status["rebuild"].is_null() {
            return Ok(Some(format!("{name} fills its disk")));
        }
        if status["hints"]["rows"].as_u64().unwrap_or(0) > 0 {
            return Ok(Some(format!("{name} keeps objects for others")));
        }
    }
    Ok(None)
}

async fn status(url: &str) -> Result<Value, Failure> {
    let pool = HttpPool::at(url)?;
    let body = pool.resource("/ringhold/v1/status", STATUS_TIMEOUT).await?;
    serde_json::from_slice(&body)
        .map_err(|error| Failure::failed(format!("{url} did not answer JSON: {error}")))
}

/// Objects that all nodes together took over to fill their disks.
async fn rebuilt(urls: &[String]) -> Result<u64, Failure> {
    let mut objects = 0;
    for url in urls {
        let page = HttpPool::at(url)?
            .resource("/metrics", STATUS_TIMEOUT)
            .await?;
        let text = String::from_utf8_lossy(&page);
        let value = |line: &str| {
            line.strip_prefix("ringhold_objects_rebuilt_total ")?
                .parse::<u64>()
                .ok()
        };
        objects += text.lines().find_map(value).unwrap_or(0);
    }
    Ok(objects)
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

fn readable(report: &Report, outage: &Outage) -> String {
    let cell = |member: &str| view::cell(&outage.verified[member]);
    format!(
        "\n{KILLED} and {WIPED} were killed on the way and away for {:.1} s; every acknowledged item counts.\n\
         {WIPED} came back with an empty disk and took over {} objects; {:.1} s later nothing was owed to anybody.\n\
         {} of {} partitions agree on all primaries, {} keys checked.\n\n{report}",
        outage.away.as_secs_f64(),
        outage.rebuilt,
        outage.recovery.as_secs_f64(),
        cell("agreeing"),
        cell("partitions"),
        cell("keys"),
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
