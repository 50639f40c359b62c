//! A cluster seen through Riak's HTTP API.
//!
//! Requests go to its nodes in turn. What may end otherwise a moment later is tried again a few times, each write under one idempotency
//! key; listings are not, since whoever lists begins anew anyway.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ringhold_client::http::Method;
use ringhold_client::object::DEFAULT_TYPE;
use ringhold_client::{Answer, HttpPool, ObjectName, Request, Streamed, percent};
use ringhold_core::fingerprint::fingerprint;
use serde_json::{Map, Value, json};

use super::ledger::Bucket;
use super::version::{self, Version};
use crate::output::Failure;

const PATIENCE: Duration = Duration::from_secs(30);
/// Between two pieces of a listing.
const SILENCE: Duration = Duration::from_secs(120);
const TRIES: u32 = 6;
/// Before the second try; twice as long before each further one.
const PAUSE: Duration = Duration::from_millis(250);
const ACCEPT_SIBLINGS: &str = "multipart/mixed, */*;q=0.5";
/// Keeps the names of imported writes apart from others.
const WRITE_KEY: u128 = u128::from_be_bytes(*b"ringhold import1");
/// What of a bucket's properties is brought over.
const PROPERTIES: [&str; 13] = [
    "n_val",
    "allow_mult",
    "last_write_wins",
    "r",
    "w",
    "dw",
    "rw",
    "pr",
    "pw",
    "node_confirms",
    "basic_quorum",
    "notfound_ok",
    "sync_on_write",
];

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Remote {
    nodes: Arc<[HttpPool]>,
    next: Arc<AtomicUsize>,
}

impl Remote {
    pub(super) fn at(urls: &[String]) -> Result<Self, Failure> {
        let nodes: Result<Vec<HttpPool>, _> = urls.iter().map(|url| HttpPool::at(url)).collect();
        let nodes = nodes?;
        if nodes.is_empty() {
            return Err(Failure::usage("name at least one node"));
        }
        Ok(Self {
            nodes: nodes.into(),
            next: Arc::default(),
        })
    }

    fn node(&self) -> &HttpPool {
        &self.nodes[self.next.fetch_add(1, Ordering::Relaxed) % self.nodes.len()]
    }

