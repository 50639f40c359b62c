//! From an update to its delta.
//!
//! Nothing is changed here: the update is held against the state of the replica that takes it, and what it says becomes
//! a delta, which the caller joins and sends. The delta has seen one dot, that of the update, whatever the
//! update does. Everything new stands on that dot; everything it takes away is a removal by place. So it claims nothing else, costs what
//! it changes, and is carried out whole wherever it arrives.
//!
//! What a remove takes: with a context, the dots of the place that the context has seen, those that have not arrived here yet
//! included; without one, what this replica has, and if that is nothing it is refused. What an update leaves takes the place of the dots
//! that it replaces, so that nothing piles up. All preconditions are asked of the state before the update, in whatever order its parts stand.

use super::amounts::Amounts;
use super::causal::CausalContext;
use super::dotted::Dotted;
#[cfg(any(test, feature = "known-bad"))]
use super::known_bad::{Variant, is_on};
use super::map::{Content, Entry, Field, FieldKind, Fields};
use super::register::Assignment;
use super::removals::{Place, Removals, Target};
use super::set::Elements;
use super::state::{Body, Delta, State};
use super::update::{
    DEFERRED_MAX, DEPTH_MAX, FieldUpdate, ITEM_BYTES_MAX, MapUpdate, NAME_BYTES_MAX, Refused,
    SetUpdate, Update,
};
use crate::version::{Dot, Timestamp};
use bytes::Bytes;
use std::collections::BTreeSet;

impl State {
    /// What `update` changes, as a delta to be joined here and elsewhere.
    ///
    /// `dot` names the update: it must never have named another update of this value. An update whose dot was
    /// seen here was carried out already, and changes nothing. `timestamp` orders assignments of registers that know nothing of
    /// each other. `context` is what the client had read.
    ///
    /// # Errors
    /// See [`Refused`]; nothing has changed.
    ///
    /// # Panics
    /// If the dot's counter is 0.
    pub fn apply(
        &self,
        update: &Update,
        dot: Dot,
        timestamp: Timestamp,
        context: Option<&CausalContext>,
    ) -> Result<Delta, Refused> {
        let mut delta = self.unchanged();
        if self.seen.contains(dot) {
            return Ok(delta);
        }
        let mut author = Author::new(&self.seen, dot, timestamp, context);
        match (&self.body, update) {
            (Body::GrowingSet(set), Update::GrowingSet(elements)) => {
                elements.iter().try_for_each(is_short)?;
                delta.body = Body::GrowingSet(set.missing(elements));
                return Ok(delta);
            }
            (Body::Hll(hll), Update::Hll(elements)) => {
                elements.iter().try_for_each(is_short)?;
                delta.body = Body::Hll(hll.raised(elements));
                return Ok(delta);
            }
            (Body::Counter(counter), Update::Counter(by)) => {
                if !counter.has(dot) {
                    in_range(counter.value(), *by)?;
                    let added = counter.added(dot, *by);
                    delta.body = Body::Counter(added.ok_or(Refused::CounterOverflow)?);
                }
                return Ok(delta);
            }
            (Body::Set(set), Update::Set(update)) => {
                delta.body = Body::Set(author.set(set, update)?);
            }
            (Body::Map(fields), Update::Map(update)) => {
                let mut changed = Fields::default();
                author.map(fields, &mut changed, update)?;
                delta.body = Body::Map(changed);
            }
            _ => {
                let (holds, update) = (self.kind(), update.kind());
                return Err(Refused::WrongKind { holds, update });
            }
        }
        let more = author.removals.waiting(&self.seen);
        if more > 0 && self.removals.len() + more > DEFERRED_MAX {
            let limit = DEFERRED_MAX;
            return Err(Refused::TooManyDeferred { limit });
        }
        delta.seen.observe(dot);
        #[cfg(any(test, feature = "known-bad"))]
        delta.seen.join(&author.claimed);
        delta.removals = author.removals;
        Ok(delta)
    }
}

/// Who carries out one update: what it knows, where it is, what it has taken away so far.
struct Author<'a> {
    dot: Dot,
    timestamp: Timestamp,
    /// What the replica has seen.
    seen: &'a CausalContext,
    /// What the client had read, without the dot.
    context: Option<CausalContext>,
    /// What of that has not arrived here.
    unseen: CausalContext,
    /// What this update removes of the fields that it stands in.
    reset: CausalContext,
    /// The fields that it stands in.
    path: Vec<Field>,
    removals: Removals,
    /// What a wrong variant says that it has seen.
    #[cfg(any(test, feature = "known-bad"))]
    claimed: CausalContext,
}

