//! The objects of a bucket over the native protocol, as bytes: what a get found, and writes that follow from it.
//!
//! A write replaces what its context covers, which is what its writer has read; with the empty context it stands beside everything
//! there is. A delete is such a write. Values that mean something are for [`typed`](crate::typed), values that merge by
//! themselves for [`datatype`](crate::datatype).

use crate::cluster::{Client, new_operation};
use crate::error::ClientError;
use bytes::Bytes;
use ringhold_core::version::{Content, Context, ContextToken, Dot, MetadataField, Version};
use ringhold_wire::message::peer::ClientPut;
use ringhold_wire::message::{
    Change, GetOptions, GetRequest, ObjectName, PutAnswer, PutOptions, PutRequest,
};
use ringhold_wire::metadata::Metadata;

/// A bucket of some bucket type.
#[derive(Debug, Clone)]
pub struct Bucket {
    pub(crate) client: Client,
    bucket_type: Bytes,
    bucket: Bytes,
}

/// What a read found: all current versions, none if there is nothing.
#[derive(Debug, Clone)]
pub struct Read {
    /// Those that were written earlier come first. Tombstones are among them.
    pub versions: Vec<Version>,
    /// To be given to the write that follows; empty if there is nothing.
    pub context: Bytes,
    /// The same in the open, for conditions.
    pub(crate) seen: Context,
}

impl Read {
    /// The versions that are values, with what is said of them.
    pub fn values(&self) -> impl Iterator<Item = (&Bytes, &[MetadataField])> {
        self.versions
            .iter()
            .filter_map(|version| match &version.content {
                Content::Value { bytes, metadata } => Some((bytes, metadata.as_slice())),
                Content::Tombstone => None,
            })
    }
}

impl Client {
    /// A bucket of the default type.
    #[must_use]
    pub fn bucket(&self, bucket: &str) -> Bucket {
        Bucket {
            client: self.clone(),
            bucket_type: Bytes::from_static(ringhold_wire::message::DEFAULT_BUCKET_TYPE),
            bucket: Bytes::copy_from_slice(bucket.as_bytes()),
        }
    }
}

impl Bucket {
    /// The bucket of this name in another bucket type.
    #[must_use]
    pub fn of_type(mut self, bucket_type: &str) -> Self {
        self.bucket_type = Bytes::copy_from_slice(bucket_type.as_bytes());
        self
    }

    #[must_use]
    pub fn name_of(&self, key: &str) -> ObjectName {
        ObjectName {
            bucket_type: self.bucket_type.clone(),
            bucket: self.bucket.clone(),
            key: Bytes::copy_from_slice(key.as_bytes()),
        }
    }

    /// All current versions of a key.
    ///
    /// # Errors
    /// See [`ClientError`]. Nothing was changed.
    pub async fn read(&self, key: &str) -> Result<Read, ClientError> {
        let request = GetRequest {
            name: self.name_of(key),
            options: GetOptions::default(),
            explain: false,
        };
        let got = self.client.get_object(request).await?;
        let object = got.answer.object;
        let mut versions: Vec<Version> = object.siblings().into_iter().cloned().collect();
        versions.sort_by_key(|version| (version.timestamp, version.dot));
        Ok(Read {
            versions,
            context: got.context,
            seen: object.context().clone(),
        })
    }

    /// Writes a value over what the context covers; returns the name of the write.
    ///
    /// # Errors
    /// See [`ClientError`], which says what is known of the write.
    pub async fn write(
        &self,
        key: &str,
        value: impl Into<Bytes>,
        content_type: &str,
        context: Bytes,
    ) -> Result<Dot, ClientError> {
        let metadata = Metadata {
            content_type: Some(Bytes::copy_from_slice(content_type.as_bytes())),
            ..Metadata::default()
        };
        let content = Content::Value {
            bytes: value.into(),
            metadata: metadata.to_fields(),
        };
        let written = self.change(key, content.into(), context, None).await?;
        Ok(written.dot)
    }

    /// Deletes what the context covers.
    ///
    /// # Errors
    /// Likewise.
    pub async fn delete(&self, key: &str, context: Bytes) -> Result<(), ClientError> {
        self.change(key, Content::Tombstone.into(), context, None)
            .await?;
        Ok(())
    }

    /// One write, however often it is tried.
    pub(crate) async fn change(
        &self,
        key: &str,
        change: Change,
        context: Bytes,
        unchanged_since: Option<Context>,
    ) -> Result<PutAnswer, ClientError> {
        let request = PutRequest {
            name: self.name_of(key),
            seen: ContextToken::default(),
            operation: new_operation(),
            change,
            unchanged_since,
            options: PutOptions::default(),
            return_object: false,
            explain: false,
        };
        self.client.put_object(ClientPut { request, context }).await
    }
}
