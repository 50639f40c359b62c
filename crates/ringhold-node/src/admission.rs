//! Before a node names its first write: may it go on under its store's name?
//!
//! The decision is in `ringhold_core::boot`. Here is the rest: every start tells all other members its boot
//! number and asks what they knew; a store that goes on from a clean end coordinates nothing until so
//! many have confirmed it, or until it has taken a new incarnation because they did not within a few
//! seconds. Reads and merges are served meanwhile, and puts go to other primaries. A store that has a
//! new incarnation anyway (not closed, damaged) coordinates at once and tells all the same: what the
//! others remember is what the *next* start is judged by. A store that was created takes nothing at all until at
//! least half of the others remember its start (see `rebuild`).
//!
//! The other side: a member that is told keeps it on disk before it answers.

use crate::env::{BoxFuture, CallError, Deadline};
use crate::gather::Gather;
#[cfg(feature = "known-bad")]
use crate::known_bad::{self, Variant};
use crate::node::Node;
use crate::replica::writer::Row;
use bytes::Bytes;
use ringhold_core::boot::{Boot, Inquiry, Remembered, Testimony, Verdict, testify};
use ringhold_core::id::{BootId, Incarnation, NodeId};
use ringhold_storage::{Keyspace, OpenReport, StorageKey};
use ringhold_wire::bytes_io::{DecodeError, Reader, decode_whole, encode_alone};
use ringhold_wire::message::peer::{Refusal, Reply, Request};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Mutex;

/// How long a start waits for the others before it takes a new incarnation, in microseconds. Enough
/// for all nodes of a cluster to come up together.
const PATIENCE_US: u64 = 3_000_000;
/// How long one round of questions may take, in microseconds.
const ROUND_US: u64 = 1_000_000;
/// Between two rounds while the node waits, and once it does not.
const PAUSE_US: u64 = 100_000;
const LONG_PAUSE_US: u64 = 5_000_000;

/// The format of what is remembered.
const ROW_VERSION: u8 = 1;
const ROW_BYTES: usize = 1 + 8 + 16 + 1;

/// What a start has to settle before it may name writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// A new store, which others must know of before anything is entrusted to it: should its disk be lost, they are the
    /// ones who can tell the next empty store in its place from one that never had anything.
    New,
    /// A new incarnation, so nothing of an earlier name goes on.
    NewName,
    /// The name of before, if the others confirm it.
    SameName,
}

impl Start {
    fn of(report: &OpenReport) -> Self {
        if report.created {
            return Self::New;
        }
        #[cfg(feature = "known-bad")]
        if known_bad::is(Variant::AsksNoWitness) {
            return Self::NewName;
        }
        if report.new_incarnation {
            Self::NewName
        } else {
            Self::SameName
        }
    }
}

/// Where a node is with its own start, and what keeps two stories of one member apart.
pub(crate) struct Admission {
    boot: Boot,
    admitted: AtomicBool,
    /// Held from reading what is remembered of a member until it is written anew.
    testifying: Mutex<()>,
}

impl Admission {
    pub(crate) fn new(boot: Boot) -> Self {
        Self {
            boot,
            admitted: AtomicBool::new(false),
            testifying: Mutex::new(()),
        }
    }

    pub(crate) fn boot(&self) -> Boot {
        self.boot
    }

    /// Whether this node may name writes.
    pub(crate) fn is_admitted(&self) -> bool {
        self.admitted.load(Ordering::Acquire)
    }

    fn admit(&self) {
        self.admitted.store(true, Ordering::Release);
    }
}

/// Keeps what is new, tells all other members of this start, and settles under which name the node goes on.
pub(crate) async fn run(node: Arc<Node>, new_ring: Option<Row>, report: OpenReport) {
    if let Some(row) = new_ring
        && node.replica.keep_row(row).await.is_err()
    {
        return;
    }
    let mut others = others_of(&node);
    let mut inquiry = Inquiry::among(others.len());
    let start = Start::of(&report);
    if start != Start::SameName {
        node.store().confirm_incarnation();
    }
    if start == Start::NewName {
        node.admission.admit();
    }
    let patience = Deadline::after(&*node.environment, PATIENCE_US);
    loop {
        // A node that was away may have missed who is a member. Whoever has answered says the same again.
        let members = others_of(&node);
        if members != others {
            others = members;
            inquiry = Inquiry::among(others.len());
        }
        let mut calls = ask(&node, &others, &inquiry);
        loop {
            let considered = node.reconsider(&inquiry, report.created).await;
            if considered.is_err() {
                return;
            }
            node.consider_voice(&inquiry);
            if !node.admission.is_admitted() {
                match start {
                    Start::New if inquiry.is_known_to_half() => node.admission.admit(),
                    Start::SameName if !settle(&node, &inquiry, patience).await => return,
                    _ => {}
                }
            }
            let Some((member, reply)) = calls.next().await else {
                break;
            };
            if let Ok(Reply::Testimony(testimony)) = reply {
                warn_of(member, testimony);
                inquiry.hear(member, testimony);
            }
        }
        let all_heard = others.iter().all(|&member| inquiry.has_heard(member));
        if all_heard && node.admission.is_admitted() {
            return;
        }
        // A new store does not know yet whether it lacks anything; the others may only just be starting too.
        let is_settled = node.admission.is_admitted() && !node.rebuild.in_doubt();
        let pause_us = if is_settled { LONG_PAUSE_US } else { PAUSE_US };
        let now_us = node.environment.now_us();
        node.environment
            .sleep_until(now_us.saturating_add(pause_us))
            .await;
    }
}

