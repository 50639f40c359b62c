//! T24: a request whose time was over when its turn came is not carried out.

use super::Violation;
use ringhold_wire::message::peer::{Refusal, Reply};

/// # Errors
/// If a node did something for somebody who no longer waited.
pub fn check(node: usize, was_late: bool, reply: &Reply) -> Result<(), Violation> {
    if was_late && !matches!(reply, Reply::Refused(Refusal::Expired)) {
        return Err(Violation::new(
            "T24",
            format!("n{node} carried out a request whose time was over"),
        ));
    }
    Ok(())
}
