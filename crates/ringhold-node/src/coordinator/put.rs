//! A put: route it to a replica, write it there, replicate, answer (§4.5, §4.6).
//!
//! The replicas are the first N healthy nodes of the key's preference list. One that refuses is replaced by
//! the next fallback at once, one that is silent for longer than nearly all answers take is joined by it, as
//! far as the retry budget goes; in the tail of the put, whoever failed is replaced too, so that in the end
//! each of the N copies is at home or at a fallback with a hint.
//!
//! A delete is a put of a tombstone. The coordinating replica commits the write locally before it sends
//! anything, so that a crash can't make it forget a dot that others have seen, or, in a buffered bucket,
//! can't make it use that dot again. Where one replica flushes (§6.1) it is this one, which no put can do without. It sends the
//! merged object, never "coordinate", so whatever is delivered twice or late is harmless.
//!
//! A request is forwarded at most once, and to a second primary only if the first provably did not
//! start: two coordinators would make two versions of one write (T6). The answer says what is known: done,
//! not started, unknown, rejected. What left this node is never called failed.
//!
//! Coordination runs in a task of its own. A client that hangs up ends nothing.

use super::explain::Notes;
use super::plan::Placement;
use super::replicate::Putting;
use crate::clock_guard::ClockState;
use crate::env::{CallError, Deadline};
use crate::gather::{Gather, until};
#[cfg(feature = "known-bad")]
use crate::known_bad::{self, Variant};
use crate::node::Node;
use crate::properties::{Durability, Properties};
use crate::replica::{CoordinateError, CoordinateJob, Coordinated};
use ringhold_core::crdt::{DEPTH_MAX, Refused, Update};
use ringhold_core::health::Standing;
use ringhold_core::id::NodeId;
use ringhold_core::quorum::{PutQuorum, PutTally, ReplicaKind, Target};
use ringhold_wire::message::peer::{Refusal, Reply, Request};
use ringhold_wire::message::{
    Change, Flush, NotStarted, ObjectName, PutAnswer, PutError, PutRequest, Rejection, Uncertain,
};
use std::sync::Arc;
use tokio::sync::oneshot;

type Answer = oneshot::Sender<Result<PutAnswer, PutError>>;

impl Node {
    /// Writes a value, or a tombstone, with the quorum that the request and its bucket ask for.
    ///
    /// # Errors
    /// Each says what is known of the write; see [`PutError`].
    pub async fn put(
        self: &Arc<Self>,
        mut request: PutRequest,
        deadline: Deadline,
    ) -> Result<PutAnswer, PutError> {
        let started_us = self.environment.now_us();
        self.health.earn();
        self.limit_life(&mut request);
        let name = request.name.clone();
        let mut answer = self.route(request, deadline).await;
        if let Ok(PutAnswer { object, .. }) = &mut answer {
            *object = object.take().map(|object| self.shown(&name, object));
        }
        let elapsed_us = self.note_foreground(started_us);
        match &answer {
            Ok(_) => self.metrics.puts_acknowledged.observe(elapsed_us),
            Err(PutError::NotStarted(_)) => self.metrics.puts_not_started.observe(elapsed_us),
            Err(PutError::Unknown(_)) => self.metrics.puts_unknown.observe(elapsed_us),
            Err(PutError::Rejected(_)) => self.metrics.puts_rejected.observe(elapsed_us),
        }
        answer
    }

