//! Asking several nodes at once and taking their replies as they come.
//!
//! A coordinator asks, then reads replies in a plain loop until its tally is settled. It may ask more
//! nodes on the way, wait only for a while (for a hedge), and move the rest into a task of its own when
//! the client has its answer. No policy here: who is asked and when enough is enough is the caller's.
//!
//! The calls are polled in the order in which they were asked, so with a deterministic environment the
//! whole is deterministic. There are at most a handful of them, which is why there is no task for each.

use crate::env::{BoxFuture, Deadline, Environment};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Calls on their way, each with what the caller wants to know when its reply comes.
pub(crate) struct Gather<Tag, Reply> {
    environment: Arc<dyn Environment>,
    calls: Vec<(Tag, BoxFuture<'static, Reply>)>,
    deadline: Deadline,
    expiry: Option<BoxFuture<'static, ()>>,
}

/// What waiting for the next reply came to.
pub(crate) enum Arrival<Tag, Reply> {
    Reply(Tag, Reply),
    /// The pause that the caller allowed has passed in silence; calls are still on their way.
    Silence,
    /// All calls have replied, or the deadline has passed.
    Nothing,
}

impl<Tag, Reply> Gather<Tag, Reply> {
    pub(crate) fn until(environment: Arc<dyn Environment>, deadline: Deadline) -> Self {
        Self {
            environment,
            calls: Vec::new(),
            deadline,
            expiry: None,
        }
    }

    pub(crate) fn ask(&mut self, tag: Tag, call: BoxFuture<'static, Reply>) {
        self.calls.push((tag, call));
    }

    /// Those who have not replied.
    pub(crate) fn outstanding(&self) -> impl Iterator<Item = &Tag> {
        self.calls.iter().map(|(tag, _)| tag)
    }

    /// The next reply, however long it takes until the deadline.
    pub(crate) async fn next(&mut self) -> Option<(Tag, Reply)> {
        match self.next_within(None).await {
            Arrival::Reply(tag, reply) => Some((tag, reply)),
            Arrival::Silence | Arrival::Nothing => None,
        }
    }

    /// The next reply, or word that `pause_us` microseconds have passed without one.
    pub(crate) async fn next_within(&mut self, pause_us: Option<u64>) -> Arrival<Tag, Reply> {
        if self.calls.is_empty() {
            return Arrival::Nothing;
        }
        let mut pause = pause_us.map(|us| {
            self.environment
                .sleep_until(self.environment.now_us().saturating_add(us))
        });
        poll_fn(|context| self.poll(&mut pause, context)).await
    }

    fn poll(
        &mut self,
        pause: &mut Option<BoxFuture<'static, ()>>,
        context: &mut Context<'_>,
    ) -> Poll<Arrival<Tag, Reply>> {
        for at in 0..self.calls.len() {
            if let Poll::Ready(reply) = self.calls[at].1.as_mut().poll(context) {
                let (tag, _) = self.calls.remove(at);
                return Poll::Ready(Arrival::Reply(tag, reply));
            }
        }
        let expiry = self
            .expiry
            .get_or_insert_with(|| self.environment.sleep_until(self.deadline.at_us));
        if expiry.as_mut().poll(context).is_ready() {
            return Poll::Ready(Arrival::Nothing);
        }
        match pause.as_mut().map(|pause| pause.as_mut().poll(context)) {
            Some(Poll::Ready(())) => Poll::Ready(Arrival::Silence),
            Some(Poll::Pending) | None => Poll::Pending,
        }
    }
}

/// Lets other tasks have their turn.
pub(crate) async fn breath() {
    let mut stepped_back = false;
    poll_fn(|context| {
        if stepped_back {
            return Poll::Ready(());
        }
        stepped_back = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Waits for something, at most until the deadline.
pub(crate) async fn until<T>(
    environment: &dyn Environment,
    deadline: Deadline,
    wanted: impl Future<Output = T> + Send,
) -> Option<T> {
    let mut expiry = environment.sleep_until(deadline.at_us);
    let mut wanted = std::pin::pin!(wanted);
    poll_fn(|context| match wanted.as_mut().poll(context) {
        Poll::Ready(found) => Poll::Ready(Some(found)),
        Poll::Pending => expiry.as_mut().poll(context).map(|()| None),
    })
    .await
}
