//! What a key holds, as bytes.
//!
//! ```text
//! u8          1, the format version
//! actors      as in a state: those of the dots below
//! operations  count, each: u128 id, timestamp, signed amount, dots (count, each: actor, counter); by id
//! cancelled   count, each: actor, counter, signed amount; by dot
//! …           the state
//! ```

use super::super::held::{Held, Known};
use super::super::state::State;
use super::super::update::Kind;
use super::reading::Reading;
use super::writing::Writing;
use super::{DecodeError, FORMAT_VERSION};
use crate::id::OperationId;
use crate::version::{Actor, Dot, Timestamp};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

impl Held {
    /// Equal values have equal bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let operations = self.operations.values().flat_map(|known| &known.dots);
        let dots = operations.chain(self.cancelled.keys());
        let actors: BTreeSet<Actor> = dots.map(|dot| dot.actor).collect();
        let mut writing = Writing::new(actors);
        writing.actors();
        writing.count(self.operations.len());
        for (operation, known) in &self.operations {
            writing.u128(operation.0);
            writing.number(known.timestamp.0.into());
            writing.signed(known.by.into());
            writing.count(known.dots.len());
            for dot in &known.dots {
                writing.dot(*dot);
            }
        }
        writing.count(self.cancelled.len());
        for (dot, by) in &self.cancelled {
            writing.dot(*dot);
            writing.signed((*by).into());
        }
        writing.end(&self.state.to_bytes())
    }

    /// # Errors
    /// If the bytes are not what [`Held::to_bytes`] writes.
    pub fn from_bytes(bytes: &Bytes) -> Result<Self, DecodeError> {
        if bytes
            .first()
            .is_some_and(|version| *version != FORMAT_VERSION)
        {
            let version = bytes[0];
            return Err(DecodeError::UnknownVersion { version });
        }
        let mut reading = Reading::new(bytes.clone())?;
        reading.actors()?;
        let mut operations = BTreeMap::new();
        for _ in 0..reading.count("operations", 20)? {
            let operation = OperationId(u128::from_be_bytes(reading.array("operation id")?));
            let timestamp = Timestamp(reading.u64("timestamp")?);
            let by = amount(&mut reading)?;
            let dots = dots(&mut reading)?;
            let known = Known {
                dots,
                timestamp,
                by,
            };
            operations.insert(operation, known);
        }
        let mut cancelled = BTreeMap::new();
        for _ in 0..reading.count("cancelled increments", 3)? {
            let dot = reading.any_dot()?;
            cancelled.insert(dot, amount(&mut reading)?);
        }
        let state = State::from_bytes(&reading.take_rest())?;
        if state.kind() != Kind::Counter && !cancelled.is_empty() {
            return Err(reading.malformed("cancelled increments"));
        }
        let held = Self {
            state,
            operations,
            cancelled,
        };
        if held.to_bytes() != *bytes {
            return Err(DecodeError::NotCanonical);
        }
        Ok(held)
    }
}

fn amount(reading: &mut Reading) -> Result<i64, DecodeError> {
    let amount = i64::try_from(reading.signed("amount")?);
    amount.map_err(|_| reading.malformed("amount"))
}

fn dots(reading: &mut Reading) -> Result<BTreeSet<Dot>, DecodeError> {
    let mut dots = BTreeSet::new();
    for _ in 0..reading.count("dots", 2)? {
        dots.insert(reading.any_dot()?);
    }
    if dots.is_empty() {
        return Err(reading.malformed("dots"));
    }
    Ok(dots)
}
