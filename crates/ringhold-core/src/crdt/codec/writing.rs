//! The writer: the layout is in [`super`].

use super::super::amounts::Amounts;
use super::super::causal::CausalContext;
use super::super::counter::Counter;
use super::super::dotted::Dotted;
use super::super::hll::Hll;
use super::super::map::{Content, Field, FieldKind, Fields};
use super::super::removals::{Removals, Target};
use super::super::runs::Runs;
use super::super::set::Elements;
use super::super::state::{Body, State};
use super::super::update::Kind;
use super::FORMAT_VERSION;
use crate::version::{Actor, Dot};
use bytes::{BufMut, Bytes, BytesMut};
use std::collections::BTreeSet;

/// The code of a kind in the layout.
pub(super) fn kind_code(kind: Kind) -> u8 {
    match kind {
        Kind::Counter => 1,
        Kind::Set => 2,
        Kind::GrowingSet => 3,
        Kind::Hll => 4,
        Kind::Map => 5,
    }
}

/// The code of a field's kind in the layout.
pub(super) fn field_code(kind: FieldKind) -> u8 {
    match kind {
        FieldKind::Counter => 1,
        FieldKind::Set => 2,
        FieldKind::Register => 3,
        FieldKind::Flag => 4,
        FieldKind::Map => 5,
    }
}

/// Small numbers, to small codes: 0, -1, 1, -2 …
fn zigzag(number: i128) -> u128 {
    ((number << 1) ^ (number >> 127)).cast_unsigned()
}

pub(super) struct Writing {
    out: BytesMut,
    /// Sorted.
    actors: Vec<Actor>,
}

impl Writing {
    pub(super) fn state(state: &State) -> Bytes {
        let mut actors: BTreeSet<Actor> = state.seen.actors().map(|(actor, _)| actor).collect();
        for dots in state.removals.places.values() {
            actors.extend(dots.actors().map(|(actor, _)| actor));
        }
        if let Body::Counter(counter) = &state.body {
            actors.extend(counter.actors());
        }
        let mut writing = Self::new(actors);
        writing.out.put_u8(kind_code(state.kind()));
        writing.actors();
        for actor in writing.actors.clone() {
            match state.seen.runs(actor) {
                Some(runs) => writing.runs(runs, |_, ()| {}),
                None => writing.count(0),
            }
        }
        writing.removals(&state.removals);
        writing.body(&state.body);
        writing.out.freeze()
    }

    pub(super) fn context(context: &CausalContext) -> Bytes {
        let actors = context.actors().map(|(actor, _)| actor).collect();
        let mut writing = Self::new(actors);
        writing.actors();
        for (_, runs) in context.actors() {
            writing.runs(runs, |_, ()| {});
        }
        writing.out.freeze()
    }

    pub(super) fn new(actors: BTreeSet<Actor>) -> Self {
        let mut out = BytesMut::new();
        out.put_u8(FORMAT_VERSION);
        let actors = actors.into_iter().collect();
        Self { out, actors }
    }

    pub(super) fn number(&mut self, mut number: u128) {
        loop {
            let low = u8::try_from(number & 0x7f).expect("seven bits");
            number >>= 7;
            if number == 0 {
                return self.out.put_u8(low);
            }
            self.out.put_u8(low | 0x80);
        }
    }

    pub(super) fn signed(&mut self, number: i128) {
        self.number(zigzag(number));
    }

    pub(super) fn count(&mut self, count: usize) {
        self.number(count as u128);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.out.put_slice(bytes);
    }

    pub(super) fn actors(&mut self) {
        self.count(self.actors.len());
        for actor in &self.actors {
            self.out.put_u128(actor.incarnation.0);
            self.out.put_u64(actor.epoch.0);
        }
    }

    pub(super) fn actor(&mut self, actor: Actor) {
        let place = self.actors.binary_search(&actor);
        self.count(place.expect("all that stands or is to go was seen or is named"));
    }

    pub(super) fn dot(&mut self, dot: Dot) {
        self.actor(dot.actor);
        self.number(dot.counter.into());
    }

    pub(super) fn u128(&mut self, number: u128) {
        self.out.put_u128(number);
    }

    /// What was written, and then `rest`.
    pub(super) fn end(mut self, rest: &[u8]) -> Bytes {
        self.out.put_slice(rest);
        self.out.freeze()
    }

