//! Becoming a member: what a new node asks of one, and what that one answers.
//!
//! The token is worth the cluster's secret, and the answer is the secret. So the new node speaks only to
//! whoever shows a certificate of the authority that its token names, and only the token's bearer is answered. Without TLS both
//! insist on a connection that does not leave the machine.
//!
//! A member looks at what it can tell by itself: whether the token is one of the cluster and has not ended. The rest
//! (whether it was spent, whether the name is free) is for the ring, by way of [`Enrol`]. Asking twice is harmless:
//! the same node with the same token is given the same.

use super::greet::{turn_away, within_this_machine};
use super::stream::{
    FrameReader, StreamError, WriteHalf, encrypted_halves, plain_halves, send_handshake,
};
use super::tls::DialingTls;
use bytes::Bytes;
use ringhold_core::id::{ClusterId, TokenId};
use ringhold_core::join_token::{JoinToken, TokenRefused};
use ringhold_core::ring::{ChangeRefused, Member, MemberState, RingDocument};
use ringhold_node::env::BoxFuture;
use ringhold_node::{ChangeFailed, Node};
use ringhold_wire::handshake::{
    Dialer, Enrolled, Handshake, Hello, JoinRefused, Joiner, ProtocolRange, TurnedAway,
};
use ringhold_wire::ring as ring_format;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

/// The members have this long to agree on a ring with a new node.
const PATIENCE: Duration = Duration::from_secs(30);

/// Lists a node in the ring as joining and its token as spent; the ring document in which they are. With the same node and
/// token once more it gives the same, or a later one.
pub(crate) type Enrol = dyn Fn(Member, TokenId) -> BoxFuture<'static, Result<Arc<RingDocument>, JoinRefused>>
    + Send
    + Sync;

/// By the agreement of the members.
pub(crate) fn enrolment(node: Arc<Node>) -> Arc<Enrol> {
    Arc::new(move |member, token| {
        let node = Arc::clone(&node);
        Box::pin(async move {
            let id = member.id;
            let document = node.enrol(member, token.0).await.map_err(|failed| {
                tracing::warn!(%id, reason = %failed, "a new node was not enrolled");
                refusal_of(&failed)
            })?;
            let state = document.member(id).map(|member| member.state);
            if state.is_none_or(MemberState::is_gone) {
                return Err(JoinRefused::IdentityKnown);
            }
            Ok(document)
        })
    })
}

fn refusal_of(failed: &ChangeFailed) -> JoinRefused {
    match failed {
        ChangeFailed::TokenSpent | ChangeFailed::Refused(ChangeRefused::TokenSpent) => {
            JoinRefused::TokenSpent
        }
        ChangeFailed::Refused(ChangeRefused::NameTaken { .. }) => JoinRefused::NameTaken,
        ChangeFailed::Refused(ChangeRefused::KnownIdentity { .. }) => JoinRefused::IdentityKnown,
        ChangeFailed::Refused(_) => JoinRefused::MemberInvalid,
        ChangeFailed::NoMajority | ChangeFailed::Outbid => JoinRefused::NoMajority,
        ChangeFailed::Contradiction | ChangeFailed::StoreFailed => JoinRefused::Unable,
    }
}

/// What a member answers with.
pub(super) struct Enrolling<'a> {
    /// The cluster's.
    pub(super) secret: &'a [u8; 32],
    /// By the wall clock, in seconds since 1970.
    pub(super) now_s: u64,
    pub(super) enrol: &'a Enrol,
}