    /// Coordinates here if this node is a replica of the key, else has one do it, a primary if any can be reached.
    async fn route(
        self: &Arc<Self>,
        request: PutRequest,
        deadline: Deadline,
    ) -> Result<PutAnswer, PutError> {
        // A request that can't be met anywhere is refused where it arrives.
        let ObjectName {
            bucket_type,
            bucket,
            ..
        } = &request.name;
        if self.properties.of(bucket_type, bucket).is_none() {
            return Err(PutError::Rejected(Rejection::UnknownBucketType));
        }
        let PutPlan { placement, .. } = self.plan_put(&request).map_err(PutError::Rejected)?;
        if placement.is_here && self.yields(&placement) {
            let reason = NotStarted::Overloaded;
            let answer = self.forward(&placement, &request, deadline, reason).await;
            if !matches!(answer, Err(PutError::NotStarted(_))) {
                return answer;
            }
        }
        if !placement.is_here {
            let reason = NotStarted::NoReplica;
            return self.forward(&placement, &request, deadline, reason).await;
        }
        match self.coordinate(request.clone(), None, deadline).await {
            // This replica can't write it; another primary may.
            Err(PutError::NotStarted(
                reason @ (NotStarted::StoreFailed
                | NotStarted::Overloaded
                | NotStarted::Starting
                | NotStarted::ClockOff
                | NotStarted::DiskFull),
            )) => self.forward(&placement, &request, deadline, reason).await,
            answer => answer,
        }
    }

    /// Whether another primary had better coordinate: this node's disk is slow, and a put is on its coordinator's disk before it is
    /// anywhere else (T23).
    fn yields(&self, placement: &Placement) -> bool {
        let disk_us = self.replica.reported(&*self.environment).disk_latency_us;
        let is_better = |target: &Target| {
            target.node != self.id
                && target.kind == ReplicaKind::Primary
                && self.standing(target.node) == Standing::Up
        };
        disk_us >= self.health.slow_disk_us() && placement.targets.iter().any(is_better)
    }

    /// Where a put goes and what has to be met, by its bucket and its options.
    fn plan_put(&self, request: &PutRequest) -> Result<PutPlan, Rejection> {
        let name = &request.name;
        // Who forwards it may know already that the type is active.
        let properties = self.properties.known(&name.bucket_type, &name.bucket);
        let properties = properties.ok_or(Rejection::UnknownBucketType)?;
        if let Change::Update(asked) = &request.change {
            check_update(&asked.update, &properties)?;
        }
        // A fallback knows too little of the key to judge a condition.
        let primaries_only = request.options.primaries_only || request.unchanged_since.is_some();
        let placement = self.placement(name.clone(), request.options.n_val, primaries_only);
        let quorum = placement.put_quorum(&request.options, &properties);
        let (quorum, durability) = quorum.map_err(Rejection::Violation)?;
        Ok(PutPlan {
            properties,
            placement,
            quorum,
            durability,
        })
    }

    /// Has the nearest replica coordinate; tries the next only while none can have started. `not_started` is the answer if there is
    /// none to try.
    async fn forward(
        self: &Arc<Self>,
        placement: &Placement,
        request: &PutRequest,
        deadline: Deadline,
        mut not_started: NotStarted,
    ) -> Result<PutAnswer, PutError> {
        let others = placement
            .targets
            .iter()
            .filter(|target| target.node != self.id);
        for target in others {
            if deadline.has_passed(&*self.environment) {
                return Err(PutError::NotStarted(NotStarted::TimedOut));
            }
            self.metrics.puts_forwarded.add(1);
            match self.ask_to_coordinate(target.node, request, deadline).await {
                Ok(Reply::Coordinated(Err(PutError::NotStarted(reason)))) => not_started = reason,
                // This node knows that the type is active: that one has lost its disk and catches up.
                Ok(Reply::Coordinated(Err(PutError::Rejected(Rejection::UnknownBucketType)))) => {
                    not_started = NotStarted::Starting;
                }
                Ok(Reply::Coordinated(answer)) => return answer,
                // A release that knows no updates was not even sent it.
                Err(CallError::NotSent) | Ok(Reply::Refused(Refusal::OlderProtocol)) => {}
                #[cfg(feature = "known-bad")]
                Err(CallError::NoAnswer) if known_bad::is(Variant::ForwardsAfterSilence) => {}
                Ok(Reply::Refused(Refusal::Overloaded)) => not_started = NotStarted::Overloaded,
                Ok(_) | Err(CallError::NoAnswer) => {
                    return Err(PutError::Unknown(Uncertain::Interrupted));
                }
            }
        }
        Err(PutError::NotStarted(not_started))
    }

