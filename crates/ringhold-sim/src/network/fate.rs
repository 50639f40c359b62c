//! Which way a frame goes, and what happens to it there.

use bytes::Bytes;

/// With a link's caller, or against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    There,
    Back,
}

impl Direction {
    pub(super) fn ends(self, from: usize, to: usize) -> (usize, usize) {
        match self {
            Self::There => (from, to),
            Self::Back => (to, from),
        }
    }
}

/// What happens to a frame on its way.
#[derive(Clone, Copy, Debug)]
pub(super) enum Damage {
    /// One bit of one byte is wrong.
    Flip(usize, usize),
    /// The connection ends before this byte.
    Cut(usize),
}

impl Damage {
    /// The same in a message of so many bytes.
    pub(super) fn within(self, length: usize) -> Self {
        match self {
            Self::Flip(at, bit) => Self::Flip(at % length, bit),
            Self::Cut(at) => Self::Cut(at % length),
        }
    }

    pub(super) fn applied_to(self, bytes: &Bytes) -> Bytes {
        match self {
            Self::Flip(at, bit) => {
                let mut damaged = bytes.to_vec();
                damaged[at] ^= 1 << bit;
                damaged.into()
            }
            Self::Cut(at) => bytes.slice(..at),
        }
    }
}