    async fn ask(&self, request: &Request) -> Result<Answer, Failure> {
        let mut pause = PAUSE;
        for _ in 1..TRIES {
            match self.node().request(request).await {
                Ok(answer) if !matches!(answer.status, 500 | 502..=504) => return Ok(answer),
                Ok(_) => {}
                Err(error) if error.is_passing() => {}
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Ok(self.node().request(request).await?)
    }

    async fn get_json(&self, path: String) -> Result<Option<Value>, Failure> {
        let request = Request::get(path, PATIENCE).header("accept", "application/json")?;
        let answer = self.ask(&request).await?;
        match answer.status {
            200 => Ok(Some(self.parsed(&answer.body)?)),
            404 => Ok(None),
            _ => Err(self.unexpected(&request, &answer)),
        }
    }

    fn parsed(&self, body: &[u8]) -> Result<Value, Failure> {
        serde_json::from_slice(body).map_err(|error| {
            Failure::failed(format!(
                "{} did not answer JSON: {error}",
                self.nodes[0].base()
            ))
        })
    }

    fn unexpected(&self, request: &Request, answer: &Answer) -> Failure {
        let (status, text) = (answer.status, answer.text());
        Failure::failed(format!(
            "{}{}: {status} {}",
            self.nodes[0].base(),
            request.path,
            text.trim()
        ))
    }

    /// The address of a node, for people.
    pub(super) fn base(&self) -> String {
        self.nodes[0].base().to_string()
    }

    /// The bucket types that were created and can be used; none if this cluster does not tell.
    pub(super) async fn bucket_types(&self) -> Result<Option<Vec<String>>, Failure> {
        let path = "/ringhold/v1/bucket-types".to_owned();
        let Some(types) = self.get_json(path).await? else {
            return Ok(None);
        };
        let types = types.as_array().into_iter().flatten();
        let active = types.filter(|one| one["state"] == "active");
        let names = active.filter_map(|one| one["name"].as_str().map(str::to_owned));
        Ok(Some(names.collect()))
    }

    /// The data type of a bucket type; none for values.
    pub(super) async fn data_type(&self, bucket_type: &str) -> Result<Option<String>, Failure> {
        if bucket_type == DEFAULT_TYPE {
            return Ok(None);
        }
        let props = self
            .get_json(format!("{}/props", prefix(bucket_type)))
            .await?;
        let props = props.ok_or_else(|| {
            Failure::not_found(format!(
                "there is no active bucket type {bucket_type} at {}: `ringhold bucket-type create` and `activate` make one",
                self.nodes[0].base()
            ))
        })?;
        Ok(props["props"]["datatype"].as_str().map(str::to_owned))
    }

    /// Sets for a bucket here what differs from there.
    pub(super) async fn take_properties(
        &self,
        source: &Self,
        bucket: &Bucket,
    ) -> Result<(), Failure> {
        let path = format!("{}/props", path_of(bucket));
        let there = source.get_json(path.clone()).await?.unwrap_or_default();
        let here = self.get_json(path.clone()).await?.unwrap_or_default();
        let differs = |name: &&str| {
            !there["props"][*name].is_null() && there["props"][*name] != here["props"][*name]
        };
        let changes = PROPERTIES.iter().copied().filter(differs);
        let changes: Map<String, Value> = changes
            .map(|name| (name.to_owned(), there["props"][name].clone()))
            .collect();
        if changes.is_empty() {
            return Ok(());
        }
        let mut request =
            Request::new(Method::PUT, path, PATIENCE).header("content-type", "application/json")?;
        request.body = json!({ "props": changes }).to_string().into();
        let answer = self.ask(&request).await?;
        match answer.status {
            204 => Ok(()),
            _ => Err(Failure::failed(format!(
                "{}; --keep-properties leaves the properties of buckets here as they are",
                self.unexpected(&request, &answer)
            ))),
        }
    }

    pub(super) async fn buckets(&self, bucket_type: &str) -> Result<Vec<String>, Failure> {
        let mut buckets = Vec::new();
        let path = format!("{}/buckets?buckets=stream", prefix(bucket_type));
        self.each_listed(path, "buckets", &mut |name| {
            buckets.push(name.to_owned());
            Ok(())
        })
        .await?;
        buckets.sort();
        buckets.dedup();
        Ok(buckets)
    }

    /// Names each key of a bucket, in no particular order.
    pub(super) async fn each_key(
        &self,
        bucket: &Bucket,
        take: &mut impl FnMut(&str) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.each_listed(
            format!("{}/keys?keys=stream", path_of(bucket)),
            "keys",
            take,
        )
        .await
    }

    /// A listing is a row of JSON objects with a list each, and nothing between them.
    async fn each_listed(
        &self,
        path: String,
        member: &str,
        take: &mut impl FnMut(&str) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let request = Request::get(path, SILENCE);
        let mut listing = Streamed::open(self.node().base(), &request).await?;
        let mut read = Vec::new();
        while let Some(piece) = listing.piece().await? {
            read.extend_from_slice(&piece);
            let mut values = serde_json::Deserializer::from_slice(&read).into_iter::<Value>();
            let mut taken = 0;
            while let Some(Ok(value)) = values.next() {
                taken = values.byte_offset();
                if let Some(error) = value["error"].as_str() {
                    return Err(Failure::failed(format!(
                        "{} broke off: {error}",
                        request.path
                    )));
                }
                for name in value[member].as_array().into_iter().flatten() {
                    take(name.as_str().unwrap_or_default())?;
                }
            }
            read.drain(..taken);
        }
        if read.iter().any(|byte| !byte.is_ascii_whitespace()) {
            return Err(Failure::failed(format!("{} broke off", request.path)));
        }
        Ok(())
    }

    /// The versions of an object; none if there is nothing, or nothing any more.
    pub(super) async fn versions(&self, name: &ObjectName) -> Result<Vec<Version>, Failure> {
        let request = Request::get(name.path(), PATIENCE).header("accept", ACCEPT_SIBLINGS)?;
        let answer = self.ask(&request).await?;
        version::versions(&answer).map_err(Failure::failed)
    }

    /// Writes a version beside what is there. Twice is once.
    pub(super) async fn put(&self, name: &ObjectName, version: &Version) -> Result<(), Failure> {
        let mut request = Request::new(Method::PUT, name.path(), PATIENCE);
        version.put_into(&mut request).map_err(Failure::failed)?;
        self.write(request, &version.fingerprint()).await
    }

    async fn write(&self, request: Request, what: &[u8]) -> Result<(), Failure> {
        let operation = fingerprint(WRITE_KEY, request.path.as_bytes(), what, b"");
        let request = request.header("idempotency-key", &format!("{operation:032x}"))?;
        let answer = self.ask(&request).await?;
        match answer.status {
            200 | 201 | 204 | 300 => Ok(()),
            _ => Err(self.unexpected(&request, &answer)),
        }
    }

    /// The value of a data type; none if there is none.
    pub(super) async fn value(&self, name: &ObjectName) -> Result<Option<Value>, Failure> {
        let path = data_path(name);
        if name.bucket_type == DEFAULT_TYPE {
            let answer = self.ask(&Request::get(path, PATIENCE)).await?;
            let number = || answer.text().trim().parse::<i64>().ok().map(Value::from);
            return Ok((answer.status == 200).then(number).flatten());
        }
        let value = self.get_json(path + "?include_context=false").await?;
        Ok(value.map(|value| value["value"].clone()))
    }

    /// Updates a data type.
    pub(super) async fn update(&self, name: &ObjectName, update: &Value) -> Result<(), Failure> {
        let mut request =
            Request::post(data_path(name), PATIENCE).header("content-type", "application/json")?;
        request.body = update.to_string().into();
        let what = request.body.clone();
        self.write(request, &what).await
    }
}

fn prefix(bucket_type: &str) -> String {
    match bucket_type {
        DEFAULT_TYPE => String::new(),
        named => format!("/types/{}", percent::encode(named)),
    }
}

fn path_of(bucket: &Bucket) -> String {
    format!(
        "{}/buckets/{}",
        prefix(&bucket.bucket_type),
        percent::encode(&bucket.name)
    )
}

/// Where a data type's value is. The default type has counters only.
fn data_path(name: &ObjectName) -> String {
    let room = match name.bucket_type.as_str() {
        DEFAULT_TYPE => "counters",
        _ => "datatypes",
    };
    let bucket = percent::encode(&name.bucket);
    format!(
        "{}/buckets/{bucket}/{room}/{}",
        prefix(&name.bucket_type),
        percent::encode(&name.key)
    )
}
