//! Moving in: the objects of another cluster that speaks Riak's HTTP API, copied into this one.
//!
//! Pointing clients at another address moves no data; this does. It lists the buckets of the bucket types that it is told of, or finds, brings over what was set for
//! each bucket, lists its keys into a file, and then takes key by key: read there, read here, write what is missing here, read it again.
//!
//! **It can be stopped at any time and goes on where it was.** Its directory says which keys are listed and how far they are done (`ledger`). The keys of
//! the last stretch are looked at again then, and what is here already is not written again.
//!
//! **Nothing is replaced.** A version that is missing here is written without a context: beside what is here, it becomes a sibling. So both clusters may
//! take writes meanwhile, as far as their buckets keep siblings, and whoever reads next decides. The value of a data type has no siblings: if there is one here
//! that says something else, it is left and reported.
//!
//! What comes over: values with content type, encoding, metadata, links and indexes; siblings as siblings; values of counters, sets and maps. What does not:
//! contexts (each cluster has its own), tombstones, and estimators of cardinality (hll): over HTTP they tell an estimate, and the bytes that Riak gives out
//! for one are registers filled by another hash, so whatever is added here later would be counted twice.
//!
//! | module | holds |
//! | --- | --- |
//! | `version` | one version of an object as HTTP carries it |
//! | `data_type` | the update that makes a data type's value from nothing |
//! | `remote` | a cluster seen through its HTTP API: listing, reading, writing |
//! | `copy` | one key |
//! | `ledger` | what is done, on disk |

mod copy;
mod data_type;
mod ledger;
mod remote;
mod version;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ringhold_client::object::DEFAULT_TYPE;
use serde_json::json;
use tokio::task::JoinSet;

use crate::cli::ImportArgs;
use crate::output::{Failure, Format, Table, print, print_json, progress_bar, say};
use copy::{Outcome, copy};
use ledger::{Bucket, Ledger};
use remote::Remote;

/// Keys between two notes of how far it is.
const STRETCH: usize = 500;
/// Keys that could not be brought over and are named in the report.
const NAMED_MAX: usize = 20;

/// What became of the keys.
#[derive(Debug, Default)]
struct Sum {
    /// Keys by what became of them.
    outcomes: BTreeMap<&'static str, u64>,
    /// Those that are not here as they are there, and why: the first few.
    left: Vec<String>,
    left_count: u64,
}

pub(crate) async fn run(arguments: ImportArgs, format: Format) -> Result<(), Failure> {
    let source = Remote::at(&arguments.from)?;
    let target = Remote::at(&arguments.at)?;
    let mut ledger = Ledger::open(&arguments.progress, &arguments.from, &arguments.types)?;
    if ledger.buckets().is_none() {
        let buckets = list_buckets(&source, &target, &arguments).await?;
        ledger.plan(buckets)?;
    }
    let buckets = ledger.buckets().unwrap_or_default().to_vec();
    let started = Instant::now();
    let mut sum = Sum::default();
    for (number, bucket) in buckets.iter().enumerate() {
        carry_over(
            &source, &target, &ledger, number, bucket, &arguments, &mut sum,
        )
        .await?;
    }
    conclude(&sum, buckets.len(), started.elapsed(), format)
}

/// The buckets that are to be copied, after a look at whether both clusters have their types.
async fn list_buckets(
    source: &Remote,
    target: &Remote,
    arguments: &ImportArgs,
) -> Result<Vec<Bucket>, Failure> {
    let mut buckets = Vec::new();
    let types = match arguments.types.is_empty() {
        true => list_types(source).await?,
        false => arguments.types.clone(),
    };
    for bucket_type in &types {
        let data_type = source.data_type(bucket_type).await?;
        if target.data_type(bucket_type).await? != data_type {
            return Err(Failure::failed(format!(
                "bucket type {bucket_type} is for {} there and for something else here: create one of the same kind under \
                 that name",
                data_type.as_deref().unwrap_or("values")
            )));
        }
        let names = match arguments.buckets.is_empty() {
            true => source.buckets(bucket_type).await?,
            false => arguments.buckets.clone(),
        };
        buckets.extend(names.into_iter().map(|name| Bucket {
            bucket_type: bucket_type.clone(),
            name,
        }));
    }
    Ok(buckets)
}

