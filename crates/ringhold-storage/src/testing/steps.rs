//! Counting the effects on disk, and stopping at one of them.
//!
//! Each effect has two steps, one before it and one after it, so that a test which stops at every
//! number once has seen every effect both not happen, and happen without anybody being told.

use std::sync::{Arc, Mutex, MutexGuard};

/// A counter shared by the parts of one machine. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Steps {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    taken: u64,
    stop_at: Option<u64>,
}

impl Steps {
    /// Lets `steps` more steps happen, then none.
    pub fn stop_after(&self, steps: u64) {
        let mut state = self.lock();
        state.stop_at = Some(state.taken + steps);
    }

    /// Runs again.
    pub fn resume(&self) {
        self.lock().stop_at = None;
    }

    /// Steps taken so far.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.lock().taken
    }

    /// Whether the machine stands still.
    #[must_use]
    pub fn stopped(&self) -> bool {
        let state = self.lock();
        state.stop_at.is_some_and(|stop_at| state.taken >= stop_at)
    }

    /// Takes a step, unless the machine stands still.
    pub(crate) fn take(&self) -> Result<(), ()> {
        let mut state = self.lock();
        if state.stop_at.is_some_and(|stop_at| state.taken >= stop_at) {
            return Err(());
        }
        state.taken += 1;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}
