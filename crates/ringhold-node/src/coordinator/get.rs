//! A get: read, compare, answer, repair (§4.5, §5).
//!
//! The replicas are the first N healthy nodes of the key's preference list (§4.6), primaries first. The
//! nearest sends the object, as many others as R needs send digests. A replica that fails is
//! replaced by the next one at once, one that is silent for longer than nearly all answers take is joined by it, as far
//! as the retry budget goes. Then
//! replicas whose digests differ send their objects, everything is merged, the client gets all
//! versions that nothing has overwritten, and the replicas that lacked some get them by merge; before the answer, where the
//! bucket asks for it.

use super::explain::Notes;
use super::plan::Placement;
use super::views::{Views, dots_of};
use crate::env::{CallError, Deadline};
use crate::gather::{Arrival, Gather};
#[cfg(feature = "known-bad")]
use crate::known_bad::{self, Variant};
use crate::node::Node;
use crate::read_repair::Behind;
use ringhold_core::quorum::{
    FailureKind, GetOutcome, GetReply, GetTally, Shortfall, Status, Target,
};
use ringhold_wire::message::peer::{Refusal, Reply, Request};
use ringhold_wire::message::{GetAnswer, GetError, GetRequest};
use std::sync::Arc;

type Calls = Gather<Target, Result<Reply, CallError>>;

impl Node {
    /// Reads a key with the quorum that the request and its bucket ask for.
    ///
    /// # Errors
    /// If too few replicas answer in time. Nothing is changed by that.
    pub async fn get(
        self: &Arc<Self>,
        request: GetRequest,
        deadline: Deadline,
    ) -> Result<GetAnswer, GetError> {
        let started_us = self.environment.now_us();
        self.health.earn();
        let name = request.name.clone();
        let mut answer = self.read_in_step(request, deadline).await;
        if let Ok(GetAnswer { object, .. }) = &mut answer {
            *object = self.shown(&name, std::mem::take(object));
        }
        let elapsed_us = self.note_foreground(started_us);
        match &answer {
            Ok(_) => self.metrics.gets_answered.observe(elapsed_us),
            Err(_) => self.metrics.gets_failed.observe(elapsed_us),
        }
        answer
    }

    /// Reads by one placement. Where another one took its place meanwhile, nodes that were asked may be homes no more, and their "not
    /// found" says nothing (T16): it is read once more.
    async fn read_in_step(
        self: &Arc<Self>,
        request: GetRequest,
        deadline: Deadline,
    ) -> Result<GetAnswer, GetError> {
        loop {
            let placement_number = self.ring().placement_number();
            let answer = self.read(request.clone(), deadline).await;
            if answer.is_err() || self.ring().placement_number() == placement_number {
                return answer;
            }
            if deadline.has_passed(&*self.environment) {
                return Err(GetError::TimedOut);
            }
        }
    }

    async fn read(
        self: &Arc<Self>,
        request: GetRequest,
        deadline: Deadline,
    ) -> Result<GetAnswer, GetError> {
        let name = request.name;
        let properties = self
            .properties
            .of(&name.bucket_type, &name.bucket)
            .ok_or(GetError::UnknownBucketType)?;
        let options = &request.options;
        let placement = self.placement(name, options.n_val, options.primaries_only);
        let quorum = placement
            .get_quorum(&request.options, &properties)
            .map_err(GetError::Violation)?;
        let mut notes = Notes::start(
            Arc::clone(&self.environment),
            request.explain,
            self.id,
            &placement,
        );
        notes.require_get(&quorum);

        let mut reading = Reading {
            node: self,
            placement: &placement,
            spares: placement
                .targets
                .iter()
                .chain(&placement.spares)
                .copied()
                .collect(),
            expected: placement
                .targets
                .iter()
                .chain(&placement.absent)
                .copied()
                .collect(),
            calls: Gather::until(Arc::clone(&self.environment), deadline),
            tally: GetTally::new(
                quorum,
                placement.targets.iter().chain(&placement.absent).copied(),
            ),
            replies: Vec::new(),
            views: Views::default(),
            notes: &mut notes,
            hedge_us: self.health.hedge_us(),
            deadline,
        };
        reading.count_absent();
        reading.ask_first();
        loop {
            reading.gather_quorum().await?;
            let silent = reading.fetch_differing().await;
            if silent.is_empty() {
                break;
            }
            // Who said that it differs and then did not send its object counts as one that failed.
            reading.withdraw(&silent);
        }
        let counted = reading.views.count();
        let (object, stale) = reading.views.finish();

        if properties.blocking_repair {
            let behind = Behind {
                counted,
                required: quorum.replies_required(),
                stale: &stale,
            };
            self.repair_first(&placement, &object, behind, deadline)
                .await?;
        } else if !deadline.has_passed(&*self.environment) {
            // What was read long ago, by a process that stood still since, may have been reaped meanwhile (T11).
            self.repair(&placement, &object, &stale);
        }
        Ok(GetAnswer {
            object,
            explanation: notes.met(),
        })
    }
}

