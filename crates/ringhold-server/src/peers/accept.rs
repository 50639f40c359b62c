//! Serving whoever connects: members on the peer port, clients on the native port.
//!
//! What a connection may ask depends on who it is. A member has proved that it has the cluster's secret; a
//! client has proved nothing and may only get and put. Cheap requests are answered in the reader, the
//! others each in a task, so that a slow one holds up nobody.

use super::enrol::{Enrol, Enrolling};
use super::greet::{Caller, Door, Greeted, Greeting, greet};
use super::stream::{FrameReader, NotTaken, Outbox, StreamError, write_all};
use super::tls::AcceptingTls;
use ringhold_core::id::NodeId;
use ringhold_node::env::Deadline;
use ringhold_node::{Errand, Node, Sender};
use ringhold_wire::frame::{self, Frame, RequestHeader};
use ringhold_wire::handshake::{ProtocolRange, Standing};
use ringhold_wire::message::peer::{Refusal, Reply, Request};
use ringhold_wire::message::{GetError, NotStarted, PutError};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};

/// A stranger has this long to say who it is.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Strangers at once who may say at the peer port who they are; the others come again.
const STRANGERS_MAX: usize = 128;
/// Requests of one connection that are worked on at once.
const REQUESTS_IN_FLIGHT: usize = 4_096;
/// The same for what no client waits for.
const BACKGROUND_IN_FLIGHT: usize = 256;

/// Everything that serving needs to know.
pub(crate) struct Serving {
    pub(crate) node: Arc<Node>,
    /// What this node is called.
    pub(crate) name: String,
    pub(crate) secret: [u8; 32],
    pub(crate) door: Door,
    pub(crate) protocols: ProtocolRange,
    /// `None` if connections between nodes are not encrypted.
    pub(crate) tls: Option<AcceptingTls>,
    /// Makes new nodes members.
    pub(crate) enrol: Arc<Enrol>,
    pub(crate) connections: Arc<Semaphore>,
}

/// Takes connections until told to stop.
pub(crate) async fn serve(
    listener: TcpListener,
    serving: Arc<Serving>,
    mut stop: watch::Receiver<bool>,
) {
    let strangers = Arc::new(Semaphore::new(STRANGERS_MAX));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, mostly: give others time to close some.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&serving.connections).try_acquire_owned() else {
            tracing::warn!("a connection was refused: there are as many as are allowed");
            continue;
        };
        let stranger = match serving.door {
            Door::Clients => None,
            Door::Peers => match Arc::clone(&strangers).try_acquire_owned() {
                Ok(stranger) => Some(stranger),
                Err(_) => {
                    tracing::warn!(
                        "a connection was refused: too many callers have not said who they are"
                    );
                    continue;
                }
            },
        };
        let (serving, stop) = (Arc::clone(&serving), stop.clone());
        tokio::spawn(async move {
            let end = serve_connection(stream, serving, stranger, stop).await;
            tracing::debug!(%end, "a connection has ended");
            drop(permit);
        });
    }
}

async fn serve_connection(
    stream: TcpStream,
    serving: Arc<Serving>,
    stranger: Option<OwnedSemaphorePermit>,
    mut stop: watch::Receiver<bool>,
) -> StreamError {
    let greeted = match tokio::time::timeout(HANDSHAKE_TIMEOUT, welcome(stream, &serving)).await {
        Ok(Ok(greeted)) => greeted,
        Ok(Err(error)) => return error,
        Err(_) => return StreamError::TimedOut,
    };
    drop(stranger);
    let Greeted {
        caller,
        mut reader,
        mut writer,
    } = greeted;
    let from = match caller {
        Caller::Member { node, protocol } => Some((node, protocol)),
        Caller::Client => None,
        Caller::Joiner { joiner, private } => {
            let now_s = serving.node.environment().wall_us() / 1_000_000;
            let enrolling = Enrolling {
                secret: &serving.secret,
                now_s,
                enrol: &*serving.enrol,
            };
            let answered = enrolling.serve(*joiner, private, &mut writer).await;
            return answered.err().unwrap_or(StreamError::Closed);
        }
    };
    reader.established();
    let connection = Arc::new(Connection {
        serving,
        from: from.map(|(node, _)| node),
        protocol: from.map_or(ProtocolRange::SPOKEN.max, |(_, protocol)| protocol),
        outbox: Outbox::default(),
        in_flight: Arc::new(Semaphore::new(REQUESTS_IN_FLIGHT)),
        background: Arc::new(Semaphore::new(BACKGROUND_IN_FLIGHT)),
        stuck: Notify::new(),
    });
    tokio::select! {
        error = write_all(&connection.outbox, &mut writer, || ()) => error,
        () = connection.stuck.notified() => StreamError::Stuck,
        error = connection.read(&mut reader) => error,
        _ = stop.wait_for(|stop| *stop) => StreamError::Closed,
    }
}