    /// A release that knows of no single flush has every counted replica flush, which is more.
    async fn ask_to_coordinate(
        self: &Arc<Self>,
        to: NodeId,
        request: &PutRequest,
        deadline: Deadline,
    ) -> Result<Reply, CallError> {
        let mut request = request.clone();
        let reply = self
            .call(to, Request::Coordinate(request.clone()), deadline)
            .await;
        match reply {
            Ok(Reply::Refused(Refusal::OlderProtocol)) if request.options.flush == Flush::One => {
                request.options.flush = Flush::Counted;
                self.call(to, Request::Coordinate(request), deadline).await
            }
            reply => reply,
        }
    }

    /// Coordinates a put in a task that outlives its client. The client has its answer by the deadline, even
    /// where this node's own disk keeps the write waiting.
    pub(crate) async fn coordinate(
        self: &Arc<Self>,
        request: PutRequest,
        forwarded_by: Option<NodeId>,
        deadline: Deadline,
    ) -> Result<PutAnswer, PutError> {
        let (sender, answer) = oneshot::channel();
        let node = Arc::clone(self);
        self.environment.spawn(Box::pin(async move {
            node.carry_out(request, forwarded_by, deadline, sender)
                .await;
        }));
        #[cfg(feature = "known-bad")]
        let deadline = if known_bad::is(Variant::DeadlineIgnored) {
            Deadline { at_us: u64::MAX }
        } else {
            deadline
        };
        match until(&*self.environment, deadline, answer).await {
            Some(answer) => answer.unwrap_or(Err(PutError::Unknown(Uncertain::Interrupted))),
            None => Err(PutError::Unknown(Uncertain::TimedOut)),
        }
    }

    /// The put itself: write here, send to the others, answer at the quorum, see the rest through.
    async fn carry_out(
        self: Arc<Self>,
        request: PutRequest,
        forwarded_by: Option<NodeId>,
        deadline: Deadline,
        answer: Answer,
    ) {
        let wants_object = request.return_object;
        let mut putting = match self.begin(&request, forwarded_by) {
            Ok(putting) => putting,
            Err(error) => return finish(answer, Err(error)),
        };
        let job = putting.job(request);
        let written = match self.write_here(job, deadline).await {
            Ok(written) => written,
            Err(error) => return finish(answer, Err(error)),
        };
        putting.replicate(&written);
        let outcome = putting.wait_for_quorum(deadline).await;
        finish(
            answer,
            outcome.map(|()| PutAnswer {
                dot: written.dot,
                counts: putting.tally.counts(),
                object: wants_object.then_some(written.object),
                explanation: putting.notes.met(),
            }),
        );
        putting.see_through().await;
    }

    /// What is decided before anything is written.
    fn begin(
        self: &Arc<Self>,
        request: &PutRequest,
        forwarded_by: Option<NodeId>,
    ) -> Result<Putting, PutError> {
        let PutPlan {
            properties,
            placement,
            quorum,
            durability,
        } = self.plan_put(request).map_err(PutError::Rejected)?;
        if !self.admission.is_admitted() {
            return Err(PutError::NotStarted(NotStarted::Starting));
        }
        match self.clock() {
            ClockState::Trusted => {}
            ClockState::Unknown => return Err(PutError::NotStarted(NotStarted::Starting)),
            ClockState::Off { .. } => return Err(PutError::NotStarted(NotStarted::ClockOff)),
        }
        // A condition is judged by what is here, which may not be all of it.
        if request.unchanged_since.is_some() && !self.judges_conditions_of(&request.name) {
            return Err(PutError::NotStarted(NotStarted::Starting));
        }
        self.check_reachable(&placement, &quorum)?;

        let mut notes = Notes::start(
            Arc::clone(&self.environment),
            request.explain,
            self.id,
            &placement,
        );
        notes.require_put(&quorum);
        notes.forwarded_by(forwarded_by);
        // Replicas are given as long as any put may take, whatever the client's patience.
        let tail = Deadline::after(&*self.environment, self.tuning.put_tail_us);
        Ok(Putting {
            tally: PutTally::new(quorum, placement.targets.iter().copied()),
            hedge_us: self.health.hedge_us(),
            calls: Gather::until(Arc::clone(&self.environment), tail),
            hidden_versions: properties.hidden_versions(),
            write_once: properties.write_once,
            hll_precision: properties.hll_precision,
            node: Arc::clone(self),
            placement,
            durability,
            notes,
            tail,
            merge: None,
            follow: None,
        })
    }

