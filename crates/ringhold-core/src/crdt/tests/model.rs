//! The specification: every operation is kept with all that it had seen, and what stands is asked of all of them each time.
//!
//! An operation says *facts* ("x is in the set at this place") and takes away other operations' facts. There are two ways to
//! say what it takes away, and a history in which whole states travel has to satisfy both:
//!
//! - *declared*, which is what clients are promised: a remove takes the facts of its place from all operations that its context has seen. An assignment
//!   takes those that its replica had seen. Nothing else takes anything.
//! - *exact*, which is what a delta can know: of one element or flag, a remove takes what stands at its replica and was
//!   seen, and what was seen and has not arrived; and an update takes over from what stands at its replica. With deltas that have gaps, somebody may have the
//!   latest operation on an element and not the one before, and then only this is what the deltas say.
//!
//! No dots, no vectors, no joins: what a replica has is a set of numbers of operations.

use crate::crdt::*;
use crate::version::Dot;
use bytes::Bytes;
use std::collections::BTreeSet;

/// Operations, by their number.
pub(super) type Operations = BTreeSet<usize>;

#[derive(Clone, Debug, PartialEq)]
enum Says {
    Here,
    Amount(i64),
    Element(Bytes),
    Assigned(Bytes),
    Enabled,
}

#[derive(Clone, Debug)]
struct Fact {
    place: Vec<Field>,
    says: Says,
}

#[derive(Clone, Debug)]
enum Scope {
    All,
    Presence,
    Assignments,
    Element(Bytes),
    Enablings,
}

/// The facts of `operations` within a scope are gone.
#[derive(Clone, Debug)]
struct Taking {
    place: Vec<Field>,
    scope: Scope,
    operations: Operations,
}

#[derive(Clone, Debug)]
struct Operation {
    dot: Dot,
    timestamp: u64,
    facts: Vec<Fact>,
    exact: Vec<Taking>,
    declared: Vec<Taking>,
}

/// Which of the two ways to say what is taken away.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Reading {
    Exact,
    Declared,
}

#[derive(Debug)]
pub(super) struct Model {
    kind: Kind,
    operations: Vec<Operation>,
}

/// An operation while it is made.
struct Making<'a> {
    model: &'a Model,
    seen: &'a Operations,
    context: Option<&'a Operations>,
    operation: Operation,
}

impl Taking {
    fn covers(&self, fact: &Fact) -> bool {
        let here = fact.place == self.place;
        match &self.scope {
            Scope::All => fact.place.starts_with(&self.place),
            Scope::Presence => here && fact.says == Says::Here,
            Scope::Assignments => here && matches!(fact.says, Says::Assigned(_)),
            Scope::Element(element) => here && fact.says == Says::Element(element.clone()),
            Scope::Enablings => here && fact.says == Says::Enabled,
        }
    }
}

impl Model {
    pub(super) fn new(kind: Kind) -> Self {
        let operations = Vec::new();
        Self { kind, operations }
    }

    pub(super) fn dot(&self, operation: usize) -> Dot {
        self.operations[operation].dot
    }