/// Who it is that may go on.
async fn welcome(stream: TcpStream, serving: &Serving) -> Result<Greeted, StreamError> {
    let ring = serving.node.ring();
    // One that was removed may connect, to be given the document that says so by somebody who proves to be a member. Whatever
    // else it asks for is refused (T17).
    let standing = |node| match ring.member(node) {
        None => Standing::Unknown,
        Some(_) => Standing::Member,
    };
    let greeting = Greeting {
        card: &serving.node.card(&serving.name),
        secret: &serving.secret,
        door: serving.door,
        protocols: serving.protocols,
        tls: serving.tls.as_ref(),
        standing: &standing,
    };
    greet(stream, &greeting).await
}

/// One connection whose other end is known.
struct Connection {
    serving: Arc<Serving>,
    /// The member at the other end; `None` for a client.
    from: Option<NodeId>,
    /// What was agreed on with it.
    protocol: u16,
    outbox: Outbox,
    in_flight: Arc<Semaphore>,
    /// The same, of what no client waits for.
    background: Arc<Semaphore>,
    /// The other end doesn't take its answers.
    stuck: Notify,
}

impl Connection {
    async fn read(self: &Arc<Self>, reader: &mut FrameReader) -> StreamError {
        loop {
            let taken = match reader.next().await {
                Ok(Frame::Request { header, body }) => {
                    Request::decode(body).map(|request| (header, request))
                }
                Ok(_) => return StreamError::OutOfTurn,
                Err(error) => return error,
            };
            match taken {
                Ok((_, request)) if request.since() > self.protocol => {
                    return StreamError::OutOfTurn;
                }
                Ok((header, request)) => self.take(header, request).await,
                Err(error) => return StreamError::Decode(error),
            }
        }
    }

    async fn take(self: &Arc<Self>, header: RequestHeader, request: Request) {
        if !may_ask(self.from.is_some(), &request) {
            return self.reply(header.id, &Reply::Refused(Refusal::Malformed));
        }
        let node = &self.serving.node;
        let left_us = u64::from(header.remaining_ms) * 1_000;
        let deadline = Deadline::after(&**node.environment(), left_us);
        if matches!(
            request,
            Request::Ping | Request::Fetch(_) | Request::Digest(_)
        ) {
            let reply = node.answer(self.sender(&header), request, deadline).await;
            return self.reply(header.id, &reply.in_protocol(self.protocol));
        }
        if self.from.is_none() && node.misleads(header.placement_number, &request) {
            return self.reply(header.id, &Reply::Refused(Refusal::PlacementBehind));
        }
        if let Some(refused) = self.shed(&request) {
            return self.reply(header.id, &refused);
        }
        let shed = &node.metrics().requests_shed;
        let is_background = asker_of(&request) == Asker::MemberInBackground;
        let (pool, shed) = match (self.from, is_background) {
            (None, _) => (&self.in_flight, &shed.client),
            (Some(_), false) => (&self.in_flight, &shed.replica),
            (Some(_), true) => (&self.background, &shed.background),
        };
        let Ok(permit) = Arc::clone(pool).try_acquire_owned() else {
            shed.add(1);
            return self.reply(header.id, &Reply::Refused(Refusal::Overloaded));
        };
        let (connection, node) = (Arc::clone(self), Arc::clone(node));
        let from = self.sender(&header);
        tokio::spawn(async move {
            let reply = node.answer(from, request, deadline).await;
            connection.reply(header.id, &reply.in_protocol(connection.protocol));
            drop(permit);
        });
    }