/// One get on its way.
struct Reading<'a> {
    node: &'a Arc<Node>,
    placement: &'a Placement,
    /// Who was not asked yet: the targets, the nearest first, then further fallbacks.
    spares: std::collections::VecDeque<Target>,
    /// Who is in the tally.
    expected: Vec<Target>,
    calls: Calls,
    tally: GetTally,
    /// What was counted, to count anew if one of them has to be taken back.
    replies: Vec<GetReply>,
    views: Views,
    notes: &'a mut Notes,
    /// The silence after which another replica is asked as well.
    hedge_us: u64,
    deadline: Deadline,
}

impl Reading<'_> {
    /// As many as the quorum needs: the nearest for its object, the others for digests.
    fn ask_first(&mut self) {
        let quorum = *self.tally.quorum();
        let first = quorum
            .replies_required()
            .max(quorum.pr)
            .max(quorum.node_confirms);
        self.ask_next(true);
        for _ in 1..first {
            self.ask_next(false);
        }
    }

    /// Takes replies until the quorum is met by replicas of which one has sent its object.
    async fn gather_quorum(&mut self) -> Result<(), GetError> {
        while !(self.tally.status() == Status::Met && self.views.has_whole()) {
            if let Status::Impossible(shortfall) = self.tally.status() {
                return Err(self.not_met(shortfall));
            }
            let pause_us = (!self.spares.is_empty()).then_some(self.hedge_us);
            match self.calls.next_within(pause_us).await {
                Arrival::Reply(target, reply) => self.take(target, reply),
                Arrival::Silence => self.hedge(),
                Arrival::Nothing => return Err(GetError::TimedOut),
            }
        }
        Ok(())
    }

    fn hedge(&mut self) {
        if self.node.health.spend() {
            self.node.metrics.hedged_reads.add(1);
            self.ask_next(true);
            return;
        }
        self.node.metrics.hedges_denied.add(1);
        // Not to ask again all the time.
        self.hedge_us = self.hedge_us.saturating_mul(2);
    }

    /// Gets the objects of the replicas that hold something else, until none differs. Returns those that
    /// did not send theirs.
    async fn fetch_differing(&mut self) -> Vec<Target> {
        loop {
            let differing = self.views.differing();
            #[cfg(feature = "known-bad")]
            let differing = if known_bad::is(Variant::IgnoresDifferingDigests) {
                Vec::new()
            } else {
                differing
            };
            if differing.is_empty() {
                return Vec::new();
            }
            let mut fetches = Gather::until(Arc::clone(&self.node.environment), self.deadline);
            for target in differing {
                let request = Request::Fetch(self.placement.name.clone());
                fetches.ask(target, self.node.call(target.node, request, self.deadline));
            }
            let mut silent = Vec::new();
            while let Some((target, reply)) = fetches.next().await {
                match reply {
                    Ok(Reply::Fetched(object)) => {
                        self.views.whole(target, object);
                    }
                    _ => silent.push(target),
                }
            }
            silent.extend(fetches.outstanding().copied());
            if !silent.is_empty() {
                return silent;
            }
        }
    }

    /// Counts anew without these, and asks further primaries in their place.
    fn withdraw(&mut self, silent: &[Target]) {
        self.tally = GetTally::new(*self.tally.quorum(), self.expected.iter().copied());
        for reply in &mut self.replies {
            if silent.iter().any(|target| target.node == reply.node) {
                reply.outcome = GetOutcome::Failed(FailureKind::TimedOut);
            }
        }
        for target in silent {
            self.views.withdraw(*target);
            self.ask_next(true);
        }
        for reply in &self.replies {
            self.tally.record(*reply);
        }
    }

    /// Primaries that are down are not asked, and have failed.
    fn count_absent(&mut self) {
        for target in self.placement.absent.clone() {
            self.fail(target, FailureKind::Unreachable, "unreachable");
        }
    }

    /// Asks the next replica; false if there is none left.
    fn ask_next(&mut self, whole: bool) -> bool {
        while let Some(target) = self.spares.pop_front() {
            let name = self.placement.name.clone();
            let request = if whole {
                Request::Fetch(name)
            } else {
                Request::Digest(name)
            };
            if !self.expected.contains(&target) {
                self.expected.push(target);
                self.tally.expect_more(target);
            }
            if self.node.is_reachable(target.node) {
                self.calls
                    .ask(target, self.node.call(target.node, request, self.deadline));
                return true;
            }
            self.fail(target, FailureKind::Unreachable, "unreachable");
        }
        false
    }

    fn take(&mut self, target: Target, reply: Result<Reply, CallError>) {
        match reply {
            Ok(Reply::Fetched(object)) => {
                let dots = dots_of(&object);
                let outcome = self.views.whole(target, object);
                self.count(target, outcome, || dots);
            }
            Ok(Reply::Digested(digest)) => {
                let dots = digest.versions.iter().map(|(dot, ..)| *dot).collect();
                let outcome = self.views.digest(target, digest);
                self.count(target, outcome, || dots);
            }
            unusable => {
                let (kind, word) = failure_of(&unusable);
                if self.views.knows(target) {
                    // It sent a digest and then not its object. Asked once more, it might go on like this for ever.
                    self.withdraw(&[target]);
                } else {
                    // The stand-in sends its object: whoever failed may have been the one to do so.
                    self.ask_next(true);
                }
                self.fail(target, kind, word);
            }
        }
        self.ask_for_object_if_none_will_come();
    }

    fn count(
        &mut self,
        target: Target,
        outcome: GetOutcome,
        dots: impl FnOnce() -> Vec<ringhold_core::version::Dot>,
    ) {
        let word = match outcome {
            GetOutcome::Found => "found",
            GetOutcome::Deleted => "deleted",
            GetOutcome::NotFound => "not found",
            GetOutcome::Unknown | GetOutcome::Failed(_) => "failed",
        };
        self.notes.reply(target, word, dots);
        let absent_fails = outcome == GetOutcome::NotFound && !self.tally.quorum().notfound_ok;
        if absent_fails {
            self.ask_next(false);
        }
        self.record(GetReply {
            node: target.node,
            kind: target.kind,
            outcome,
        });
    }

    fn record(&mut self, reply: GetReply) {
        self.replies.push(reply);
        self.tally.record(reply);
    }

    fn fail(&mut self, target: Target, kind: FailureKind, word: &'static str) {
        self.notes.reply(target, word, Vec::new);
        let outcome = if word == "rebuilding" {
            GetOutcome::Unknown
        } else {
            GetOutcome::Failed(kind)
        };
        self.record(GetReply {
            node: target.node,
            kind: target.kind,
            outcome,
        });
    }

    /// Where the quorum is met by digests alone and nobody is left to send the object, one of them is asked to.
    fn ask_for_object_if_none_will_come(&mut self) {
        let settled = self.tally.status() == Status::Met && !self.views.has_whole();
        if settled
            && self.calls.outstanding().next().is_none()
            && let Some(&target) = self.views.differing().first()
        {
            let request = Request::Fetch(self.placement.name.clone());
            self.calls
                .ask(target, self.node.call(target.node, request, self.deadline));
        }
    }

    fn not_met(&self, shortfall: Shortfall) -> GetError {
        if self.tally.failures().overloaded > 0 {
            return GetError::Overloaded;
        }
        GetError::QuorumNotMet(shortfall)
    }
}

fn failure_of(reply: &Result<Reply, CallError>) -> (FailureKind, &'static str) {
    match reply {
        Err(CallError::NotSent) => (FailureKind::Unreachable, "unreachable"),
        Err(CallError::NoAnswer) => (FailureKind::TimedOut, "no answer"),
        Ok(Reply::Refused(Refusal::Overloaded)) => (FailureKind::Overloaded, "overloaded"),
        Ok(Reply::Refused(Refusal::Rebuilding)) => (FailureKind::Error, "rebuilding"),
        Ok(Reply::Refused(Refusal::Unreadable)) => (FailureKind::Error, "unreadable record"),
        Ok(_) => (FailureKind::Error, "refused"),
    }
}
