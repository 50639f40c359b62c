//! Whether a change makes sense in a bucket that is as it is.
//!
//! What a value may be by itself says its shape (`property`); here is what only holds together with what the bucket has. What its
//! type says for good is accepted where it says what is so, since clients write back whatever they have read.

use super::Properties;
use super::overrides::Overrides;
use super::property::{Property, Reason, Refusal};
use ringhold_core::crdt::Kind;

impl Properties {
    /// Whether a change makes sense in a bucket that has these properties so far.
    ///
    /// # Errors
    /// The first thing that does not.
    pub fn check_change(&self, change: &Overrides) -> Result<(), Refusal> {
        let refused = |property: Property, reason| {
            Err(Refusal {
                property: property.name().to_owned(),
                reason,
            })
        };
        let boolean = |property, otherwise| change.boolean(property).unwrap_or(otherwise);
        let allow_mult = boolean(Property::AllowMult, self.allow_mult);
        let last_write_wins = boolean(Property::LastWriteWins, self.last_write_wins);
        if self.datatype.is_some() && !allow_mult {
            return refused(Property::AllowMult, Reason::DatatypeKeepsSiblings);
        }
        if allow_mult && last_write_wins {
            return refused(Property::LastWriteWins, Reason::KeepsSiblings);
        }
        if let Some(asked) = change.text(Property::Datatype) {
            match self.datatype {
                None => return refused(Property::Datatype, Reason::NoDatatype),
                Some(kind) if kind.name() != asked => {
                    return refused(Property::Datatype, Reason::DatatypeIsFixed);
                }
                Some(_) => {}
            }
        }
        if boolean(Property::WriteOnce, self.write_once) != self.write_once {
            return refused(Property::WriteOnce, Reason::WriteOnceIsFixed);
        }
        match change.number(Property::HllPrecision) {
            Some(_) if self.datatype != Some(Kind::Hll) => {
                refused(Property::HllPrecision, Reason::NotHll)
            }
            Some(bits) if bits > self.hll_precision.bits().into() => {
                refused(Property::HllPrecision, Reason::PrecisionRaised)
            }
            _ => Ok(()),
        }
    }
}
