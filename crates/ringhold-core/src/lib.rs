//! The decisions of Dynamo, pure.
//!
//! Where a key lives, which version wins, whether a quorum is met: every decision is a function of
//! its arguments or a small state that only its methods change. Nothing here is async, does IO,
//! reads a clock or draws a random number; time and randomness come in as values.
//!
//! | module | decides | the paper |
//! | --- | --- | --- |
//! | [`ring`] | where a key lives and who stands in | §4.2, §4.3, §6.2 |
//! | [`version`] | which versions survive a write or a meeting of replicas | §4.4 |
//! | [`crdt`] | what a counter, a set or a map is after updates that knew nothing of each other | |
//! | [`datatype`] | how such a value lives in the versions of a key | |
//! | [`membership`] | which ring comes next, and how what nodes say of themselves reaches everybody | §4.8.1 |
//! | [`boot`] | whether a store may go on under its name | |
//! | [`fingerprint`] | which record of a store is a key's | |
//! | [`secret`] | what proves membership | |
//! | [`join_token`] | whether a new node may become a member | |
//! | [`quorum`] | when enough replicas have answered | §4.5 |
//! | [`health`] | who is worth asking, when again, and what background work may use | §4.8.3, §6.5 |
//! | [`index`] | what an index entry is, and in which order entries stand | |
//! | [`coverage`] | who is asked for what has no key, and how it becomes one | §4.5 |
//! | [`reaping`] | when a tombstone may go | |
//! | [`tree`] | where two replicas of a partition differ | §4.7 |

pub mod boot;
pub mod coverage;
pub mod crdt;
pub mod datatype;
pub mod fingerprint;
pub mod health;
pub mod id;
pub mod index;
pub mod join_token;
pub mod membership;
pub mod quorum;
pub mod reaping;
pub mod rebuild;
pub mod ring;
pub mod secret;
pub mod tree;
pub mod version;