    fn runs<T: Copy + Eq>(&mut self, runs: &Runs<T>, payload: impl Fn(&mut Self, T)) {
        self.count(runs.as_slice().len());
        let mut last = 0;
        for run in runs.as_slice() {
            self.number(u128::from(run.first - last - 1));
            self.number(u128::from(run.last - run.first));
            payload(self, run.payload);
            last = run.last;
        }
    }

    fn dots<T: Clone + Ord>(&mut self, dots: &Dotted<T>, payload: impl Fn(&mut Self, &T)) {
        self.count(dots.entries().len());
        for (dot, said) in dots.entries() {
            self.actor(dot.actor);
            self.number(dot.counter.into());
            payload(self, said);
        }
    }

    fn field(&mut self, field: &Field) {
        self.out.put_u8(field_code(field.kind));
        self.bytes(&field.name);
    }

    fn removals(&mut self, removals: &Removals) {
        self.count(removals.len());
        for (place, dots) in &removals.places {
            self.count(place.fields.len());
            place.fields.iter().for_each(|field| self.field(field));
            match &place.target {
                Target::Field => self.out.put_u8(0),
                Target::Presence => self.out.put_u8(1),
                Target::Enablings => self.out.put_u8(2),
                Target::Element(element) => {
                    self.out.put_u8(3);
                    self.bytes(element);
                }
            }
            self.count(dots.actors().len());
            for (actor, runs) in dots.actors() {
                self.actor(actor);
                self.runs(runs, |_, ()| {});
            }
        }
    }

    fn body(&mut self, body: &Body) {
        match body {
            Body::Counter(counter) => self.counter(counter),
            Body::Set(elements) => self.elements(elements),
            Body::GrowingSet(set) => {
                self.count(set.elements.len());
                set.elements.iter().for_each(|element| self.bytes(element));
            }
            Body::Hll(hll) => self.hll(hll),
            Body::Map(fields) => self.fields(fields),
        }
    }

    fn counter(&mut self, counter: &Counter) {
        self.count(counter.stretches.len());
        for (stretch, total) in &counter.stretches {
            self.actor(stretch.actor);
            self.number(stretch.first.into());
            self.number((total.last - stretch.first).into());
            self.signed(total.sum);
        }
    }

    fn amounts(&mut self, amounts: &Amounts) {
        self.count(amounts.actors().len());
        for (actor, runs) in amounts.actors() {
            self.actor(actor);
            self.runs(runs, |writing, amount| writing.signed(amount.into()));
        }
    }

    fn elements(&mut self, elements: &Elements) {
        self.count(elements.entries.len());
        for (element, dots) in &elements.entries {
            self.bytes(element);
            self.dots(dots, |_, ()| {});
        }
    }

    fn hll(&mut self, hll: &Hll) {
        self.out.put_u8(hll.precision.bits());
        let all = hll.precision.registers();
        let (start, mut last) = (self.out.len(), None);
        self.out.put_u8(0);
        self.count(hll.registers.len());
        for (register, rank) in &hll.registers {
            let gap = last.map_or(u32::from(*register), |last| u32::from(*register) - last - 1);
            self.number(gap.into());
            self.out.put_u8(*rank);
            last = Some(u32::from(*register));
        }
        if (self.out.len() - start - 1) as u64 <= u64::from(all) {
            return;
        }
        self.out.truncate(start);
        self.out.put_u8(1);
        for register in 0..all {
            let register = u16::try_from(register).expect("at most 65,536 registers");
            let rank = hll.registers.get(&register).copied().unwrap_or(0);
            self.out.put_u8(rank);
        }
    }

    fn fields(&mut self, fields: &Fields) {
        self.count(fields.entries.len());
        for (field, entry) in &fields.entries {
            self.field(field);
            self.dots(&entry.presence, |_, ()| {});
            match &entry.content {
                Content::Counter(amounts) => self.amounts(amounts),
                Content::Set(elements) => self.elements(elements),
                Content::Register(assignments) => self.dots(assignments, |writing, assignment| {
                    writing.number(assignment.timestamp.0.into());
                    writing.bytes(&assignment.value);
                }),
                Content::Flag(enablings) => self.dots(enablings, |_, ()| {}),
                Content::Map(fields) => self.fields(fields),
            }
        }
    }
}
