//! The short names of versions: one for each sibling, one for a whole set of siblings; and names for keys that nobody has named.
//!
//! A vtag is base 62 of a 128-bit hash of the version's dot. A dot names one write for ever, so a vtag does
//! too, on every node, and unlike a dot it tells a client nothing of the cluster. The entity tag of an
//! answer is the vtag where one version is shown, and the hash of the object's context where several
//! are: either changes with every write that changes what is shown.

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
pub(crate) fn siblings_tag(context: &Context) -> String {
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

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A number in base 62.
fn base62(number: u128) -> String {
    let mut digits = Vec::new();
    let mut rest = number;
    loop {
        let digit = usize::try_from(rest % 62).expect("below 62");
        digits.push(char::from(DIGITS[digit]));
        rest /= 62;
        if rest == 0 {
            return digits.iter().rev().collect();
        }
    }
}

/// 27 characters out of 256 random bits: what Riak calls a key when nobody else does.
pub(crate) fn random_name(bits: [u128; 2]) -> String {
    let tail = |number: u128, length: usize| {
        let text = format!("{:0>22}", base62(number));
        text[text.len() - length..].to_owned()
    };
    tail(bits[0], 14) + &tail(bits[1], 13)
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

    #[test]
    fn base_62() {
        for (number, text) in [
            (0, "0"),
            (61, "z"),
            (62, "10"),
            (u128::MAX, "7n42DGM5Tflk9n8mt7Fhc7"),
        ] {
            assert_eq!(base62(number), text);
        }
    }

    #[test]
    fn random_names_have_one_length() {
        for bits in [[0, 0], [u128::MAX, 1], [u128::MAX, u128::MAX]] {
            assert_eq!(random_name(bits).len(), 27);
        }
        assert_ne!(random_name([1, 2]), random_name([1, 3]));
    }
}
