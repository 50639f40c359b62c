//! The devices that fill the carts, and the check of every cart afterwards.
//!
//! A number of carts are open at a time; each is filled by a few devices, to which its rows are
//! dealt. A device knows nothing but its own rows: it learns what the others did from the siblings
//! of its next get. It stays with a node as long as that node answers, and moves to the next one
//! when it doesn't.
//!
//! Every get and put is tried until it is acknowledged. All attempts at one put are one request:
//! the same value, the same context, the same idempotency key. So if the first attempt did happen
//! after all, the second is the same write, and even a node that doesn't know that leaves two equal
//! siblings, which the next merge unites.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use ringhold_client::{ClientError, Fetched, GetOptions, ObjectName, PutOptions, Quorums, Value};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::carts::cart::{Cart, Difference, Item};
use crate::carts::file::Basket;
use crate::carts::report::Measurements;
use crate::cli::ReplayArgs;
use crate::commands::door::Door;
use crate::random;

pub(crate) const BUCKET: &str = "carts";
const BUCKET_TYPE: &str = "default";
const CONTENT_TYPE: &str = "application/json";
/// One attempt; a node that is this slow is as good as dead to a shopper.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
const BACKOFF_FIRST: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_millis(1_000);
/// Writes that were in flight when their node died may still surface while carts are resolved.
const RESOLUTIONS_MAX: u32 = 5;

/// Why the carts are not all filled or not all checked.
#[derive(Debug)]
pub(crate) enum ShopError {
    /// Tried until the deadline; the last attempt's error. A put may or may not have happened.
    NotAcknowledged {
        what: Operation,
        key: String,
        waited: Duration,
        last: ClientError,
    },
    /// An error that trying again would not change.
    Refused {
        what: Operation,
        key: String,
        error: ClientError,
    },
    /// Something else than a cart is stored there.
    NoCart {
        key: String,
        error: serde_json::Error,
    },
    /// Siblings came back after each write that resolved them.
    Unresolved { key: String, versions: usize },
}

impl fmt::Display for ShopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAcknowledged {
                what,
                key,
                waited,
                last,
            } => write!(
                f,
                "the {what} of cart {key} was not acknowledged within {} s ({last}); see whether enough nodes are up with `ringhold cluster status`, or wait longer with --deadline-s",
                waited.as_secs()
            ),
            Self::Refused { what, key, error } => {
                write!(f, "the {what} of cart {key} was refused: {error}")
            }
            Self::NoCart { key, error } => write!(
                f,
                "{BUCKET}/{key} holds something else than a cart ({error}); delete it, or load into an empty cluster"
            ),
            Self::Unresolved { key, versions } => write!(
                f,
                "cart {key} still has {versions} versions after {RESOLUTIONS_MAX} writes that replace them; does somebody else write to it?"
            ),
        }
    }
}

impl std::error::Error for ShopError {}

/// Half of an add.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Get,
    Put,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Get => "get",
            Self::Put => "put",
        })
    }
}

/// The cluster as shoppers see it, the carts to fill, and what has been measured.
#[derive(Debug)]
pub(crate) struct Shop {
    pools: Vec<Door>,
    baskets: Vec<Basket>,
    shoppers: usize,
    devices: usize,
    deadline: Duration,
    /// Items acknowledged so far.
    added: watch::Sender<u64>,
    measurements: Mutex<Measurements>,
}