impl Enrolling<'_> {
    /// Makes a node a member, or tells it why not.
    pub(super) async fn serve(
        &self,
        joiner: Joiner,
        private: bool,
        writer: &mut WriteHalf,
    ) -> Result<(), StreamError> {
        let (node, name) = (joiner.member.id, joiner.member.name.clone());
        let answer = tokio::time::timeout(PATIENCE, self.answer(joiner, private)).await;
        match answer.unwrap_or(Err(JoinRefused::NoMajority)) {
            Ok(enrolled) => {
                send_handshake(writer, &Handshake::Enrolled(enrolled)).await?;
                tracing::info!(id = %node, name, "a new node was enrolled");
                Ok(())
            }
            Err(reason) => turn_away(writer, TurnedAway::JoinRefused(reason)).await,
        }
    }

    async fn answer(&self, joiner: Joiner, private: bool) -> Result<Enrolled, JoinRefused> {
        if !private {
            return Err(JoinRefused::Unencrypted);
        }
        let token = JoinToken::from_bytes(&joiner.token).map_err(|_| JoinRefused::TokenForeign)?;
        token
            .verify(self.secret, self.now_s)
            .map_err(|refused| match refused {
                TokenRefused::Foreign => JoinRefused::TokenForeign,
                TokenRefused::Expired => JoinRefused::TokenExpired,
            })?;
        let member = joiner.member;
        if member.name.is_empty() || member.weight == 0 || member.addresses.peer.is_empty() {
            return Err(JoinRefused::MemberInvalid);
        }
        let document = (self.enrol)(member, token.id).await?;
        Ok(Enrolled {
            secret: *self.secret,
            ring: ring_format::encode(&document),
        })
    }
}

/// Why a node has not become a member.
#[derive(Debug)]
pub(crate) enum NotEnrolled {
    Stream(StreamError),
    /// The connection would show the token to whoever can listen to it.
    Unencrypted,
    /// The member said no.
    Refused(TurnedAway),
}

impl fmt::Display for NotEnrolled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(error) => write!(f, "{error}"),
            Self::Unencrypted => f.write_str(
                "a token is not sent unencrypted to another machine; set `peer_tls = \"on\"` for all members",
            ),
            Self::Refused(TurnedAway::JoinRefused(reason)) => write!(f, "{reason}"),
            Self::Refused(reason) => write!(f, "turned away: {reason}"),
        }
    }
}

impl<E: Into<StreamError>> From<E> for NotEnrolled {
    fn from(error: E) -> Self {
        Self::Stream(error.into())
    }
}