    /// Who asks, and by which placement; none if it is a client.
    fn sender(&self, header: &RequestHeader) -> Option<Sender> {
        let placement_number = header.placement_number;
        self.from.map(|id| Sender {
            id,
            placement_number,
        })
    }

    /// The answer to a client that is turned away, before a task is made for it.
    fn shed(&self, request: &Request) -> Option<Reply> {
        let node = &self.serving.node;
        match request {
            Request::Get(_) if node.sheds(Errand::Read) => {
                Some(Reply::Got(Err(GetError::Overloaded)))
            }
            Request::Put(_) if node.sheds(Errand::Write) => {
                let reason = NotStarted::Overloaded;
                Some(Reply::Coordinated(Err(PutError::NotStarted(reason))))
            }
            _ => None,
        }
    }

    fn reply(&self, id: u64, reply: &Reply) {
        match self.outbox.push(|out| frame::append_reply(out, id, reply)) {
            Ok(()) => {}
            // Whoever asked must not wait for an answer that no frame can hold, nor for one that can't be sent.
            Err(NotTaken::TooLarge) => {
                let refused = Reply::Refused(Refusal::Unreadable);
                self.outbox
                    .push(|out| frame::append_reply(out, id, &refused))
                    .ok();
            }
            Err(NotTaken::Full) => self.stuck.notify_one(),
        }
    }
}

/// Who may ask for something, and on whose behalf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asker {
    /// A client; a member may as well.
    Anybody,
    /// A member for a client. A hint that comes home is not told from a client's write.
    MemberForClient,
    /// A member on no client's behalf.
    MemberInBackground,
}

fn asker_of(request: &Request) -> Asker {
    match request {
        Request::Ping | Request::Get(_) | Request::Put(_) | Request::ClientRing(_) => {
            Asker::Anybody
        }
        Request::Coordinate(_)
        | Request::Merge(_)
        | Request::Follow(_)
        | Request::Fetch(_)
        | Request::Digest(_)
        | Request::Properties(_)
        | Request::RingPrepare(_)
        | Request::RingAccept(_)
        | Request::RingFetch(_)
        | Request::RingIs(_)
        | Request::Recover(_)
        | Request::RecoveryIs(_)
        | Request::Testify(_) => Asker::MemberForClient,
        Request::Branches { .. }
        | Request::Leaves { .. }
        | Request::Objects(_)
        | Request::LeafKeys(_)
        | Request::FetchMany(_)
        | Request::MergeMany(_)
        | Request::Mend(_)
        | Request::Count(_)
        | Request::Strays(_)
        | Request::Vouch(_)
        | Request::Reap(_)
        | Request::GossipDigest(_)
        | Request::GossipDeltas(_)
        | Request::Receipts
        | Request::Rows(_)
        | Request::CountKeys(_)
        | Request::CheckRows(_) => Asker::MemberInBackground,
    }
}

/// A client gets and puts; what members say to each other is for members.
fn may_ask(is_member: bool, request: &Request) -> bool {
    is_member || asker_of(request) == Asker::Anybody
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringhold_wire::message::ObjectName;

    #[test]
    fn a_client_may_not_say_what_members_say_to_each_other() {
        let name = || ObjectName {
            bucket_type: "t".into(),
            bucket: "b".into(),
            key: "k".into(),
        };
        let of_members = [
            Request::Fetch(name()),
            Request::Digest(name()),
            Request::Properties(Vec::new()),
        ];
        for request in of_members {
            assert!(
                may_ask(true, &request) && !may_ask(false, &request),
                "{request:?}"
            );
        }
        assert!(may_ask(false, &Request::Ping));
    }
}
