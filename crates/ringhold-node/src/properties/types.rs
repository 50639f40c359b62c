//! What a bucket type says, when it is created and when it is changed.
//!
//! A created type begins with defaults of its own, which are the same on every node whatever it is configured to: two nodes that hold one ring
//! document must serve a type alike. Riak's created types keep siblings, and so do these. Data type and `write_once` are said at
//! creation or never.
//!
//! Not here: the type's way from created to active (`ringhold_core::ring::bucket_types`).

use super::Properties;
use super::overrides::Overrides;
use super::property::{Property, Reason, Refusal, Value};
use ringhold_core::crdt::{Kind, Precision};

/// Understands what is proposed for a type that is to be created.
///
/// # Errors
/// All refusals, if there is one.
pub fn propose_type<'a>(
    proposals: impl IntoIterator<Item = (&'a str, Value)>,
) -> Result<Overrides, Vec<Refusal>> {
    let set = understood(proposals)?;
    let refused = |property: Property, reason| {
        Err(vec![Refusal {
            property: property.name().to_owned(),
            reason,
        }])
    };
    let has_datatype = set.contains(Property::Datatype);
    if has_datatype && set.boolean(Property::AllowMult) == Some(false) {
        return refused(Property::AllowMult, Reason::DatatypeKeepsSiblings);
    }
    if set.contains(Property::HllPrecision) && kind(&set) != Some(Kind::Hll) {
        return refused(Property::HllPrecision, Reason::NotHll);
    }
    check_together(&set)?;
    Ok(set)
}

/// What an active type says after a change, but for its number of replicas; `set` is what it says so far.
///
/// # Errors
/// All refusals, if there is one.
pub fn check_type_update(set: &Overrides, change: &Overrides) -> Result<Overrides, Vec<Refusal>> {
    let before = Properties::of_type(Properties::default().n_val, set);
    before
        .check_change(change)
        .map_err(|refusal| vec![refusal])?;
    let after = set.changed_by(&change.without_fixed().without_replicas());
    check_together(&after)?;
    Ok(after)
}

/// Understands what is proposed for a type, whatever it has.
///
/// # Errors
/// All refusals, if there is one.
pub(super) fn understood<'a>(
    proposals: impl IntoIterator<Item = (&'a str, Value)>,
) -> Result<Overrides, Vec<Refusal>> {
    Overrides::propose(proposals).map_err(|mut refusals| {
        for refusal in &mut refusals {
            if refusal.reason == Reason::ConsistentIsFixed {
                refusal.reason = Reason::NeedsConsensus;
            }
        }
        refusals
    })
}

fn check_together(set: &Overrides) -> Result<(), Vec<Refusal>> {
    let is_on = |property, otherwise| set.boolean(property).unwrap_or(otherwise);
    if !is_on(Property::LastWriteWins, false) {
        return Ok(());
    }
    let reason = if is_on(Property::AllowMult, true) {
        Reason::KeepsSiblings
    } else if is_on(Property::DvvEnabled, true) {
        Reason::KeepsDots
    } else {
        return Ok(());
    };
    Err(vec![Refusal {
        property: Property::LastWriteWins.name().to_owned(),
        reason,
    }])
}

fn kind(set: &Overrides) -> Option<Kind> {
    let name = set.text(Property::Datatype)?;
    Kind::ALL.into_iter().find(|kind| kind.name() == name)
}

impl Overrides {
    /// Understands what is proposed as a change of an active type.
    ///
    /// # Errors
    /// All refusals, if there is one.
    pub fn propose_update<'a>(
        proposals: impl IntoIterator<Item = (&'a str, Value)>,
    ) -> Result<Self, Vec<Refusal>> {
        understood(proposals)
    }
}

