//! One fixed value of each kind for the golden files, and strategies for arbitrary ones.

pub(crate) mod gossip;
mod index;
mod membership;
pub(crate) mod messages;
mod reaping;
pub(crate) mod rings;
mod updates;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use ringhold_core::id::{BootId, ClusterId, Incarnation, NodeId, OperationId};
use ringhold_core::ring::{Addresses, Member, MemberState};
use ringhold_core::version::{
    Actor, Content, Context, Dot, KeyEpoch, LiveEpoch, MetadataField, Object, Timestamp, Version,
};
use ringhold_wire::frame::RequestHeader;
use ringhold_wire::handshake::{
    Confirm, Dialer, Enrolled, Handshake, Hello, JoinRefused, Joiner, NodeCard, ProtocolRange,
    TurnedAway, Welcome,
};
use ringhold_wire::message::ObjectName;
use ringhold_wire::metadata::{Link, Metadata, NamedValue};
use ringhold_wire::record::Record;

pub(crate) fn text(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

pub(crate) fn name() -> ObjectName {
    ObjectName {
        bucket_type: text("default"),
        bucket: text("carts"),
        key: text("alice"),
    }
}

pub(crate) const fn actor(incarnation: u128, epoch: u64) -> Actor {
    Actor {
        incarnation: Incarnation(incarnation),
        epoch: KeyEpoch(epoch),
    }
}

pub(crate) fn metadata() -> Metadata {
    Metadata {
        content_type: Some(text("application/json")),
        charset: Some(text("utf-8")),
        content_encoding: Some(text("gzip")),
        user: vec![NamedValue {
            name: text("shop"),
            value: text("north"),
        }],
        links: vec![Link {
            bucket: text("people"),
            key: text("alice"),
            tag: text("owner"),
        }],
        indexes: vec![NamedValue {
            name: text("day_int"),
            value: text("20260131"),
        }],
        expires_at_us: Some(1_800_000_000_000_000),
        time_to_live_us: None,
        unknown: vec![MetadataField {
            tag: 0x8001,
            bytes: text("from a later release"),
        }],
    }
}

fn version(dot: Dot, time: u64, operation: u128, content: Content) -> Version {
    let hash = content.hash();
    let (timestamp, operation) = (Timestamp(time), OperationId(operation));
    Version {
        dot,
        timestamp,
        operation,
        hash,
        content,
    }
}

/// Two siblings, a value and a tombstone, and an actor whose writes were all overwritten.
pub(crate) fn object() -> Object {
    let (first, second, third) = (actor(7, 1), actor(7, 3), actor(9, 2));
    let context = Context::from_sorted(vec![(first, 5), (second, 2), (third, 1)]).expect("sorted");
    let value = Content::Value {
        bytes: text("{\"items\":3}"),
        metadata: metadata().to_fields(),
    };
    let versions = vec![
        version(
            Dot {
                actor: second,
                counter: 2,
            },
            1_700_000_000_000_001,
            0xabc,
            value,
        ),
        version(
            Dot {
                actor: third,
                counter: 1,
            },
            1_700_000_000_000_002,
            0xdef,
            Content::Tombstone,
        ),
    ];
    Object::from_parts(context, versions).expect("sorted and covered")
}

pub(crate) fn record() -> Record {
    let live = LiveEpoch {
        epoch: KeyEpoch(3),
        counter: 2,
    };
    Record {
        name: name(),
        live: Some(live),
        object: object(),
    }
}

pub(crate) fn request_header() -> RequestHeader {
    RequestHeader {
        id: 0x0102_0304_0506_0708,
        remaining_ms: 1_500,
        placement_number: 12,
    }
}

pub(crate) fn card(number: u128) -> NodeCard {
    NodeCard {
        cluster: ClusterId(0xc1),
        node: NodeId(number),
        incarnation: Incarnation(0x11_0000 + number),
        boot: BootId(0xb0_0000 + number),
        epoch: 41,
        placement_number: 12,
        ring: [3; 16],
        name: text("node"),
    }
}

pub(crate) fn hello() -> Hello {
    let dialer = Dialer::Node {
        card: card(1),
        wanted: Some(NodeId(2)),
    };
    let protocols = ProtocolRange { min: 1, max: 3 };
    Hello {
        protocols,
        nonce: [0x5a; 32],
        dialer,
        extensions: Bytes::new(),
    }
}

pub(crate) fn client_hello() -> Hello {
    let dialer = Dialer::Client {
        cluster: Some(ClusterId(0xc1)),
        name: text("client 1.0"),
    };
    Hello { dialer, ..hello() }
}

pub(crate) fn welcome() -> Welcome {
    let extensions = text("from a later release");
    Welcome {
        protocol: 2,
        card: card(2),
        nonce: [0xa5; 32],
        mac: Some([7; 16]),
        extensions,
    }
}

pub(crate) fn joiner_hello() -> Hello {
    let text = |text: &str| text.to_owned();
    let member = Member {
        id: NodeId(4),
        name: text("node4"),
        addresses: Addresses {
            peer: text("10.0.0.4:8099"),
            http: text("10.0.0.4:8098"),
            pb: String::new(),
            native: text("10.0.0.4:8100"),
        },
        zone: text("a"),
        rack: text("a1"),
        weight: 100,
        state: MemberState::Joining,
    };
    let token = Bytes::from_static(&[0x70; 73]);
    Hello {
        dialer: Dialer::Joiner(Joiner { token, member }),
        ..hello()
    }
}

pub(crate) fn turned_away() -> Vec<TurnedAway> {
    let joins = [
        JoinRefused::TokenForeign,
        JoinRefused::TokenExpired,
        JoinRefused::TokenSpent,
        JoinRefused::NameTaken,
        JoinRefused::MemberInvalid,
        JoinRefused::Unencrypted,
        JoinRefused::NoMajority,
        JoinRefused::IdentityKnown,
        JoinRefused::Unable,
    ];
    let mut reasons = vec![
        TurnedAway::ProtocolUnsupported(ProtocolRange { min: 4, max: 5 }),
        TurnedAway::ClusterMismatch,
        TurnedAway::SelfConnection,
        TurnedAway::IdentityInUse,
        TurnedAway::WrongNode { node: NodeId(3) },
        TurnedAway::UnknownNode,
        TurnedAway::RemovedNode { epoch: 40 },
        TurnedAway::NotAuthentic,
        TurnedAway::RingMismatch { epoch: 41 },
        TurnedAway::PeerTls { on: true },
        TurnedAway::NoCertificate,
        TurnedAway::CertificateMismatch {
            certified: NodeId(3),
        },
    ];
    reasons.extend(joins.map(TurnedAway::JoinRefused));
    reasons
}

/// Every message of a handshake; the confirmation is the last.
pub(crate) fn handshakes() -> Vec<(&'static str, Handshake)> {
    let mut steps = vec![
        ("hello of a node", Handshake::Hello(hello())),
        ("hello of a client", Handshake::Hello(client_hello())),
        ("hello of a joiner", Handshake::Hello(joiner_hello())),
        ("welcome to a node", Handshake::Welcome(welcome())),
        (
            "welcome to a client",
            Handshake::Welcome(Welcome {
                mac: None,
                ..welcome()
            }),
        ),
    ];
    let reasons = turned_away().into_iter();
    steps.extend(reasons.map(|reason| ("turned away", Handshake::TurnedAway(reason))));
    let enrolled = Enrolled {
        secret: [0xec; 32],
        ring: text("a ring document"),
    };
    steps.push(("enrolled", Handshake::Enrolled(enrolled)));
    steps.push(("confirm", Handshake::Confirm(Confirm { mac: [9; 16] })));
    steps
}

pub(crate) fn any_bytes(max: usize) -> impl Strategy<Value = Bytes> + Clone {
    vec(any::<u8>(), 0..=max).prop_map(Bytes::from)
}

pub(crate) fn any_name() -> impl Strategy<Value = ObjectName> {
    (any_bytes(20), any_bytes(20), any_bytes(60)).prop_map(|(bucket_type, bucket, key)| {
        ObjectName {
            bucket_type,
            bucket,
            key,
        }
    })
}

pub(crate) fn any_actor() -> impl Strategy<Value = Actor> {
    (0..4u128, 0..3u64).prop_map(|(incarnation, epoch)| actor(incarnation << 120, epoch))
}

pub(crate) fn any_dot() -> impl Strategy<Value = Dot> {
    (any_actor(), 1..9u64).prop_map(|(actor, counter)| Dot { actor, counter })
}

pub(crate) fn any_fields() -> impl Strategy<Value = Vec<MetadataField>> {
    vec(
        (any::<u16>(), any_bytes(12)).prop_map(|(tag, bytes)| MetadataField { tag, bytes }),
        0..4,
    )
}

pub(crate) fn any_content() -> impl Strategy<Value = Content> {
    prop_oneof![
        Just(Content::Tombstone),
        (any_bytes(40), any_fields())
            .prop_map(|(bytes, metadata)| Content::Value { bytes, metadata }),
    ]
}

pub(crate) fn any_context() -> impl Strategy<Value = Context> {
    vec(any_dot(), 0..6).prop_map(|dots| {
        let mut context = Context::new();
        dots.into_iter().for_each(|dot| context.observe(dot));
        context
    })
}

/// Any context, with any of the dots that it covers alive.
pub(crate) fn any_object() -> impl Strategy<Value = Object> {
    let contents = vec((any::<u64>(), any::<u128>(), any_content()), 6);
    (any_context(), vec(any_dot(), 0..4), contents).prop_map(|(mut context, mut dots, contents)| {
        dots.sort();
        dots.dedup();
        dots.iter().for_each(|&dot| context.observe(dot));
        let versions = dots.into_iter().zip(contents);
        let versions = versions
            .map(|(dot, (time, operation, content))| version(dot, time, operation, content));
        Object::from_parts(context, versions.collect()).expect("sorted and covered")
    })
}

pub(crate) fn any_live() -> impl Strategy<Value = Option<LiveEpoch>> {
    proptest::option::of(
        (any::<u64>(), any::<u64>()).prop_map(|(epoch, counter)| LiveEpoch {
            epoch: KeyEpoch(epoch),
            counter,
        }),
    )
}

pub(crate) fn any_record() -> impl Strategy<Value = Record> {
    (any_name(), any_live(), any_object()).prop_map(|(name, live, object)| Record {
        name,
        live,
        object,
    })
}

pub(crate) fn any_metadata() -> impl Strategy<Value = Metadata> {
    let given = || proptest::option::of(any_bytes(9));
    let named = || {
        vec(
            (any_bytes(9), any_bytes(9)).prop_map(|(name, value)| NamedValue { name, value }),
            0..3,
        )
    };
    let link = (any_bytes(9), any_bytes(9), any_bytes(9));
    let links = vec(
        link.prop_map(|(bucket, key, tag)| Link { bucket, key, tag }),
        0..3,
    );
    let unknown = vec(
        (9..=u16::MAX, any_bytes(9)).prop_map(|(tag, bytes)| MetadataField { tag, bytes }),
        0..3,
    );
    let heads = (given(), given(), given());
    (
        heads,
        named(),
        links,
        named(),
        any::<(Option<u64>, Option<u64>)>(),
        unknown,
    )
        .prop_map(
            |(
                (content_type, charset, content_encoding),
                user,
                links,
                indexes,
                (expires_at_us, time_to_live_us),
                unknown,
            )| Metadata {
                content_type,
                charset,
                content_encoding,
                user,
                links,
                indexes,
                expires_at_us,
                time_to_live_us,
                unknown,
            },
        )
}
