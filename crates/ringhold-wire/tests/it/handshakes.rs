//! Who is let in.

use crate::samples;
use proptest::prelude::*;
use ringhold_core::id::{BootId, ClusterId, NodeId};
use ringhold_wire::handshake::{
    ClusterSecret, Confirm, Dialer, Hello, Mac, NodeCard, Nonce, ProtocolRange, Standing,
    TurnedAway, Welcome, WelcomeRefused, answer, confirm, verify,
};
use xxhash_rust::xxh3::xxh3_128_with_secret;

const SPOKEN: ProtocolRange = ProtocolRange { min: 2, max: 4 };
const NONCE: Nonce = [3; 32];

/// Stands in for a keyed hash: different for different keys and messages, which is all that is
/// asked here.
fn secret(key: u8) -> impl Fn(&[u8]) -> Mac {
    move |message| xxh3_128_with_secret(message, &[key; 192]).to_be_bytes()
}

fn answered(hello: &Hello, standing: Standing) -> Result<Welcome, TurnedAway> {
    answer(
        &samples::card(2),
        SPOKEN,
        |_| standing,
        hello,
        NONCE,
        &secret(1),
    )
}

fn dialed_by(change: impl FnOnce(&mut NodeCard, &mut Option<NodeId>)) -> Hello {
    let mut hello = samples::hello();
    let Dialer::Node { card, wanted } = &mut hello.dialer else {
        panic!("a node dials")
    };
    change(card, wanted);
    hello
}

fn spoken_by(min: u16, max: u16) -> Hello {
    Hello {
        protocols: ProtocolRange { min, max },
        ..samples::hello()
    }
}

fn client_of(cluster: Option<u128>) -> Hello {
    let cluster = cluster.map(ClusterId);
    let dialer = Dialer::Client {
        cluster,
        name: samples::text("client"),
    };
    Hello {
        dialer,
        ..samples::hello()
    }
}

#[test]
fn who_is_let_in() {
    let unsupported = TurnedAway::ProtocolUnsupported(SPOKEN);
    let (member, unknown) = (Standing::Member, Standing::Unknown);
    let removed = Standing::Removed { epoch: 40 };
    let rows: &[(&str, Hello, Standing, Result<u16, TurnedAway>)] = &[
        ("a member", samples::hello(), member, Ok(3)),
        (
            "any node will do",
            dialed_by(|_, wanted| *wanted = None),
            member,
            Ok(3),
        ),
        ("speaks only our first", spoken_by(1, 2), member, Ok(2)),
        ("speaks only our last", spoken_by(4, 9), member, Ok(4)),
        ("too old", spoken_by(0, 1), member, Err(unsupported)),
        ("too new", spoken_by(5, 9), member, Err(unsupported)),
        (
            "a range of nothing",
            spoken_by(4, 2),
            member,
            Err(unsupported),
        ),
        (
            "of another cluster",
            dialed_by(|card, _| card.cluster = ClusterId(9)),
            member,
            Err(TurnedAway::ClusterMismatch),
        ),
        (
            "this node itself",
            dialed_by(|card, _| *card = samples::card(2)),
            member,
            Err(TurnedAway::SelfConnection),
        ),
        (
            "a copy of this node",
            dialed_by(|card, _| {
                *card = NodeCard {
                    boot: BootId(9),
                    ..samples::card(2)
                }
            }),
            member,
            Err(TurnedAway::IdentityInUse),
        ),
        (
            "wants another node",
            dialed_by(|_, wanted| *wanted = Some(NodeId(3))),
            member,
            Err(TurnedAway::WrongNode { node: NodeId(2) }),
        ),
        (
            "unknown",
            samples::hello(),
            unknown,
            Err(TurnedAway::UnknownNode),
        ),
        (
            "removed",
            samples::hello(),
            removed,
            Err(TurnedAway::RemovedNode { epoch: 40 }),
        ),
        (
            "founded from another list",
            dialed_by(|card, _| card.ring = [4; 16]),
            member,
            Err(TurnedAway::RingMismatch {
                epoch: samples::card(2).epoch,
            }),
        ),
        ("a client", samples::client_hello(), unknown, Ok(3)),
        ("a client of any cluster", client_of(None), unknown, Ok(3)),
        (
            "a client elsewhere",
            client_of(Some(9)),
            unknown,
            Err(TurnedAway::ClusterMismatch),
        ),
    ];
    for (what, hello, standing, want) in rows {
        let got = answered(hello, *standing);
        assert_eq!(
            got.as_ref()
                .map(|welcome| welcome.protocol)
                .map_err(|reason| *reason),
            *want,
            "{what}"
        );
    }
}

fn welcomed(hello: &Hello) -> Welcome {
    answered(hello, Standing::Member).expect("a member")
}

#[test]
fn two_members_prove_themselves_to_each_other() {
    let hello = samples::hello();
    let welcome = welcomed(&hello);
    let confirmed = confirm(&hello, &welcome, &secret(1))
        .expect("proven")
        .expect("a node confirms");
    assert_eq!(verify(&hello, &welcome, &confirmed, &secret(1)), Ok(()));
    assert_ne!(
        Some(confirmed.mac),
        welcome.mac,
        "a hash is not to be sent back to its maker"
    );
}

