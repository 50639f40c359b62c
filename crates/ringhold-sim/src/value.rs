//! Values that say where they come from.
//!
//! A value is computed from the client, the operation and the key, and says so in its first bytes; what
//! follows are the items that a workload keeps in it, and filler. So whoever reads one can tell which
//! put it came from without keeping copies of values, and a value that no put wrote is seen at once.
//!
//! ```text
//! "RHSIM" │ operation u64 │ client u32 │ key u32 │ items: count u32, each u64 │ filler
//! ```
//!
//! Operation ids carry [`OPERATION_MARK`], and they are in every stored version, tombstones included. The
//! simulated disk looks for the mark in what it has flushed, and so knows which writes are durable without
//! understanding the log.

use bytes::{Buf, BufMut, Bytes};
use ringhold_core::id::OperationId;
use std::collections::BTreeSet;

const MAGIC: &[u8; 5] = b"RHSIM";

/// The upper half of every operation id of a run, big-endian as on disk and wire.
pub const OPERATION_MARK: u64 = 0xd15c_0b5e_5eed_0b0e;

/// The id of an operation.
#[must_use]
pub fn operation_id(operation: usize) -> OperationId {
    let number = u64::try_from(operation).expect("counts fit");
    OperationId((u128::from(OPERATION_MARK) << 64) | u128::from(number))
}

/// The operation of an id; none if it is not of this run.
#[must_use]
pub fn operation_of(id: OperationId) -> Option<usize> {
    let (mark, number) = (id.0 >> 64, id.0 & u128::from(u64::MAX));
    (mark == u128::from(OPERATION_MARK)).then(|| usize::try_from(number).ok())?
}

/// What an operation adds to a value that only grows: its id, so that who finds the element has found the operation.
#[must_use]
pub fn element(operation: usize) -> Bytes {
    Bytes::copy_from_slice(&operation_id(operation).0.to_be_bytes())
}

/// The operation that has added an element; none if it is not of this run.
#[must_use]
pub fn operation_of_element(element: &[u8]) -> Option<usize> {
    let id: [u8; 16] = element.try_into().ok()?;
    operation_of(OperationId(u128::from_be_bytes(id)))
}

/// The operations whose ids stand in these bytes.
pub fn operations_in(bytes: &[u8]) -> impl Iterator<Item = usize> + '_ {
    let mark = OPERATION_MARK.to_be_bytes();
    bytes
        .windows(16)
        .filter(move |window| window[0] == mark[0] && window[..8] == mark)
        .filter_map(|window| {
            let number: [u8; 8] = window[8..].try_into().expect("16 bytes have two halves");
            usize::try_from(u64::from_be_bytes(number)).ok()
        })
}

/// What a value says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    pub operation: usize,
    pub client: usize,
    pub key: usize,
    pub items: BTreeSet<u64>,
    pub filler_bytes: usize,
}

impl Value {
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(32 + self.items.len() * 8 + self.filler_bytes);
        bytes.put_slice(MAGIC);
        bytes.put_u64(u64::try_from(self.operation).expect("counts fit"));
        bytes.put_u32(u32::try_from(self.client).expect("a handful"));
        bytes.put_u32(u32::try_from(self.key).expect("a run has few keys"));
        bytes.put_u32(u32::try_from(self.items.len()).expect("fewer than operations"));
        self.items.iter().for_each(|item| bytes.put_u64(*item));
        let filler = (0..self.filler_bytes)
            .map(|at| u8::try_from((self.operation * 31 + at * 7) % 251).expect("below 251"));
        bytes.extend(filler);
        bytes.into()
    }

    /// None if these bytes are not of a value.
    #[must_use]
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        bytes = bytes.strip_prefix(MAGIC)?;
        let operation = usize::try_from(bytes.try_get_u64().ok()?).ok()?;
        let client = usize::try_from(bytes.try_get_u32().ok()?).ok()?;
        let key = usize::try_from(bytes.try_get_u32().ok()?).ok()?;
        let count = bytes.try_get_u32().ok()?;
        let items = (0..count)
            .map(|_| bytes.try_get_u64().ok())
            .collect::<Option<_>>()?;
        Some(Self {
            operation,
            client,
            key,
            items,
            filler_bytes: bytes.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_back() {
        let value = Value {
            operation: 9,
            client: 2,
            key: 5,
            items: BTreeSet::from([1, 77]),
            filler_bytes: 40,
        };
        assert_eq!(Value::decode(&value.encode()), Some(value.clone()));
        assert_eq!(Value::decode(b"something else"), None);
        assert_eq!(Value::decode(&value.encode()[..20]), None);
    }

    #[test]
    fn operations_are_found_in_a_heap_of_bytes() {
        let mut heap = vec![0xd1, 0x5c, 7];
        for operation in [3, 900] {
            heap.extend_from_slice(&operation_id(operation).0.to_be_bytes());
            heap.extend_from_slice(b"between");
        }
        assert_eq!(operations_in(&heap).collect::<Vec<_>>(), [3, 900]);
        assert_eq!(operation_of(operation_id(900)), Some(900));
        assert_eq!(operation_of(OperationId(900)), None);
    }
}
