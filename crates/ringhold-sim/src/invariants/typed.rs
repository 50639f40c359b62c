//! Data types: what a key shows is what its operations make of it, and each operation counts once, however often it was tried.
//!
//! Two statements, both about operations and none about dots:
//!
//! - *Always*: a value says which operations it has, and is exactly what those make of it. A remove that knew an operation by
//!   the name that another replica gave it may still have to meet that name, so what was tried more than once may be there for a while.
//! - *At the end*: an acknowledged increment or item is there unless something took it that had seen it; nothing is there that was not
//!   carried out; nothing is there that an acknowledged remove had seen; and a counter is the sum of what
//!   must be there and of some of what may be, each once.
//!
//! Excused is what as many disks have lost as the operation asked acknowledgements of. A delete takes whole versions: what was updated beside it
//! lives on, also what it had seen.

use super::{Violation, estimates, i01_durability};
use crate::books::{Books, Effect, Operation, Outcome, Typed};
use crate::client::typed_items_of;
use crate::value::operation_of;
use ringhold_core::crdt::{FieldValue, Held, Kind, OPERATIONS_MAX, Value};
use ringhold_core::datatype;
use ringhold_core::version::{Object, Version};
use std::collections::BTreeSet;

const NAME: &str = "data types";

/// The value that a version holds, if it is of a data type.
#[must_use]
pub fn held_in(version: &Version) -> Option<Held> {
    let alone = || {
        let mut context = ringhold_core::version::Context::new();
        context.observe(version.dot);
        Object::from_parts(context, vec![version.clone()]).ok()
    };
    datatype::kind_of(&version.content)?;
    datatype::value_of(&alone()?).ok()?
}

/// Whether an operation is in the value of a key. An estimate does not tell.
#[must_use]
pub fn has(object: &Object, operation: usize) -> bool {
    let held = datatype::value_of(object).ok().flatten();
    held.is_some_and(|held| operations_in(&held).contains(&operation))
}

/// The operations that a value says it has; of a set that only grows, by its elements.
fn operations_in(held: &Held) -> BTreeSet<usize> {
    let known = held.operations();
    let known = known.filter_map(|(operation, _)| operation_of(operation));
    let mut known: BTreeSet<usize> = known.collect();
    if let Ok(value @ Value::GrowingSet(_)) = held.value() {
        let items = typed_items_of(&value).into_iter();
        known.extend(items.map(|item| usize::try_from(item).unwrap_or(usize::MAX)));
    }
    known
}

/// # Errors
/// If a version is no data type's, or has an operation of another key.
pub fn check_content(books: &Books, key: usize, version: &Version) -> Result<(), Violation> {
    if version.content.is_tombstone() {
        return Ok(());
    }
    let broken = |why: &str| {
        let text = format!("key {key}: dot {} {why}", version.dot);
        Err(Violation::new(NAME, text))
    };
    let Some(held) = held_in(version) else {
        return broken("is no data type");
    };
    let is_strange = |number: &usize| {
        let operation = books.operations.get(*number);
        operation.is_none_or(|operation| operation.key != key || operation.write.is_none())
    };
    let of_nobody = |(operation, _)| operation_of(operation).is_none();
    if held.operations().any(of_nobody) || operations_in(&held).iter().any(is_strange) {
        return broken("has an operation that nobody asked for");
    }
    Ok(())
}

/// What may stand, operation by operation.
struct Tally<'a> {
    books: &'a Books,
    key: usize,
}