    /// A put that too few replicas could take is refused before it is on any: it is safe to retry.
    fn check_reachable(&self, placement: &Placement, quorum: &PutQuorum) -> Result<(), PutError> {
        if !placement.is_here {
            return Err(PutError::NotStarted(NotStarted::NoReplica));
        }
        let count = |wanted: &dyn Fn(&&Target) -> bool| {
            let targets = placement.targets.iter().filter(wanted).count();
            u32::try_from(targets).unwrap_or(u32::MAX)
        };
        let replicas = count(&|_| true);
        let needed = quorum
            .acknowledgements_required()
            .max(quorum.dw)
            .max(quorum.node_confirms);
        let primaries = count(&|target| target.kind == ReplicaKind::Primary);
        let rows = [(needed, replicas), (quorum.pw, primaries)];
        match rows.iter().find(|(required, obtained)| obtained < required) {
            None => Ok(()),
            Some(&(required, obtained)) => Err(PutError::NotStarted(NotStarted::TooFewPrimaries {
                required,
                obtained,
            })),
        }
    }

    async fn write_here(
        &self,
        job: CoordinateJob,
        deadline: Deadline,
    ) -> Result<Coordinated, PutError> {
        self.replica
            .coordinate(job, deadline)
            .await
            .map_err(|error| match error {
                CoordinateError::Refused(refusal) => PutError::NotStarted(not_started(refusal)),
                CoordinateError::Rejected(rejection) => PutError::Rejected(rejection),
                CoordinateError::Unknown => PutError::Unknown(Uncertain::Interrupted),
            })
    }
}

/// What can be said of an update without its key. What goes deeper than any map could not even be read by a peer.
fn check_update(update: &Update, properties: &Properties) -> Result<(), Rejection> {
    if !properties.allow_mult {
        return Err(Rejection::SiblingsOff);
    }
    if properties.write_once {
        return Err(Rejection::NotADataType);
    }
    let holds = properties.datatype.unwrap_or(update.kind());
    if holds != update.kind() {
        let update = update.kind();
        return Err(Rejection::Update(Refused::WrongKind { holds, update }));
    }
    if update.depth() > DEPTH_MAX {
        let limit = DEPTH_MAX;
        return Err(Rejection::Update(Refused::TooDeep { limit }));
    }
    Ok(())
}

/// What is decided of a put before anything is sent.
struct PutPlan {
    properties: Arc<Properties>,
    placement: Placement,
    quorum: PutQuorum,
    durability: Durability,
}

fn not_started(refusal: Refusal) -> NotStarted {
    match refusal {
        Refusal::Overloaded => NotStarted::Overloaded,
        Refusal::Expired => NotStarted::TimedOut,
        Refusal::Starting => NotStarted::Starting,
        Refusal::DiskFull => NotStarted::DiskFull,
        Refusal::StoreFailed
        | Refusal::Unreadable
        | Refusal::Rebuilding
        | Refusal::Malformed
        | Refusal::PlacementBehind
        | Refusal::PlacementUnknown
        | Refusal::NotAMember
        | Refusal::OlderProtocol
        | Refusal::OtherBasis
        | Refusal::OtherBase
        | Refusal::Sorting => NotStarted::StoreFailed,
    }
}

/// The client may have gone; then nobody waits for the answer, and the write stands all the same.
fn finish(answer: Answer, outcome: Result<PutAnswer, PutError>) {
    answer.send(outcome).ok();
}
