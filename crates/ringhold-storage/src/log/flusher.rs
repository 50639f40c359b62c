//! The flusher: group commit.
//!
//! All writers submit to one queue, and one future, the flusher, does everything that touches the
//! current segment. While a flush is in flight the next batch accumulates; then one append and one flush
//! serve all that waits. A commit is acknowledged when a flush that *began after its append was
//! complete* has succeeded (T21), and only then published into the buffer, so nobody but its writer
//! sees a record that a crash could take back.
//!
//! The exception is the dial of §6.1: a *buffered* commit is published and acknowledged after its
//! append, and does not wait behind a flush that is under way; its own flush starts as soon as that
//! one is done. A crash may take it back, which is one reason why a store that was not closed
//! goes on under another name.
//!
//! Because the flusher publishes, in the order of the log, a writer's commit may be dropped halfway
//! (a task that is cancelled) without log and buffer ever telling different stories. And because it
//! also starts new segments, all groups freeze at one exact point of the log, with nobody to ask.
//!
//! Any failed append or flush poisons the log: every waiter is told, nothing is tried again on that
//! file, and only a reopening, which reads back what is there, finds out what came through. The host
//! spawns the flusher; dropping it poisons too, so no waiter is left hanging.

#[cfg(feature = "known-bad")]
use crate::known_bad::{self, Variant};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::open_segment::OpenSegment;
use super::queue::{Commit, CommitLog, Event, Item, Reply, answer};
use crate::BoxFuture;
use crate::buffer::{Buffers, Effect};
use crate::checkpoint::Checkpoints;
use crate::error::{Poisoned, PoisonedStep};
use crate::files::Files;
use crate::meta::{MetaChange, StoreMeta};
use crate::writer::{Committed, Durability};

/// Appended, and not yet flushed.
struct Waiting {
    /// The segment's length after the append.
    end: u64,
    then: Then,
}

enum Then {
    Publish {
        group: usize,
        effect: Option<Effect>,
        committed: Committed,
        reply: Reply<Committed>,
    },
    Meta(Reply<()>),
}

struct FlushInFlight {
    done: BoxFuture<'static, io::Result<()>>,
    /// The segment's length when it began.
    covers: u64,
}

/// The state behind the [`Flusher`].
pub(crate) struct Service {
    pub(crate) log: Arc<CommitLog>,
    pub(crate) files: Arc<dyn Files>,
    pub(crate) buffers: Arc<Buffers>,
    pub(crate) checkpoints: Arc<Checkpoints>,
    pub(crate) segment: OpenSegment,
    pub(crate) meta: StoreMeta,
}

struct Running {
    service: Service,
    waiting: VecDeque<Waiting>,
    flush: Option<FlushInFlight>,
}

/// The future that serves the commit log. The host spawns it and leaves it alone; it ends when the
/// store is closed, poisoned or gone. Dropping it poisons the store.
#[must_use = "nothing is committed unless the flusher runs"]
pub struct Flusher {
    running: BoxFuture<'static, ()>,
    log: Arc<CommitLog>,
}

impl Flusher {
    pub(crate) fn new(service: Service) -> Self {
        let log = Arc::clone(&service.log);
        let running = Running {
            service,
            waiting: VecDeque::new(),
            flush: None,
        };
        Self {
            running: Box::pin(running.run()),
            log,
        }
    }
}

impl Future for Flusher {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.running.as_mut().poll(context)
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.log.poison(Poisoned::ended());
    }
}

impl Running {
    async fn run(mut self) {
        let poisoned = match self.serve().await {
            Ok(()) => Poisoned::closed(),
            Err(poisoned) => poisoned,
        };
        self.service.log.poison(poisoned);
        let first = self.service.log.ended();
        for waiting in self.waiting {
            match waiting.then {
                Then::Publish { reply, .. } => answer(reply, Err(first)),
                Then::Meta(reply) => answer(reply, Err(first)),
            }
        }
    }

    /// Until the store is closed or gone.
    async fn serve(&mut self) -> Result<(), Poisoned> {
        loop {
            match poll_fn(|context| self.poll_event(context)).await {
                Event::Append(items) => self.append(items).await?,
                Event::Flushed { covers, result } => self.flushed(covers, result)?,
                Event::Rotate(reply) => self.rotate(reply).await?,
                Event::Close { clean, reply } => return self.close(clean, reply).await,
                Event::Poisoned => return Err(self.service.log.ended()),
                Event::Abandoned => return Ok(()),
            }
            let segment = &self.service.segment;
            if self.flush.is_none() && !segment.is_flushed() {
                let done = self.service.files.flush(segment.sequence());
                self.flush = Some(FlushInFlight {
                    done,
                    covers: segment.length(),
                });
            }
        }
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        if let Some(flush) = &mut self.flush
            && let Poll::Ready(result) = flush.done.as_mut().poll(context)
        {
            let covers = flush.covers;
            self.flush = None;
            return Poll::Ready(Event::Flushed { covers, result });
        }
        match self.service.log.take(self.flush.is_some(), context) {
            Some(event) => Poll::Ready(event),
            None => Poll::Pending,
        }
    }

