//! What a request asks for, and what that means for a bucket of N replicas.
//!
//! A count is a number or a word: `one`, `quorum` (more than half of N), `all`, or `default`, which
//! leaves it to the bucket. The words keep their meaning when N changes, which is why buckets store
//! them unresolved. [`GetSpec`] and [`PutSpec`] hold the counts of a request or of a bucket, in the
//! same shape; `resolve` lays the one over the other and over Riak's defaults and gives plain
//! numbers.
//!
//! Invariants:
//! - No number in a resolved quorum is above its N. A count that is names itself in a
//!   [`QuorumViolation`] before anything has been sent: no replica could ever satisfy it.
//! - R + W > N is not enforced. A bucket that wants answers fast more than overlap may say so
//!   (the paper's §6), and a sloppy quorum overlaps only with PR + PW > N anyway (T8).
//!
//! The zeros. `r = 0` and `w = 0` are allowed, as in Riak, but an answer out of nothing is not:
//! [`GetQuorum::replies_required`] and [`PutQuorum::acknowledgements_required`] are at least 1. For
//! a put that first acknowledgement is the coordinator's own, which writes before it sends. `dw = 0`
//! stays 0: where the bucket flushes, the coordinator's write is the one durable copy that Riak
//! insists on, and where the bucket is buffered, none was asked for.
//!
//! Not here: Riak's legacy `rw`, which is a spelling of the counts of a delete, and the texts of
//! its errors; both belong to the edge that speaks its protocol.

use std::fmt;
use std::str::FromStr;

use super::Requirement;

/// A count as a request or a bucket names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Count {
    /// This many.
    Exact(u32),
    /// 1.
    One,
    /// More than half of N: floor(N / 2) + 1.
    Quorum,
    /// N.
    All,
    /// What the bucket says; in a bucket, what Riak says: `quorum` for r, w and dw, 0 for the rest.
    #[default]
    Default,
}

const WIRE_ONE: u32 = u32::MAX - 1;
const WIRE_QUORUM: u32 = u32::MAX - 2;
const WIRE_ALL: u32 = u32::MAX - 3;
const WIRE_DEFAULT: u32 = u32::MAX - 4;

impl Count {
    /// From the number in a Riak protocol buffer, where the words are numbers just below 2³².
    /// Every number is a count; an absurd one is refused when it is resolved.
    pub fn from_wire(number: u32) -> Self {
        match number {
            WIRE_ONE => Self::One,
            WIRE_QUORUM => Self::Quorum,
            WIRE_ALL => Self::All,
            WIRE_DEFAULT => Self::Default,
            exact => Self::Exact(exact),
        }
    }

    /// The number for a Riak protocol buffer; the inverse of [`Count::from_wire`]. An exact count
    /// that is also a word's number reads back as the word.
    pub fn to_wire(self) -> u32 {
        match self {
            Self::Exact(exact) => exact,
            Self::One => WIRE_ONE,
            Self::Quorum => WIRE_QUORUM,
            Self::All => WIRE_ALL,
            Self::Default => WIRE_DEFAULT,
        }
    }

    /// This count, or the other where this one leaves the choice open.
    #[must_use]
    pub fn or(self, fallback: Self) -> Self {
        match self {
            Self::Default => fallback,
            chosen => chosen,
        }
    }

    /// The number for `n` replicas, once `Default` has been replaced; it counts as `otherwise` here.
    fn number(self, n: u32, otherwise: Self) -> u32 {
        match self.or(otherwise) {
            Self::Exact(exact) => exact,
            Self::One => 1,
            Self::Quorum => majority(n),
            Self::All => n,
            Self::Default => 0,
        }
    }
}

/// More than half of `n`.
pub(super) fn majority(n: u32) -> u32 {
    n / 2 + 1
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(exact) => write!(f, "{exact}"),
            Self::One => f.write_str("one"),
            Self::Quorum => f.write_str("quorum"),
            Self::All => f.write_str("all"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A text that is neither a decimal number below 2³² nor one of the four words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseCountError;

impl fmt::Display for ParseCountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a count is a whole number or one of 'one', 'quorum', 'all' and 'default'")
    }
}

impl std::error::Error for ParseCountError {}

impl FromStr for Count {
    type Err = ParseCountError;

    /// Reads the words in lower case, as Riak does, and digits without a sign.
    fn from_str(text: &str) -> Result<Self, ParseCountError> {
        match text {
            "one" => Ok(Self::One),
            "quorum" => Ok(Self::Quorum),
            "all" => Ok(Self::All),
            "default" => Ok(Self::Default),
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map(Self::Exact).map_err(|_| ParseCountError)
            }
            _ => Err(ParseCountError),
        }
    }
}

/// A count above N, found before anything was sent: nothing has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuorumViolation {
    /// The first offender, in the order in which the quorum's fields are declared.
    pub requirement: Requirement,
    /// What it asked for.
    pub value: u32,
    /// The replicas there are.
    pub n: u32,
}

