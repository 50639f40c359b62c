//! The encodings of the handshake's messages, which never change.

use super::join::{
    join_refused_code, read_enrolled, read_join_refused, read_joiner, write_enrolled, write_joiner,
};
use super::{
    Confirm, Dialer, EXTENSIONS_BYTES_MAX, Handshake, Hello, MAGIC, NAME_BYTES_MAX, NodeCard,
    ProtocolRange, TurnedAway, Welcome,
};
use crate::bytes_io::{DecodeError, Reader, Writer, decode_whole};
use bytes::{Bytes, BytesMut};
use ringhold_core::id::{BootId, ClusterId, Incarnation, NodeId};

const STEP_HELLO: u8 = 1;
const STEP_WELCOME: u8 = 2;
const STEP_TURNED_AWAY: u8 = 3;
const STEP_CONFIRM: u8 = 4;
const STEP_ENROLLED: u8 = 5;

const DIALER_NODE: u8 = 1;
const DIALER_CLIENT: u8 = 2;
const DIALER_JOINER: u8 = 3;

impl Handshake {
    /// Puts the encoding at the end of `out`.
    ///
    /// # Panics
    /// If a name or the extensions are longer than they may be.
    pub fn encode(&self, out: &mut BytesMut) {
        let mut writer = Writer::new(out);
        writer.raw(&MAGIC);
        match self {
            Self::Hello(hello) => write_hello(&mut writer, hello),
            Self::Welcome(welcome) => write_welcome(&mut writer, welcome),
            Self::TurnedAway(reason) => write_turned_away(&mut writer, *reason),
            Self::Confirm(Confirm { mac }) => {
                writer.u8(STEP_CONFIRM);
                writer.raw(mac);
            }
            Self::Enrolled(enrolled) => {
                writer.u8(STEP_ENROLLED);
                write_enrolled(&mut writer, enrolled);
            }
        }
    }

    /// # Errors
    /// If the bytes are no message of a handshake. Whoever sent them speaks something else.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        decode_whole("handshake", bytes, read)
    }
}

fn read(reader: &mut Reader) -> Result<Handshake, DecodeError> {
    if reader.array("magic")? != MAGIC {
        return Err(DecodeError::Malformed {
            what: "magic",
            offset: 0,
        });
    }
    Ok(match reader.u8("handshake step")? {
        STEP_HELLO => Handshake::Hello(read_hello(reader)?),
        STEP_WELCOME => Handshake::Welcome(read_welcome(reader)?),
        STEP_TURNED_AWAY => Handshake::TurnedAway(read_turned_away(reader)?),
        STEP_CONFIRM => Handshake::Confirm(Confirm {
            mac: reader.array("mac")?,
        }),
        STEP_ENROLLED => Handshake::Enrolled(read_enrolled(reader)?),
        code => return Err(reader.unknown_code("handshake step", code)),
    })
}

fn write_hello(writer: &mut Writer<'_>, hello: &Hello) {
    writer.u8(STEP_HELLO);
    write_range(writer, hello.protocols);
    writer.raw(&hello.nonce);
    match &hello.dialer {
        Dialer::Node { card, wanted } => {
            writer.u8(DIALER_NODE);
            write_card(writer, card);
            writer.option(*wanted, |writer, node| writer.u128(node.0));
        }
        Dialer::Client { cluster, name } => {
            writer.u8(DIALER_CLIENT);
            writer.option(*cluster, |writer, cluster| writer.u128(cluster.0));
            writer.bytes_within("name", name, NAME_BYTES_MAX);
        }
        Dialer::Joiner(joiner) => {
            writer.u8(DIALER_JOINER);
            write_joiner(writer, joiner);
        }
    }
    writer.bytes_within("extensions", &hello.extensions, EXTENSIONS_BYTES_MAX);
}

fn read_hello(reader: &mut Reader) -> Result<Hello, DecodeError> {
    Ok(Hello {
        protocols: read_range(reader)?,
        nonce: reader.array("nonce")?,
        dialer: read_dialer(reader)?,
        extensions: reader.bytes("extensions", EXTENSIONS_BYTES_MAX)?,
    })
}

fn read_dialer(reader: &mut Reader) -> Result<Dialer, DecodeError> {
    match reader.u8("dialer")? {
        DIALER_NODE => {
            let card = read_card(reader)?;
            let wanted = reader.option("wanted node", |reader| reader.u128("node id"))?;
            Ok(Dialer::Node {
                card,
                wanted: wanted.map(NodeId),
            })
        }
        DIALER_CLIENT => {
            let cluster = reader.option("wanted cluster", |reader| reader.u128("cluster id"))?;
            let name = reader.bytes("name", NAME_BYTES_MAX)?;
            Ok(Dialer::Client {
                cluster: cluster.map(ClusterId),
                name,
            })
        }
        DIALER_JOINER => Ok(Dialer::Joiner(read_joiner(reader)?)),
        code => Err(reader.unknown_code("dialer", code)),
    }
}