    async fn append(&mut self, items: Vec<Item>) -> Result<(), Poisoned> {
        let alone = self.flush.is_none() && !items.iter().any(Item::is_buffered);
        let (parts, made) = self.assemble(items);
        if let Some(parts) = parts {
            self.service.log.counters.appended(made.len());
            let (files, segment) = (&self.service.files, &self.service.segment);
            if alone {
                let done = files.append_flushed(segment.sequence(), parts);
                self.flush = Some(FlushInFlight {
                    done,
                    covers: segment.length(),
                });
            } else if let Err(error) = files.append(segment.sequence(), parts).await {
                // What was to be told on success is told of the failure.
                self.waiting
                    .extend(made.into_iter().map(|(then, _)| Waiting {
                        end: u64::MAX,
                        then,
                    }));
                return Err(Poisoned::at(PoisonedStep::Append, &error));
            }
        }
        let end = self.service.segment.length();
        for (then, durability) in made {
            #[cfg(feature = "known-bad")]
            let durability = if known_bad::is(Variant::AcknowledgesBeforeFlush) {
                Durability::Buffered
            } else {
                durability
            };
            if durability == Durability::Buffered || self.service.segment.is_flushed() {
                self.complete(then);
            } else {
                self.waiting.push_back(Waiting { end, then });
            }
        }
        Ok(())
    }

    /// The parts to append, if there are any records, and what is to happen when they are safe.
    fn assemble(&mut self, items: Vec<Item>) -> (Option<Vec<Bytes>>, Vec<(Then, Durability)>) {
        let service = &mut self.service;
        let segment = service.segment.sequence();
        let mut append = service.segment.start_append();
        let mut made = Vec::with_capacity(items.len());
        for item in items {
            match item {
                Item::Commit(Commit {
                    group,
                    record,
                    durability,
                    reply,
                }) => {
                    let committed = Committed {
                        segment,
                        number: append.next_number(),
                    };
                    let effect = record.map(|record| {
                        append.record(record.header, record.body);
                        record.effect
                    });
                    made.push((
                        Then::Publish {
                            group,
                            effect,
                            committed,
                            reply,
                        },
                        durability,
                    ));
                }
                Item::Meta { change, reply } => {
                    service.meta.change(change);
                    append.meta(&service.meta);
                    made.push((Then::Meta(reply), Durability::Flushed));
                }
                Item::Rotate { .. } | Item::Close { .. } => unreachable!("they join no append"),
            }
        }
        let parts = (!append.is_empty()).then(|| service.segment.finish_append(append));
        (parts, made)
    }

    fn flushed(&mut self, covers: u64, result: io::Result<()>) -> Result<(), Poisoned> {
        #[cfg(feature = "known-bad")]
        let result = if known_bad::is(Variant::FlushErrorIgnored) {
            Ok(())
        } else {
            result
        };
        result.map_err(|error| Poisoned::at(PoisonedStep::Flush, &error))?;
        self.service.segment.note_flush(covers);
        self.service
            .log
            .counters
            .flushed(self.service.segment.length());
        while let Some(waiting) = self.waiting.pop_front_if(|waiting| waiting.end <= covers) {
            self.complete(waiting.then);
        }
        Ok(())
    }

    /// It is as safe as it was asked to be: let it be seen, and say so.
    fn complete(&self, then: Then) {
        match then {
            Then::Publish {
                group,
                effect,
                committed,
                reply,
            } => {
                if let Some(effect) = effect {
                    let writes = effect.writes.entries.len() + effect.writes.ranges.len();
                    self.service.log.counters.committed(writes);
                    self.service.buffers.publish(group, effect);
                }
                answer(reply, Ok(committed));
            }
            Then::Meta(reply) => answer(reply, Ok(())),
        }
    }

    /// Starts a new segment. All earlier records are flushed and published, so what the groups hold
    /// now is exactly what the older segments say.
    async fn rotate(&mut self, reply: Reply<()>) -> Result<(), Poisoned> {
        let service = &mut self.service;
        assert!(
            service.segment.is_flushed() && self.waiting.is_empty(),
            "a rotation comes alone"
        );
        let sequence = service.segment.sequence() + 1;
        let previous_end = service.segment.length();
        let created = OpenSegment::create(
            &*service.files,
            &service.meta,
            sequence,
            previous_end,
            Vec::new(),
        );
        match created.await {
            Ok(segment) => service.segment = segment,
            Err(error) => {
                let poisoned = Poisoned::at(PoisonedStep::Rotate, &error);
                answer(reply, Err(poisoned));
                return Err(poisoned);
            }
        }
        service.buffers.freeze();
        service.checkpoints.rotated(sequence, &service.meta);
        service.log.counters.flushed(service.segment.length());
        answer(reply, Ok(()));
        Ok(())
    }

    /// Everything is flushed; that the end is clean is said last. The record is written in any case: it proves that what is before it had
    /// been flushed, so that later damage there is not taken for a torn tail.
    async fn close(&mut self, clean: bool, reply: Reply<()>) -> Result<(), Poisoned> {
        let service = &mut self.service;
        assert!(
            service.segment.is_flushed() && self.waiting.is_empty(),
            "a close comes alone"
        );
        if clean {
            service.meta.change(MetaChange::CloseCleanly);
        }
        let mut append = service.segment.start_append();
        append.meta(&service.meta);
        let parts = service.segment.finish_append(append);
        let done = service
            .files
            .append_flushed(service.segment.sequence(), parts)
            .await;
        if let Err(error) = done {
            let poisoned = Poisoned::at(PoisonedStep::Flush, &error);
            answer(reply, Err(poisoned));
            return Err(poisoned);
        }
        service.log.poison(Poisoned::closed());
        answer(reply, Ok(()));
        Ok(())
    }
}
