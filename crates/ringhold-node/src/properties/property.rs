//! The names of the properties, and the values that each takes.
//!
//! One table holds every name that a client may use, its tag in the encoding, and its shape: what is
//! accepted, and with which of Riak's reasons the rest is refused. A tag never changes its meaning, and a
//! property that gets another range of values gets another tag. A shape may accept a value without
//! keeping it, when it says only what is so anyway: clients like to write back everything that they
//! read.

use super::N_VAL_MAX;
use super::overrides::{Stored, TEXT_BYTES_MAX};
use ringhold_core::crdt::{Kind, Precision};
use ringhold_core::quorum::Count;
use std::fmt;

macro_rules! properties {
    ($($property:ident = $tag:literal, $name:literal, $shape:expr;)*) => {
        /// A property that can be overridden. The numbers are its tags in the encoding.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Property { $($property = $tag,)* }

        impl Property {
            /// Every property, in the order of its tag.
            pub const ALL: &'static [Self] = &[$(Self::$property,)*];

            /// The name that clients use.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$property => $name,)* }
            }

            #[must_use]
            pub(super) fn tag(self) -> u16 {
                match self { $(Self::$property => $tag,)* }
            }

            fn shape(self) -> Shape {
                match self { $(Self::$property => $shape,)* }
            }
        }
    };
}

properties! {
    AllowMult = 1, "allow_mult", Shape::Boolean;
    LastWriteWins = 2, "last_write_wins", Shape::Boolean;
    NVal = 3, "n_val", Shape::Replicas;
    R = 4, "r", Shape::Count { least: 1 };
    Pr = 5, "pr", Shape::Count { least: 0 };
    W = 6, "w", Shape::Count { least: 1 };
    Dw = 7, "dw", Shape::Count { least: 0 };
    Pw = 8, "pw", Shape::Count { least: 0 };
    Rw = 9, "rw", Shape::Count { least: 1 };
    NodeConfirms = 10, "node_confirms", Shape::Count { least: 0 };
    BasicQuorum = 11, "basic_quorum", Shape::Boolean;
    NotfoundOk = 12, "notfound_ok", Shape::Boolean;
    Durability = 13, "durability", Shape::Durability;
    SyncOnWrite = 14, "sync_on_write", Shape::SyncOnWrite;
    DvvEnabled = 15, "dvv_enabled", Shape::Boolean;
    OldVclock = 16, "old_vclock", Shape::Number;
    YoungVclock = 17, "young_vclock", Shape::Number;
    BigVclock = 18, "big_vclock", Shape::Number;
    SmallVclock = 19, "small_vclock", Shape::Number;
    Repl = 20, "repl", Shape::Word;
    Search = 21, "search", Shape::Word;
    SearchIndex = 22, "search_index", Shape::Word;
    Backend = 23, "backend", Shape::Word;
    WriteOnce = 24, "write_once", Shape::Boolean;
    Consistent = 25, "consistent", Shape::Never(Reason::ConsistentIsFixed);
    Precommit = 26, "precommit", Shape::NoHooks;
    Postcommit = 27, "postcommit", Shape::NoHooks;
    ChashKeyfun = 28, "chash_keyfun", Shape::Only(CHASH_KEYFUN);
    Linkfun = 29, "linkfun", Shape::Only(LINKFUN);
    Datatype = 30, "datatype", Shape::Datatype;
    HllPrecision = 31, "hll_precision", Shape::Precision;
    Active = 32, "active", Shape::Always(Reason::ActiveIsFixed);
    Claimant = 33, "claimant", Shape::Refused(Reason::ClaimantIsFixed);
    Name = 34, "name", Shape::Ignored;
    TtlSeconds = 35, "ttl_seconds", Shape::Number;
    BlockingRepair = 36, "blocking_repair", Shape::Boolean;
}

