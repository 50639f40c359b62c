//! What passes before a connection between two nodes stands: the real handshake, message by message, through
//! the real encoder and decoder.
//!
//! The three messages pass at the moment of connecting, in one event: a connection that breaks in the middle of
//! a handshake is one that never stood. Any of them may arrive damaged, and then the keyed hashes or the
//! decoder have to refuse it.

use super::fate::Damage;
use bytes::BytesMut;
use ringhold_core::id::NodeId;
use ringhold_core::secret::handshake_mac;
use ringhold_wire::handshake::{
    Dialer, Handshake, Hello, Mac, NodeCard, Nonce, ProtocolRange, Standing, answer, confirm,
    verify,
};

/// Who meets whom.
pub(super) struct Meeting<'a> {
    pub(super) dialer: &'a NodeCard,
    /// The node that it expects at this address.
    pub(super) wanted: NodeId,
    pub(super) listener: &'a NodeCard,
    /// What each of the two speaks.
    pub(super) protocols: [ProtocolRange; 2],
    pub(super) members: &'a [NodeId],
    pub(super) nonces: [Nonce; 2],
    /// Which of the three messages is damaged, and how.
    pub(super) damage: Option<(usize, Damage)>,
}

impl Meeting<'_> {
    /// Whether a connection comes of it; why not, in words.
    pub(super) fn succeeds(&self) -> Result<(), String> {
        let words = |error: &dyn std::fmt::Display| error.to_string();
        let secret = |message: &[u8]| -> Mac { handshake_mac(&crate::cluster::SECRET, message) };
        let hello = Hello {
            protocols: self.protocols[0],
            nonce: self.nonces[0],
            dialer: Dialer::Node {
                card: self.dialer.clone(),
                wanted: Some(self.wanted),
            },
            extensions: bytes::Bytes::new(),
        };
        let Handshake::Hello(heard) = self.passes(0, &Handshake::Hello(hello.clone()))? else {
            return Err("another message than the first".to_owned());
        };
        let standing_of = |node: NodeId| {
            if self.members.contains(&node) {
                Standing::Member
            } else {
                Standing::Unknown
            }
        };
        let welcome = answer(
            self.listener,
            self.protocols[1],
            standing_of,
            &heard,
            self.nonces[1],
            &secret,
        )
        .map_err(|reason| words(&reason))?;
        let Handshake::Welcome(welcomed) = self.passes(1, &Handshake::Welcome(welcome.clone()))?
        else {
            return Err("another message than the second".to_owned());
        };
        let confirmed = confirm(&hello, &welcomed, &secret)
            .map_err(|reason| words(&reason))?
            .ok_or("a node confirms")?;
        let Handshake::Confirm(confirmed) = self.passes(2, &Handshake::Confirm(confirmed))? else {
            return Err("another message than the third".to_owned());
        };
        verify(&heard, &welcome, &confirmed, &secret).map_err(|reason| words(&reason))
    }

    /// A message as it arrives.
    fn passes(&self, number: usize, message: &Handshake) -> Result<Handshake, String> {
        let mut bytes = BytesMut::new();
        message.encode(&mut bytes);
        let mut bytes = bytes.freeze();
        if let Some((damaged, damage)) = self.damage
            && damaged == number
        {
            bytes = damage.within(bytes.len()).applied_to(&bytes);
        }
        Handshake::decode(bytes).map_err(|error| error.to_string())
    }
}
