//! A flag in a map: enabled as long as an enabling stands that no disabling had seen.
//!
//! It is the add-wins set with one element: enabling leaves a dot in place of those that were seen, disabling removes
//! the dots that it had seen. So enabling wins over a disabling that knew nothing of it. A flag that was disabled is still a
//! field of its map, and shows `false`.

use super::dotted::Dotted;

pub(super) fn is_enabled(enablings: &Dotted<()>) -> bool {
    !enablings.is_empty()
}