    /// Makes the operation that a replica which has seen `seen` takes: its number, or the reason why it refuses.
    pub(super) fn take(
        &mut self,
        seen: &Operations,
        update: &Update,
        dot: Dot,
        timestamp: u64,
        context: Option<&Operations>,
    ) -> Result<usize, &'static str> {
        let (facts, exact, declared) = (Vec::new(), Vec::new(), Vec::new());
        let operation = Operation {
            dot,
            timestamp,
            facts,
            exact,
            declared,
        };
        let mut making = Making {
            model: self,
            seen,
            context,
            operation,
        };
        match update {
            Update::Counter(by) => making.adds(&[], *by),
            Update::Set(update) => making.set(&[], update)?,
            Update::Map(update) => making.map(&[], update)?,
            Update::GrowingSet(_) | Update::Hll(_) => panic!("nothing to model"),
        }
        let operation = making.operation;
        self.operations.push(operation);
        Ok(self.operations.len() - 1)
    }

    fn stands(&self, seen: &Operations, reading: Reading, number: usize, fact: &Fact) -> bool {
        !seen.iter().any(|other| {
            let other = &self.operations[*other];
            let takings = match reading {
                Reading::Exact => &other.exact,
                Reading::Declared => &other.declared,
            };
            let mut takings = takings.iter();
            takings.any(|taking| taking.operations.contains(&number) && taking.covers(fact))
        })
    }

    /// All facts that stand, with the numbers of their operations.
    fn standing(&self, seen: &Operations, reading: Reading) -> Vec<(usize, &Fact)> {
        let all = seen.iter().flat_map(|number| {
            let facts = self.operations[*number].facts.iter();
            facts.map(|fact| (*number, fact))
        });
        all.filter(|(number, fact)| self.stands(seen, reading, *number, fact))
            .collect()
    }

    /// What a replica that has seen `seen` must show.
    pub(super) fn value(&self, seen: &Operations, reading: Reading) -> Value {
        let facts = self.standing(seen, reading);
        match self.kind {
            Kind::Counter => Value::Counter(sum(&facts, &[])),
            Kind::Set => Value::Set(elements(&facts, &[])),
            _ => Value::Map(self.fields(&facts, &[])),
        }
    }

    fn fields(&self, facts: &[(usize, &Fact)], place: &[Field]) -> MapValue {
        let inside = facts
            .iter()
            .filter(|(_, fact)| fact.place.starts_with(place));
        let fields: BTreeSet<Field> = inside
            .filter_map(|(_, fact)| fact.place.get(place.len()).cloned())
            .collect();
        let value = |field: &Field| {
            let place = [place, std::slice::from_ref(field)].concat();
            match field.kind {
                FieldKind::Counter => FieldValue::Counter(sum(facts, &place)),
                FieldKind::Set => FieldValue::Set(elements(facts, &place)),
                FieldKind::Register => FieldValue::Register(self.newest(facts, &place)),
                FieldKind::Flag => {
                    FieldValue::Flag(at(facts, &place).any(|(_, says)| *says == Says::Enabled))
                }
                FieldKind::Map => FieldValue::Map(self.fields(facts, &place)),
            }
        };
        fields
            .into_iter()
            .map(|field| (field.clone(), value(&field)))
            .collect()
    }

    fn newest(&self, facts: &[(usize, &Fact)], place: &[Field]) -> Bytes {
        let assigned = at(facts, place).filter_map(|(number, says)| match says {
            Says::Assigned(value) => {
                let operation = &self.operations[number];
                Some((operation.timestamp, operation.dot, value.clone()))
            }
            _ => None,
        });
        assigned
            .max()
            .map(|(_, _, value)| value)
            .unwrap_or_default()
    }
}

fn at<'a>(facts: &[(usize, &'a Fact)], place: &[Field]) -> impl Iterator<Item = (usize, &'a Says)> {
    let here = facts.iter().filter(move |(_, fact)| fact.place == place);
    here.map(|(number, fact)| (*number, &fact.says))
}

fn sum(facts: &[(usize, &Fact)], place: &[Field]) -> i128 {
    let amounts = at(facts, place).map(|(_, says)| match says {
        Says::Amount(by) => i128::from(*by),
        _ => 0,
    });
    amounts.sum()
}

fn elements(facts: &[(usize, &Fact)], place: &[Field]) -> Vec<Bytes> {
    let elements = at(facts, place).filter_map(|(_, says)| match says {
        Says::Element(element) => Some(element.clone()),
        _ => None,
    });
    elements.collect::<BTreeSet<_>>().into_iter().collect()
}

