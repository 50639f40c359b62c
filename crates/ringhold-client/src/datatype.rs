//! Counters, sets and maps: values that merge by themselves, at the nodes.
//!
//! An update says what to do and not what comes of it, so nobody reads before it; only what is *removed* has to have been seen, so that
//! what somebody adds meanwhile stays. Each update is one, however often it is tried.

use crate::bucket::Bucket;
use crate::error::ClientError;
use bytes::Bytes;
pub use ringhold_core::crdt::{FieldUpdate, MapUpdate, Update};
use ringhold_core::crdt::{SetUpdate, Value};
use ringhold_core::datatype;
use ringhold_wire::message::{GetOptions, GetRequest, TypeUpdate};

/// One key that holds a data type.
#[derive(Debug, Clone)]
pub struct DataType {
    bucket: Bucket,
    key: String,
}

impl Bucket {
    /// A key that holds, or will hold, a data type: which one, its first update says.
    #[must_use]
    pub fn data_type(&self, key: &str) -> DataType {
        DataType {
            bucket: self.clone(),
            key: key.to_owned(),
        }
    }
}

impl DataType {
    /// What the key holds; none if nothing.
    ///
    /// # Errors
    /// See [`ClientError`]; also if it holds an ordinary value.
    pub async fn value(&self) -> Result<Option<Value>, ClientError> {
        Ok(self.read().await?.0)
    }

    /// Adds to a counter.
    ///
    /// # Errors
    /// See [`ClientError`], which says what is known of the update.
    pub async fn add(&self, amount: i64) -> Result<(), ClientError> {
        self.update(Update::Counter(amount), Bytes::new()).await
    }

    /// Adds elements to a set.
    ///
    /// # Errors
    /// Likewise.
    pub async fn insert<E: AsRef<[u8]>>(&self, elements: &[E]) -> Result<(), ClientError> {
        let adds = owned(elements);
        let removes = Vec::new();
        self.update(Update::Set(SetUpdate { adds, removes }), Bytes::new())
            .await
    }

    /// Removes elements from a set, as they are now: one that is added meanwhile stays.
    ///
    /// # Errors
    /// Likewise; also if one is not there.
    pub async fn remove<E: AsRef<[u8]>>(&self, elements: &[E]) -> Result<(), ClientError> {
        let (_, context) = self.read().await?;
        let adds = Vec::new();
        let removes = owned(elements);
        self.update(Update::Set(SetUpdate { adds, removes }), context)
            .await
    }

    /// Updates a map. If it removes fields, they are read first.
    ///
    /// # Errors
    /// Likewise.
    pub async fn update_map(&self, update: MapUpdate) -> Result<(), ClientError> {
        let context = match update.removes.is_empty() {
            true => Bytes::new(),
            false => self.read().await?.1,
        };
        self.update(Update::Map(update), context).await
    }

    /// Any update, with the context of what it removes.
    ///
    /// # Errors
    /// Likewise.
    pub async fn update(&self, update: Update, context: Bytes) -> Result<(), ClientError> {
        let change = TypeUpdate {
            update,
            context: None,
        };
        self.bucket
            .change(&self.key, change.into(), context, None)
            .await?;
        Ok(())
    }

    async fn read(&self) -> Result<(Option<Value>, Bytes), ClientError> {
        let request = GetRequest {
            name: self.bucket.name_of(&self.key),
            options: GetOptions::default(),
            explain: false,
        };
        let got = self.bucket.client.get_object(request).await?;
        let undecodable = |problem: String| ClientError::Undecodable {
            key: self.key.clone(),
            problem,
        };
        let held = datatype::value_of(&got.answer.object);
        let held = held.map_err(|error| undecodable(error.to_string()))?;
        let value = held.map(|held| held.value()).transpose();
        let value = value.map_err(|error| undecodable(error.to_string()))?;
        Ok((value, got.context))
    }
}

fn owned<E: AsRef<[u8]>>(elements: &[E]) -> Vec<Bytes> {
    let bytes = elements.iter().map(AsRef::as_ref);
    bytes.map(Bytes::copy_from_slice).collect()
}
