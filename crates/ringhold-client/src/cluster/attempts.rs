//! One request, until it is answered or its time is over.
//!
//! A node that answers "not I", or broke off, is followed by the next one of the list. One that is silent is not given up but *joined*:
//! a second node is asked as well, and the first answer counts. For a read that happens early, as a hedge; for a write only after
//! ten times as long as nearly all take. What joins a write is the same write, by its operation id.
//!
//! What is paid: hedges by their budget, other attempts by that of retries. Free are attempts that nothing was sent of, and
//! asking again with a newer ring; there are no more of either than nodes, and two.

use super::link::Link;
use super::view::View;
use super::{Client, Inner, lock, route};
use crate::error::ClientError;
use crate::native::NativeClient;
use ringhold_core::id::NodeId;
use ringhold_wire::message::peer::{ClientGot, ClientPut, Refusal, Reply, Request};
use ringhold_wire::message::{GetRequest, ObjectName, PutAnswer};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// So many attempts that are paid for, the first one included.
const ATTEMPTS_MAX: u32 = 4;
/// So often a request is asked again with a newer ring; from then on the node is to take it as it is.
const STALE_MAX: u32 = 2;

/// A node to ask, over its connection.
#[derive(Clone)]
struct Hop {
    link: Arc<Link>,
    connection: NativeClient,
}

/// What follows an error.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// It says what there is to say.
    Return,
    /// Another attempt, if one is paid for.
    Retry,
    /// Nothing was sent: another node, without paying.
    Elsewhere,
}

fn after(error: &ClientError) -> Next {
    match error {
        ClientError::Unreachable { .. } => Next::Elsewhere,
        error if error.is_passing() => Next::Retry,
        _ => Next::Return,
    }
}

/// The surer of two errors of one request says too much: of a write that may have happened once, all that can be said is that.
fn least_sure(one: Option<ClientError>, other: ClientError) -> ClientError {
    match one {
        Some(doubtful) if !doubtful.did_not_start() => doubtful,
        _ => other,
    }
}

impl Client {
    /// Reads an object, with the options of the request, within the client's timeout.
    ///
    /// # Errors
    /// See [`ClientError`]. Nothing was changed.
    pub async fn get_object(&self, request: GetRequest) -> Result<ClientGot, ClientError> {
        let timeout = self.inner.options.timeout;
        self.get_object_within(request, timeout).await
    }

    /// # Errors
    /// Likewise.
    pub async fn get_object_within(
        &self,
        request: GetRequest,
        timeout: Duration,
    ) -> Result<ClientGot, ClientError> {
        let name = request.name.clone();
        let request = Request::Get(request);
        let mut course = Course::new(&self.inner, &name, timeout, true);
        course
            .run(&request, |connection, reply| {
                let answer = connection.got(reply)?;
                answer.map_err(|error| ClientError::Get {
                    url: connection.address().to_owned(),
                    error,
                })
            })
            .await
    }

    /// Writes what the request says; its operation id makes one write of all attempts at it, these and the caller's.
    ///
    /// # Errors
    /// See [`ClientError`], which says what is known of the write.
    pub async fn put_object(&self, put: ClientPut) -> Result<PutAnswer, ClientError> {
        let timeout = self.inner.options.timeout;
        self.put_object_within(put, timeout).await
    }

    /// # Errors
    /// Likewise.
    pub async fn put_object_within(
        &self,
        put: ClientPut,
        timeout: Duration,
    ) -> Result<PutAnswer, ClientError> {
        let name = put.request.name.clone();
        let request = Request::Put(put);
        let mut course = Course::new(&self.inner, &name, timeout, false);
        course
            .run(&request, |connection, reply| {
                let answer = connection.coordinated(reply)?;
                answer.map_err(|error| ClientError::Put {
                    url: connection.address().to_owned(),
                    error,
                })
            })
            .await
    }
}

/// A request on its way.
struct Course<'a> {
    inner: &'a Inner,
    name: &'a ObjectName,
    deadline: Instant,
    timeout: Duration,
    is_read: bool,
    turn: usize,
    tried: Vec<NodeId>,
    paid: u32,
    stale: u32,
}