/// Module and function that place keys, as Riak reports them.
pub const CHASH_KEYFUN: (&str, &str) = ("riak_core_util", "chash_std_keyfun");
/// Module and function that find an object's links, as Riak reports them.
pub const LINKFUN: (&str, &str) = ("riak_kv_wm_link_walker", "mapreduce_linkfun");

/// Which values a property takes, and how they are understood.
#[derive(Clone, Copy)]
enum Shape {
    Boolean,
    Replicas,
    Count {
        least: u32,
    },
    Number,
    Durability,
    SyncOnWrite,
    Datatype,
    Precision,
    /// A boolean or a text, kept and reported as it came.
    Word,
    /// Only false, which it is already.
    Never(Reason),
    /// Only true, which it is already.
    Always(Reason),
    /// Only the empty list, which it is already.
    NoHooks,
    /// Only this function, which it is already.
    Only((&'static str, &'static str)),
    Refused(Reason),
    /// Read back from an answer by a client that writes all of it; no meaning as a change.
    Ignored,
}

/// A value as a client proposes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Boolean(bool),
    Integer(i64),
    Text(String),
    EmptyList,
    /// An Erlang function, by module and name.
    Function {
        module: String,
        function: String,
    },
    /// Anything else; no property takes it.
    Other,
}

/// Why a value was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    NotInteger,
    NotBoolean,
    NotValidQuorum,
    NotValidSyncParam,
    NotValidDurability,
    NotText,
    /// More replicas than [`N_VAL_MAX`].
    TooManyReplicas,
    /// `last_write_wins` together with `allow_mult`.
    KeepsSiblings,
    WriteOnceIsFixed,
    ConsistentIsFixed,
    /// A data type where the type has none.
    NoDatatype,
    /// Another data type than the type's.
    DatatypeIsFixed,
    /// No siblings, where values merge by themselves.
    DatatypeKeepsSiblings,
    UnknownDatatype,
    NotValidPrecision,
    /// Registers can be folded, and not unfolded.
    PrecisionRaised,
    /// A precision where nothing is estimated.
    NotHll,
    /// `last_write_wins` together with `dvv_enabled`.
    KeepsDots,
    /// Strong consistency.
    NeedsConsensus,
    ActiveIsFixed,
    ClaimantIsFixed,
    /// Riak has it, this store doesn't.
    NotSupported,
    UnknownProperty,
}

impl fmt::Display for Reason {
    /// In Riak's words where it has some.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotInteger => "not_integer",
            Self::NotBoolean => "not_boolean",
            Self::NotValidQuorum => "not_valid_quorum",
            Self::NotValidSyncParam => "not_valid_sync_param",
            Self::NotValidDurability => "not_valid_durability",
            Self::NotText => "not_text",
            Self::TooManyReplicas => "at most 16 replicas",
            Self::KeepsSiblings => "If last_write_wins is true, allow_mult must be false",
            Self::WriteOnceIsFixed => "cannot update write_once property",
            Self::ConsistentIsFixed => "cannot update consistent property",
            Self::NoDatatype => "`datatype` must not be defined.",
            Self::DatatypeIsFixed => "Cannot update datatype on existing bucket",
            Self::DatatypeKeepsSiblings => "Data Type buckets must be allow_mult=true",
            Self::UnknownDatatype => "must be one of counter, set, gset, hll and map",
            Self::NotValidPrecision => "hll_precision must be an integer between 4 and 16",
            Self::PrecisionRaised => "hll_precision may only be lowered",
            Self::NotHll => "only buckets of the data type hll have an hll_precision",
            Self::KeepsDots => "If last_write_wins is true, dvv_enabled must be false",
            Self::NeedsConsensus => {
                "strongly consistent types are not offered: no write waits for an agreement"
            }
            Self::ActiveIsFixed => "Cannot modify active property",
            Self::ClaimantIsFixed => "Cannot update claimant property",
            Self::NotSupported => "not_supported",
            Self::UnknownProperty => "unknown_property",
        })
    }
}

/// One value that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The name as it was proposed.
    pub property: String,
    pub reason: Reason,
}