impl Shop {
    /// Carts to be filled at these nodes.
    pub(crate) fn new(
        nodes: &[String],
        baskets: Vec<Basket>,
        arguments: &ReplayArgs,
    ) -> Result<Arc<Self>, ClientError> {
        let pools = nodes
            .iter()
            .map(|url| Door::at(url))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Arc::new(Self {
            pools,
            baskets,
            shoppers: usize::from(arguments.shoppers),
            devices: usize::from(arguments.devices),
            deadline: Duration::from_secs(arguments.deadline_s),
            added: watch::Sender::new(0),
            measurements: Mutex::default(),
        }))
    }

    pub(crate) fn carts(&self) -> u64 {
        count(self.baskets.len())
    }

    pub(crate) fn items(&self) -> u64 {
        self.baskets
            .iter()
            .map(|basket| count(basket.items.len()))
            .sum()
    }

    /// Follows the number of items that are acknowledged.
    pub(crate) fn added(&self) -> watch::Receiver<u64> {
        self.added.subscribe()
    }

    pub(crate) fn measurements(&self) -> Measurements {
        self.measurements
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Fills all carts; returns how long it took.
    pub(crate) async fn fill(self: &Arc<Self>, bar: ProgressBar) -> Result<Duration, ShopError> {
        let started = Instant::now();
        let steps = bar.clone();
        self.over_baskets(move |shop, index| shop.fill_basket(index, steps.clone()))
            .await?;
        bar.finish_and_clear();
        Ok(started.elapsed())
    }

    /// Reads every cart back, resolves its siblings, and compares it with the file.
    pub(crate) async fn verify(
        self: &Arc<Self>,
        bar: ProgressBar,
    ) -> Result<Difference, ShopError> {
        let total = Arc::new(Mutex::new(Difference::default()));
        let (sum, steps) = (total.clone(), bar.clone());
        self.over_baskets(move |shop, index| {
            let (sum, steps) = (sum.clone(), steps.clone());
            async move {
                let difference = shop.verify_basket(index).await?;
                sum.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .add(difference);
                steps.inc(1);
                Ok(())
            }
        })
        .await?;
        bar.finish_and_clear();
        let total = *total.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(total)
    }

    /// Works on `shoppers` baskets at a time; the first error ends all.
    async fn over_baskets<F>(
        self: &Arc<Self>,
        work: impl Fn(Arc<Self>, usize) -> F + Clone + Send + 'static,
    ) -> Result<(), ShopError>
    where
        F: Future<Output = Result<(), ShopError>> + Send,
    {
        let next = Arc::new(AtomicUsize::new(0));
        let mut shoppers = JoinSet::new();
        for _ in 0..self.shoppers {
            let (shop, next, work) = (self.clone(), next.clone(), work.clone());
            shoppers.spawn(async move {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= shop.baskets.len() {
                        return Ok(());
                    }
                    work(shop.clone(), index).await?;
                }
            });
        }
        join_all(shoppers).await
    }

    async fn fill_basket(self: Arc<Self>, index: usize, bar: ProgressBar) -> Result<(), ShopError> {
        let mut devices = JoinSet::new();
        for device in 0..self.devices {
            let (shop, bar) = (self.clone(), bar.clone());
            devices.spawn(async move {
                let basket = &shop.baskets[index];
                let mut device = Device::new(&shop, &basket.key, index + device, device);
                for item in basket.items.iter().skip(device.place).step_by(shop.devices) {
                    device.add(item).await?;
                    shop.added.send_modify(|added| *added += 1);
                    bar.inc(1);
                }
                Ok(())
            });
        }
        join_all(devices).await
    }

    async fn verify_basket(self: Arc<Self>, index: usize) -> Result<Difference, ShopError> {
        let basket = &self.baskets[index];
        Device::new(&self, &basket.key, index, 0)
            .verify(&basket.items)
            .await
    }
}

async fn join_all(mut tasks: JoinSet<Result<(), ShopError>>) -> Result<(), ShopError> {
    while let Some(joined) = tasks.join_next().await {
        // Tasks are never cancelled before this set is dropped, so a failed join is a panic.
        joined.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
    }
    Ok(())
}

/// One device at one cart.
struct Device<'a> {
    shop: &'a Shop,
    name: ObjectName,
    /// The node it talks to, an index into the pools.
    node: usize,
    /// Its number among the devices of this cart.
    place: usize,
}

impl<'a> Device<'a> {
    fn new(shop: &'a Shop, key: &str, node: usize, place: usize) -> Self {
        let name = ObjectName::new(BUCKET_TYPE, BUCKET, key);
        Self {
            shop,
            name,
            node: node % shop.pools.len(),
            place,
        }
    }

    /// Get, merge, add, put.
    async fn add(&mut self, item: &Item) -> Result<(), ShopError> {
        let fetched = self.get(&Quorums::default()).await?;
        self.measure(|measurements| measurements.saw(fetched.values().count()));
        let cart = self.merged(&fetched)?.add(item.clone());
        self.put(&cart, fetched.context).await
    }