/// The bucket types that the other cluster tells of.
async fn list_types(source: &Remote) -> Result<Vec<String>, Failure> {
    let created = source.bucket_types().await?;
    if created.is_none() {
        say(format_args!(
            "{} does not list its bucket types, as Riak doesn't over HTTP: only buckets of the default type are copied. If it has others \
             (`riak admin bucket-type list` shows them), name all that are to be copied: --type default,TYPE,…",
            source.base()
        ));
    }
    let default = std::iter::once(DEFAULT_TYPE.to_owned());
    Ok(default.chain(created.into_iter().flatten()).collect())
}

/// One bucket, from where it was left.
async fn carry_over(
    source: &Remote,
    target: &Remote,
    ledger: &Ledger,
    number: usize,
    bucket: &Bucket,
    arguments: &ImportArgs,
    sum: &mut Sum,
) -> Result<(), Failure> {
    if !ledger.is_listed(number) {
        if !arguments.keep_properties {
            target.take_properties(source, bucket).await?;
        }
        let mut writer = ledger.list(number)?;
        source.each_key(bucket, &mut |key| writer.add(key)).await?;
        writer.finish()?;
    }
    let mut keys = ledger.keys(number)?;
    let bar = progress_bar(keys.total(), "keys copied");
    bar.set_position(keys.done());
    let pace = Pace::new(arguments.rate);
    loop {
        let stretch = keys.next(STRETCH)?;
        if stretch.is_empty() {
            bar.finish_and_clear();
            return Ok(());
        }
        let mut working = JoinSet::new();
        let mut waiting = stretch.into_iter();
        loop {
            while working.len() < arguments.connections.into()
                && let Some(key) = waiting.next()
            {
                pace.wait().await;
                let (source, target) = (source.clone(), target.clone());
                let name = bucket.key(&key);
                working.spawn(async move {
                    let outcome = copy(&source, &target, &name).await;
                    (name, outcome)
                });
            }
            let Some(joined) = working.join_next().await else {
                break;
            };
            let (name, outcome) = joined.map_err(|error| Failure::failed(error.to_string()))?;
            let outcome = outcome.map_err(|failure| {
                Failure::failed(format!(
                    "{}: {failure}. What was done before is kept: the same command goes on from there",
                    name.path()
                ))
            })?;
            sum.add(&name.path(), outcome);
            bar.inc(1);
        }
        keys.note_done()?;
    }
}

/// So many keys a second.
struct Pace {
    started: Instant,
    rate: Option<u32>,
    begun: std::cell::Cell<u32>,
}

impl Pace {
    fn new(rate: Option<u32>) -> Self {
        Self {
            started: Instant::now(),
            rate,
            begun: std::cell::Cell::new(0),
        }
    }

    async fn wait(&self) {
        let Some(rate) = self.rate else {
            return;
        };
        let begun = self.begun.replace(self.begun.get().saturating_add(1));
        let due = Duration::from_secs_f64(f64::from(begun) / f64::from(rate.max(1)));
        tokio::time::sleep_until((self.started + due).into()).await;
    }
}

impl Sum {
    fn add(&mut self, path: &str, outcome: Outcome) {
        *self.outcomes.entry(outcome.word()).or_default() += 1;
        if let Outcome::Left(reason) = outcome {
            self.left_count += 1;
            if self.left.len() < NAMED_MAX {
                self.left.push(format!("{path}: {reason}"));
            }
        }
    }
}

fn conclude(sum: &Sum, buckets: usize, took: Duration, format: Format) -> Result<(), Failure> {
    let keys: u64 = sum.outcomes.values().sum();
    match format {
        Format::Table => {
            let mut table = Table::new(&["keys", "what became of them"]);
            for (word, count) in &sum.outcomes {
                table.row([count.to_string(), (*word).to_owned()]);
            }
            print(format!(
                "{table}\n{keys} keys of {buckets} buckets in {:.1} s\n",
                took.as_secs_f64()
            ))?;
        }
        Format::Json => print_json(&json!({
            "buckets": buckets, "keys": keys, "outcomes": sum.outcomes, "left": sum.left, "seconds": took.as_secs_f64(),
        }))?,
    }
    sum.left.iter().for_each(say);
    if sum.left_count > 0 {
        return Err(Failure::failed(format!(
            "{} keys are not here as they are there",
            sum.left_count
        )));
    }
    Ok(())
}
