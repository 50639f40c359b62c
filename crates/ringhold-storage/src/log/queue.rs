//! The queue to the log: what writers and the store ask of the flusher, in order.
//!
//! Everything that changes the log is submitted here, by whoever has the store, and served by the one
//! [`Flusher`](super::flusher::Flusher). What can share an append is taken together; starting a
//! segment and closing wait until all that came before is flushed. While a flush is in flight the
//! next batch accumulates, and only a buffered commit (§6.1) is a reason to append already.
//!
//! A poisoned log refuses everything, and tells everybody who waits. The first reason is the one that
//! stays.

use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Waker};

use bytes::Bytes;
use futures_channel::oneshot;

use super::record::RecordHeader;
use crate::buffer::Effect;
use crate::error::Poisoned;
use crate::figures::Counters;
use crate::meta::MetaChange;
use crate::writer::{Committed, Durability};

/// The most that one append takes from the queue: enough to be efficient, little enough that the
/// first waiter is not kept for the last. One record may be larger.
const APPEND_BYTES_MAX: usize = 8 << 20;

/// The answer to something submitted.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, Poisoned>>;

/// Answers, if anybody still waits: a task that was cancelled does not.
pub(crate) fn answer<T>(reply: Reply<T>, outcome: Result<T, Poisoned>) {
    reply.send(outcome).ok();
}

/// One writer's batch on its way into the log.
pub(crate) struct Commit {
    pub(crate) group: usize,
    /// None for a commit that only waits for what was appended before it.
    pub(crate) record: Option<Record>,
    pub(crate) durability: Durability,
    pub(crate) reply: Reply<Committed>,
}

/// An encoded batch: the same writes twice, once for the log and once for the buffer.
pub(crate) struct Record {
    pub(crate) header: RecordHeader,
    pub(crate) body: Bytes,
    pub(crate) effect: Effect,
}

/// What the flusher can be asked for, in order.
pub(crate) enum Item {
    Commit(Commit),
    /// Changes the store's own record; answered when that is flushed.
    Meta {
        change: MetaChange,
        reply: Reply<()>,
    },
    /// Flushes, freezes all groups and starts a new segment.
    Rotate {
        reply: Reply<()>,
    },
    /// Flushes, says that the end is clean if it is, and ends.
    Close {
        clean: bool,
        reply: Reply<()>,
    },
}

impl Item {
    fn joins_an_append(&self) -> bool {
        matches!(self, Self::Commit(_) | Self::Meta { .. })
    }

    pub(crate) fn is_buffered(&self) -> bool {
        matches!(self, Self::Commit(commit) if commit.durability == Durability::Buffered)
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Commit(Commit {
                record: Some(record),
                ..
            }) => record.body.len(),
            _ => 0,
        }
    }

    fn fail(self, poisoned: Poisoned) {
        match self {
            Self::Commit(commit) => answer(commit.reply, Err(poisoned)),
            Self::Meta { reply, .. } | Self::Rotate { reply } | Self::Close { reply, .. } => {
                answer(reply, Err(poisoned));
            }
        }
    }
}

/// What writers, store and flusher share.
#[derive(Default)]
pub(crate) struct CommitLog {
    queue: Mutex<Queue>,
    pub(crate) counters: Counters,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    poisoned: Option<Poisoned>,
    /// The store is gone: end when nothing is left to do.
    abandoned: bool,
    flusher: Option<Waker>,
}

impl CommitLog {
    pub(crate) fn submit(&self, item: Item) -> Result<(), Poisoned> {
        let mut queue = self.lock();
        if let Some(poisoned) = queue.poisoned {
            return Err(poisoned);
        }
        queue.items.push_back(item);
        wake(queue);
        Ok(())
    }

    /// Submits and waits for the answer.
    pub(crate) async fn ask(&self, item: impl FnOnce(Reply<()>) -> Item) -> Result<(), Poisoned> {
        let (reply, answer) = oneshot::channel();
        self.submit(item(reply))?;
        answer.await.unwrap_or_else(|_| Err(self.ended()))
    }

    /// Why nothing more can be committed, if so.
    pub(crate) fn poisoned(&self) -> Option<Poisoned> {
        self.lock().poisoned
    }

    /// What to say where an answer went missing: only a flusher that was dropped gives none.
    pub(crate) fn ended(&self) -> Poisoned {
        self.poisoned().unwrap_or(Poisoned::ended())
    }

    /// Nothing is committed any more, and all that waits is told so. The first reason stays.
    pub(crate) fn poison(&self, poisoned: Poisoned) {
        let mut queue = self.lock();
        let first = *queue.poisoned.get_or_insert(poisoned);
        let items = std::mem::take(&mut queue.items);
        wake(queue);
        for item in items {
            item.fail(first);
        }
    }

    /// Nobody will submit any more.
    pub(crate) fn abandon(&self) {
        let mut queue = self.lock();
        queue.abandoned = true;
        wake(queue);
    }

    /// The next thing for the flusher to do; it is woken when there is one.
    pub(crate) fn take(&self, flushing: bool, context: &Context<'_>) -> Option<Event> {
        let mut queue = self.lock();
        let event = queue.take(flushing);
        if event.is_none() {
            queue.flusher = Some(context.waker().clone());
        }
        event
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("no holder of this lock panics")
    }
}

fn wake(mut queue: MutexGuard<'_, Queue>) {
    let flusher = queue.flusher.take();
    drop(queue);
    if let Some(flusher) = flusher {
        flusher.wake();
    }
}

impl Queue {
    /// The next thing to do. While a flush is in flight only a buffered commit is a reason to append.
    fn take(&mut self, flushing: bool) -> Option<Event> {
        if self.poisoned.is_some() {
            return Some(Event::Poisoned);
        }
        let joining = self.items.iter().take_while(|item| item.joins_an_append());
        let mut bytes = 0;
        let within = |item: &&Item| {
            let fits = bytes < APPEND_BYTES_MAX;
            bytes += item.bytes();
            fits
        };
        let (mut joined, mut urgent) = (0, !flushing);
        for item in joining.take_while(within) {
            joined += 1;
            urgent |= item.is_buffered();
        }
        if joined > 0 {
            return urgent.then(|| Event::Append(self.items.drain(..joined).collect()));
        }
        if flushing {
            return None;
        }
        match self.items.pop_front() {
            Some(Item::Rotate { reply }) => Some(Event::Rotate(reply)),
            Some(Item::Close { clean, reply }) => Some(Event::Close { clean, reply }),
            Some(Item::Commit(_) | Item::Meta { .. }) => unreachable!("counted above"),
            None => self.abandoned.then_some(Event::Abandoned),
        }
    }
}

/// What the flusher does next.
pub(crate) enum Event {
    /// These go into one append.
    Append(Vec<Item>),
    /// The flush that began at this length of the segment is over.
    Flushed {
        /// Bytes of the segment that it covers.
        covers: u64,
        /// How it ended.
        result: io::Result<()>,
    },
    /// A new segment is wanted.
    Rotate(Reply<()>),
    /// The end is wanted.
    Close { clean: bool, reply: Reply<()> },
    /// Somebody else ended it.
    Poisoned,
    /// Nobody is left to submit anything.
    Abandoned,
}
