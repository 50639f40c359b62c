//! Two ends that meet on loopback: who is let in, and what each side is told.

use super::authority::{Authority, Identity};
use super::dial::{self, Calling};
use super::greet::{Caller, Door, Greeting, greet};
use super::stream::StreamError;
use super::tls::{AcceptingTls, DialingTls, PeerTls, TlsError};
use bytes::Bytes;
use ringhold_core::id::{BootId, ClusterId, Incarnation, NodeId};
use ringhold_wire::handshake::{Handshake, NodeCard, ProtocolRange, Standing};
use tokio::net::TcpListener;

const SECRET: [u8; 32] = [1; 32];
const DIALER: u128 = 0x17;
const LISTENER: u128 = 0x23;

/// One end: what it says of itself, and what its certificate says.
#[derive(Clone)]
struct End {
    card: NodeCard,
    secret: [u8; 32],
    protocols: ProtocolRange,
    dialing: Option<DialingTls>,
    accepting: Option<AcceptingTls>,
}

impl End {
    fn plain(node: u128) -> Self {
        let card = NodeCard {
            cluster: ClusterId(0xc1),
            node: NodeId(node),
            incarnation: Incarnation(node),
            boot: BootId(node),
            epoch: 1,
            placement_number: 1,
            ring: [7; 16],
            name: Bytes::from_static(b"node"),
        };
        Self {
            card,
            secret: SECRET,
            protocols: ProtocolRange::SPOKEN,
            dialing: None,
            accepting: None,
        }
    }

    fn encrypted(node: u128) -> Self {
        Self::plain(node).certified(SECRET, 0xc1, node)
    }

    /// With what somebody with this secret makes of it.
    fn certified(self, secret: [u8; 32], cluster: u128, node: u128) -> Self {
        let identity = identity(cluster, node);
        self.speaking(PeerTls::of_member(&secret, identity))
    }

    fn speaking(mut self, tls: PeerTls) -> Self {
        self.dialing = Some(tls.dialing);
        self.accepting = Some(tls.accepting);
        self
    }
}

fn identity(cluster: u128, node: u128) -> Identity {
    Identity {
        cluster: ClusterId(cluster),
        node: NodeId(node),
    }
}

/// What came of a meeting: for the dialer its error as it is logged, for the listener who it was.
struct Outcome {
    /// With the protocol that they go on with.
    dialer: Result<u16, String>,
    listener: Result<Caller, StreamError>,
}

async fn meet(dialer: End, listener: End, standing: Standing) -> Outcome {
    let socket = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = socket.local_addr().expect("its address").to_string();
    let calling = Calling {
        address: &address,
        wanted: Some(listener.card.node),
        card: dialer.card,
        secret: &dialer.secret,
        protocols: dialer.protocols,
        tls: dialer.dialing.as_ref(),
    };
    let greeted = async {
        let (stream, _) = socket.accept().await.expect("a caller");
        let greeting = Greeting {
            card: &listener.card,
            secret: &listener.secret,
            protocols: listener.protocols,
            door: Door::Peers,
            tls: listener.accepting.as_ref(),
            standing: &|_| standing,
        };
        greet(stream, &greeting).await
    };
    let (dialled, greeted) = tokio::join!(dial::call(calling), greeted);
    let listener = greeted.map(|greeted| greeted.caller);
    let dialer = match (dialled, &listener) {
        (Err(error), _) => Err(error.to_string()),
        // Its last word was refused: that is the next thing that it hears.
        (Ok(mut met), Err(_)) => match met.halves.0.handshake().await {
            Ok(Handshake::TurnedAway(reason)) => Err(reason.to_string()),
            other => panic!("not turned away: {other:?}"),
        },
        (Ok(met), Ok(_)) => Ok(met.protocol),
    };
    Outcome { dialer, listener }
}

impl Outcome {
    /// The protocol that the listener goes on with.
    fn listened(&self) -> Option<u16> {
        match self.listener {
            Ok(Caller::Member {
                node: NodeId(DIALER),
                protocol,
            }) => Some(protocol),
            _ => None,
        }
    }

    fn is_let_in(&self) -> bool {
        self.dialer.is_ok() && self.listened() == self.dialer.clone().ok()
    }

    fn refused_with(&self, text: &str) {
        assert!(self.listener.is_err(), "it was let in");
        let told = self
            .dialer
            .as_ref()
            .expect_err("the dialer thinks it was let in");
        assert!(told.contains(text), "{text:?} is not in {told:?}");
    }
}

#[tokio::test]
async fn members_meet_with_tls_and_without() {
    let plain = meet(End::plain(DIALER), End::plain(LISTENER), Standing::Member).await;
    assert!(plain.is_let_in(), "{:?}", plain.dialer);
    let encrypted = meet(
        End::encrypted(DIALER),
        End::encrypted(LISTENER),
        Standing::Member,
    );
    let encrypted = encrypted.await;
    assert!(encrypted.is_let_in(), "{:?}", encrypted.dialer);
}

