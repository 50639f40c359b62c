//! The reader: the layout and what is checked are in [`super`].

use super::super::amounts::Amounts;
use super::super::causal::CausalContext;
use super::super::counter::{Counter, Stretch, Total};
use super::super::dotted::Dotted;
use super::super::gset::GrowingSet;
use super::super::hll::{Hll, Precision};
use super::super::map::{Content, Entry, Field, FieldKind, Fields};
use super::super::register::Assignment;
use super::super::removals::{Place, Removals, Target};
use super::super::runs::Run;
use super::super::set::Elements;
use super::super::state::{Body, State};
use super::super::update::{DEPTH_MAX, ITEM_BYTES_MAX, Kind, NAME_BYTES_MAX};
use super::writing::{field_code, kind_code};
use super::{DecodeError, FORMAT_VERSION};
use crate::id::Incarnation;
use crate::version::{Actor, Dot, KeyEpoch, Timestamp};
use bytes::{Buf, Bytes};

type Outcome<T> = Result<T, DecodeError>;

pub(super) struct Reading {
    rest: Bytes,
    total: usize,
    actors: Vec<Actor>,
    seen: CausalContext,
}

impl Reading {
    pub(super) fn state(bytes: Bytes) -> Outcome<State> {
        let mut reading = Self::new(bytes)?;
        let code = reading.u8("kind")?;
        let kind = Kind::ALL.into_iter().find(|kind| kind_code(*kind) == code);
        let kind = kind.ok_or_else(|| reading.malformed("kind"))?;
        reading.actors()?;
        reading.seen(false)?;
        let removals = reading.removals(kind)?;
        let has_past = !reading.seen.is_empty() || removals.len() > 0;
        if has_past && !kind.has_context() {
            return Err(reading.malformed("context"));
        }
        let body = reading.body(kind)?;
        reading.finish()?;
        let seen = reading.seen;
        Ok(State {
            seen,
            removals,
            body,
        })
    }

    pub(super) fn context(bytes: Bytes) -> Outcome<CausalContext> {
        let mut reading = Self::new(bytes)?;
        reading.actors()?;
        reading.seen(true)?;
        reading.finish()?;
        Ok(reading.seen)
    }

    pub(super) fn new(bytes: Bytes) -> Outcome<Self> {
        let mut reading = Self {
            total: bytes.len(),
            rest: bytes,
            actors: Vec::new(),
            seen: CausalContext::new(),
        };
        let version = reading.u8("version")?;
        if version != FORMAT_VERSION {
            return Err(DecodeError::UnknownVersion { version });
        }
        Ok(reading)
    }

