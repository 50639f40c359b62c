//! Nodes talking to nodes, and native clients to nodes, over TCP.
//!
//! Each node dials every other member and sends its requests on that one connection; replies come back
//! on it, in whatever order they are ready. The other node's requests arrive on the connection that it
//! dialled. A member is connected while the connection that this node dialled stands: the member accepts, shakes hands, and
//! is not silent for long. How requests fare on it is kept by the node (`ringhold_node::peer_health`).
//!
//! | module | |
//! | --- | --- |
//! | [`link`] | what callers share with the connection to one member: waiting calls, the last sign of life |
//! | [`links`] | the links to all members, which follow the ring document |
//! | [`dial`] | keeps one connection to one member alive |
//! | [`accept`] | serves the requests of whoever connects |
//! | [`greet`] | who connects: TLS, and the listener's part of the handshake |
//! | [`enrol`] | what a new node asks, and a member answers |
//! | [`tls`], [`authority`] | encryption between nodes, and the certificates for it |
//! | [`seek`] | members that are not where they were, found at the addresses of seeds |
//! | [`stream`] | frames on a stream |

mod accept;
mod authority;
mod dial;
mod enrol;
mod greet;
mod link;
mod links;
#[cfg(test)]
mod meeting;
mod seek;
mod stream;
mod tls;

pub(crate) use accept::{Serving, serve};
pub(crate) use authority::{Authority, Identity};
pub(crate) use enrol::{NotEnrolled, ask as ask_to_join, enrolment};
pub(crate) use greet::Door;
pub(crate) use links::{Dialler, Links};
pub(crate) use seek::seek;
pub(crate) use tls::{DialingTls, PeerTls};

use ringhold_core::secret::handshake_mac;
use ringhold_wire::handshake::{Mac, Nonce};

/// Fresh random bytes for one handshake.
fn nonce() -> Nonce {
    let mut nonce = [0; 32];
    getrandom::fill(&mut nonce).expect("the operating system has randomness once it has booted");
    nonce
}

/// The keyed hash with which members prove themselves.
fn mac_with(secret: &[u8; 32]) -> impl Fn(&[u8]) -> Mac {
    let secret = *secret;
    move |message| handshake_mac(&secret, message)
}
