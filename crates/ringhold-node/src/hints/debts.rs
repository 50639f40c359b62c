//! What is owed to whom: the outcome of the last round of deliveries, for operators.

use ringhold_core::id::NodeId;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// What one home has not taken yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Debt {
    pub home: NodeId,
    /// Keys, and the bytes of their objects.
    pub rows: u64,
    pub bytes: u64,
    /// When the oldest of them came, in microseconds since 1970.
    pub oldest_us: u64,
    /// Why the last of them was not taken.
    pub waits_for: &'static str,
}

/// All of them, as of the last round that was finished.
#[derive(Debug, Default)]
pub(crate) struct Debts(Mutex<Vec<Debt>>);

impl Debts {
    pub(crate) fn all(&self) -> Vec<Debt> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn set(&self, ledger: Ledger) {
        let debts = ledger.0.into_values().collect();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = debts;
    }
}

/// The debts of a round that is under way.
#[derive(Debug, Default)]
pub(crate) struct Ledger(BTreeMap<NodeId, Debt>);

impl Ledger {
    pub(crate) fn owe(&mut self, home: NodeId, bytes: u64, since_us: u64, waits_for: &'static str) {
        let debt = self.0.entry(home).or_insert(Debt {
            home,
            rows: 0,
            bytes: 0,
            oldest_us: since_us,
            waits_for,
        });
        debt.rows += 1;
        debt.bytes += bytes;
        debt.oldest_us = debt.oldest_us.min(since_us);
        debt.waits_for = waits_for;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_home_has_its_sum() {
        let mut ledger = Ledger::default();
        ledger.owe(NodeId(1), 10, 7, "unreachable");
        ledger.owe(NodeId(2), 1, 1, "overloaded");
        ledger.owe(NodeId(1), 5, 3, "no answer");
        let debts = Debts::default();
        debts.set(ledger);
        let first = Debt {
            home: NodeId(1),
            rows: 2,
            bytes: 15,
            oldest_us: 3,
            waits_for: "no answer",
        };
        assert_eq!(debts.all()[0], first);
        assert_eq!(debts.all().len(), 2);
    }
}