impl Properties {
    /// The properties of a created type that has set these, in a cluster whose keys have `n_val` replicas.
    #[must_use]
    pub fn of_type(n_val: u32, set: &Overrides) -> Self {
        let bits = set.number(Property::HllPrecision);
        let precision = bits.and_then(|bits| Precision::new(u8::try_from(bits).ok()?));
        let created = Self {
            n_val,
            datatype: kind(set),
            hll_precision: precision.unwrap_or(Precision::DEFAULT),
            write_once: set.boolean(Property::WriteOnce).unwrap_or(false),
            ..Self::default()
        };
        Self::resolve(&created, set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    fn reasons(refused: Result<Overrides, Vec<Refusal>>) -> Vec<String> {
        let refusals = refused.err().into_iter().flatten();
        refusals
            .map(|refusal| format!("{}: {}", refusal.property, refusal.reason))
            .collect()
    }

    #[test]
    fn a_type_begins_with_its_own_defaults() {
        let plain = propose_type([]).expect("nothing is asked for");
        let plain = Properties::of_type(3, &plain);
        assert!(plain.allow_mult && plain.reported.dvv_enabled && !plain.write_once);
        // A string that says no means no.
        let single = propose_type([("allow_mult", text("false"))]).expect("as Riak takes it");
        assert!(!Properties::of_type(3, &single).allow_mult);
        let maps = propose_type([("datatype", text("map"))]).expect("a data type");
        assert_eq!(Properties::of_type(3, &maps).datatype, Some(Kind::Map));
        let hlls = [
            ("datatype", text("hll")),
            ("hll_precision", Value::Integer(11)),
        ];
        let hlls = propose_type(hlls).expect("fewer registers");
        assert_eq!(Properties::of_type(3, &hlls).hll_precision.bits(), 11);
    }

    #[test]
    fn what_a_type_may_not_be() {
        let rows: [(&[(&str, Value)], &str); 7] = [
            (
                &[("consistent", Value::Boolean(true))],
                "consistent: strongly consistent types are not offered: no write waits for an agreement",
            ),
            (
                &[
                    ("datatype", text("set")),
                    ("allow_mult", Value::Boolean(false)),
                ],
                "allow_mult: Data Type buckets must be allow_mult=true",
            ),
            (
                &[
                    ("last_write_wins", Value::Boolean(true)),
                    ("allow_mult", Value::Boolean(false)),
                ],
                "last_write_wins: If last_write_wins is true, dvv_enabled must be false",
            ),
            (
                &[("last_write_wins", Value::Boolean(true))],
                "last_write_wins: If last_write_wins is true, allow_mult must be false",
            ),
            (
                &[
                    ("datatype", text("set")),
                    ("hll_precision", Value::Integer(9)),
                ],
                "hll_precision: only buckets of the data type hll have an hll_precision",
            ),
            (
                &[("active", Value::Boolean(false))],
                "active: Cannot modify active property",
            ),
            (
                &[("claimant", text("n"))],
                "claimant: Cannot update claimant property",
            ),
        ];
        for (proposals, reason) in rows {
            assert_eq!(reasons(propose_type(proposals.iter().cloned())), [reason]);
        }
        let five = propose_type([("n_val", Value::Integer(5))]).expect("a number of replicas");
        assert_eq!(five.replicas(), Some(5));
    }

    #[test]
    fn an_update_changes_what_can_be_changed() {
        let hlls = propose_type([("datatype", text("hll"))]).expect("a data type");
        let update = |proposals: &[(&'static str, Value)]| {
            let change = Overrides::propose_update(proposals.iter().cloned());
            change.and_then(|change| check_type_update(&hlls, &change))
        };
        let same = [
            ("datatype", text("hll")),
            ("active", Value::Boolean(true)),
            ("write_once", Value::Boolean(false)),
        ];
        assert_eq!(update(&same).as_ref(), Ok(&hlls));
        let lower = update(&[("hll_precision", Value::Integer(12))]).expect("lower");
        assert_eq!(Properties::of_type(3, &lower).hll_precision.bits(), 12);
        let rows = [
            (
                ("datatype", text("set")),
                "datatype: Cannot update datatype on existing bucket",
            ),
            (
                ("write_once", Value::Boolean(true)),
                "write_once: cannot update write_once property",
            ),
            (
                ("hll_precision", Value::Integer(15)),
                "hll_precision: hll_precision may only be lowered",
            ),
            (
                ("allow_mult", Value::Boolean(false)),
                "allow_mult: Data Type buckets must be allow_mult=true",
            ),
        ];
        for (proposal, reason) in rows {
            assert_eq!(reasons(update(&[proposal])), [reason]);
        }
        let again = check_type_update(
            &lower,
            &Overrides::propose_update([("hll_precision", Value::Integer(14))]).expect("in range"),
        );
        assert!(again.is_err(), "what was lowered stays so");
    }
}
