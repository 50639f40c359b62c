//! What a bucket is like, and what somebody changed about it.
//!
//! A bucket exists as soon as a key is in it; it needs no creation and has [`Properties`] from the
//! start, those of its bucket type. A client may override some of them. The overrides, and not the
//! outcome, are what nodes store and exchange, so that a later change of a default reaches every
//! bucket that never disagreed with it; [`Properties::resolve`] lays the one over the other.
//!
//! Names, value ranges and the reasons of refusals are those of Riak's bucket properties (the edges
//! show them to its clients). Our own are `durability`: how many acknowledgements wait for the
//! flush that covers the write (Dynamo §6.1 trades one for the other); `blocking_repair`: whether a get waits until the replicas
//! that it counts hold its answer; and `ttl_seconds`. Riak's `sync_on_write` asks
//! for the same in other words: `one` is `one`, `all` is `flushed`, `backend` leaves it to `durability`.
//!
//! Some properties are only kept and reported (`old_vclock` and the like: nothing here prunes
//! contexts). What would have to do something and doesn't is refused instead of kept: commit
//! hooks, another placement of keys, data types, a property that nobody knows.
//!
//! Invariants:
//! - `allow_mult` and `last_write_wins` are never both on in resolved properties. Asking for both is
//!   refused; should both arrive anyway, siblings win, because that loses nothing.
//! - Every [`Overrides`] can be encoded and read back to an equal one, and entries that this program
//!   gives no meaning to survive the way through it (T20).
//!
//! Not here: JSON and Protocol Buffers (the edges), and which of two concurrent changes holds (the
//! time at which it was made decides, see `ringhold_wire::message::peer::BucketProperties`).

mod change;
mod overrides;
mod property;
mod types;

use crate::membership::ChangeFailed;
use ringhold_core::crdt::{Kind, Precision};
use ringhold_core::quorum::{Count, GetSpec, PutSpec};
use std::fmt;

pub use overrides::Overrides;
pub use property::{CHASH_KEYFUN, LINKFUN, Property, Reason, Refusal, Value, Word};
pub use types::{check_type_update, propose_type};

/// The most replicas a bucket can ask for.
pub const N_VAL_MAX: u32 = 16;

/// Versions that a bucket without siblings keeps beside the one that it shows.
const HIDDEN_VERSIONS: usize = 3;

/// How many replicas of a put flush before it is answered (§6.1). What is greater loses less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Durability {
    /// None: an acknowledgement counts as soon as its replica holds the write in memory.
    Buffered,
    /// The one that coordinates it; the others acknowledge from memory.
    One,
    /// Every one whose acknowledgement is counted.
    #[default]
    Flushed,
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flushed => "flushed",
            Self::One => "one",
            Self::Buffered => "buffered",
        })
    }
}

/// Why a change of properties was not confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PropertiesError {
    /// Nothing was changed.
    UnknownBucketType,
    /// Nothing was changed: together with what the bucket has, the values make no sense.
    Refused(Refusal),
    /// Nothing was changed: this node's wall clock is too far from its peers' to say when a change was made.
    ClockOff,
    /// The number of replicas could not be changed, and nothing else was: see [`ChangeFailed`].
    Replicas(ChangeFailed),
    /// This node could not keep the change; whether it survives a restart is unknown.
    StoreFailed,
    /// The change holds here and spreads, but not every reachable member confirmed it in time.
    Unconfirmed { confirmed: u32, reachable: u32 },
}

impl fmt::Display for PropertiesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownBucketType => f.write_str("unknown bucket type"),
            Self::Refused(Refusal { property, reason }) => write!(f, "{property}: {reason}"),
            Self::ClockOff => f.write_str(
                "this node's clock is far from its peers': set it right, or ask another node",
            ),
            Self::Replicas(reason) => write!(f, "n_val: {reason}"),
            Self::StoreFailed => f.write_str("the node's store failed while keeping the change"),
            Self::Unconfirmed {
                confirmed,
                reachable,
            } => {
                write!(
                    f,
                    "{confirmed} of {reachable} reachable members confirmed the change in time"
                )
            }
        }
    }
}

impl std::error::Error for PropertiesError {}

/// How much a bucket asks to be flushed, in Riak's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SyncOnWrite {
    /// As the engine is set: here, as `durability` says.
    #[default]
    Backend,
    /// The coordinator flushes.
    One,
    /// Every replica that is counted flushes.
    All,
}

impl fmt::Display for SyncOnWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Backend => "backend",
            Self::One => "one",
            Self::All => "all",
        })
    }
}