impl<'a> Tally<'a> {
    fn typed(&self) -> impl Iterator<Item = (usize, &'a Operation, &'a Typed)> + use<'a> {
        let key = self.key;
        let operations = self.books.operations.iter().enumerate();
        operations
            .filter(move |(_, operation)| operation.key == key)
            .filter_map(|(number, operation)| {
                let typed = operation.write.as_ref()?.typed.as_ref()?;
                Some((number, operation, typed))
            })
    }

    /// Whether it was carried out, for all to see.
    fn happened(&self, operation: &Operation) -> bool {
        let w = operation.write.as_ref().map_or(1, |write| write.w);
        let lost = || i01_durability::is_excused(self.books, self.key, operation.called_us, w);
        matches!(operation.outcome, Some(Outcome::Acknowledged(_))) && !lost()
    }

    fn may_have_happened(operation: &Operation) -> bool {
        !matches!(
            operation.outcome,
            Some(Outcome::NotStarted | Outcome::Rejected)
        )
    }

    /// What is to be seen of an operation when all is over.
    fn at_end(&self, number: usize, operation: &Operation, typed: &Typed) -> Stands {
        let is_gone = self.typed().any(|(_, by, remover)| {
            let is_remove = remover.effect != Effect::Delete && self.happened(by);
            is_remove && takes(remover, number, typed)
        });
        let may_be_gone = || {
            self.typed().any(|(_, by, remover)| {
                Self::may_have_happened(by) && may_take(remover, number, typed)
            })
        };
        if !Self::may_have_happened(operation) || is_gone {
            Stands::Never
        } else if self.happened(operation) && !may_be_gone() {
            Stands::Must
        } else {
            Stands::May
        }
    }
}

fn is_increment(typed: &Typed) -> Option<i64> {
    match typed.effect {
        Effect::Increment(by) => Some(by),
        _ => None,
    }
}

/// Whether `remover` takes what the operation did, if it had seen it.
fn may_take(remover: &Typed, number: usize, typed: &Typed) -> bool {
    let certainly = takes(remover, number, typed);
    let saw = || BTreeSet::from([number]);
    let had_seen = || Typed {
        effect: remover.effect,
        saw: saw(),
        saw_more: false,
    };
    certainly || remover.saw_more && takes(&had_seen(), number, typed)
}

/// Whether `remover` takes what the operation did: it had seen it.
fn takes(remover: &Typed, number: usize, typed: &Typed) -> bool {
    let own = u64::try_from(number).expect("counts fit");
    let fits = match (remover.effect, typed.effect) {
        (Effect::Remove(item), Effect::Add) => item == own,
        (Effect::RemoveSet, Effect::Add)
        | (Effect::RemoveCounter, Effect::Increment(_))
        | (Effect::Delete, Effect::Add | Effect::Increment(_)) => true,
        _ => false,
    };
    fits && remover.saw.contains(&number)
}

fn total_of(value: &Value) -> Option<i128> {
    match value {
        Value::Counter(total) => Some(*total),
        Value::Map(fields) => {
            let mut counters = fields.iter().filter_map(|(_, value)| match value {
                FieldValue::Counter(total) => Some(*total),
                _ => None,
            });
            Some(counters.next().unwrap_or(0))
        }
        _ => None,
    }
}

fn value_of(key: usize, object: &Object) -> Result<Option<(Held, Value)>, Violation> {
    let broken = |why: String| Violation::new(NAME, format!("key {key}: {why}"));
    let held = datatype::value_of(object).map_err(|error| broken(error.to_string()))?;
    let Some(held) = held else {
        return Ok(None);
    };
    let value = held.value().map_err(|error| broken(error.to_string()))?;
    Ok(Some((held, value)))
}

/// # Errors
/// If a value is not what the operations in it make of it.
pub fn check_answer(books: &Books, key: usize, object: &Object) -> Result<(), Violation> {
    let Some((held, value)) = value_of(key, object)? else {
        return Ok(());
    };
    let tally = Tally { books, key };
    if let Value::Hll(estimate) = value {
        let all = tally.typed().map(|(number, ..)| number);
        return estimates::check(key, estimate, &BTreeSet::new(), &all.collect());
    }
    let known = operations_in(&held);
    if known.len() >= OPERATIONS_MAX && held.kind() != Kind::GrowingSet {
        return Ok(());
    }
    let here = || tally.typed().filter(|(number, ..)| known.contains(number));
    let (mut sums, mut items) = (Range::default(), Items::default());
    for (number, operation, typed) in here() {
        let mut removers = here().filter(|(_, _, remover)| takes(remover, number, typed));
        let tries = operation.write.as_ref().map_or(1, |write| write.tries);
        let stands = match removers.next() {
            None => Stands::Must,
            Some(_) if tries > 1 || books.rules.duplication => Stands::May,
            Some(_) => Stands::Never,
        };
        sums.add(is_increment(typed).unwrap_or(0), stands);
        items.add(number, typed, stands);
    }
    sums.check(key, total_of(&value))?;
    items.check(key, &value)
}

