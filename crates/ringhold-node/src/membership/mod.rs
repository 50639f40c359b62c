//! Who is a member, and who serves what: the host of ring documents in a node.
//!
//! A node serves by one ring document at a time and replaces it as a whole (`documents`). The next one is agreed on by the
//! voters of the last (`agreement`, over `ringhold_core::membership::register`; who may have forgotten a word that it gave has to regain its `voice`), at the wish of an operator (`changes`) or
//! because a step of a placement change is due (`transfers`). Whoever has missed it learns of it (`news`): from gossip (`gossiping`), from
//! whoever it meets, or because a request came with a placement number that does not fit.
//!
//! While a document has a `next` table, each node that is to become a home of a partition copies it (`transfers`), writes go to
//! both, and when all are done the table is taken into use. What a node holds of partitions that are not its own any more is
//! owed to their homes, like everything that it keeps for others (`strays`). A leaver with empty hands has itself removed (`parting`).
//!
//! Where a majority of the voters is lost for good, an operator has the others go on without it (`recovery`).
//!
//! Addresses are not agreed on: each member says itself where it is (`whereabouts`).
//!
//! Invariants: epochs of a node never go down (I10); a document is on this node's disk before it is served by; requests
//! between members of different placements wait until the one behind has caught up.
//!
//! Not here: when documents are valid and follow each other (`ringhold_core::ring`), and failure detection, which changes routing and
//! never a document.

mod agreement;
mod changes;
mod documents;
pub(crate) mod gossiping;
mod news;
mod parting;
mod recovery;
mod stock;
mod strays;
mod transfers;
mod voice;
mod whereabouts;

pub(crate) use agreement::{Agreement, NotAgreed};
pub(crate) use changes::settled;
pub use changes::{ChangeFailed, Changed};
pub(crate) use documents::{Documents, latest};
pub use documents::{RingRefused, given_up};
pub use news::Sender;
pub use recovery::RecoveryFailed;
pub use stock::Stock;
pub(crate) use strays::run as run_strays;
pub use transfers::TransferView;
pub(crate) use transfers::{Transfers, run as run_transfers};
pub(crate) use whereabouts::Whereabouts;