/// What a member at this address answers, and which cluster it has proved to be of, if connections between nodes are
/// encrypted.
///
/// # Errors
/// If it can't be asked, or says no. Nothing has changed here, and asking again is safe.
pub(crate) async fn ask(
    address: &str,
    tls: Option<&DialingTls>,
    joiner: Joiner,
) -> Result<(Enrolled, Option<ClusterId>), NotEnrolled> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (cluster, (reader, mut writer)) = match tls {
        Some(tls) => {
            let (stream, identity) = tls.connect(stream).await?;
            (Some(identity.cluster), encrypted_halves(stream))
        }
        None if !within_this_machine(&stream)? => return Err(NotEnrolled::Unencrypted),
        None => (None, plain_halves(stream)),
    };
    let hello = Hello {
        protocols: ProtocolRange::SPOKEN,
        nonce: super::nonce(),
        dialer: Dialer::Joiner(joiner),
        extensions: Bytes::new(),
    };
    send_handshake(&mut writer, &Handshake::Hello(hello)).await?;
    let mut reader = FrameReader::new(reader);
    // A ring document is longer than what a stranger may say.
    reader.established();
    match reader.handshake().await? {
        Handshake::Enrolled(enrolled) => Ok((enrolled, cluster)),
        Handshake::TurnedAway(reason) => Err(NotEnrolled::Refused(reason)),
        _ => Err(StreamError::OutOfTurn.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::authority::{Authority, Identity};
    use super::super::greet::{Caller, Door, Greeting, greet};
    use super::super::tls::PeerTls;
    use super::*;
    use ringhold_core::id::{BootId, Incarnation, NodeId};
    use ringhold_core::ring::{Addresses, PartitionCount};
    use ringhold_wire::handshake::{NodeCard, Standing};
    use std::collections::BTreeMap;
    use std::sync::Mutex;
    use tokio::net::TcpListener;

    const SECRET: [u8; 32] = [1; 32];
    const CLUSTER: ClusterId = ClusterId(0xc1);
    const NOW_S: u64 = 1_000;

    fn member(id: u128, name: &str) -> Member {
        Member {
            id: NodeId(id),
            name: name.to_owned(),
            addresses: Addresses {
                peer: format!("10.0.0.{id}:8099"),
                ..Addresses::default()
            },
            zone: String::new(),
            rack: String::new(),
            weight: 100,
            state: MemberState::Up,
        }
    }

    /// Stands in for the agreement of the members.
    struct Ledger {
        document: RingDocument,
        spent: BTreeMap<TokenId, NodeId>,
    }

    impl Ledger {
        fn enrolment() -> Arc<Enrol> {
            let partitions = PartitionCount::new(8).expect("a power of two");
            let document = RingDocument::found(CLUSTER, vec![member(1, "one")], partitions, 1);
            let ledger = Mutex::new(Self {
                document: document.expect("a ring of one"),
                spent: BTreeMap::new(),
            });
            Arc::new(move |joiner, token| {
                let enrolled = ledger.lock().expect("whole").enrol(joiner, token);
                Box::pin(async { enrolled })
            })
        }

        fn enrol(
            &mut self,
            joiner: Member,
            token: TokenId,
        ) -> Result<Arc<RingDocument>, JoinRefused> {
            let by = *self.spent.entry(token).or_insert(joiner.id);
            if by != joiner.id {
                return Err(JoinRefused::TokenSpent);
            }
            if self.document.member(by).is_none() {
                let next = self.document.enrolling(joiner);
                self.document = next.map_err(|_| JoinRefused::NameTaken)?.sealed();
            }
            Ok(Arc::new(self.document.clone()))
        }
    }

    fn token(secret: [u8; 32], id: u128, expires_at_s: u64) -> Bytes {
        let authority = Authority::of(&secret).public_key();
        let token = JoinToken::issue(&secret, TokenId(id), expires_at_s, authority);
        Bytes::copy_from_slice(&token.to_bytes())
    }

    fn good_token() -> Bytes {
        token(SECRET, 7, NOW_S + 1)
    }

    fn joiner(id: u128, name: &str, token: Bytes) -> Joiner {
        Joiner {
            token,
            member: Member {
                state: MemberState::Joining,
                ..member(id, name)
            },
        }
    }

    /// A new node asks a member; both on this machine, and over TLS if that is how they talk.
    async fn asking(
        enrol: &Enrol,
        dialing: Option<DialingTls>,
        joiner: Joiner,
    ) -> Result<(Enrolled, Option<ClusterId>), NotEnrolled> {
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = socket.local_addr().expect("its address").to_string();
        let identity = Identity {
            cluster: CLUSTER,
            node: NodeId(1),
        };
        let tls = dialing
            .is_some()
            .then(|| PeerTls::of_member(&SECRET, identity).accepting);
        let card = NodeCard {
            cluster: CLUSTER,
            node: NodeId(1),
            incarnation: Incarnation(1),
            boot: BootId(1),
            epoch: 1,
            placement_number: 1,
            ring: [0; 16],
            name: Bytes::new(),
        };
        let serving = async {
            let (stream, _) = socket.accept().await.expect("a caller");
            let greeting = Greeting {
                protocols: ProtocolRange::SPOKEN,
                card: &card,
                secret: &SECRET,
                door: Door::Peers,
                tls: tls.as_ref(),
                standing: &|_| Standing::Unknown,
            };
            let mut greeted = greet(stream, &greeting).await?;
            let Caller::Joiner { joiner, private } = greeted.caller else {
                panic!("not a joiner: {:?}", greeted.caller);
            };
            let enrolling = Enrolling {
                secret: &SECRET,
                now_s: NOW_S,
                enrol,
            };
            enrolling.serve(*joiner, private, &mut greeted.writer).await
        };
        let (asked, _served) = tokio::join!(ask(&address, dialing.as_ref(), joiner), serving);
        asked
    }

    fn trusting(secret: [u8; 32]) -> Option<DialingTls> {
        Some(DialingTls::of_joiner(&Authority::of(&secret).public_key()))
    }

    fn refusal(asked: Result<(Enrolled, Option<ClusterId>), NotEnrolled>) -> JoinRefused {
        match asked {
            Err(NotEnrolled::Refused(TurnedAway::JoinRefused(reason))) => reason,
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("it was let in"),
        }
    }

    #[tokio::test]
    async fn a_new_node_is_told_secret_and_ring_and_told_again() {
        let enrol = Ledger::enrolment();
        for dialing in [trusting(SECRET), None] {
            let is_encrypted = dialing.is_some();
            let asked = asking(&*enrol, dialing, joiner(2, "two", good_token())).await;
            let (enrolled, cluster) = asked.expect("it is let in");
            assert_eq!(enrolled.secret, SECRET);
            let document = ring_format::decode(enrolled.ring).expect("a ring document");
            let state = document.member(NodeId(2)).map(|member| member.state);
            assert_eq!(state, Some(MemberState::Joining));
            assert_eq!((document.members.len(), document.epoch.0), (2, 2));
            assert_eq!(cluster, is_encrypted.then_some(CLUSTER));
        }
    }

    #[tokio::test]
    async fn tokens_that_are_not_good_let_nobody_in() {
        let enrol = Ledger::enrolment();
        let mut altered = good_token().to_vec();
        altered[20] ^= 1;
        let rows = [
            (token(SECRET, 7, NOW_S), JoinRefused::TokenExpired),
            (token([2; 32], 7, NOW_S + 1), JoinRefused::TokenForeign),
            (altered.into(), JoinRefused::TokenForeign),
            (Bytes::from_static(b"token"), JoinRefused::TokenForeign),
        ];
        for (token, reason) in rows {
            let asked = asking(&*enrol, trusting(SECRET), joiner(2, "two", token)).await;
            assert_eq!(refusal(asked), reason);
        }
        // Nothing of it was noted.
        let asked = asking(&*enrol, trusting(SECRET), joiner(3, "two", good_token())).await;
        asked.expect("the name is free and the token unspent");
    }

    #[tokio::test]
    async fn a_token_is_for_one_node() {
        let enrol = Ledger::enrolment();
        let asked = asking(&*enrol, trusting(SECRET), joiner(2, "two", good_token())).await;
        asked.expect("it is let in");
        let asked = asking(&*enrol, trusting(SECRET), joiner(3, "three", good_token())).await;
        assert_eq!(refusal(asked), JoinRefused::TokenSpent);
    }

    #[tokio::test]
    async fn a_new_node_says_nothing_to_members_of_another_cluster() {
        let enrol: Arc<Enrol> = Arc::new(|_, _| panic!("nobody has asked"));
        let asked = asking(&*enrol, trusting([2; 32]), joiner(2, "two", good_token())).await;
        let told = asked.expect_err("another authority").to_string();
        assert!(told.contains("not one of this cluster"), "{told}");
    }

    #[tokio::test]
    async fn the_secret_does_not_leave_the_machine_unencrypted() {
        let enrolling = Enrolling {
            secret: &SECRET,
            now_s: NOW_S,
            enrol: &*Ledger::enrolment(),
        };
        let answer = enrolling
            .answer(joiner(2, "two", good_token()), false)
            .await;
        assert_eq!(answer, Err(JoinRefused::Unencrypted));
    }

    #[test]
    fn neither_token_nor_secret_is_shown() {
        let shown = format!(
            "{:?} {:?}",
            joiner(2, "two", Bytes::from_static(b"rhjoin")),
            Enrolled {
                secret: [0xab; 32],
                ring: Bytes::new()
            }
        );
        assert!(
            !shown.contains("rhjoin") && !shown.contains("171"),
            "{shown}"
        );
    }
}