impl Property {
    /// What a proposed value says; `None` if it says only what is so anyway.
    pub(super) fn understand(self, value: Value) -> Result<Option<Stored>, Reason> {
        understand(self.shape(), value)
    }
}

/// What a value says in this shape.
fn understand(shape: Shape, value: Value) -> Result<Option<Stored>, Reason> {
    match shape {
        Shape::Boolean => boolean(&value)
            .map(|set| Some(Stored::Boolean(set)))
            .ok_or(Reason::NotBoolean),
        Shape::Replicas => replicas(&value).map(|n| Some(Stored::Number(n))),
        Shape::Count { least } => count(&value, least)
            .map(|count| Some(Stored::Count(count)))
            .ok_or(Reason::NotValidQuorum),
        Shape::Number => number(&value)
            .map(|number| Some(Stored::Number(number)))
            .ok_or(Reason::NotInteger),
        Shape::Durability => one_of(
            value,
            &["flushed", "one", "buffered"],
            Reason::NotValidDurability,
        )
        .map(Some),
        Shape::SyncOnWrite => {
            one_of(value, &["backend", "one", "all"], Reason::NotValidSyncParam).map(Some)
        }
        Shape::Datatype => datatype(value).map(Some),
        Shape::Precision => precision(&value)
            .map(|bits| Some(Stored::Number(bits)))
            .ok_or(Reason::NotValidPrecision),
        Shape::Word => word(value).map(Some),
        Shape::Never(reason) => match boolean(&value) {
            Some(false) => Ok(None),
            Some(true) => Err(reason),
            None => Err(Reason::NotBoolean),
        },
        Shape::Always(reason) => match boolean(&value) {
            Some(true) => Ok(None),
            Some(false) | None => Err(reason),
        },
        Shape::NoHooks => {
            if value == Value::EmptyList {
                Ok(None)
            } else {
                Err(Reason::NotSupported)
            }
        }
        Shape::Only((module, function)) => {
            let only = Value::Function {
                module: module.to_owned(),
                function: function.to_owned(),
            };
            if value == only {
                Ok(None)
            } else {
                Err(Reason::NotSupported)
            }
        }
        Shape::Refused(reason) => Err(reason),
        Shape::Ignored => Ok(None),
    }
}

/// Riak takes the words and the digits too.
fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Boolean(set) => Some(*set),
        Value::Integer(1) => Some(true),
        Value::Integer(0) => Some(false),
        Value::Text(text) if text == "true" => Some(true),
        Value::Text(text) if text == "false" => Some(false),
        _ => None,
    }
}

fn replicas(value: &Value) -> Result<u64, Reason> {
    let n = number(value).filter(|n| *n > 0).ok_or(Reason::NotInteger)?;
    if n > u64::from(N_VAL_MAX) {
        Err(Reason::TooManyReplicas)
    } else {
        Ok(n)
    }
}

fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Integer(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

fn count(value: &Value, least: u32) -> Option<Count> {
    match value {
        Value::Integer(number) => {
            let exact = u32::try_from(*number)
                .ok()
                .filter(|exact| *exact >= least)?;
            // The numbers just below 2³² are the words in the encoding.
            Some(Count::Exact(exact)).filter(|count| Count::from_wire(count.to_wire()) == *count)
        }
        Value::Text(text) => text
            .parse()
            .ok()
            .filter(|count| matches!(count, Count::One | Count::Quorum | Count::All)),
        _ => None,
    }
}

fn one_of(value: Value, words: &[&str], otherwise: Reason) -> Result<Stored, Reason> {
    match value {
        Value::Text(text) if words.contains(&text.as_str()) => Ok(Stored::Text(text)),
        _ => Err(otherwise),
    }
}

/// By the name of the data type.
fn datatype(value: Value) -> Result<Stored, Reason> {
    match value {
        Value::Text(text) if Kind::ALL.iter().any(|kind| kind.name() == text) => {
            Ok(Stored::Text(text))
        }
        _ => Err(Reason::UnknownDatatype),
    }
}

fn precision(value: &Value) -> Option<u64> {
    let bits = number(value).and_then(|bits| u8::try_from(bits).ok())?;
    Precision::new(bits).map(|precision| precision.bits().into())
}

fn word(value: Value) -> Result<Stored, Reason> {
    match value {
        Value::Boolean(set) => Ok(Stored::Boolean(set)),
        Value::Text(text) if text.len() <= TEXT_BYTES_MAX => Ok(Stored::Text(text)),
        _ => Err(Reason::NotText),
    }
}

/// A value that is kept and reported and has no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    Boolean(bool),
    Text(String),
}