    fn finish(&self) -> Outcome<()> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(self.malformed("end"))
    }

    pub(super) fn malformed(&self, what: &'static str) -> DecodeError {
        let offset = self.total - self.rest.len();
        DecodeError::Malformed { what, offset }
    }

    pub(super) fn array<const N: usize>(&mut self, what: &'static str) -> Outcome<[u8; N]> {
        let offset = self.total - self.rest.len();
        let array = self.rest.first_chunk::<N>().copied();
        let array = array.ok_or(DecodeError::Truncated { what, offset })?;
        self.rest.advance(N);
        Ok(array)
    }

    fn u8(&mut self, what: &'static str) -> Outcome<u8> {
        Ok(self.array::<1>(what)?[0])
    }

    /// A number of 128 bits: what does not fit is refused, a longer form of what fits when all is written again.
    pub(super) fn number(&mut self, what: &'static str) -> Outcome<u128> {
        let mut number = 0_u128;
        for shift in (0..128).step_by(7) {
            let byte = self.u8(what)?;
            let bits = u128::from(byte & 0x7f);
            if shift == 126 && bits > 3 {
                return Err(self.malformed(what));
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(self.malformed(what))
    }

    pub(super) fn signed(&mut self, what: &'static str) -> Outcome<i128> {
        let code = self.number(what)?;
        Ok((code >> 1).cast_signed() ^ -((code & 1).cast_signed()))
    }

    pub(super) fn u64(&mut self, what: &'static str) -> Outcome<u64> {
        let number = self.number(what)?;
        u64::try_from(number).map_err(|_| self.malformed(what))
    }

    /// A count of things that take at least `bytes_min` bytes each.
    pub(super) fn count(&mut self, what: &'static str, bytes_min: usize) -> Outcome<usize> {
        let count = usize::try_from(self.number(what)?).ok();
        let fits = count.filter(|count| *count <= self.rest.len() / bytes_min);
        fits.ok_or_else(|| self.malformed(what))
    }

    fn bytes(&mut self, what: &'static str, limit: usize) -> Outcome<Bytes> {
        let length = self.count(what, 1)?;
        if length > limit {
            return Err(self.malformed(what));
        }
        Ok(self.rest.split_to(length))
    }

    pub(super) fn actors(&mut self) -> Outcome<()> {
        for _ in 0..self.count("actors", 24)? {
            let incarnation = Incarnation(u128::from_be_bytes(self.array("actor")?));
            let epoch = KeyEpoch(u64::from_be_bytes(self.array("actor")?));
            let actor = Actor { incarnation, epoch };
            if self.actors.last().is_some_and(|last| *last >= actor) {
                return Err(self.malformed("actors"));
            }
            self.actors.push(actor);
        }
        Ok(())
    }

    pub(super) fn actor(&mut self) -> Outcome<Actor> {
        let place = usize::try_from(self.number("actor")?).ok();
        let actor = place.and_then(|place| self.actors.get(place)).copied();
        actor.ok_or_else(|| self.malformed("actor"))
    }

    /// Reads runs and hands each over; returns how many.
    fn runs<T>(
        &mut self,
        payload: impl Fn(&mut Self) -> Outcome<T>,
        mut add: impl FnMut(Run<T>),
    ) -> Outcome<usize> {
        let count = self.count("runs", 2)?;
        let mut last = 0_u64;
        for _ in 0..count {
            let (gap, more) = (self.u64("gap")?, self.u64("length")?);
            let first = last.checked_add(1).and_then(|next| next.checked_add(gap));
            let ends = first.and_then(|first| Some((first, first.checked_add(more)?)));
            let (first, end) = ends.ok_or_else(|| self.malformed("run"))?;
            let payload = payload(self)?;
            add(Run {
                first,
                last: end,
                payload,
            });
            last = end;
        }
        Ok(count)
    }

    /// The runs of each actor. Of a context none is without.
    fn seen(&mut self, by_all: bool) -> Outcome<()> {
        for actor in self.actors.clone() {
            let mut seen = std::mem::take(&mut self.seen);
            let count = self.runs(|_| Ok(()), |run| seen.add(actor, run.first, run.last))?;
            self.seen = seen;
            if by_all && count == 0 {
                return Err(self.malformed("context"));
            }
        }
        Ok(())
    }

    /// A dot, whether it was seen or not.
    pub(super) fn any_dot(&mut self) -> Outcome<Dot> {
        let (actor, counter) = (self.actor()?, self.u64("counter")?);
        if counter == 0 {
            return Err(self.malformed("dot"));
        }
        Ok(Dot { actor, counter })
    }

    pub(super) fn take_rest(&mut self) -> Bytes {
        std::mem::take(&mut self.rest)
    }

    /// A dot that stands was seen.
    fn dot(&mut self) -> Outcome<Dot> {
        let (actor, counter) = (self.actor()?, self.u64("counter")?);
        let dot = Dot { actor, counter };
        if !self.seen.contains(dot) {
            return Err(self.malformed("dot"));
        }
        Ok(dot)
    }

    fn dots<T: Clone + Ord>(
        &mut self,
        payload: impl Fn(&mut Self) -> Outcome<T>,
    ) -> Outcome<Dotted<T>> {
        let mut dots = Dotted::default();
        for _ in 0..self.count("dots", 2)? {
            let dot = self.dot()?;
            if dots.entries().last().is_some_and(|(last, _)| *last >= dot) {
                return Err(self.malformed("dots"));
            }
            let payload = payload(self)?;
            dots.insert(dot, payload);
        }
        Ok(dots)
    }

    fn field(&mut self) -> Outcome<Field> {
        let code = self.u8("field")?;
        let kind = FieldKind::ALL
            .into_iter()
            .find(|kind| field_code(*kind) == code);
        let kind = kind.ok_or_else(|| self.malformed("field"))?;
        let name = self.bytes("name", NAME_BYTES_MAX)?;
        Ok(Field { name, kind })
    }

    fn removals(&mut self, kind: Kind) -> Outcome<Removals> {
        let mut removals = Removals::default();
        for _ in 0..self.count("removals", 6)? {
            let place = self.place(kind)?;
            let mut dots = CausalContext::new();
            for _ in 0..self.count("removal", 4)? {
                let actor = self.actor()?;
                self.runs(|_| Ok(()), |run| dots.add(actor, run.first, run.last))?;
            }
            if dots.is_empty() || !dots.within(&self.seen).is_empty() {
                return Err(self.malformed("removal"));
            }
            removals.places.insert(place, dots);
        }
        Ok(removals)
    }

    fn place(&mut self, kind: Kind) -> Outcome<Place> {
        let depth = self.count("fields", 2)?;
        if depth > DEPTH_MAX {
            return Err(self.malformed("fields"));
        }
        let fields: Vec<Field> = (0..depth).map(|_| self.field()).collect::<Outcome<_>>()?;
        let target = match self.u8("target")? {
            0 => Target::Field,
            1 => Target::Presence,
            2 => Target::Enablings,
            3 => Target::Element(self.bytes("element", ITEM_BYTES_MAX)?),
            _ => return Err(self.malformed("target")),
        };
        let innermost = fields.last().map(|field| field.kind);
        let inside = fields.iter().rev().skip(1);
        let leads = inside
            .map(|field| field.kind)
            .all(|kind| kind == FieldKind::Map);
        let fits = match (&target, kind, innermost) {
            (Target::Element(_), Kind::Set, None) => true,
            (Target::Field | Target::Presence, Kind::Map, Some(_)) => leads,
            (Target::Enablings, Kind::Map, Some(FieldKind::Flag)) => leads,
            (Target::Element(_), Kind::Map, Some(FieldKind::Set)) => leads,
            _ => false,
        };
        if !fits {
            return Err(self.malformed("place"));
        }
        Ok(Place { fields, target })
    }

    fn body(&mut self, kind: Kind) -> Outcome<Body> {
        Ok(match kind {
            Kind::Counter => Body::Counter(self.counter()?),
            Kind::Set => Body::Set(self.elements()?),
            Kind::GrowingSet => {
                let mut set = GrowingSet::default();
                for _ in 0..self.count("elements", 1)? {
                    set.elements.insert(self.bytes("element", ITEM_BYTES_MAX)?);
                }
                Body::GrowingSet(set)
            }
            Kind::Hll => Body::Hll(self.hll()?),
            Kind::Map => Body::Map(self.fields(DEPTH_MAX)?),
        })
    }

    fn counter(&mut self) -> Outcome<Counter> {
        let mut counter = Counter::default();
        for _ in 0..self.count("stretches", 4)? {
            let (actor, first) = (self.actor()?, self.u64("first")?);
            let last = first.checked_add(self.u64("length")?);
            let sum = self.signed("total")?;
            // So no sum of totals of one actor overflows, whoever made them up.
            let most = last.map(|last| (u128::from(last - first) + 1) << 63);
            if most.is_none_or(|most| sum.unsigned_abs() > most) {
                return Err(self.malformed("total"));
            }
            let starts = Dot {
                actor,
                counter: first,
            };
            let stretch = Stretch { actor, first };
            let previous = counter.stretches.last_key_value();
            let ordered = previous.is_none_or(|(previous, _)| *previous < stretch);
            match last.filter(|_| first >= 1 && ordered && !counter.has(starts)) {
                Some(last) => drop(counter.stretches.insert(stretch, Total { last, sum })),
                None => return Err(self.malformed("stretch")),
            }
        }
        Ok(counter)
    }

    fn amounts(&mut self) -> Outcome<Amounts> {
        let mut amounts = Amounts::default();
        for _ in 0..self.count("amounts", 5)? {
            let actor = self.actor()?;
            let mut seen = CausalContext::new();
            let amount = |reading: &mut Self| {
                let amount = i64::try_from(reading.signed("amount")?).ok();
                let amount = amount.filter(|amount| *amount != 0);
                amount.ok_or_else(|| reading.malformed("amount"))
            };
            self.runs(amount, |run| {
                seen.add(actor, run.first, run.last);
                amounts.add(actor, run);
            })?;
            if !self.seen.includes(&seen) {
                return Err(self.malformed("amounts"));
            }
        }
        Ok(amounts)
    }

    fn elements(&mut self) -> Outcome<Elements> {
        let mut elements = Elements::default();
        for _ in 0..self.count("elements", 4)? {
            let element = self.bytes("element", ITEM_BYTES_MAX)?;
            let dots = self.dots(|_| Ok(()))?;
            if dots.is_empty() {
                return Err(self.malformed("element"));
            }
            elements.entries.insert(element, dots);
        }
        Ok(elements)
    }

    fn hll(&mut self) -> Outcome<Hll> {
        let precision = Precision::new(self.u8("precision")?);
        let precision = precision.ok_or_else(|| self.malformed("precision"))?;
        let mut hll = Hll::new(precision);
        let is_dense = self.u8("registers")? == 1;
        let all = precision.registers();
        let count = if is_dense {
            u64::from(all)
        } else {
            self.count("registers", 2)? as u64
        };
        let mut next = 0_u64;
        for _ in 0..count {
            let gap = if is_dense { 0 } else { self.u64("register")? };
            let register = next
                .checked_add(gap)
                .filter(|register| *register < u64::from(all));
            let register = register.and_then(|register| u16::try_from(register).ok());
            let register = register.ok_or_else(|| self.malformed("register"))?;
            let rank = self.u8("rank")?;
            if rank > precision.rank_max() || rank == 0 && !is_dense {
                return Err(self.malformed("rank"));
            }
            if rank > 0 {
                hll.registers.insert(register, rank);
            }
            next = u64::from(register) + 1;
        }
        Ok(hll)
    }

    fn fields(&mut self, depth_left: usize) -> Outcome<Fields> {
        let mut fields = Fields::default();
        let count = self.count("fields", 3)?;
        if count > 0 && depth_left == 0 {
            return Err(self.malformed("depth"));
        }
        for _ in 0..count {
            let field = self.field()?;
            let presence = self.dots(|_| Ok(()))?;
            let content = match field.kind {
                FieldKind::Counter => Content::Counter(self.amounts()?),
                FieldKind::Set => Content::Set(self.elements()?),
                FieldKind::Register => Content::Register(self.dots(Self::assignment)?),
                FieldKind::Flag => Content::Flag(self.dots(|_| Ok(()))?),
                FieldKind::Map => Content::Map(self.fields(depth_left - 1)?),
            };
            let entry = Entry { presence, content };
            if entry.is_empty() {
                return Err(self.malformed("field"));
            }
            fields.entries.insert(field, entry);
        }
        Ok(fields)
    }

    fn assignment(&mut self) -> Outcome<Assignment> {
        let timestamp = Timestamp(self.u64("timestamp")?);
        let value = self.bytes("value", ITEM_BYTES_MAX)?;
        Ok(Assignment { timestamp, value })
    }
}