/// All that is so of one bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Properties {
    /// Concurrent writes are shown side by side; otherwise the last one is shown.
    pub allow_mult: bool,
    /// The last write is shown, and a put replaces what is there whatever it has seen.
    pub last_write_wins: bool,
    /// Replicas of each key.
    pub n_val: u32,
    pub get: GetSpec,
    pub put: PutSpec,
    /// Of a delete that names neither r nor w, both.
    pub rw: Count,
    pub durability: Durability,
    /// A get is answered once the replicas that it counts hold what the answer says.
    pub blocking_repair: bool,
    /// How long a value is shown that does not say so itself; none for as long as nobody deletes it.
    pub ttl_seconds: Option<u64>,
    /// Values merge by themselves, as this data type; none where values are bytes. Only a created type says so.
    pub datatype: Option<Kind>,
    /// Of new values of the type `hll`.
    pub hll_precision: Precision,
    /// A key is written once: what is there stays.
    pub write_once: bool,
    pub reported: Reported,
}

/// Properties that are reported to clients and change nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reported {
    pub sync_on_write: SyncOnWrite,
    /// Whether Riak would keep a dot with each sibling. Here that is always so.
    pub dvv_enabled: bool,
    pub old_vclock: u64,
    pub young_vclock: u64,
    pub big_vclock: u64,
    pub small_vclock: u64,
    pub repl: Word,
    pub search: Option<Word>,
    pub search_index: Option<Word>,
    pub backend: Option<Word>,
}

impl Default for Properties {
    /// The default bucket type: siblings are kept, because that loses nothing.
    fn default() -> Self {
        Self {
            allow_mult: true,
            last_write_wins: false,
            n_val: 3,
            get: GetSpec {
                r: Count::Quorum,
                pr: Count::Exact(0),
                node_confirms: Count::Exact(0),
                basic_quorum: Some(false),
                notfound_ok: Some(true),
            },
            put: PutSpec {
                w: Count::Quorum,
                dw: Count::Quorum,
                pw: Count::Exact(0),
                node_confirms: Count::Exact(0),
            },
            rw: Count::Quorum,
            durability: Durability::Flushed,
            blocking_repair: false,
            ttl_seconds: None,
            datatype: None,
            hll_precision: Precision::DEFAULT,
            write_once: false,
            reported: Reported::default(),
        }
    }
}

impl Default for Reported {
    fn default() -> Self {
        Self {
            sync_on_write: SyncOnWrite::Backend,
            dvv_enabled: true,
            old_vclock: 86_400,
            young_vclock: 20,
            big_vclock: 50,
            small_vclock: 50,
            repl: Word::Boolean(true),
            search: None,
            search_index: None,
            backend: None,
        }
    }
}

impl Properties {
    /// The properties of a bucket: its own where it has some, those of its type elsewhere.
    #[must_use]
    pub fn resolve(defaults: &Self, overrides: &Overrides) -> Self {
        let count = |property, otherwise| overrides.count(property).unwrap_or(otherwise);
        let allow_mult = overrides
            .boolean(Property::AllowMult)
            .unwrap_or(defaults.allow_mult)
            || defaults.datatype.is_some();
        let last_write_wins = overrides
            .boolean(Property::LastWriteWins)
            .unwrap_or(defaults.last_write_wins);
        let n_val = overrides
            .number(Property::NVal)
            .and_then(|n| u32::try_from(n).ok());
        let reported = Reported::resolve(&defaults.reported, overrides);
        let properties = Self {
            allow_mult,
            last_write_wins: last_write_wins && !allow_mult,
            n_val: n_val
                .filter(|n| (1..=N_VAL_MAX).contains(n))
                .unwrap_or(defaults.n_val),
            get: GetSpec {
                r: count(Property::R, defaults.get.r),
                pr: count(Property::Pr, defaults.get.pr),
                node_confirms: count(Property::NodeConfirms, defaults.get.node_confirms),
                basic_quorum: overrides
                    .boolean(Property::BasicQuorum)
                    .or(defaults.get.basic_quorum),
                notfound_ok: overrides
                    .boolean(Property::NotfoundOk)
                    .or(defaults.get.notfound_ok),
            },
            put: PutSpec {
                w: count(Property::W, defaults.put.w),
                dw: count(Property::Dw, defaults.put.dw),
                pw: count(Property::Pw, defaults.put.pw),
                node_confirms: count(Property::NodeConfirms, defaults.put.node_confirms),
            },
            rw: count(Property::Rw, defaults.rw),
            durability: durability(defaults, overrides, reported.sync_on_write),
            blocking_repair: overrides
                .boolean(Property::BlockingRepair)
                .unwrap_or(defaults.blocking_repair),
            ttl_seconds: match overrides.number(Property::TtlSeconds) {
                Some(0) => None,
                other => other.or(defaults.ttl_seconds),
            },
            datatype: defaults.datatype,
            hll_precision: precision(defaults, overrides),
            write_once: defaults.write_once,
            reported,
        };
        assert!(
            !(properties.allow_mult && properties.last_write_wins),
            "one way to treat concurrent writes"
        );
        properties
    }

