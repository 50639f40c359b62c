//! What members tell each other of partitions that change hands.

use ringhold_core::ring::Class;

/// The word of a node that it has what the homes of some keys of a partition have. It is on its disk, and says nothing beyond the
/// placement change for which it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub partition: u32,
    pub class: Class,
    /// The hash of the tree over these keys when it was equal to that of the homes they were copied from.
    pub root: u128,
}

/// All of a node's receipts for the placement that it knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipts {
    pub placement_number: u64,
    /// Its store lacks something that it had promised to keep: nobody should copy from it alone.
    pub in_doubt: bool,
    pub receipts: Vec<Receipt>,
    /// What holds up the others, for people.
    pub waits: Vec<String>,
}