/// # Errors
/// If something acknowledged is missing, or something is there that was not carried out, was removed, or counts twice.
pub fn check_end(books: &Books, key: usize, merged: &Object) -> Result<(), Violation> {
    let tally = Tally { books, key };
    let value = value_of(key, merged)?.map(|(_, value)| value);
    let all = tally.typed().count();
    let (mut sums, mut items) = (Range::default(), Items::default());
    for (number, operation, typed) in tally.typed() {
        let stands = tally.at_end(number, operation, typed);
        sums.add(is_increment(typed).unwrap_or(0), stands);
        // Twins that meet after so many other operations are not known to be twins.
        let tries = operation.write.as_ref().map_or(1, |write| write.tries);
        if all >= OPERATIONS_MAX && tries > 1 && stands != Stands::Never {
            sums.add(is_increment(typed).unwrap_or(0), Stands::May);
        }
        items.add(number, typed, stands);
    }
    let nothing = Value::Counter(0);
    let value = value.unwrap_or(nothing);
    sums.check(key, total_of(&value))?;
    items.check(key, &value)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stands {
    Must,
    May,
    Never,
}

/// What a counter can be: the sum of what must be in it and of some of what may be.
#[derive(Default)]
struct Range {
    must: i128,
    may: Vec<i64>,
}

impl Range {
    /// Sums of more than so many are too many to try: then only the bounds are asked.
    const TRIED_MAX: usize = 14;

    fn add(&mut self, by: i64, stands: Stands) {
        match stands {
            Stands::Must => self.must += i128::from(by),
            Stands::May if by != 0 => self.may.push(by),
            Stands::May | Stands::Never => {}
        }
    }

    fn check(&self, key: usize, total: Option<i128>) -> Result<(), Violation> {
        let Some(total) = total else {
            return Ok(());
        };
        let rest = total - self.must;
        let part = |positive: bool| {
            let some = self.may.iter().filter(|by| (**by > 0) == positive);
            some.map(|by| i128::from(*by)).sum::<i128>()
        };
        let mut is_possible = (part(false)..=part(true)).contains(&rest);
        if self.may.len() <= Self::TRIED_MAX {
            let mut sums = BTreeSet::from([0_i128]);
            for by in &self.may {
                let with: Vec<i128> = sums.iter().map(|sum| sum + i128::from(*by)).collect();
                sums.extend(with);
            }
            is_possible = sums.contains(&rest);
        }
        if is_possible {
            return Ok(());
        }
        let text = format!(
            "key {key}: a counter of {total}, which must be {} and may have some of {:?}",
            self.must, self.may
        );
        Err(Violation::new(NAME, text))
    }
}

#[derive(Default)]
struct Items {
    must: BTreeSet<u64>,
    may: BTreeSet<u64>,
}

impl Items {
    fn add(&mut self, number: usize, typed: &Typed, stands: Stands) {
        if typed.effect != Effect::Add {
            return;
        }
        let item = u64::try_from(number).expect("counts fit");
        match stands {
            Stands::Must => drop(self.must.insert(item)),
            Stands::May => drop(self.may.insert(item)),
            Stands::Never => {}
        }
    }

    fn check(&self, key: usize, value: &Value) -> Result<(), Violation> {
        if let Value::Hll(estimate) = value {
            let number = |item: &u64| usize::try_from(*item).expect("an operation's");
            let must: BTreeSet<usize> = self.must.iter().map(number).collect();
            let all = self.may.iter().map(number).chain(must.iter().copied());
            return estimates::check(key, *estimate, &must, &all.collect());
        }
        let shown = typed_items_of(value);
        let broken = |why: String| Err(Violation::new(NAME, format!("key {key}: {why}")));
        if let Some(item) = self.must.difference(&shown).next() {
            return broken(format!("item {item} is missing"));
        }
        let strange = shown
            .iter()
            .find(|item| !self.must.contains(item) && !self.may.contains(item));
        match strange {
            None => Ok(()),
            Some(item) => broken(format!("item {item} is there, and should not be")),
        }
    }
}