    /// In a bucket that shows one version, how many more a write leaves of those that its writer had not
    /// seen: a few, so that a retry finds its first try; none where the last write simply wins.
    #[must_use]
    pub fn hidden_versions(&self) -> Option<usize> {
        match (self.allow_mult, self.last_write_wins) {
            (true, _) => None,
            (false, true) => Some(0),
            (false, false) => Some(HIDDEN_VERSIONS),
        }
    }

    /// Whether clients of this bucket are shown one version only.
    #[must_use]
    pub fn shows_last_write(&self) -> bool {
        !self.allow_mult
    }
}

/// Registers can be folded, so a bucket may have fewer than its type.
fn precision(defaults: &Properties, overrides: &Overrides) -> Precision {
    let own = overrides.number(Property::HllPrecision);
    let own = own.and_then(|bits| Precision::new(u8::try_from(bits).ok()?));
    own.map_or(defaults.hll_precision, |own| {
        own.min(defaults.hll_precision)
    })
}

/// What `durability` and `sync_on_write` say; the stricter where both do. A bucket that says one of them has its type's choice no more.
fn durability(defaults: &Properties, overrides: &Overrides, sync: SyncOnWrite) -> Durability {
    let own = match overrides.text(Property::Durability).as_deref() {
        Some("flushed") => Some(Durability::Flushed),
        Some("one") => Some(Durability::One),
        Some("buffered") => Some(Durability::Buffered),
        _ => None,
    };
    match (sync, own) {
        (SyncOnWrite::All, _) => Durability::Flushed,
        (SyncOnWrite::One, Some(own)) => own.max(Durability::One),
        (SyncOnWrite::One, None) if overrides.text(Property::SyncOnWrite).is_some() => {
            Durability::One
        }
        (SyncOnWrite::One | SyncOnWrite::Backend, own) => own.unwrap_or(defaults.durability),
    }
}

