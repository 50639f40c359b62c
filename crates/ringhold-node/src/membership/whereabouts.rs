//! Where members are reached now, whatever the ring document says.
//!
//! A node is its identity, and an address only where it is reached (T18). The ring document has the addresses with which a member was
//! founded or has joined; a node that is started with others tells so in gossip, of which it is the only author, and no
//! operator and no majority is needed for it. Everybody else keeps the latest word of each member as a row of its store, so that
//! members find each other after a restart, and dials there from then on.
//!
//! A node that can find nobody, because all have moved, is told of a *seed*: an address where some member is. Who that is says
//! the handshake, which proves it. Then gossip brings the rest.
//!
//! Nothing hangs on an address being true: whoever is dialled has to prove to be the member that is wanted.
//!
//! Invariants: of two words of a member about itself, that of the later start stays; a word about this node is not
//! taken from anybody.
//!
//! Not here: how words spread (`gossiping`), and dialling.

use crate::node::Node;
use crate::replica::writer::Row;
use bytes::Bytes;
use ringhold_core::id::NodeId;
use ringhold_core::ring::{Addresses, Member, Ring};
use ringhold_storage::{Keyspace, ReadError, StorageKey, Store};
use ringhold_wire::bytes_io::{DecodeError, Reader, WITHOUT_LIMIT, decode_whole, encode_alone};
use ringhold_wire::gossiped::{decode_addresses, encode_addresses};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const ROW_VERSION: u8 = 1;

/// What is known of members' addresses beside the ring document.
pub(crate) struct Whereabouts {
    /// Where this node is reached; none if it is where the ring document says.
    own: Option<Addresses>,
    known: Mutex<BTreeMap<NodeId, Known>>,
}

/// A member's word about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    /// Its start, as gossip counts them.
    generation: u64,
    addresses: Addresses,
}

impl Whereabouts {
    /// As the store remembers them.
    pub(crate) fn of(
        store: &Store,
        ring: &Ring,
        own: Option<Addresses>,
    ) -> Result<Self, ReadError> {
        let mut known = BTreeMap::new();
        for member in ring.members() {
            let row = store.get(Keyspace::Members, &row_key(member.id))?;
            // What can't be decoded is heard again.
            if let Some(word) = row.and_then(|row| decode(row).ok()) {
                known.insert(member.id, word);
            }
        }
        Ok(Self {
            own,
            known: Mutex::new(known),
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Node {
    /// Where a member is reached, by its own last word.
    #[must_use]
    pub fn addresses_of(&self, member: &Member) -> Addresses {
        if member.id == self.id {
            let own = self.whereabouts.own.as_ref();
            return own.unwrap_or(&member.addresses).clone();
        }
        let known = self.whereabouts.lock();
        let known = known.get(&member.id);
        known.map_or_else(|| member.addresses.clone(), |known| known.addresses.clone())
    }

    /// The members of a ring with the addresses at which they are reached.
    pub(super) fn where_they_are(&self, ring: &Ring) -> Vec<Member> {
        let members = ring.members().iter();
        let present = members.map(|member| Member {
            addresses: self.addresses_of(member),
            ..member.clone()
        });
        present.collect()
    }

    /// A member has said where it is.
    pub(super) fn heard_where(self: &Arc<Self>, member: NodeId, generation: u64, word: Bytes) {
        let Ok(addresses) = decode_addresses(word) else {
            return;
        };
        let heard = Known {
            generation,
            addresses,
        };
        let ring = self.ring();
        let Some(listed) = ring.member(member).filter(|_| member != self.id) else {
            return;
        };
        let before = {
            let mut known = self.whereabouts.lock();
            let before = known.get(&member).cloned();
            let is_news = match &before {
                None => heard.addresses != listed.addresses,
                Some(before) => before.generation <= generation && *before != heard,
            };
            if !is_news {
                return;
            }
            known.insert(member, heard.clone());
            before
        };
        let addresses = &heard.addresses;
        let was = before.map_or_else(|| listed.addresses.clone(), |before| before.addresses);
        // What only clients are told is no news of the way to it.
        let but_for_pb = Addresses {
            pb: was.pb.clone(),
            ..addresses.clone()
        };
        if was != but_for_pb {
            tracing::info!(%member, name = listed.name, peer = addresses.peer, http = addresses.http, "a member is elsewhere now");
            self.peers.follow(&self.where_they_are(&ring));
        }
        let node = Arc::clone(self);
        self.environment.spawn(Box::pin(async move {
            let row = Row {
                keyspace: Keyspace::Members,
                key: row_key(member),
                value: encode(&heard),
            };
            // What was not kept is heard again.
            node.replica.keep_row(row).await.ok();
        }));
    }

    /// A member has proved to be where an operator said that somebody is. Not kept: it will say so itself.
    pub fn found_at(&self, member: NodeId, peer: &str) {
        let ring = self.ring();
        let Some(listed) = ring.member(member).filter(|_| member != self.id) else {
            return;
        };
        let mut addresses = self.addresses_of(listed);
        if addresses.peer == peer {
            return;
        }
        tracing::info!(%member, name = listed.name, peer, "a member was found at a seed's address");
        peer.clone_into(&mut addresses.peer);
        let mut known = self.whereabouts.lock();
        let generation = known.get(&member).map_or(0, |known| known.generation);
        let found = Known {
            generation,
            addresses,
        };
        known.insert(member, found);
        drop(known);
        self.peers.follow(&self.where_they_are(&ring));
    }
}

/// Behind what is remembered of a member's starts.
fn row_key(member: NodeId) -> StorageKey {
    StorageKey::new(member.0, 4)
}

/// `version u8 │ generation u64 │ the addresses as they are gossiped`
fn encode(known: &Known) -> Bytes {
    encode_alone(128, |writer| {
        writer.u8(ROW_VERSION);
        writer.u64(known.generation);
        writer.bytes(&encode_addresses(&known.addresses));
    })
}

fn decode(row: Bytes) -> Result<Known, DecodeError> {
    decode_whole("whereabouts row", row, |reader: &mut Reader| {
        match reader.u8("whereabouts row")? {
            ROW_VERSION => Ok(Known {
                generation: reader.u64("generation")?,
                addresses: decode_addresses(reader.bytes("addresses", WITHOUT_LIMIT)?)?,
            }),
            version => Err(DecodeError::UnknownVersion {
                what: "whereabouts row",
                version,
            }),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_reads_back() {
        let known = Known {
            generation: 7,
            addresses: Addresses {
                peer: "a:1".to_owned(),
                http: "a:2".to_owned(),
                pb: String::new(),
                native: "a:3".to_owned(),
            },
        };
        let row = encode(&known);
        assert_eq!(decode(row.clone()), Ok(known));
        assert!((0..row.len()).all(|length| decode(row.slice(..length)).is_err()));
    }
}
