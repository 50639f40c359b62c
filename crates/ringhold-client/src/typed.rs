//! Values of a type: read, merge, change, write with the context.
//!
//! [`Typed::update`] is the whole of it. It reads all siblings, makes one value of them by the bucket's [`Merge`], has it changed,
//! and writes it over what was read. Two that update at the same time both succeed, and leave two siblings which the next
//! read merges: nobody waits, and nothing is lost that the merge keeps. The change may be called again when the
//! key has too many siblings by then, or, with [`Typed::if_unchanged`], when somebody else has written in between.
//!
//! Types are put into bytes by a [`Codec`]; [`Json`] takes whatever serde does.

use crate::bucket::{Bucket, Read};
use crate::error::ClientError;
use crate::merge::Merge;
use bytes::Bytes;
use ringhold_core::version::Content;
use ringhold_wire::message::{PutError, Rejection};
use ringhold_wire::metadata::Metadata;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::marker::PhantomData;

/// So often an update is begun anew.
const ATTEMPTS_MAX: u32 = 10;

/// Values as bytes, and back.
pub trait Codec<T> {
    /// What is said of the bytes.
    const CONTENT_TYPE: &'static str;

    /// # Errors
    /// In words, if the value has no bytes.
    fn encode(&self, value: &T) -> Result<Bytes, String>;

    /// # Errors
    /// In words, if the bytes are not of such a value.
    fn decode(&self, bytes: &[u8]) -> Result<T, String>;
}

/// JSON.
#[derive(Debug, Clone, Copy, Default)]
pub struct Json;

impl<T: Serialize + DeserializeOwned> Codec<T> for Json {
    const CONTENT_TYPE: &'static str = "application/json";

    fn encode(&self, value: &T) -> Result<Bytes, String> {
        let encoded = serde_json::to_vec(value).map_err(|error| error.to_string())?;
        Ok(encoded.into())
    }

    fn decode(&self, bytes: &[u8]) -> Result<T, String> {
        serde_json::from_slice(bytes).map_err(|error| error.to_string())
    }
}

/// A bucket whose values are of one type.
#[derive(Debug, Clone)]
pub struct Typed<T, M, C = Json> {
    bucket: Bucket,
    merge: M,
    codec: C,
    is_conditional: bool,
    of: PhantomData<fn() -> T>,
}

impl Bucket {
    /// The bucket with values of a type, as JSON; siblings become one by the merge.
    pub fn json<T: Serialize + DeserializeOwned, M: Merge<T>>(self, merge: M) -> Typed<T, M> {
        self.typed(Json, merge)
    }

    /// The same in another encoding.
    pub fn typed<T, C: Codec<T>, M: Merge<T>>(self, codec: C, merge: M) -> Typed<T, M, C> {
        Typed {
            bucket: self,
            merge,
            codec,
            is_conditional: false,
            of: PhantomData,
        }
    }
}

impl<T, M: Merge<T>, C: Codec<T>> Typed<T, M, C> {
    /// From here on, an update is written only if nobody has written since it read, as far as the key's coordinator knows; else it is
    /// begun anew. It needs the key's primaries, so it is refused where an ordinary one would not be.
    #[must_use]
    pub fn if_unchanged(mut self) -> Self {
        self.is_conditional = true;
        self
    }

    /// The value of a key; none if there is none.
    ///
    /// # Errors
    /// See [`ClientError`]. Nothing was changed.
    pub async fn get(&self, key: &str) -> Result<Option<T>, ClientError> {
        let read = self.bucket.read(key).await?;
        self.merged(key, &read)
    }

    /// Reads, merges, changes, writes; returns the value as it was written. Of nothing the change begins with the default.
    ///
    /// # Errors
    /// See [`ClientError`]. If it [may have happened](ClientError::did_not_start), read before you do it again.
    pub async fn update(&self, key: &str, mut change: impl FnMut(&mut T)) -> Result<T, ClientError>
    where
        T: Default,
    {
        for _ in 0..ATTEMPTS_MAX {
            let read = self.bucket.read(key).await?;
            let mut value = self.merged(key, &read)?.unwrap_or_default();
            change(&mut value);
            match self.write(key, &value, read).await {
                Ok(()) => return Ok(value),
                Err(ClientError::Put {
                    error:
                        PutError::Rejected(Rejection::Modified | Rejection::TooManySiblings { .. }),
                    ..
                }) => {}
                Err(error) => return Err(error),
            }
        }
        let attempts = ATTEMPTS_MAX;
        Err(ClientError::Conflict { attempts })
    }

    /// Writes a value over all that there is.
    ///
    /// # Errors
    /// See [`ClientError`], which says what is known of the write.
    pub async fn put(&self, key: &str, value: &T) -> Result<(), ClientError> {
        let read = self.bucket.read(key).await?;
        self.write(key, value, read).await
    }

    /// Deletes all that there is.
    ///
    /// # Errors
    /// Likewise.
    pub async fn delete(&self, key: &str) -> Result<(), ClientError> {
        let read = self.bucket.read(key).await?;
        self.bucket.delete(key, read.context).await
    }

    fn merged(&self, key: &str, read: &Read) -> Result<Option<T>, ClientError> {
        let decode = |(bytes, _): (&Bytes, _)| self.codec.decode(bytes);
        let siblings: Result<Vec<T>, String> = read.values().map(decode).collect();
        let siblings = siblings.map_err(|problem| ClientError::Undecodable {
            key: key.to_owned(),
            problem,
        })?;
        Ok((!siblings.is_empty()).then(|| self.merge.merge(siblings)))
    }

    async fn write(&self, key: &str, value: &T, read: Read) -> Result<(), ClientError> {
        let bytes = self.codec.encode(value);
        let bytes = bytes.map_err(|problem| ClientError::Invalid {
            what: "the value",
            problem,
        })?;
        let metadata = Metadata {
            content_type: Some(Bytes::from_static(C::CONTENT_TYPE.as_bytes())),
            ..Metadata::default()
        };
        let content = Content::Value {
            bytes,
            metadata: metadata.to_fields(),
        };
        let condition = self.is_conditional.then_some(read.seen);
        let change = content.into();
        self.bucket
            .change(key, change, read.context, condition)
            .await?;
        Ok(())
    }
}