/// A dialer that has a certificate of its own making, and a listener that encrypts.
async fn shows(dialer: End) -> Outcome {
    meet(dialer, End::encrypted(LISTENER), Standing::Member).await
}

#[tokio::test]
async fn a_certificate_of_another_cluster_is_refused_by_either_side() {
    let foreign = [2; 32];
    // The dialer looks first, and is told by what it sees.
    let met = shows(End::plain(DIALER).certified(foreign, 0xc1, DIALER)).await;
    met.refused_with("not one of this cluster");
    assert!(
        matches!(
            met.listener,
            Err(StreamError::Tls(TlsError::CertificateRefused))
        ),
        "{:?}",
        met.listener
    );
    // One that takes any listener is refused by it.
    let credentials = Authority::of(&foreign).certify(identity(0xc1, DIALER));
    let trusted = Authority::of(&SECRET).public_key();
    let tls = PeerTls::with(credentials, &trusted, ClusterId(0xc1));
    let met = shows(End::plain(DIALER).speaking(tls)).await;
    met.refused_with("does not take this node's certificate");
    assert!(
        matches!(
            met.listener,
            Err(StreamError::Tls(TlsError::ForeignCertificate))
        ),
        "{:?}",
        met.listener
    );
    // The same secret, and the name of another cluster.
    let met = shows(End::plain(DIALER).certified(SECRET, 0xc2, DIALER)).await;
    met.refused_with("not one of this cluster");
}

#[tokio::test]
async fn a_certificate_of_another_node_is_refused_by_either_side() {
    let met = shows(End::plain(DIALER).certified(SECRET, 0xc1, 0x99)).await;
    met.refused_with("the dialer's certificate is that of node");
    let listener = End::plain(LISTENER).certified(SECRET, 0xc1, 0x99);
    let met = meet(End::encrypted(DIALER), listener, Standing::Member).await;
    met.refused_with("the listener's certificate is that of node");
}

#[tokio::test]
async fn a_node_without_a_certificate_is_refused() {
    let mut dialer = End::plain(DIALER);
    let dialing = DialingTls::of_joiner(&Authority::of(&SECRET).public_key());
    dialer.dialing = Some(dialing);
    shows(dialer).await.refused_with("no certificate");
}

#[tokio::test]
async fn a_certificate_does_not_make_a_member() {
    let meet = |standing| meet(End::encrypted(DIALER), End::encrypted(LISTENER), standing);
    let removed = meet(Standing::Removed { epoch: 4 }).await;
    removed.refused_with("is removed from the cluster, as of epoch 4");
    let unknown = meet(Standing::Unknown).await;
    unknown.refused_with("no member");
    let mut pretender = End::encrypted(DIALER);
    pretender.secret = [2; 32];
    shows(pretender).await.refused_with("the cluster's secret");
}

#[tokio::test]
async fn two_modes_tell_each_other_which_setting_differs() {
    let (plain, encrypted) = (End::plain(DIALER), End::encrypted(LISTENER));
    let met = meet(plain, encrypted, Standing::Member).await;
    met.refused_with("`peer_tls` is on at the node");
    let (encrypted, plain) = (End::encrypted(DIALER), End::plain(LISTENER));
    let met = meet(encrypted, plain, Standing::Member).await;
    met.refused_with("`peer_tls` is on here");
}

#[tokio::test]
async fn a_release_and_the_one_before_go_on_with_the_older_protocol() {
    let newest = ProtocolRange::SPOKEN.max;
    for (one, other) in [(newest, newest - 1), (newest - 1, newest), (newest, newest)] {
        let (mut dialer, mut listener) = (End::encrypted(DIALER), End::encrypted(LISTENER));
        dialer.protocols = ProtocolRange::up_to(one);
        listener.protocols = ProtocolRange::up_to(other);
        let met = meet(dialer, listener, Standing::Member).await;
        assert!(met.is_let_in(), "{:?}", met.dialer);
        assert_eq!(met.dialer, Ok(one.min(other)));
    }
}

#[tokio::test]
async fn two_releases_without_a_protocol_in_common_are_told_what_to_upgrade() {
    let newest = ProtocolRange::SPOKEN.max;
    let later = ProtocolRange {
        min: newest + 1,
        max: newest + 2,
    };
    let (mut dialer, listener) = (End::encrypted(DIALER), End::encrypted(LISTENER));
    dialer.protocols = later;
    let met = meet(dialer, listener, Standing::Member).await;
    met.refused_with("the node that was called speaks 1 to 2, this one 3 to 4; upgrade that node");
    let (dialer, mut listener) = (End::encrypted(DIALER), End::encrypted(LISTENER));
    listener.protocols = later;
    let met = meet(dialer, listener, Standing::Member).await;
    met.refused_with("the node that was called speaks 3 to 4, this one 1 to 2; upgrade this node");
}
