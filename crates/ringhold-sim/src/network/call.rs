//! One request that waits for its reply.

use super::Network;
use crate::executor::Sleep;
use ringhold_node::env::CallError;
use ringhold_wire::message::peer::Reply;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

/// Where the reply is put down.
#[derive(Default)]
pub(crate) struct CallSlot(Mutex<SlotState>);

#[derive(Default)]
struct SlotState {
    outcome: Option<Result<Reply, CallError>>,
    waker: Option<Waker>,
}

impl CallSlot {
    pub(crate) fn complete(&self, outcome: Result<Reply, CallError>) {
        let mut state = self.lock();
        state.outcome.get_or_insert(outcome);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, SlotState> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

/// Waits for the reply, at most until its moment. The request is on its way since before this was made.
pub struct Call {
    network: Network,
    link: (usize, usize),
    id: u64,
    slot: Arc<CallSlot>,
    expiry: Sleep,
}

impl Call {
    pub(crate) fn new(
        network: Network,
        link: (usize, usize),
        id: u64,
        slot: Arc<CallSlot>,
        expiry: Sleep,
    ) -> Self {
        Self {
            network,
            link,
            id,
            slot,
            expiry,
        }
    }
}

impl Future for Call {
    type Output = Result<Reply, CallError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.slot.lock();
        if let Some(outcome) = state.outcome.take() {
            return Poll::Ready(outcome);
        }
        state.waker = Some(context.waker().clone());
        drop(state);
        Pin::new(&mut self.expiry)
            .poll(context)
            .map(|()| Err(CallError::NoAnswer))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.network.forget(self.link, self.id);
    }
}