#[cfg(test)]
mod tests {
    use super::super::Overrides;
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn values_are_refused_with_a_reason() {
        let function = Value::Function {
            module: "m".to_owned(),
            function: "f".to_owned(),
        };
        let rows = [
            ("n_val", Value::Integer(0), "not_integer"),
            ("n_val", Value::Integer(-1), "not_integer"),
            ("n_val", text("3"), "not_integer"),
            ("n_val", Value::Integer(17), "at most 16 replicas"),
            ("allow_mult", text("maybe"), "not_boolean"),
            ("allow_mult", Value::Integer(2), "not_boolean"),
            ("r", text("some"), "not_valid_quorum"),
            ("r", text("default"), "not_valid_quorum"),
            ("r", Value::Integer(0), "not_valid_quorum"),
            ("rw", Value::Integer(0), "not_valid_quorum"),
            ("dw", Value::Integer(-1), "not_valid_quorum"),
            (
                "pw",
                Value::Integer(i64::from(u32::MAX - 1)),
                "not_valid_quorum",
            ),
            ("sync_on_write", text("default"), "not_valid_sync_param"),
            ("durability", text("maybe"), "not_valid_durability"),
            ("durability", Value::Boolean(true), "not_valid_durability"),
            ("old_vclock", text("1"), "not_integer"),
            ("write_once", text("perhaps"), "not_boolean"),
            (
                "hll_precision",
                Value::Integer(3),
                "hll_precision must be an integer between 4 and 16",
            ),
            (
                "hll_precision",
                Value::Integer(17),
                "hll_precision must be an integer between 4 and 16",
            ),
            (
                "datatype",
                text("list"),
                "must be one of counter, set, gset, hll and map",
            ),
            (
                "consistent",
                Value::Boolean(true),
                "cannot update consistent property",
            ),
            ("claimant", text("a"), "Cannot update claimant property"),
            (
                "active",
                Value::Boolean(false),
                "Cannot modify active property",
            ),
            ("precommit", Value::Other, "not_supported"),
            ("linkfun", function.clone(), "not_supported"),
            ("chash_keyfun", function, "not_supported"),
            ("my_own", Value::Integer(1), "unknown_property"),
        ];
        for (name, value, reason) in rows {
            let refusals = Overrides::propose([(name, value.clone())]).expect_err(name);
            assert_eq!(refusals.len(), 1);
            assert_eq!(
                (
                    refusals[0].property.as_str(),
                    refusals[0].reason.to_string().as_str()
                ),
                (name, reason),
                "{value:?}"
            );
        }
    }

    #[test]
    fn every_refusal_is_told() {
        let refusals = Overrides::propose([
            ("r", text("x")),
            ("w", Value::Integer(1)),
            ("n_val", text("y")),
        ]);
        let names: Vec<String> = refusals
            .expect_err("two are wrong")
            .into_iter()
            .map(|refusal| refusal.property)
            .collect();
        assert_eq!(names, ["r", "n_val"]);
    }

    #[test]
    fn tags_and_names_are_taken_once() {
        for (at, property) in Property::ALL.iter().enumerate() {
            let rest = &Property::ALL[at + 1..];
            assert!(
                rest.iter()
                    .all(|other| other.name() != property.name() && other.tag() > property.tag())
            );
        }
    }
}
