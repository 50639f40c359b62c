//! Who has seen what when two states are joined.
//!
//! Each store of dots asks the same two questions of the two contexts: has the other side seen this dot (then its
//! absence there is a removal), and have we (then its absence here is)? The dots that both have seen
//! are worked out once. Of a fresh delta there are none, and then nothing of ours can go and only what the
//! delta holds has to be looked at: that is what makes joining a delta cheap.

use super::causal::CausalContext;

pub(super) struct Meeting<'a> {
    pub(super) ours: &'a CausalContext,
    /// What both have seen: of this, ours go that they do not hold.
    pub(super) common: CausalContext,
}

impl<'a> Meeting<'a> {
    pub(super) fn of(ours: &'a CausalContext, theirs: &CausalContext) -> Self {
        let common = theirs.within(ours);
        Self { ours, common }
    }
}
