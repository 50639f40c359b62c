//! The native frames as a way to the cluster: one connection a node, all requests in flight on them.
//!
//! What is measured is the nodes, so nothing is hedged; a request is tried again only as far as the client's budget goes.

use std::sync::Arc;

use bytes::Bytes;
use ringhold_client::{Client, ClientOptions, Coordination};
use ringhold_core::id::OperationId;
use ringhold_core::version::{Content, ContextToken};
use ringhold_wire::message::peer::ClientPut;
use ringhold_wire::message::{Change, GetOptions, GetRequest, ObjectName, PutOptions, PutRequest};
use ringhold_wire::metadata::Metadata;

use super::driver::{BUCKET_TYPE, CONTENT_TYPE, Driver, Found, Operation, TIMEOUT};
use crate::cli;
use crate::output::Failure;
use crate::random;

pub(super) struct Native {
    client: Client,
    bucket: Bytes,
}

impl Native {
    /// Of the cluster to which the nodes at these addresses belong.
    pub(super) async fn driver(
        addresses: &[String],
        bucket: &str,
        coordination: cli::Coordination,
    ) -> Result<Arc<dyn Driver>, Failure> {
        let options = ClientOptions {
            coordination: match coordination {
                cli::Coordination::Client => Coordination::Client,
                cli::Coordination::Server => Coordination::Server,
            },
            timeout: TIMEOUT,
            hedges: false,
            ..ClientOptions::default()
        };
        let client = Client::connect_with(addresses, options).await?;
        let bucket = Bytes::copy_from_slice(bucket.as_bytes());
        Ok(Arc::new(Self { client, bucket }))
    }

    fn name(&self, key: &str) -> ObjectName {
        let bucket_type = Bytes::from_static(BUCKET_TYPE.as_bytes());
        ObjectName {
            bucket_type,
            bucket: self.bucket.clone(),
            key: Bytes::copy_from_slice(key.as_bytes()),
        }
    }
}

impl Driver for Native {
    fn get<'a>(&'a self, key: &'a str) -> Operation<'a, Found> {
        Box::pin(async move {
            let request = GetRequest {
                name: self.name(key),
                options: GetOptions::default(),
                explain: false,
            };
            let got = self.client.get_object(request).await?;
            let versions = got.answer.object.siblings();
            let versions = versions
                .iter()
                .filter(|version| !version.content.is_tombstone())
                .count();
            Ok(Found {
                versions,
                context: (!got.context.is_empty()).then_some(got.context),
            })
        })
    }

    fn put<'a>(&'a self, key: &'a str, value: Bytes, context: Option<Bytes>) -> Operation<'a, ()> {
        Box::pin(async move {
            let metadata = Metadata {
                content_type: Some(Bytes::from_static(CONTENT_TYPE.as_bytes())),
                ..Metadata::default()
            };
            let mut operation = [0; 16];
            random::fill(&mut operation);
            let request = PutRequest {
                name: self.name(key),
                seen: ContextToken::default(),
                operation: OperationId(u128::from_be_bytes(operation)),
                change: Change::Content(Content::Value {
                    bytes: value,
                    metadata: metadata.to_fields(),
                }),
                unchanged_since: None,
                options: PutOptions::default(),
                return_object: false,
                explain: false,
            };
            let put = ClientPut {
                request,
                context: context.unwrap_or_default(),
            };
            self.client.put_object(put).await?;
            Ok(())
        })
    }
}