    /// Reads until there is one version, writing the union over several.
    async fn verify(&mut self, expected: &[Item]) -> Result<Difference, ShopError> {
        let quorums = Quorums {
            r: Some("quorum".to_owned()),
            ..Quorums::default()
        };
        let mut doubled = 0;
        let mut versions = 0;
        for _ in 0..=RESOLUTIONS_MAX {
            let fetched = self.get(&quorums).await?;
            let carts = self.carts(&fetched)?;
            // A line that stands twice in one version is lost from sight in the union.
            doubled = doubled.max(
                carts
                    .iter()
                    .map(|cart| cart.compare(expected).doubled)
                    .max()
                    .unwrap_or(0),
            );
            versions = carts.len();
            if versions <= 1 {
                let difference =
                    Cart::compare(&carts.into_iter().next().unwrap_or_default(), expected);
                return Ok(Difference {
                    doubled: doubled.max(difference.doubled),
                    ..difference
                });
            }
            self.put(&Cart::merge(carts), fetched.context).await?;
        }
        Err(ShopError::Unresolved {
            key: self.name.key.clone(),
            versions,
        })
    }

    fn carts(&self, fetched: &Fetched) -> Result<Vec<Cart>, ShopError> {
        let parse = |body: &[u8]| {
            Cart::parse(body).map_err(|error| ShopError::NoCart {
                key: self.name.key.clone(),
                error,
            })
        };
        fetched
            .values()
            .map(|sibling| parse(&sibling.body))
            .collect()
    }

    fn merged(&self, fetched: &Fetched) -> Result<Cart, ShopError> {
        Ok(Cart::merge(self.carts(fetched)?))
    }

    async fn get(&mut self, quorums: &Quorums) -> Result<Fetched, ShopError> {
        let name = self.name.clone();
        let options = GetOptions {
            quorums: quorums.clone(),
            explain: false,
            timeout: Some(ATTEMPT_TIMEOUT),
        };
        self.until_acknowledged(Operation::Get, |pool| pool.get(&name, &options))
            .await
    }

    async fn put(&mut self, cart: &Cart, context: Option<String>) -> Result<(), ShopError> {
        let name = self.name.clone();
        let value = Value::new(CONTENT_TYPE, cart.to_json());
        let options = PutOptions {
            context,
            idempotency_key: Some(format!("{:032x}", random::identity())),
            timeout: Some(ATTEMPT_TIMEOUT),
            ..PutOptions::default()
        };
        self.until_acknowledged(Operation::Put, |pool| pool.put(&name, &value, &options))
            .await?;
        Ok(())
    }

    /// Tries until there is an answer, at the next node after each failure. The latency that is
    /// recorded is the shopper's: all attempts together.
    async fn until_acknowledged<T, F>(
        &mut self,
        what: Operation,
        attempt: impl Fn(&'a Door) -> F,
    ) -> Result<T, ShopError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        let shop = self.shop;
        let started = Instant::now();
        for failures in 0.. {
            let error = match attempt(&shop.pools[self.node]).await {
                Ok(answer) => {
                    self.measure(|measurements| measurements.answered(what, started.elapsed()));
                    return Ok(answer);
                }
                Err(error) => error,
            };
            let key = || self.name.key.clone();
            if !error.is_passing() {
                return Err(ShopError::Refused {
                    what,
                    key: key(),
                    error,
                });
            }
            let waited = started.elapsed();
            if waited > shop.deadline {
                return Err(ShopError::NotAcknowledged {
                    what,
                    key: key(),
                    waited,
                    last: error,
                });
            }
            self.measure(|measurements| measurements.failed(&error));
            self.node = (self.node + 1) % shop.pools.len();
            tokio::time::sleep(backoff(failures)).await;
        }
        unreachable!("the loop ends by returning");
    }

    fn measure(&self, change: impl FnOnce(&mut Measurements)) {
        change(
            &mut self
                .shop
                .measurements
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
    }
}

/// Doubles with each failure up to a bound; a random part of it, so that devices spread.
fn backoff(failures: u32) -> Duration {
    let whole = BACKOFF_FIRST
        .saturating_mul(2_u32.saturating_pow(failures))
        .min(BACKOFF_MAX);
    let mut random = [0];
    random::fill(&mut random);
    whole / 2 + whole / 2 * u32::from(random[0]) / 256
}

fn count(length: usize) -> u64 {
    u64::try_from(length).expect("lengths in memory fit 64 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_grows_to_its_bound_and_stays() {
        for failures in [0, 1, 5, 10, 31, 32, u32::MAX] {
            let pause = backoff(failures);
            assert!(
                pause >= BACKOFF_FIRST / 2 && pause <= BACKOFF_MAX,
                "{failures}: {pause:?}"
            );
        }
        assert!(backoff(0) <= BACKOFF_FIRST);
        assert!(backoff(u32::MAX) >= BACKOFF_MAX / 2);
    }
}
