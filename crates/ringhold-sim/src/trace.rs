//! One aligned line an event, for whoever asks to see a run.
//!
//! ```text
//!     3.041277 s  n2     flush        segment 4 to 3871 bytes
//! ```
//!
//! When, who, what, and the particulars. A trace costs nothing where nobody listens: the particulars are put
//! into words only then. What makes two runs comparable is not these lines but the executor's hash.

use crate::executor::Executor;
use std::fmt;
use std::sync::{Arc, Mutex};

/// Who an event happened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    World,
    /// A node, by its number.
    Node(usize),
    /// A client, by its number.
    Client(usize),
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::World => "world".to_owned(),
            Self::Node(number) => format!("n{number}"),
            Self::Client(number) => format!("c{number}"),
        };
        f.pad(&name)
    }
}

/// Takes one line.
pub type Listener = Box<dyn FnMut(&str) + Send>;

/// See the module. Clones are the same trace.
#[derive(Clone)]
pub struct Trace {
    executor: Executor,
    listener: Option<Arc<Mutex<Listener>>>,
}

impl Trace {
    #[must_use]
    pub fn new(executor: Executor, listener: Option<Listener>) -> Self {
        Self {
            executor,
            listener: listener.map(|listener| Arc::new(Mutex::new(listener))),
        }
    }

    /// Says that something happened.
    pub fn event(&self, who: Who, what: &str, particulars: impl FnOnce() -> String) {
        let Some(listener) = &self.listener else {
            return;
        };
        let now_us = self.executor.now_us();
        let (s, us) = (now_us / 1_000_000, now_us % 1_000_000);
        let mut listener = listener.lock().expect("no listener panics");
        for words in particulars().lines() {
            listener(&format!("{s:>5}.{us:06} s  {who:<5}  {what:<11}  {words}"));
        }
    }
}
