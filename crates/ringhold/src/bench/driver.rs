//! The two operations that a benchmark does, whatever carries them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ringhold_client::{ClientError, GetOptions, HttpPool, ObjectName, PutOptions, Value};

use super::native::Native;
use super::pb::Pb;
use crate::cli::{BenchArgs, Protocol};
use crate::output::Failure;

pub(super) const BUCKET_TYPE: &str = "default";
pub(super) const CONTENT_TYPE: &str = "application/octet-stream";
/// An operation that takes longer is counted as failed.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// What a read found, as far as a benchmark cares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Current versions; 0 if there is none.
    pub(crate) versions: usize,
    /// In the protocol's own form.
    pub(crate) context: Option<Bytes>,
}

/// The result of an operation, some day.
pub(crate) type Operation<'a, T> =
    Pin<Box<dyn Future<Output = Result<T, ClientError>> + Send + 'a>>;

/// A way to one node. Shared by all workers, so it keeps as many connections as it needs.
pub(crate) trait Driver: Send + Sync {
    fn get<'a>(&'a self, key: &'a str) -> Operation<'a, Found>;

    /// Without a context the write conflicts with what there is.
    fn put<'a>(&'a self, key: &'a str, value: Bytes, context: Option<Bytes>) -> Operation<'a, ()>;
}

/// The ways to the nodes: one driver a node, at URLs for HTTP and `host:port` for PB; one for all of them at `host:port` for the native frames. So
/// many connections of HTTP and of PB are open when the clock starts: what is measured is requests, not a rush of connections.
pub(crate) async fn drivers(
    arguments: &BenchArgs,
    nodes: &[String],
) -> Result<Vec<Arc<dyn Driver>>, Failure> {
    let bucket = &arguments.bucket;
    if arguments.protocol == Protocol::Native {
        return Ok(vec![
            Native::driver(nodes, bucket, arguments.coordination).await?,
        ]);
    }
    let connections = usize::from(arguments.connections).div_ceil(nodes.len());
    let mut drivers = Vec::with_capacity(nodes.len());
    for node in nodes {
        drivers.push(match arguments.protocol {
            Protocol::Pb => Pb::driver(node, bucket, connections).await?,
            Protocol::Http | Protocol::Native => Http::driver(node, bucket, connections).await?,
        });
    }
    Ok(drivers)
}

struct Http {
    pool: HttpPool,
    bucket: String,
}

impl Http {
    async fn driver(
        url: &str,
        bucket: &str,
        connections: usize,
    ) -> Result<Arc<dyn Driver>, Failure> {
        Ok(Arc::new(Self {
            pool: HttpPool::at(url)?.opened_ahead(connections).await?,
            bucket: bucket.to_owned(),
        }))
    }

    fn name(&self, key: &str) -> ObjectName {
        ObjectName::new(BUCKET_TYPE, &self.bucket, key)
    }
}

impl Driver for Http {
    fn get<'a>(&'a self, key: &'a str) -> Operation<'a, Found> {
        Box::pin(async move {
            let options = GetOptions {
                timeout: Some(TIMEOUT),
                ..GetOptions::default()
            };
            let fetched = self.pool.get(&self.name(key), &options).await?;
            let versions = fetched.values().count();
            Ok(Found {
                versions,
                context: fetched.context.map(Bytes::from),
            })
        })
    }

    fn put<'a>(&'a self, key: &'a str, value: Bytes, context: Option<Bytes>) -> Operation<'a, ()> {
        Box::pin(async move {
            let context = context.map(|context| String::from_utf8_lossy(&context).into_owned());
            let options = PutOptions {
                context,
                timeout: Some(TIMEOUT),
                ..PutOptions::default()
            };
            self.pool
                .put(&self.name(key), &Value::new(CONTENT_TYPE, value), &options)
                .await?;
            Ok(())
        })
    }
}
