//! Which message belongs to which protocol (T20).
//!
//! Two ends agree on a protocol in the handshake, the highest that both speak; a release speaks its own and the one before. What a protocol
//! changes about messages is told here and nowhere else, by three rules:
//!
//! - The layout of a kind never changes. Whatever a later protocol says differently has a kind of its own, so bytes mean the same in every
//!   release, and decoding needs to know no protocol.
//! - Each kind has a protocol [`since`](Request::since) which it exists. Nothing is sent to whom it is too new for: such a request is
//!   answered at the sender's end with [`Refusal::OlderProtocol`], such a reply is put [in other words](Reply::in_protocol).
//! - A kind that is left out by the protocol that is the oldest spoken goes.
//!
//! | protocol | new |
//! | --- | --- |
//! | 1 | everything else |
//! | 2 | listings and index queries (`Rows`, `CountKeys` and their replies) and what checks their rows (`CheckRows`); recoveries (`Recover`, `RecoveryIs` and their replies); heartbeats that bring the ring's epoch (`Here` in place of `Pong`); the refusal of a node that sorts its keys by their N; updates of data types; the ring for native clients (`ClientRing` and its reply); puts that ask for one flush |

use super::peer::{ClientPut, Refusal, Reply, Request};
use super::{Change, Flush};

impl Request {
    /// The first protocol that has it.
    #[must_use]
    pub fn since(&self) -> u16 {
        match self {
            Self::Recover(_)
            | Self::RecoveryIs(_)
            | Self::Rows(_)
            | Self::CountKeys(_)
            | Self::CheckRows(_)
            | Self::Follow(_)
            | Self::ClientRing(_) => 2,
            Self::Coordinate(put) | Self::Put(ClientPut { request: put, .. })
                if matches!(put.change, Change::Update(_)) || put.options.flush == Flush::One =>
            {
                2
            }
            _ => 1,
        }
    }
}

impl Reply {
    /// The first protocol that has it.
    #[must_use]
    pub fn since(&self) -> u16 {
        match self {
            Self::Here { .. }
            | Self::Pledged(_)
            | Self::RecoveryAccepted(_)
            | Self::Rows(_)
            | Self::CountedKeys(_)
            | Self::CheckedRows(_)
            | Self::ClientRing(_)
            | Self::Refused(Refusal::OlderProtocol | Refusal::OtherBase | Refusal::Sorting) => 2,
            _ => 1,
        }
    }

    /// The same in the words of a protocol.
    #[must_use]
    pub fn in_protocol(self, protocol: u16) -> Self {
        if self.since() <= protocol {
            return self;
        }
        match self {
            Self::Here { reported, .. } => Self::Pong(reported),
            // The answer to what can't have been asked.
            _ => Self::Refused(Refusal::Malformed),
        }
    }
}
