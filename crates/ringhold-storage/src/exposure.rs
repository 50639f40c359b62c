//! What others have been told of ahead of its commit.
//!
//! A coordinator sends a write while its own commit is under way. If that commit never comes to be, a dot is known elsewhere that this store has
//! forgotten, and it must not be made again (T2). After a crash it is not: the store goes on under another name. After a clean close the store
//! keeps its name, so a close is only clean where nothing is open here. And once the log takes nothing more, closed or failed, nothing is
//! told of any more: it would be decided over what the store still shows, and get a dot that was told of before.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Set once the log has ended; the bits below count batches.
const CLOSED: usize = 1 << (usize::BITS - 1);

/// The batches that have been told of and are not committed. Those of a failed commit stay.
#[derive(Debug, Default)]
pub(crate) struct Exposures(AtomicUsize);

impl Exposures {
    /// One batch more; not where the log has ended, since that one could never be committed.
    pub(crate) fn expose(&self) -> bool {
        let one_more = |count| (count & CLOSED == 0).then_some(count + 1);
        let counted = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more);
        counted.is_ok()
    }

    /// A batch is committed.
    pub(crate) fn settle(&self) {
        let before = self.0.fetch_sub(1, Ordering::AcqRel);
        assert!(before & !CLOSED > 0, "a batch is exposed before it settles");
    }

    /// Nothing is exposed from now on. Answers whether nothing is.
    pub(crate) fn close(&self) -> bool {
        let before = self.0.fetch_or(CLOSED, Ordering::AcqRel);
        before & !CLOSED == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_is_clean_when_all_that_was_exposed_has_settled() {
        let exposures = Exposures::default();
        assert!(exposures.expose() && exposures.expose());
        exposures.settle();
        exposures.settle();
        assert!(exposures.close());
        assert!(!exposures.expose(), "nothing can be committed any more");
    }

    #[test]
    fn what_is_not_committed_at_the_close_makes_it_unclean() {
        let exposures = Exposures::default();
        assert!(exposures.expose());
        assert!(!exposures.close());
        exposures.settle();
        assert!(!exposures.expose());
    }
}
