//! The ways to all other members, which come and go with the ring document.
//!
//! The node says whom it wants to reach ([`Peers::follow`]); for each of them there is one link, and one task that keeps it
//! connected. Before the node itself exists, links only queue: dialling begins once it can say who it is.

use super::dial::{Dialling, keep_connected};
use super::link::Link;
use super::tls::DialingTls;
use arc_swap::ArcSwap;
use ringhold_core::id::NodeId;
use ringhold_core::ring::Member;
use ringhold_node::Node;
use ringhold_node::env::{BoxFuture, CallError, Deadline, Environment, Peers};
use ringhold_wire::handshake::ProtocolRange;
use ringhold_wire::message::peer::{Refusal, Reply, Request};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;
use tokio::task::JoinHandle;

/// What is the same for all members that are dialled.
pub(crate) struct Dialler {
    pub(crate) node: Weak<Node>,
    /// What this node is called.
    pub(crate) name: String,
    pub(crate) secret: [u8; 32],
    pub(crate) protocols: ProtocolRange,
    /// `None` if connections between nodes are not encrypted.
    pub(crate) tls: Option<DialingTls>,
    pub(crate) connect: Duration,
    pub(crate) silence: Duration,
}

/// See the module.
pub(crate) struct Links {
    me: NodeId,
    environment: Arc<dyn Environment>,
    /// Read by each request.
    links: ArcSwap<BTreeMap<NodeId, Arc<Link>>>,
    dialler: OnceLock<Arc<Dialler>>,
    /// Where each member is dialled, and the task that does it.
    dialled: Mutex<BTreeMap<NodeId, Dialled>>,
}

struct Dialled {
    address: String,
    task: Option<JoinHandle<()>>,
}

impl Links {
    pub(crate) fn new(me: NodeId, environment: Arc<dyn Environment>) -> Arc<Self> {
        Arc::new(Self {
            me,
            environment,
            links: ArcSwap::default(),
            dialler: OnceLock::new(),
            dialled: Mutex::default(),
        })
    }

    /// Dials all members that are followed, now and from now on.
    pub(crate) fn dial(&self, dialler: Dialler) {
        // Once for each node: a second one would change nothing.
        let dialler = self.dialler.get_or_init(|| Arc::new(dialler));
        let mut dialled = self.dialled.lock().unwrap_or_else(PoisonError::into_inner);
        for (member, dialled) in &mut *dialled {
            self.begin(*member, dialled, dialler);
        }
    }

    /// Once dialling has begun.
    pub(super) fn dialler(&self) -> Option<&Arc<Dialler>> {
        self.dialler.get()
    }

    fn begin(&self, member: NodeId, dialled: &mut Dialled, dialler: &Arc<Dialler>) {
        let Some(link) = self.links.load().get(&member).cloned() else {
            return;
        };
        let dialling = Dialling {
            link,
            address: dialled.address.clone(),
            dialler: Arc::clone(dialler),
        };
        let before = dialled.task.replace(tokio::spawn(keep_connected(dialling)));
        if let Some(before) = before {
            before.abort();
        }
    }
}

impl Peers for Links {
    fn call(
        &self,
        to: NodeId,
        placement_number: u64,
        request: Request,
        deadline: Deadline,
    ) -> BoxFuture<'static, Result<Reply, CallError>> {
        let links = self.links.load();
        let link = links.get(&to);
        let too_new = link.and_then(|link| link.is_too_new(&request));
        let sent = match (link, too_new) {
            (Some(link), Some(false)) => link.send(placement_number, &request, deadline),
            (Some(_), Some(true)) => {
                let refused = Reply::Refused(Refusal::OlderProtocol);
                return Box::pin(std::future::ready(Ok(refused)));
            }
            _ => None,
        };
        Box::pin(async move {
            let answer = sent.ok_or(CallError::NotSent)?;
            answer.await.map_err(|_| CallError::NoAnswer)
        })
    }

    fn connected(&self, node: NodeId) -> bool {
        let links = self.links.load();
        links.get(&node).is_some_and(|link| link.is_connected())
    }

    fn follow(&self, members: &[Member]) {
        let others = members.iter().filter(|member| member.id != self.me);
        let others: BTreeMap<NodeId, &Member> = others
            .filter(|member| !member.state.is_gone())
            .map(|member| (member.id, member))
            .collect();
        let mut dialled = self.dialled.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.links.load_full();
        let link = |id: &NodeId| {
            let known = known.get(id).cloned();
            known.unwrap_or_else(|| Link::new(*id, Arc::clone(&self.environment)))
        };
        let links = others.keys().map(|id| (*id, link(id)));
        self.links.store(Arc::new(links.collect()));
        dialled.retain(|id, dialled| {
            let stays = others.contains_key(id);
            if let Some(task) = dialled.task.take_if(|_| !stays) {
                task.abort();
                if let Some(link) = known.get(id) {
                    link.end();
                }
            }
            stays
        });
        for (id, member) in others {
            let address = &member.addresses.peer;
            if dialled
                .get(&id)
                .is_some_and(|dialled| dialled.address == *address)
            {
                continue;
            }
            let dialled = dialled.entry(id).or_insert(Dialled {
                address: String::new(),
                task: None,
            });
            dialled.address.clone_from(address);
            if let Some(dialler) = self.dialler.get() {
                self.begin(id, dialled, dialler);
            }
        }
    }
}
