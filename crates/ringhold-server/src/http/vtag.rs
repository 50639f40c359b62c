//! The short names of versions: one for each sibling, one for a whole set of siblings.
//!
//! A vtag is base 62 of a 128-bit hash of the version's dot. A dot names one write for ever, so a vtag does
//! too, on every node, and unlike a dot it tells a client nothing of the cluster. The entity tag of an
//! answer is the vtag where one version is shown, and the hash of the object's context where several
//! are: either changes with every write that changes what is shown.

use super::text::base62;
use ringhold_core::fingerprint::fingerprint;
use ringhold_core::version::{Context, Dot};

/// Keeps these hashes apart from others of the same bytes.
const VTAG_KEY: u128 = u128::from_be_bytes(*b"ringhold vtag v1");
const ETAG_KEY: u128 = u128::from_be_bytes(*b"ringhold etag v1");

pub(crate) fn vtag(dot: Dot) -> String {
    let Dot { actor, counter } = dot;
    let (incarnation, epoch) = (
        actor.incarnation.0.to_be_bytes(),
        actor.epoch.0.to_be_bytes(),
    );
    base62(fingerprint(
        VTAG_KEY,
        &incarnation,
        &epoch,
        &counter.to_be_bytes(),
    ))
}

/// Names a set of siblings by what it has seen.
pub(super) fn siblings_tag(context: &Context) -> String {
    let entries = context.entries().iter().flat_map(|(actor, counter)| {
        let (incarnation, epoch) = (
            actor.incarnation.0.to_be_bytes(),
            actor.epoch.0.to_be_bytes(),
        );
        incarnation
            .into_iter()
            .chain(epoch)
            .chain(counter.to_be_bytes())
    });
    base62(fingerprint(
        ETAG_KEY,
        &entries.collect::<Vec<u8>>(),
        b"",
        b"",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringhold_core::id::Incarnation;
    use ringhold_core::version::{Actor, KeyEpoch};

    #[test]
    fn every_part_of_a_dot_matters() {
        let dot = |incarnation, epoch, counter| {
            let (incarnation, epoch) = (Incarnation(incarnation), KeyEpoch(epoch));
            Dot {
                actor: Actor { incarnation, epoch },
                counter,
            }
        };
        let base = vtag(dot(1, 2, 3));
        assert_eq!(base, vtag(dot(1, 2, 3)));
        assert!((20..=22).contains(&base.len()), "{base}");
        for other in [dot(2, 2, 3), dot(1, 3, 3), dot(1, 2, 4)] {
            assert_ne!(base, vtag(other));
        }
        let mut context = Context::new();
        context.observe(dot(1, 2, 3));
        let before = siblings_tag(&context);
        context.observe(dot(1, 2, 4));
        assert_ne!(before, siblings_tag(&context));
    }
}