impl<'a> Author<'a> {
    fn new(
        seen: &'a CausalContext,
        dot: Dot,
        timestamp: Timestamp,
        context: Option<&CausalContext>,
    ) -> Self {
        let own = CausalContext::from_iter([dot]);
        let context = context.map(|context| context.minus(&own));
        let unseen = context.as_ref().map(|context| context.minus(seen));
        Self {
            dot,
            timestamp,
            seen,
            context,
            unseen: unseen.unwrap_or_default(),
            reset: CausalContext::new(),
            path: Vec::new(),
            removals: Removals::default(),
            #[cfg(any(test, feature = "known-bad"))]
            claimed: CausalContext::new(),
        }
    }

    fn take(&mut self, target: Target, dots: &CausalContext) {
        let fields = self.path.clone();
        self.removals.add(Place { fields, target }, dots);
    }

    /// Of the dots that stand in a place, those that a remove takes, and those that it waits for.
    fn removable(&self, standing: CausalContext) -> CausalContext {
        let Some(context) = &self.context else {
            return standing;
        };
        let mut dots = standing.within(context);
        dots.join(&self.unseen);
        dots
    }

    fn set(&mut self, current: &Elements, update: &SetUpdate) -> Result<Elements, Refused> {
        let adds: BTreeSet<&Bytes> = update.adds.iter().collect();
        for element in &update.removes {
            is_short(element)?;
            let standing = current.dots_of(element);
            let is_absent = standing.is_empty() && self.context.is_none();
            if is_absent && !adds.contains(element) {
                let (fields, element) = (self.path.clone(), element.clone());
                return Err(Refused::ElementNotPresent { fields, element });
            }
            let dots = self.removable(standing);
            #[cfg(any(test, feature = "known-bad"))]
            if is_on(Variant::RemoveClaimsDots) {
                self.claimed.join(&dots);
                continue;
            }
            self.take(Target::Element(element.clone()), &dots);
        }
        let mut added = Elements::default();
        for element in &update.adds {
            is_short(element)?;
            let replaced = current.dots_of(element);
            #[cfg(any(test, feature = "known-bad"))]
            if is_on(Variant::AddWithoutDot) && !replaced.is_empty()
                || is_on(Variant::RemoveBeatsOwnAdd) && update.removes.contains(element)
            {
                continue;
            }
            self.take(Target::Element(element.clone()), &replaced);
            added.entries.insert(element.clone(), self.stand());
        }
        Ok(added)
    }

    fn stand(&self) -> Dotted<()> {
        let mut alone = Dotted::default();
        alone.insert(self.dot, ());
        alone
    }

    /// Updates the map that the path leads to: `current` is what the replica has, `changed` what this update did to it so far.
    fn map(
        &mut self,
        current: &Fields,
        changed: &mut Fields,
        update: &MapUpdate,
    ) -> Result<(), Refused> {
        if self.path.len() >= DEPTH_MAX {
            return Err(Refused::TooDeep { limit: DEPTH_MAX });
        }
        let updates = update
            .updates
            .iter()
            .map(|(name, update)| (name, update.kind()));
        let updates: BTreeSet<(&Bytes, FieldKind)> = updates.collect();
        for field in &update.removes {
            let is_updated = updates.contains(&(&field.name, field.kind));
            self.remove_field(current, field, is_updated)?;
        }
        let removes: BTreeSet<&Field> = update.removes.iter().collect();
        for (name, field_update) in &update.updates {
            is_within("name", name, NAME_BYTES_MAX)?;
            let (name, kind) = (name.clone(), field_update.kind());
            let field = Field { name, kind };
            let absent = Entry::empty(kind);
            let standing = current.entries.get(&field).unwrap_or(&absent);
            let so_far = changed.entries.remove(&field);
            let so_far = so_far.unwrap_or_else(|| Entry::empty(kind));

            let outside = self.reset.clone();
            if removes.contains(&field) {
                self.reset.join(self.context.as_ref().unwrap_or(self.seen));
            }
            self.path.push(field.clone());
            let entry = self.field(standing, so_far, field_update)?;
            self.path.pop();
            self.reset = outside;
            if !entry.is_empty() {
                changed.entries.insert(field, entry);
            }
        }
        Ok(())
    }

