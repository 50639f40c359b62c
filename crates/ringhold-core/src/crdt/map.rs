//! A map from fields to values that merge: registers, flags, counters, sets and maps again.
//!
//! A field is a name *and* a type, so two replicas that make `x` a set and a counter have made two fields. It has the
//! dots of its contents, and dots of its own, its *presence*: each update of the field, or of anything inside, leaves one
//! in place of those it had seen. A field is there as long as it has a dot of either sort. So a set that became empty
//! and a disabled flag are still there, and an update wins over a remove that had not seen it.
//!
//! Removing a field takes all dots beneath it that the remover had seen, at every depth, and no other: this is the whole of
//! "resets exactly what was seen", and it is one rule for all types because they all stand on dots.

use super::amounts::Amounts;
use super::causal::CausalContext;
use super::dotted::Dotted;
#[cfg(any(test, feature = "known-bad"))]
use super::known_bad::{Variant, is_on};
use super::meeting::Meeting;
use super::register::Assignment;
use super::removals::Target;
use super::set::Elements;
use crate::version::Dot;
use bytes::Bytes;
use std::collections::BTreeMap;

/// What a field of a map can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FieldKind {
    Counter,
    Set,
    Register,
    Flag,
    Map,
}

impl FieldKind {
    pub const ALL: [Self; 5] = [
        Self::Counter,
        Self::Set,
        Self::Register,
        Self::Flag,
        Self::Map,
    ];

    /// The name by which clients know it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Set => "set",
            Self::Register => "register",
            Self::Flag => "flag",
            Self::Map => "map",
        }
    }
}

/// The name of a field, with the type that is part of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Field {
    pub name: Bytes,
    pub kind: FieldKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Counter(Amounts),
    Set(Elements),
    Register(Dotted<Assignment>),
    Flag(Dotted<()>),
    Map(Fields),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) presence: Dotted<()>,
    pub(super) content: Content,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    /// No entry without a dot; each content is of its field's kind.
    pub(super) entries: BTreeMap<Field, Entry>,
}

impl Content {
    pub(super) fn empty(kind: FieldKind) -> Self {
        match kind {
            FieldKind::Counter => Self::Counter(Amounts::default()),
            FieldKind::Set => Self::Set(Elements::default()),
            FieldKind::Register => Self::Register(Dotted::default()),
            FieldKind::Flag => Self::Flag(Dotted::default()),
            FieldKind::Map => Self::Map(Fields::default()),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Counter(amounts) => amounts.is_empty(),
            Self::Set(elements) => elements.is_empty(),
            Self::Register(assignments) => assignments.is_empty(),
            Self::Flag(enablings) => enablings.is_empty(),
            Self::Map(fields) => fields.entries.is_empty(),
        }
    }

    fn remove(&mut self, dots: &CausalContext) {
        match self {
            Self::Counter(amounts) => amounts.remove(dots),
            Self::Set(elements) => elements.remove(dots),
            Self::Register(assignments) => assignments.remove(dots),
            Self::Flag(enablings) => enablings.remove(dots),
            Self::Map(fields) => fields.remove(dots),
        }
    }

    fn join(&mut self, other: &Self, meeting: &Meeting<'_>) {
        match (self, other) {
            (Self::Counter(ours), Self::Counter(theirs)) => ours.join(theirs, meeting),
            (Self::Set(ours), Self::Set(theirs)) => ours.join(theirs, meeting),
            (Self::Register(ours), Self::Register(theirs)) => ours.join(theirs, meeting),
            (Self::Flag(ours), Self::Flag(theirs)) => ours.join(theirs, meeting),
            (Self::Map(ours), Self::Map(theirs)) => ours.join(theirs, meeting),
            _ => unreachable!("a field's kind is part of its name"),
        }
    }
}

impl Entry {
    pub(super) fn empty(kind: FieldKind) -> Self {
        Self {
            presence: Dotted::default(),
            content: Content::empty(kind),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.presence.is_empty() && self.content.is_empty()
    }

    fn remove(&mut self, dots: &CausalContext) {
        self.presence.remove(dots);
        #[cfg(any(test, feature = "known-bad"))]
        if is_on(Variant::ResetIsShallow) && matches!(self.content, Content::Map(_)) {
            return;
        }
        self.content.remove(dots);
    }

    fn remove_at(&mut self, target: &Target, dots: &CausalContext) {
        match (target, &mut self.content) {
            (Target::Field, _) => self.remove(dots),
            (Target::Presence, _) => self.presence.remove(dots),
            (Target::Element(element), Content::Set(elements)) => {
                elements.remove_element(element, dots);
            }
            (Target::Enablings, Content::Flag(enablings)) => enablings.remove(dots),
            (Target::Element(_) | Target::Enablings, _) => {}
        }
    }
}

impl Fields {
    pub(super) fn remove(&mut self, dots: &CausalContext) {
        self.entries.retain(|_, entry| {
            entry.remove(dots);
            !entry.is_empty()
        });
    }

    /// Removes `dots` from what `target` says of the field that `path` leads to, if it is there.
    pub(super) fn remove_at(&mut self, path: &[Field], target: &Target, dots: &CausalContext) {
        let Some((field, rest)) = path.split_first() else {
            return;
        };
        let Some(entry) = self.entries.get_mut(field) else {
            return;
        };
        match &mut entry.content {
            _ if rest.is_empty() => entry.remove_at(target, dots),
            Content::Map(inner) => inner.remove_at(rest, target, dots),
            _ => {}
        }
        if entry.is_empty() {
            self.entries.remove(field);
        }
    }

    /// Calls all that stands on one dot by another, at every depth.
    pub(super) fn rename(&mut self, from: Dot, to: Dot) {
        for entry in self.entries.values_mut() {
            entry.presence.rename(from, to);
            match &mut entry.content {
                Content::Counter(amounts) => amounts.rename(from, to),
                Content::Set(elements) => elements.rename(from, to),
                Content::Register(assignments) => assignments.rename(from, to),
                Content::Flag(enablings) => enablings.rename(from, to),
                Content::Map(fields) => fields.rename(from, to),
            }
        }
    }

    pub(super) fn join(&mut self, other: &Self, meeting: &Meeting<'_>) {
        if !meeting.common.is_empty() {
            self.entries.retain(|field, entry| {
                if !other.entries.contains_key(field) {
                    entry.remove(&meeting.common);
                }
                !entry.is_empty()
            });
        }
        for (field, theirs) in &other.entries {
            let ours = self.entries.entry(field.clone());
            let ours = ours.or_insert_with(|| Entry::empty(field.kind));
            ours.presence.join(&theirs.presence, meeting);
            ours.content.join(&theirs.content, meeting);
            if ours.is_empty() {
                self.entries.remove(field);
            }
        }
    }
}