impl fmt::Display for QuorumViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            requirement,
            value,
            n,
        } = self;
        write!(f, "{requirement}={value} is more than the {n} replicas")
    }
}

impl std::error::Error for QuorumViolation {}

/// What a get asks for, or what a bucket answers where the get leaves it open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GetSpec {
    pub r: Count,
    pub pr: Count,
    pub node_confirms: Count,
    /// `None`: as the bucket says; in a bucket, false.
    pub basic_quorum: Option<bool>,
    /// `None`: as the bucket says; in a bucket, true.
    pub notfound_ok: Option<bool>,
}

impl GetSpec {
    /// The numbers for `n` replicas in this bucket.
    pub fn resolve(&self, n: u32, bucket: &Self) -> Result<GetQuorum, QuorumViolation> {
        let number = |asked: Count, bucket: Count, riak| asked.or(bucket).number(n, riak);
        let quorum = GetQuorum {
            n,
            r: number(self.r, bucket.r, Count::Quorum),
            pr: number(self.pr, bucket.pr, Count::Exact(0)),
            node_confirms: number(self.node_confirms, bucket.node_confirms, Count::Exact(0)),
            basic_quorum: self.basic_quorum.or(bucket.basic_quorum).unwrap_or(false),
            notfound_ok: self.notfound_ok.or(bucket.notfound_ok).unwrap_or(true),
        };
        refuse_above(
            n,
            [
                (Requirement::R, quorum.r),
                (Requirement::PR, quorum.pr),
                (Requirement::NodeConfirms, quorum.node_confirms),
            ],
        )?;
        Ok(quorum)
    }
}

/// What a put asks for, or what a bucket answers where the put leaves it open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PutSpec {
    pub w: Count,
    pub dw: Count,
    pub pw: Count,
    pub node_confirms: Count,
}

impl PutSpec {
    /// The numbers for `n` replicas in this bucket.
    pub fn resolve(&self, n: u32, bucket: &Self) -> Result<PutQuorum, QuorumViolation> {
        let number = |asked: Count, bucket: Count, riak| asked.or(bucket).number(n, riak);
        let quorum = PutQuorum {
            n,
            w: number(self.w, bucket.w, Count::Quorum),
            dw: number(self.dw, bucket.dw, Count::Quorum),
            pw: number(self.pw, bucket.pw, Count::Exact(0)),
            node_confirms: number(self.node_confirms, bucket.node_confirms, Count::Exact(0)),
        };
        refuse_above(
            n,
            [
                (Requirement::W, quorum.w),
                (Requirement::DW, quorum.dw),
                (Requirement::PW, quorum.pw),
                (Requirement::NodeConfirms, quorum.node_confirms),
            ],
        )?;
        Ok(quorum)
    }
}

fn refuse_above<const COUNTS: usize>(
    n: u32,
    counts: [(Requirement, u32); COUNTS],
) -> Result<(), QuorumViolation> {
    match counts.into_iter().find(|&(_, value)| value > n) {
        Some((requirement, value)) => Err(QuorumViolation {
            requirement,
            value,
            n,
        }),
        None => Ok(()),
    }
}

/// The numbers that a get has to reach. From [`GetSpec::resolve`] none is above `n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GetQuorum {
    /// Replicas of a key.
    pub n: u32,
    /// Answers, as asked for; see [`GetQuorum::replies_required`].
    pub r: u32,
    /// Answers from primaries.
    pub pr: u32,
    /// Different nodes that answered.
    pub node_confirms: u32,
    /// With `notfound_ok` false: say "not found" once [`GetQuorum::basic_quorum_required`] replicas
    /// do, instead of once all do. Without effect where `notfound_ok` is true.
    pub basic_quorum: bool,
    /// Whether a replica that does not have the key has answered.
    pub notfound_ok: bool,
}

impl GetQuorum {
    /// R, but never less than the one answer without which there is nothing to say.
    pub fn replies_required(&self) -> u32 {
        self.r.max(1)
    }

    /// How many "not found" end a get with `basic_quorum`: a majority, or fewer if fewer already
    /// mean that R or PR replicas with the key can no longer be found among N.
    pub fn basic_quorum_required(&self) -> u32 {
        let replies = self.replies_required().max(self.pr);
        majority(self.n).min(self.n.saturating_sub(replies) + 1)
    }
}

/// The numbers that a put has to reach. From [`PutSpec::resolve`] none is above `n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PutQuorum {
    /// Replicas of a key.
    pub n: u32,
    /// Acknowledgements, as asked for; see [`PutQuorum::acknowledgements_required`].
    pub w: u32,
    /// Acknowledgements of a put that is on disk.
    pub dw: u32,
    /// Acknowledgements by primaries.
    pub pw: u32,
    /// Different nodes that acknowledged.
    pub node_confirms: u32,
}

impl PutQuorum {
    /// W, but never less than the coordinator's own write.
    pub fn acknowledgements_required(&self) -> u32 {
        self.w.max(1)
    }
}