impl Reported {
    fn resolve(defaults: &Self, overrides: &Overrides) -> Self {
        let number = |property, otherwise| overrides.number(property).unwrap_or(otherwise);
        let word = |property, otherwise: &Option<Word>| {
            overrides.word(property).or_else(|| otherwise.clone())
        };
        Self {
            sync_on_write: match overrides.text(Property::SyncOnWrite).as_deref() {
                Some("backend") => SyncOnWrite::Backend,
                Some("one") => SyncOnWrite::One,
                Some("all") => SyncOnWrite::All,
                _ => defaults.sync_on_write,
            },
            dvv_enabled: overrides
                .boolean(Property::DvvEnabled)
                .unwrap_or(defaults.dvv_enabled),
            old_vclock: number(Property::OldVclock, defaults.old_vclock),
            young_vclock: number(Property::YoungVclock, defaults.young_vclock),
            big_vclock: number(Property::BigVclock, defaults.big_vclock),
            small_vclock: number(Property::SmallVclock, defaults.small_vclock),
            repl: overrides
                .word(Property::Repl)
                .unwrap_or_else(|| defaults.repl.clone()),
            search: word(Property::Search, &defaults.search),
            search_index: word(Property::SearchIndex, &defaults.search_index),
            backend: word(Property::Backend, &defaults.backend),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    fn proposed(proposals: &[(&'static str, Value)]) -> Overrides {
        Overrides::propose(proposals.iter().cloned()).expect("proposals that are fine")
    }

    fn resolved(proposals: &[(&'static str, Value)]) -> Properties {
        Properties::resolve(&Properties::default(), &proposed(proposals))
    }

    #[test]
    fn nothing_overridden_is_the_default() {
        assert_eq!(resolved(&[]), Properties::default());
    }

    #[test]
    fn an_override_lies_over_the_default() {
        let properties = resolved(&[
            ("allow_mult", text("false")),
            ("last_write_wins", Value::Integer(1)),
            ("n_val", Value::Integer(5)),
            ("r", Value::Integer(1)),
            ("pw", text("all")),
            ("node_confirms", Value::Integer(2)),
            ("notfound_ok", Value::Boolean(false)),
            ("durability", text("buffered")),
            ("young_vclock", Value::Integer(7)),
            ("search_index", text("books")),
        ]);
        assert!(
            !properties.allow_mult && properties.last_write_wins && properties.shows_last_write()
        );
        assert_eq!(
            (properties.n_val, properties.durability),
            (5, Durability::Buffered)
        );
        assert_eq!(
            (properties.get.r, properties.put.pw),
            (Count::Exact(1), Count::All)
        );
        assert_eq!(properties.get.node_confirms, Count::Exact(2));
        assert_eq!(properties.put.node_confirms, Count::Exact(2));
        assert_eq!(properties.get.notfound_ok, Some(false));
        assert_eq!(properties.reported.young_vclock, 7);
        assert_eq!(
            properties.reported.search_index,
            Some(Word::Text("books".to_owned()))
        );
        assert_eq!(
            properties.put.w,
            Count::Quorum,
            "what is not mentioned stays"
        );
    }

    #[test]
    fn siblings_and_the_last_write_exclude_each_other() {
        let keeps = Properties::default();
        let drops = resolved(&[("allow_mult", Value::Boolean(false))]);
        let wins = resolved(&[
            ("allow_mult", Value::Boolean(false)),
            ("last_write_wins", Value::Boolean(true)),
        ]);
        let last = ("last_write_wins", Value::Boolean(true));
        let (on, off) = (
            ("allow_mult", Value::Boolean(true)),
            ("allow_mult", Value::Boolean(false)),
        );
        let rows: [(&Properties, Vec<_>, bool); 6] = [
            (&keeps, vec![last.clone()], false),
            (&keeps, vec![last.clone(), off], true),
            (&drops, vec![last.clone()], true),
            (&drops, vec![last, on.clone()], false),
            (&wins, vec![on.clone()], false),
            (&drops, vec![on], true),
        ];
        for (properties, change, fine) in rows {
            assert_eq!(
                properties.check_change(&proposed(&change)).is_ok(),
                fine,
                "{change:?}"
            );
        }
        let both = resolved(&[
            ("allow_mult", Value::Boolean(true)),
            ("last_write_wins", Value::Boolean(true)),
        ]);
        assert!(
            both.allow_mult && !both.last_write_wins,
            "should both arrive, nothing is lost"
        );
    }

    #[test]
    fn the_stricter_of_a_sync_and_a_durability_holds() {
        for (sync, own, durability) in [
            ("backend", Some("buffered"), Durability::Buffered),
            ("backend", Some("one"), Durability::One),
            ("backend", None, Durability::Flushed),
            ("one", Some("buffered"), Durability::One),
            ("one", Some("one"), Durability::One),
            ("one", Some("flushed"), Durability::Flushed),
            ("one", None, Durability::One),
            ("all", Some("buffered"), Durability::Flushed),
            ("all", Some("one"), Durability::Flushed),
        ] {
            let own = own.map(|own| ("durability", text(own)));
            let said: Vec<_> = own
                .into_iter()
                .chain([("sync_on_write", text(sync))])
                .collect();
            let properties = resolved(&said);
            assert_eq!(properties.durability, durability, "{said:?}");
            assert_eq!(properties.reported.sync_on_write.to_string(), sync);
        }
    }

    #[test]
    fn a_bucket_that_says_nothing_has_the_durability_of_its_type() {
        let of_type = resolved(&[
            ("sync_on_write", text("one")),
            ("durability", text("flushed")),
        ]);
        let of_bucket = |said: &[(&'static str, Value)]| {
            Properties::resolve(&of_type, &proposed(said)).durability
        };
        assert_eq!(of_bucket(&[]), Durability::Flushed);
        assert_eq!(
            of_bucket(&[("durability", text("buffered"))]),
            Durability::One
        );
        assert_eq!(
            of_bucket(&[("sync_on_write", text("one"))]),
            Durability::One
        );
    }

    #[test]
    fn what_a_newer_program_set_survives() {
        let mut overrides = proposed(&[("w", Value::Integer(1))]);
        overrides
            .entries
            .insert(Property::Durability.tag(), Bytes::from_static(&[9, 9]));
        overrides
            .entries
            .insert(999, Bytes::from_static(b"from the future"));
        let read = Overrides::decode(overrides.encode()).expect("its own bytes");
        assert_eq!(read, overrides);
        let properties = Properties::resolve(&Properties::default(), &read);
        assert_eq!(
            properties.durability,
            Durability::Flushed,
            "an unreadable value has no effect"
        );
        assert_eq!(properties.put.w, Count::Exact(1));
    }
}
