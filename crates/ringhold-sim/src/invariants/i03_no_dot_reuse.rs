//! I3: a dot names one key, one operation and one content over the whole run, on wiped nodes and restored
//! ones too (T2).

use super::Violation;
use crate::dots::Named;

/// The violation that a dot with two names is.
#[must_use]
pub fn reused(before: Named, now: Named) -> Violation {
    let Named {
        dot,
        key,
        operation,
        ..
    } = before;
    let text = format!(
        "dot {dot} named operation {operation} on key {key}, and now names operation {} on key {} ({before:?} / {now:?})",
        now.operation, now.key
    );
    Violation::new("I3", text)
}
