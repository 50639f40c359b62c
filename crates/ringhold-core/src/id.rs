//! Identities: 128 random bits each, drawn by whoever creates the thing.
//!
//! An address is only where a node is reached; an identity is who it is. The same address with
//! another identity is a stranger.

use std::fmt;
use std::str::FromStr;

/// A text that is not 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseIdError;

impl fmt::Display for ParseIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an identity is 32 hexadecimal digits")
    }
}

impl std::error::Error for ParseIdError {}

macro_rules! identity {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u128);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:08x}…)"), self.0 >> 96)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let hexadecimal = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
                if !hexadecimal {
                    return Err(ParseIdError);
                }
                u128::from_str_radix(text, 16).map(Self).map_err(|_| ParseIdError)
            }
        }
    };
}

identity! {
    /// A cluster, from its founding on. In every handshake.
    ClusterId
}
identity! {
    /// A node: a server process with an identity, kept in its data directory.
    NodeId
}
identity! {
    /// One life of a node's storage; a new one whenever the store's history is in doubt.
    Incarnation
}
identity! {
    /// One write as the client meant it, however often it is retried.
    OperationId
}
identity! {
    /// One start of a node's process.
    BootId
}
identity! {
    /// A token for joining; no secret without its keyed hash.
    TokenId
}
