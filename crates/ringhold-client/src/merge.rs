//! Siblings into one value: what only the application knows (§4.4).
//!
//! A merge has to give the same whatever the order in which it is told, and however often it is told the same: siblings come
//! as the network brought them, and some come twice. The union of two carts does, the sum of two counts does not
//! (that is what data types are for).

/// Makes one value of siblings. A closure over them is one.
pub trait Merge<T> {
    /// There is at least one; those that were written earlier, by their coordinators' clocks, come first.
    fn merge(&self, siblings: Vec<T>) -> T;
}

impl<T, F: Fn(Vec<T>) -> T> Merge<T> for F {
    fn merge(&self, siblings: Vec<T>) -> T {
        self(siblings)
    }
}

/// The sibling that was written last, by its coordinator's clock. The others are lost: for values of which only the latest counts.
#[derive(Debug, Clone, Copy, Default)]
pub struct Latest;

impl<T> Merge<T> for Latest {
    fn merge(&self, mut siblings: Vec<T>) -> T {
        siblings.pop().expect("a merge has a sibling at least")
    }
}