#[test]
fn a_client_proves_nothing_and_is_shown_nothing() {
    let hello = samples::client_hello();
    let welcome = welcomed(&hello);
    assert_eq!(welcome.mac, None);
    assert_eq!(confirm(&hello, &welcome, &secret(9)), Ok(None));
}

#[test]
fn a_stranger_without_the_secret_is_turned_away() {
    let hello = samples::hello();
    let welcome = welcomed(&hello);
    assert_eq!(
        confirm(&hello, &welcome, &secret(2)),
        Err(WelcomeRefused::NotAuthentic)
    );

    let stranger = secret(2);
    let posed = answer(
        &samples::card(2),
        SPOKEN,
        |_| Standing::Member,
        &hello,
        NONCE,
        &stranger,
    );
    let posed = posed.expect("the stranger plays along");
    let forged = confirm(&hello, &posed, &stranger)
        .expect("its own")
        .expect("a node confirms");
    assert_eq!(
        verify(&hello, &welcome, &forged, &secret(1)),
        Err(TurnedAway::NotAuthentic)
    );
    let echoed = Confirm {
        mac: welcome.mac.expect("a node is shown one"),
    };
    assert_eq!(
        verify(&hello, &welcome, &echoed, &secret(1)),
        Err(TurnedAway::NotAuthentic)
    );
}

#[test]
fn an_old_handshake_proves_nothing_in_a_new_one() {
    let hello = samples::hello();
    let welcome = welcomed(&hello);
    let confirmed = confirm(&hello, &welcome, &secret(1)).unwrap().unwrap();

    let other_listener = Welcome {
        nonce: [4; 32],
        ..welcome.clone()
    };
    assert_eq!(
        verify(&hello, &other_listener, &confirmed, &secret(1)),
        Err(TurnedAway::NotAuthentic)
    );
    let other_dialer = Hello {
        nonce: [4; 32],
        ..hello
    };
    assert_eq!(
        confirm(&other_dialer, &welcome, &secret(1)),
        Err(WelcomeRefused::NotAuthentic)
    );
}

#[test]
fn nobody_in_between_changes_what_was_said() {
    let hello = samples::hello();
    let welcome = welcomed(&hello);
    let said: &[Welcome] = &[
        Welcome {
            protocol: 1,
            ..welcome.clone()
        },
        Welcome {
            card: NodeCard {
                epoch: 99,
                ..welcome.card.clone()
            },
            ..welcome.clone()
        },
        Welcome {
            extensions: samples::text("x"),
            ..welcome.clone()
        },
        Welcome {
            mac: None,
            ..welcome.clone()
        },
    ];
    for changed in said {
        assert_eq!(
            confirm(&hello, changed, &secret(1)),
            Err(WelcomeRefused::NotAuthentic)
        );
    }
    let downgraded = welcomed(&spoken_by(1, 2));
    assert_eq!(
        confirm(&hello, &downgraded, &secret(1)),
        Err(WelcomeRefused::NotAuthentic)
    );
}

#[test]
fn the_dialer_looks_whom_it_reached() {
    let hello = samples::hello();
    let reached = |change: fn(&mut Welcome)| {
        let mut welcome = welcomed(&hello);
        change(&mut welcome);
        confirm(&hello, &welcome, &secret(1)).unwrap_err()
    };
    let node = NodeId(3);
    assert_eq!(
        reached(|w| w.card.node = NodeId(3)),
        WelcomeRefused::WrongNode { node }
    );
    let cluster = ClusterId(9);
    assert_eq!(
        reached(|w| w.card.cluster = ClusterId(9)),
        WelcomeRefused::ClusterMismatch { cluster }
    );
    assert_eq!(
        reached(|w| w.protocol = 9),
        WelcomeRefused::ProtocolNotOffered { protocol: 9 }
    );
}

/// Two secrets are valid while they are rotated.
struct Rotating;

impl ClusterSecret for Rotating {
    fn mac(&self, message: &[u8]) -> Mac {
        secret(1)(message)
    }

    fn accepts(&self, message: &[u8], mac: &Mac) -> bool {
        secret(1).accepts(message, mac) || secret(2).accepts(message, mac)
    }
}

#[test]
fn a_secret_can_be_rotated_node_by_node() {
    let (hello, before) = (samples::hello(), secret(2));
    let welcome = answer(
        &samples::card(2),
        SPOKEN,
        |_| Standing::Member,
        &hello,
        NONCE,
        &before,
    );
    let welcome = welcome.unwrap();
    assert!(confirm(&hello, &welcome, &Rotating).is_ok());
    let confirmed = confirm(&hello, &welcome, &before).unwrap().unwrap();
    assert_eq!(verify(&hello, &welcome, &confirmed, &Rotating), Ok(()));
}

proptest! {
    #[test]
    fn the_protocol_agreed_on_is_the_highest_that_both_speak(
        (a, b, c, d) in (0..6u16, 0..6u16, 0..6u16, 0..6u16),
    ) {
        let (one, other) = (ProtocolRange { min: a, max: b }, ProtocolRange { min: c, max: d });
        let both = |&protocol: &u16| one.contains(protocol) && other.contains(protocol);
        prop_assert_eq!(one.agree(other), (0..6).rev().find(both));
    }
}