fn write_welcome(writer: &mut Writer<'_>, welcome: &Welcome) {
    writer.u8(STEP_WELCOME);
    writer.u16(welcome.protocol);
    write_card(writer, &welcome.card);
    writer.raw(&welcome.nonce);
    writer.option(welcome.mac, |writer, mac| writer.raw(&mac));
    writer.bytes_within("extensions", &welcome.extensions, EXTENSIONS_BYTES_MAX);
}

fn read_welcome(reader: &mut Reader) -> Result<Welcome, DecodeError> {
    Ok(Welcome {
        protocol: reader.u16("protocol")?,
        card: read_card(reader)?,
        nonce: reader.array("nonce")?,
        mac: reader.option("mac", |reader| reader.array("mac"))?,
        extensions: reader.bytes("extensions", EXTENSIONS_BYTES_MAX)?,
    })
}

fn write_turned_away(writer: &mut Writer<'_>, reason: TurnedAway) {
    writer.u8(STEP_TURNED_AWAY);
    match reason {
        TurnedAway::ProtocolUnsupported(range) => {
            writer.u8(1);
            write_range(writer, range);
        }
        TurnedAway::ClusterMismatch => writer.u8(2),
        TurnedAway::SelfConnection => writer.u8(3),
        TurnedAway::IdentityInUse => writer.u8(4),
        TurnedAway::WrongNode { node } => {
            writer.u8(5);
            writer.u128(node.0);
        }
        TurnedAway::UnknownNode => writer.u8(6),
        TurnedAway::RemovedNode { epoch } => {
            writer.u8(7);
            writer.u64(epoch);
        }
        TurnedAway::NotAuthentic => writer.u8(8),
        TurnedAway::RingMismatch { epoch } => {
            writer.u8(9);
            writer.u64(epoch);
        }
        TurnedAway::PeerTls { on } => {
            writer.u8(10);
            writer.flag(on);
        }
        TurnedAway::NoCertificate => writer.u8(11),
        TurnedAway::CertificateMismatch { certified } => {
            writer.u8(12);
            writer.u128(certified.0);
        }
        TurnedAway::JoinRefused(reason) => {
            writer.u8(13);
            writer.u8(join_refused_code(reason));
        }
    }
}

fn read_turned_away(reader: &mut Reader) -> Result<TurnedAway, DecodeError> {
    Ok(match reader.u8("reason")? {
        1 => TurnedAway::ProtocolUnsupported(read_range(reader)?),
        2 => TurnedAway::ClusterMismatch,
        3 => TurnedAway::SelfConnection,
        4 => TurnedAway::IdentityInUse,
        5 => TurnedAway::WrongNode {
            node: NodeId(reader.u128("node id")?),
        },
        6 => TurnedAway::UnknownNode,
        7 => TurnedAway::RemovedNode {
            epoch: reader.u64("epoch")?,
        },
        8 => TurnedAway::NotAuthentic,
        9 => TurnedAway::RingMismatch {
            epoch: reader.u64("epoch")?,
        },
        10 => TurnedAway::PeerTls {
            on: reader.flag("peer tls")?,
        },
        11 => TurnedAway::NoCertificate,
        12 => TurnedAway::CertificateMismatch {
            certified: NodeId(reader.u128("node id")?),
        },
        13 => TurnedAway::JoinRefused(read_join_refused(reader)?),
        code => return Err(reader.unknown_code("reason", code)),
    })
}

fn write_range(writer: &mut Writer<'_>, range: ProtocolRange) {
    writer.u16(range.min);
    writer.u16(range.max);
}

fn read_range(reader: &mut Reader) -> Result<ProtocolRange, DecodeError> {
    Ok(ProtocolRange {
        min: reader.u16("lowest protocol")?,
        max: reader.u16("highest protocol")?,
    })
}

fn write_card(writer: &mut Writer<'_>, card: &NodeCard) {
    writer.u128(card.cluster.0);
    writer.u128(card.node.0);
    writer.u128(card.incarnation.0);
    writer.u128(card.boot.0);
    writer.u64(card.epoch);
    writer.u64(card.placement_number);
    writer.raw(&card.ring);
    writer.bytes_within("name", &card.name, NAME_BYTES_MAX);
}

fn read_card(reader: &mut Reader) -> Result<NodeCard, DecodeError> {
    Ok(NodeCard {
        cluster: ClusterId(reader.u128("cluster id")?),
        node: NodeId(reader.u128("node id")?),
        incarnation: Incarnation(reader.u128("incarnation")?),
        boot: BootId(reader.u128("boot id")?),
        epoch: reader.u64("epoch")?,
        placement_number: reader.u64("placement number")?,
        ring: reader.array("ring hash")?,
        name: reader.bytes("name", NAME_BYTES_MAX)?,
    })
}