impl Making<'_> {
    fn says(&mut self, place: &[Field], says: Says) {
        let place = place.to_vec();
        self.operation.facts.push(Fact { place, says });
    }

    /// One operation adds one amount at a place, and nothing is no amount.
    fn adds(&mut self, place: &[Field], by: i64) {
        let mut total = by;
        self.operation.facts.retain(|fact| match fact.says {
            Says::Amount(before) if fact.place == place => {
                total += before;
                false
            }
            _ => true,
        });
        if total != 0 {
            self.says(place, Says::Amount(total));
        }
    }

    /// The operations whose facts within the scope stand here.
    fn standing(&self, place: &[Field], scope: &Scope) -> Operations {
        let (place, scope) = (place.to_vec(), scope.clone());
        let taking = Taking {
            place,
            scope,
            operations: Operations::new(),
        };
        let facts = self.model.standing(self.seen, Reading::Exact).into_iter();
        facts
            .filter(|(_, fact)| taking.covers(fact))
            .map(|(number, _)| number)
            .collect()
    }

    fn exactly(&mut self, place: &[Field], scope: Scope, operations: Operations) {
        let place = place.to_vec();
        self.operation.exact.push(Taking {
            place,
            scope,
            operations,
        });
    }

    /// A client's remove.
    fn remove(&mut self, place: &[Field], scope: Scope, exact: Operations) {
        let operations = self.context.unwrap_or(self.seen).clone();
        self.exactly(place, scope.clone(), exact);
        let place = place.to_vec();
        self.operation.declared.push(Taking {
            place,
            scope,
            operations,
        });
    }

    /// What a remove of one thing takes.
    fn removable(&self, standing: &Operations) -> Operations {
        let Some(context) = self.context else {
            return standing.clone();
        };
        let unseen = context.difference(self.seen);
        standing
            .intersection(context)
            .chain(unseen)
            .copied()
            .collect()
    }

    /// Takes over from what stands here.
    fn replace(&mut self, place: &[Field], scope: Scope) {
        let standing = self.standing(place, &scope);
        self.exactly(place, scope, standing);
    }

    fn set(&mut self, place: &[Field], update: &SetUpdate) -> Result<(), &'static str> {
        for element in &update.removes {
            let scope = Scope::Element(element.clone());
            let standing = self.standing(place, &scope);
            let nothing = standing.is_empty() && self.context.is_none();
            if nothing && !update.adds.contains(element) {
                return Err("not_present");
            }
            let exact = self.removable(&standing);
            self.remove(place, scope, exact);
        }
        for element in &update.adds {
            self.replace(place, Scope::Element(element.clone()));
            self.says(place, Says::Element(element.clone()));
        }
        Ok(())
    }

    fn map(&mut self, place: &[Field], update: &MapUpdate) -> Result<(), &'static str> {
        let below = |field: &Field| [place, std::slice::from_ref(field)].concat();
        for field in &update.removes {
            let is_absent = self.standing(&below(field), &Scope::All).is_empty();
            let mut updates = update.updates.iter();
            let updated = updates.any(|(name, by)| *name == field.name && by.kind() == field.kind);
            if is_absent && self.context.is_none() && !updated {
                return Err("not_present");
            }
            let exact = self.context.unwrap_or(self.seen).clone();
            self.remove(&below(field), Scope::All, exact);
        }
        for (name, update) in &update.updates {
            let (name, kind) = (name.clone(), update.kind());
            self.field(&below(&Field { name, kind }), update)?;
        }
        Ok(())
    }

    fn field(&mut self, place: &[Field], update: &FieldUpdate) -> Result<(), &'static str> {
        self.replace(place, Scope::Presence);
        self.says(place, Says::Here);
        match update {
            FieldUpdate::Counter(by) => self.adds(place, *by),
            FieldUpdate::Set(update) => self.set(place, update)?,
            FieldUpdate::Register(value) => {
                self.replace(place, Scope::Assignments);
                let (scope, operations) = (Scope::Assignments, self.seen.clone());
                let taking = Taking {
                    place: place.to_vec(),
                    scope,
                    operations,
                };
                let own = |fact: &Fact| taking.covers(fact);
                self.operation.facts.retain(|fact| !own(fact));
                self.operation.declared.push(taking);
                self.says(place, Says::Assigned(value.clone()));
            }
            FieldUpdate::Flag(true) => {
                self.replace(place, Scope::Enablings);
                self.says(place, Says::Enabled);
            }
            FieldUpdate::Flag(false) => {
                let standing = self.standing(place, &Scope::Enablings);
                let exact = self.removable(&standing);
                self.remove(place, Scope::Enablings, exact);
            }
            FieldUpdate::Map(update) => self.map(place, update)?,
        }
        Ok(())
    }
}