    fn remove_field(
        &mut self,
        current: &Fields,
        field: &Field,
        is_updated: bool,
    ) -> Result<(), Refused> {
        is_within("name", &field.name, NAME_BYTES_MAX)?;
        self.path.push(field.clone());
        let is_absent = !current.entries.contains_key(field);
        if is_absent && self.context.is_none() && !is_updated {
            let fields = std::mem::take(&mut self.path);
            return Err(Refused::FieldNotPresent { fields });
        }
        let dots = self.context.as_ref().unwrap_or(self.seen).clone();
        #[cfg(any(test, feature = "known-bad"))]
        let dots = if is_on(Variant::ResetTakesUnseen) {
            self.seen.clone()
        } else {
            dots
        };
        self.take(Target::Field, &dots);
        self.path.pop();
        Ok(())
    }

    /// Updates the field that the path leads to, in the same way.
    fn field(
        &mut self,
        standing: &Entry,
        mut changed: Entry,
        update: &FieldUpdate,
    ) -> Result<Entry, Refused> {
        let presence = standing.presence.dots().collect();
        self.take(Target::Presence, &presence);
        changed.presence = self.stand();
        #[cfg(any(test, feature = "known-bad"))]
        if is_on(Variant::UpdateWithoutPresence) {
            changed.presence = Dotted::default();
        }
        match (&standing.content, &mut changed.content, update) {
            (Content::Counter(have), Content::Counter(added), FieldUpdate::Counter(by)) => {
                self.increment(have, added, *by)?;
            }
            (Content::Set(have), Content::Set(added), FieldUpdate::Set(update)) => {
                added.entries.extend(self.set(have, update)?.entries);
            }
            (Content::Register(have), Content::Register(added), FieldUpdate::Register(value)) => {
                is_short(value)?;
                self.take(Target::Field, &have.dots().collect());
                let (timestamp, value) = (self.timestamp, value.clone());
                added.insert(self.dot, Assignment { timestamp, value });
            }
            (Content::Flag(have), Content::Flag(added), FieldUpdate::Flag(enable)) => {
                let standing = have.dots().collect();
                if *enable {
                    self.take(Target::Enablings, &standing);
                    *added = self.stand();
                } else {
                    let dots = self.removable(standing);
                    self.take(Target::Enablings, &dots);
                }
            }
            (Content::Map(have), Content::Map(added), FieldUpdate::Map(update)) => {
                self.map(have, added, update)?;
            }
            _ => unreachable!("a field's kind is that of its update"),
        }
        Ok(changed)
    }

    fn increment(&mut self, have: &Amounts, added: &mut Amounts, by: i64) -> Result<(), Refused> {
        let by = added.amount(self.dot).checked_add(by);
        let by = by.ok_or(Refused::CounterOverflow)?;
        in_range(have.sum_without(&self.reset), by)?;
        #[cfg(any(test, feature = "known-bad"))]
        let by = if is_on(Variant::IncrementCarriesTotal) {
            by + self.earlier(have)
        } else {
            by
        };
        added.replace(self.dot, by);
        Ok(())
    }

    /// The wrong variant's running total: what the dot's actor added before, taken over from its old dots.
    #[cfg(any(test, feature = "known-bad"))]
    fn earlier(&mut self, have: &Amounts) -> i64 {
        let runs = have.actors().find(|(actor, _)| *actor == self.dot.actor);
        let (mut dots, mut total) = (CausalContext::new(), 0);
        for run in runs.into_iter().flat_map(|(_, runs)| runs.as_slice()) {
            dots.add(self.dot.actor, run.first, run.last);
            total += run.payload * i64::try_from(run.last - run.first + 1).expect("few");
        }
        self.take(Target::Field, &dots);
        total
    }
}

fn is_short(item: &Bytes) -> Result<(), Refused> {
    is_within("item", item, ITEM_BYTES_MAX)
}

fn is_within(what: &'static str, item: &Bytes, limit: usize) -> Result<(), Refused> {
    let bytes = item.len();
    if bytes > limit {
        return Err(Refused::TooLong { what, bytes, limit });
    }
    Ok(())
}

/// Whether a counter that stands at `from` can go on by `by`.
fn in_range(from: Option<i128>, by: i64) -> Result<(), Refused> {
    let to = from.and_then(|from| from.checked_add(i128::from(by)));
    match to.map(i64::try_from) {
        Some(Ok(_)) => Ok(()),
        _ => Err(Refused::CounterOverflow),
    }
}