fn others_of(node: &Node) -> Vec<NodeId> {
    let ring = node.ring();
    let members = ring.members().iter();
    members
        .filter(|member| member.id != node.id && !member.state.is_gone())
        .map(|member| member.id)
        .collect()
}

/// Puts the question to those who have not answered it.
fn ask(
    node: &Arc<Node>,
    others: &[NodeId],
    inquiry: &Inquiry,
) -> Gather<NodeId, Result<Reply, CallError>> {
    let deadline = Deadline::after(&*node.environment, ROUND_US);
    let mut calls = Gather::until(Arc::clone(&node.environment), deadline);
    let silent = others.iter().filter(|&&member| !inquiry.has_heard(member));
    for &member in silent {
        let call: BoxFuture<'static, _> =
            node.call(member, Request::Testify(node.admission.boot), deadline);
        calls.ask(member, call);
    }
    calls
}

/// Draws the conclusion if there is one. False if the store has failed, and with it this start.
async fn settle(node: &Node, inquiry: &Inquiry, patience: Deadline) -> bool {
    match inquiry.verdict() {
        Verdict::Confirmed => {
            tracing::info!("the other members confirm that this store is the latest");
            node.store().confirm_incarnation();
            node.metrics.boots_confirmed.add(1);
        }
        Verdict::Open if !patience.has_passed(&*node.environment) => return true,
        Verdict::Open | Verdict::Doubted => {
            let incarnation = Incarnation(node.environment.random());
            tracing::warn!(
                %incarnation,
                "too few members can tell that this store is not an old copy: it goes on in a new incarnation"
            );
            if node.store().renew_incarnation(incarnation).await.is_err() {
                return false;
            }
            node.metrics.boots_doubted.add(1);
        }
    }
    node.admission.admit();
    true
}

fn warn_of(member: NodeId, testimony: Testimony) {
    if let Testimony::Later(boot) = testimony {
        tracing::warn!(
            %member, number = boot.number, boot = %boot.id,
            "this member knows a later start of this node: the data directory is a copy, or was put back from one"
        );
    }
}

impl Node {
    /// Remembers the start of another member, on disk, and says what was known before.
    pub(crate) async fn testify(&self, of: NodeId, told: Boot) -> Result<Testimony, Refusal> {
        let _one_at_a_time = self.admission.testifying.lock().await;
        let known = self.remembered(of)?;
        let (testimony, keep) = testify(known, told);
        #[cfg(feature = "known-bad")]
        let keep = keep.filter(|_| known.is_none() || !known_bad::is(Variant::TestimonyNotRaised));
        if let Some(remembered) = keep {
            let row = Row {
                keyspace: Keyspace::Members,
                key: row_key(of),
                value: encode(remembered),
            };
            self.replica.keep_row(row).await?;
        }
        Ok(testimony)
    }

    fn remembered(&self, of: NodeId) -> Result<Option<Remembered>, Refusal> {
        let row = self.store().get(Keyspace::Members, &row_key(of));
        let Some(row) = row.map_err(|_| Refusal::StoreFailed)? else {
            return Ok(None);
        };
        decode(row).map(Some).map_err(|_| Refusal::StoreFailed)
    }
}

fn row_key(member: NodeId) -> StorageKey {
    StorageKey::new(member.0, 0)
}

/// `version u8 │ number u64 │ boot id u128 │ had a predecessor u8`
fn encode(remembered: Remembered) -> Bytes {
    encode_alone(ROW_BYTES, |writer| {
        writer.u8(ROW_VERSION);
        writer.u64(remembered.boot.number);
        writer.u128(remembered.boot.id.0);
        writer.u8(u8::from(remembered.had_predecessor));
    })
}

fn decode(row: Bytes) -> Result<Remembered, DecodeError> {
    decode_whole("member row", row, |reader: &mut Reader| {
        match reader.u8("member row")? {
            ROW_VERSION => {}
            version => {
                return Err(DecodeError::UnknownVersion {
                    what: "member row",
                    version,
                });
            }
        }
        let number = reader.u64("boot number")?;
        let id = BootId(reader.u128("boot id")?);
        let had_predecessor = reader.u8("predecessor")? != 0;
        Ok(Remembered {
            boot: Boot { number, id },
            had_predecessor,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_reads_back() {
        let remembered = Remembered {
            boot: Boot {
                number: 9,
                id: BootId(7),
            },
            had_predecessor: true,
        };
        let row = encode(remembered);
        assert_eq!(row.len(), ROW_BYTES);
        assert_eq!(decode(row.clone()), Ok(remembered));
        assert!((0..ROW_BYTES).all(|length| decode(row.slice(..length)).is_err()));
    }
}
