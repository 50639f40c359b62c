//! Reaping by proof: tombstones that go, and deletes that stay (T11).
//!
//! A delete leaves a tombstone, because a copy that was away would bring the deleted value back. Other stores drop
//! tombstones by age, and a node that was away for longer brings everything back that was deleted meanwhile; so
//! operators have to repair in time, or deletes are not deletes. Here age is only what makes a *candidate*. It goes when
//! it is proven that nothing is left which it stands against, and a member that is away stops reaping, nothing else:
//! no hint, no write and no repair is refused for its age, however late it comes.
//!
//! The first primary of a partition sees to it, whatever N its keys have. It walks its own objects of the arc for those that have been dead for
//! longer than the grace, and then for all of them together:
//!
//! ```text
//! look    every other member that is not removed: have you anything of these, or did you send it home just now?
//!         every primary: have you exactly this object, on disk, and is it past the grace by your own wall clock?
//! wait    for longer than any message, get or put lives (the settling time)
//! look    the same again
//! remove  at every primary, in the partition's writer, if the object is still the same
//! ```
//!
//! *Why two looks.* Before the first one an older copy may have been read somewhere, and be on its way to a primary
//! in a late message or a read repair. It arrives, or dies, before the second look: primaries
//! that keep the tombstone swallow it, and a member that is no home keeps it where the second look finds it, or has
//! sent it home, which it remembers for as long. So at the removal no older copy is at rest or on its way. Clocks
//! decide only how early a candidate is one; the waiting is by the clock that never jumps.
//!
//! *Why in two phases.* A primary that answers "yes" holds the tombstone, and nothing that
//! arrives there can take its place but a newer write, which the removal then leaves alone. If some remove
//! and others do not (a crash, a lost message), the tombstone is still there, anti-entropy brings it back to all, and it
//! is reaped again later: it holds no value, so it can only come back as what it is.
//!
//! A removed key is as if it had never been written. Its next write takes a fresh key epoch, because the right to go
//! on counting was in the record (T2), so a tombstone that turns up all the same is a hidden sibling of
//! that write and never its end ("doomstone").
//!
//! Deliberately not here: a disk that is put back from a copy older than the grace brings back what it holds, as does a
//! machine whose clock that never jumps stood still while it was asleep; and a list of tombstones, for which the walk stands.
//!
//! | module | |
//! | --- | --- |
//! | `walk` | where candidates come from |
//! | `proof` | looking twice, and removing |
//! | `testimony` | what a member answers |
//! | `homecomings` | what may still be on its way from it |
//! | `view` | how far reaping has come, for whoever asks |

mod homecomings;
mod proof;
mod testimony;
mod view;
mod walk;

pub(crate) use homecomings::{Homecomings, Standstill};
pub(crate) use view::Views;
pub use view::{Obstacle, ReapingView};

use crate::env::{Environment, alive_after};
use crate::node::Node;
use proof::Pending;
use ringhold_core::health::admission::Work;
use ringhold_core::ring::TreeId;
use ringhold_wire::message::peer::LeafEntry;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use walk::{Step, Walk};

/// Keys that wait for their second look.
const WAITING_KEYS_MAX: usize = 65_536;

/// When tombstones may go, in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Reaping {
    /// What is dead is kept for so long at least, by each primary's wall clock.
    pub grace_us: u64,
    /// Longer than any message, get or put lives. Between two looks at a candidate.
    pub settle_us: u64,
    /// Between two steps of the walk, of 64 objects each; 0 for no reaping by this node.
    pub pause_us: u64,
}

impl Default for Reaping {
    fn default() -> Self {
        Self {
            grace_us: 10 * 86_400_000_000,
            settle_us: 300_000_000,
            pause_us: 100_000,
        }
    }
}

/// Keys of one tree with the digests of their objects.
#[derive(Clone, Debug)]
pub(crate) struct Candidates {
    pub(crate) tree: TreeId,
    pub(crate) entries: Vec<LeafEntry>,
}

/// Reaps for as long as the node lives.
pub(crate) async fn run(node: Weak<Node>, environment: Arc<dyn Environment>, pause_us: u64) {
    if pause_us == 0 {
        return;
    }
    let mut walk = Walk::default();
    let mut waiting = VecDeque::new();
    while let Some(node) = alive_after(&node, &*environment, pause_us).await {
        if node.store().poisoned().is_some() {
            return;
        }
        let turn = node.background.turn(Work::Reaping).await;
        step(&node, &mut walk, &mut waiting).await;
        drop(turn);
    }
}

/// Ends what has waited for long enough, else goes on looking for more.
async fn step(node: &Arc<Node>, walk: &mut Walk, waiting: &mut VecDeque<Pending>) {
    let now_us = node.environment.now_us();
    if let Some(due) = waiting.pop_front_if(|pending| pending.due_us <= now_us) {
        return due.finish(node).await;
    }
    let waiting_keys: usize = waiting.iter().map(Pending::keys).sum();
    if waiting_keys >= WAITING_KEYS_MAX {
        return;
    }
    match walk.step(node) {
        Step::Nothing => {}
        Step::RoundEnded => node.reaping.round_ended(node.environment.wall_us()),
        Step::Found(found) => {
            for candidates in found {
                waiting.extend(Pending::begin(node, candidates).await);
            }
        }
    }
}