impl<'a> Course<'a> {
    fn new(inner: &'a Inner, name: &'a ObjectName, timeout: Duration, is_read: bool) -> Self {
        inner.retries.earn();
        inner.counts.requests.fetch_add(1, Ordering::Relaxed);
        Self {
            inner,
            name,
            deadline: Instant::now() + timeout,
            timeout,
            is_read,
            turn: inner.turn.fetch_add(1, Ordering::Relaxed),
            tried: Vec::new(),
            paid: 1,
            stale: 0,
        }
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    async fn run<T>(
        &mut self,
        request: &Request,
        read: impl Fn(&NativeClient, Reply) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let mut last = None;
        loop {
            let view = self.inner.view();
            let hop = match self.reach(&view).await {
                Ok(hop) => hop,
                Err(error) => return Err(least_sure(last, error)),
            };
            let (hop, reply) = self.ask_joined(&view, hop, request).await;
            let result = match reply {
                Ok(Reply::Refused(Refusal::PlacementBehind)) => {
                    self.catch_up(&hop).await;
                    continue;
                }
                Ok(reply) => read(&hop.connection, reply),
                Err(error) => Err(error),
            };
            let error = match result {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let next = after(&error);
            last = Some(least_sure(last, error));
            let goes_on = match next {
                Next::Return => false,
                Next::Elsewhere => self.tried.len() < view.links().count(),
                Next::Retry => self.pays(),
            };
            if let Some(error) = last.take_if(|_| !goes_on || self.left().is_zero()) {
                return Err(error);
            }
        }
    }

    /// Whether one more attempt is paid for.
    fn pays(&mut self) -> bool {
        let is_paid = self.paid < ATTEMPTS_MAX && self.inner.retries.spend();
        if is_paid {
            self.paid += 1;
            self.inner.counts.retries.fetch_add(1, Ordering::Relaxed);
        }
        is_paid
    }

    /// A node said that the client's ring is old.
    async fn catch_up(&mut self, hop: &Hop) {
        self.inner.counts.stale.fetch_add(1, Ordering::Relaxed);
        self.stale += 1;
        self.tried.clear();
        // If it can't be had, the request goes as it is.
        if self.inner.refresh(Some(&hop.connection)).await.is_err() {
            self.stale = STALE_MAX;
        }
    }

    /// The best node that was not tried yet and can be asked now.
    fn pick(&mut self, view: &View) -> Option<Hop> {
        let candidates = view.candidates(self.inner.options.coordination, self.name, self.turn);
        let mut connection = None;
        let node = route::next(&candidates, &self.tried, |node| {
            connection = view.link(node).and_then(Link::ready);
            connection.is_some()
        })?;
        self.tried.push(node);
        Some(Hop {
            link: Arc::clone(view.link(node)?),
            connection: connection?,
        })
    }

    /// A node to ask, if need be after connecting to it.
    async fn reach(&mut self, view: &View) -> Result<Hop, ClientError> {
        if let Some(hop) = self.pick(view) {
            return Ok(hop);
        }
        let candidates = view.candidates(self.inner.options.coordination, self.name, self.turn);
        let (tried, untried): (Vec<_>, Vec<_>) = candidates
            .into_iter()
            .partition(|node| self.tried.contains(node));
        let mut last = None;
        for node in untried.into_iter().chain(tried) {
            let Some(link) = view.link(node) else {
                continue;
            };
            match tokio::time::timeout_at(self.deadline, link.connect()).await {
                Ok(Ok(connection)) => {
                    self.tried.push(node);
                    let link = Arc::clone(link);
                    return Ok(Hop { link, connection });
                }
                Ok(Err(error)) => last = Some(error),
                Err(_) => break,
            }
        }
        Err(last.unwrap_or_else(|| ClientError::Unreachable {
            url: self.inner.seeds.join(", "),
            error: std::io::ErrorKind::TimedOut.into(),
        }))
    }

    /// Asks a node, and a second one as well if the first takes long. Who answered, and what.
    async fn ask_joined(
        &mut self,
        view: &View,
        first: Hop,
        request: &Request,
    ) -> (Hop, Result<Reply, ClientError>) {
        let (inner, started) = (self.inner, Instant::now());
        let (hedge_after, patience) = self.waits();
        let placement = match self.stale < STALE_MAX {
            true => self.placement(view),
            false => 0,
        };
        let left = self.left();
        let mut asking = std::pin::pin!(inner.ask(first.clone(), request, placement, left));
        let mut second = None;
        for (wait, is_hedge) in [(hedge_after, true), (Some(patience), false)] {
            let Some(wait) = wait else { continue };
            if let Ok(reply) = tokio::time::timeout_at(started + wait, &mut asking).await {
                self.note(started, &reply);
                return (first, reply);
            }
            second = self.joins(view, is_hedge);
            if second.is_some() {
                break;
            }
        }
        let Some(second) = second else {
            let reply = asking.await;
            self.note(started, &reply);
            return (first, reply);
        };
        let left = self.left();
        let joined = Instant::now();
        let joining = inner.ask(second.clone(), request, placement, left);
        let (is_first, reply) = either(asking, joining).await;
        // Each node's own time: else one that hangs would teach patience with it.
        self.note(if is_first { started } else { joined }, &reply);
        if is_first {
            return (first, reply);
        }
        if reply.is_ok() {
            first.link.was_overtaken();
        }
        (second, reply)
    }

    /// After how long a second node is asked: as a hedge, if this is to be hedged, and in any case.
    fn waits(&self) -> (Option<Duration>, Duration) {
        let left = self.left();
        if !self.is_read {
            return (None, lock(&self.inner.writes).patience(left));
        }
        let mut reads = self.inner.reads();
        let super::Reads { latencies, hedges } = &mut *reads;
        let patience = latencies.patience(left);
        // What was asked twice already has its second node.
        let is_hedged = self.inner.options.hedges && self.paid == 1;
        let hedge = is_hedged.then(|| hedges.begin(latencies)).flatten();
        (hedge.filter(|wait| *wait < patience), patience)
    }

    /// The second node, if it is paid for.
    fn joins(&mut self, view: &View, is_hedge: bool) -> Option<Hop> {
        let hop = self.pick(view)?;
        let is_paid = if is_hedge {
            let is_paid = self.inner.reads().hedges.spend();
            let counted = u64::from(is_paid);
            self.inner
                .counts
                .hedges
                .fetch_add(counted, Ordering::Relaxed);
            is_paid
        } else {
            self.pays()
        };
        if !is_paid {
            self.tried.pop();
        }
        is_paid.then_some(hop)
    }

    fn placement(&self, view: &View) -> u64 {
        match self.inner.options.coordination {
            route::Coordination::Client => view.placement_number(),
            route::Coordination::Server => 0,
        }
    }

    fn note(&self, started: Instant, reply: &Result<Reply, ClientError>) {
        if reply.is_ok() {
            let latency = started.elapsed().min(self.timeout);
            if self.is_read {
                self.inner.reads().latencies.record(latency);
            } else {
                lock(&self.inner.writes).record(latency);
            }
        }
    }
}

impl Inner {
    async fn ask(
        &self,
        hop: Hop,
        request: &Request,
        placement_number: u64,
        timeout: Duration,
    ) -> Result<Reply, ClientError> {
        if timeout.is_zero() {
            return Err(ClientError::Unreachable {
                url: hop.connection.address().to_owned(),
                error: std::io::ErrorKind::TimedOut.into(),
            });
        }
        let result = hop.connection.ask(request, placement_number, timeout).await;
        hop.link.learn(&result);
        result
    }
}

/// The first answer of two, and whether it is the first one's. An error of one leaves the other's answer to wait for.
async fn either<T>(
    mut one: impl Future<Output = Result<T, ClientError>> + Unpin,
    other: impl Future<Output = Result<T, ClientError>>,
) -> (bool, Result<T, ClientError>) {
    let mut other = std::pin::pin!(other);
    let (is_first, result) = tokio::select! {
        result = &mut one => (true, result),
        result = &mut other => (false, result),
    };
    match (is_first, result) {
        (true, Err(error)) => (false, other.await.map_err(|e| least_sure(Some(error), e))),
        (false, Err(error)) => (true, one.await.map_err(|e| least_sure(Some(error), e))),
        answered => answered,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Doubt;
    use ringhold_wire::message::{NotStarted, PutError, Rejection};

    fn put(error: PutError) -> ClientError {
        ClientError::Put {
            url: "n".to_owned(),
            error,
        }
    }

    fn silence() -> ClientError {
        ClientError::Unknown {
            url: "n".to_owned(),
            doubt: Doubt::TimedOut {
                after: Duration::from_secs(1),
            },
        }
    }

    fn unreachable() -> ClientError {
        ClientError::Unreachable {
            url: "n".to_owned(),
            error: std::io::ErrorKind::ConnectionRefused.into(),
        }
    }

    #[test]
    fn what_follows_an_error() {
        assert_eq!(after(&unreachable()), Next::Elsewhere);
        assert_eq!(after(&silence()), Next::Retry);
        let overloaded = put(PutError::NotStarted(NotStarted::Overloaded));
        assert_eq!(after(&overloaded), Next::Retry);
        let refused = put(PutError::Rejected(Rejection::ContextRefused));
        assert_eq!(after(&refused), Next::Return);
    }

    #[test]
    fn a_write_that_may_have_happened_once_stays_in_doubt() {
        let doubt = |error: &ClientError| !error.did_not_start();
        assert!(doubt(&least_sure(Some(silence()), unreachable())));
        assert!(doubt(&least_sure(Some(unreachable()), silence())));
        assert!(!doubt(&least_sure(Some(unreachable()), unreachable())));
        assert!(!doubt(&least_sure(None, unreachable())));
    }
}
