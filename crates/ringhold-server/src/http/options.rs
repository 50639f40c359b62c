//! What the query of an address asks for.
//!
//! All parameters of all operations on objects are read, and refused when they are wrong, on every
//! method; an operation takes from them what concerns it. Unknown parameters are ignored, and so is a
//! second value of the same one. The texts of refusals are Riak's, to the byte, because people search
//! for them.
//!
//! Two oddities of Riak are kept. A count may be negative and then means none; and a timeout of nothing
//! or less is well-formed, so the request times out instead of being refused. Its `asis` and
//! `deletedvclock` are read and mean nothing here.

use super::text::unescape;
use crate::edge::delete_put;
use ringhold_core::quorum::{Count, GetSpec, PutSpec};
use ringhold_node::Insisting;
use ringhold_wire::message::Flush;
use std::fmt;

/// A token for joining is for now, not for a drawer.
const TTL_S_DEFAULT: u64 = 3_600;
const TTL_S_MAX: u64 = 7 * 86_400;

/// The parameters of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) get: GetSpec,
    pub(super) put: PutSpec,
    /// Of a delete that names neither r nor w, both.
    pub(super) rw: Count,
    /// Every counted acknowledgement waits for its flush.
    pub(super) flush: Flush,
    pub(super) returnbody: bool,
    /// The sibling that is wanted.
    pub(super) vtag: Option<String>,
    /// Milliseconds; 0 has passed already.
    pub(super) timeout_ms: Option<u64>,
}

/// A parameter with a value that it can't have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BadOption {
    Partition,
    Ttl,
    Count { name: &'static str },
    Boolean { name: &'static str },
    SyncOnWrite,
    Timeout { value: String },
    Escape,
}

impl fmt::Display for BadOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count { name } => writeln!(
                f,
                "{name} query parameter must be an integer or one of the following words: 'one', 'quorum' or 'all'"
            ),
            Self::Ttl => writeln!(
                f,
                "ttl_s query parameter must be a number of seconds from 1 to {TTL_S_MAX}"
            ),
            Self::Partition => f.write_str("partition query parameter must be a number\n"),
            Self::Boolean { name } => writeln!(f, "{name} query parameter must be true or false"),
            // Riak breaks this line like so.
            Self::SyncOnWrite => writeln!(
                f,
                "sync_on_write query parameter must be one of the following words: [default,\n{0:67}backend,\n{0:67}one,all]",
                ""
            ),
            Self::Timeout { value } => writeln!(f, "Bad timeout value {value:?}"),
            Self::Escape => writeln!(
                f,
                "a percent sign in the query is not followed by two hexadecimal digits"
            ),
        }
    }
}

/// Reads the part of an address after the question mark.
pub(super) fn parse(query: Option<&str>) -> Result<Options, BadOption> {
    let parameters = Parameters::split(query.unwrap_or_default())?;
    let timeout_ms = parameters.timeout_ms()?;
    let node_confirms = parameters.count("node_confirms")?;
    Ok(Options {
        get: GetSpec {
            r: parameters.count("r")?,
            pr: parameters.count("pr")?,
            node_confirms,
            basic_quorum: parameters.boolean("basic_quorum")?,
            notfound_ok: parameters.boolean("notfound_ok")?,
        },
        put: PutSpec {
            w: parameters.count("w")?,
            dw: parameters.count("dw")?,
            pw: parameters.count("pw")?,
            node_confirms,
        },
        rw: parameters.count("rw")?,
        flush: parameters.flush()?,
        returnbody: parameters.find("returnbody") == Some("true"),
        vtag: parameters.find("vtag").map(str::to_owned),
        timeout_ms,
    })
}

/// Whether the answer is to have a context, where the value has one.
pub(super) fn include_context(query: Option<&str>) -> Result<bool, BadOption> {
    let parameters = Parameters::split(query.unwrap_or_default())?;
    parameters.boolean("returnbody")?;
    Ok(parameters.boolean("include_context")?.unwrap_or(true))
}

/// Whether the answer to an addition is to have the sum.
pub(super) fn return_value(query: Option<&str>) -> Result<bool, BadOption> {
    let parameters = Parameters::split(query.unwrap_or_default())?;
    Ok(parameters.boolean("returnvalue")?.unwrap_or(false))
}

/// The partition that a job is about; none if it is about all.
pub(super) fn partition(query: Option<&str>) -> Result<Option<u32>, BadOption> {
    let parameters = Parameters::split(query.unwrap_or_default())?;
    let text = parameters.find("partition");
    text.map(|text| text.parse().map_err(|_| BadOption::Partition))
        .transpose()
}

/// How long a token for joining is good.
pub(super) fn ttl_s(query: Option<&str>) -> Result<u64, BadOption> {
    let parameters = Parameters::split(query.unwrap_or_default())?;
    let Some(text) = parameters.find("ttl_s") else {
        return Ok(TTL_S_DEFAULT);
    };
    let seconds = text.parse().ok();
    seconds
        .filter(|seconds| (1..=TTL_S_MAX).contains(seconds))
        .ok_or(BadOption::Ttl)
}

/// What an operator insists on who restores a backup.
pub(super) fn insisting(query: Option<&str>) -> Result<Insisting, BadOption> {
    let parameters = Parameters::split(query.unwrap_or_default())?;
    let flag = |name| Ok::<bool, BadOption>(parameters.boolean(name)?.unwrap_or(false));
    Ok(Insisting {
        into_other_cluster: flag("into_other_cluster")?,
        older_than_grace: flag("older_than_grace")?,
    })
}

impl Options {
    /// What a delete asks of the read that finds the context for it.
    pub(super) fn delete_get(&self) -> GetSpec {
        GetSpec {
            r: self.get.r.or(self.rw),
            ..self.get
        }
    }

    /// What a delete asks of its write.
    pub(super) fn delete_put(&self) -> PutSpec {
        delete_put(self.put, self.rw)
    }
}

pub(super) struct Parameters {
    /// Decoded; what is no text stands with replacement characters.
    pairs: Vec<(String, String)>,
}

impl Parameters {
    pub(super) fn split(query: &str) -> Result<Self, BadOption> {
        let decode = |text: &str| {
            let bytes = unescape(text).map_err(|_| BadOption::Escape)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        let pieces = query.split('&').filter(|piece| !piece.is_empty());
        let pairs = pieces.map(|piece| {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            Ok((decode(name)?, decode(value)?))
        });
        Ok(Self {
            pairs: pairs.collect::<Result<_, _>>()?,
        })
    }

    pub(super) fn find(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|pair| pair.0 == name)
            .map(|pair| pair.1.as_str())
    }

    fn count(&self, name: &'static str) -> Result<Count, BadOption> {
        let bad = BadOption::Count { name };
        match self.find(name) {
            None | Some("default") => Ok(Count::Default),
            Some("") => Err(bad),
            Some(text) if is_negative(text) => Ok(Count::Exact(0)),
            Some(text) => text.parse().map_err(|_| bad),
        }
    }

    fn boolean(&self, name: &'static str) -> Result<Option<bool>, BadOption> {
        match self.find(name).map(str::to_ascii_lowercase).as_deref() {
            None | Some("default") => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(BadOption::Boolean { name }),
        }
    }

    /// Riak's word for who flushes.
    fn flush(&self) -> Result<Flush, BadOption> {
        match self.find("sync_on_write") {
            None | Some("default" | "backend") => Ok(Flush::AsBucket),
            Some("one") => Ok(Flush::One),
            Some("all") => Ok(Flush::Counted),
            Some(_) => Err(BadOption::SyncOnWrite),
        }
    }

    pub(super) fn timeout_ms(&self) -> Result<Option<u64>, BadOption> {
        match self.find("timeout") {
            None => Ok(None),
            Some(text) if is_negative(text) => Ok(Some(0)),
            Some(text) => match text.parse() {
                Ok(timeout_ms) => Ok(Some(timeout_ms)),
                Err(_) => Err(BadOption::Timeout {
                    value: text.to_owned(),
                }),
            },
        }
    }
}

fn is_negative(text: &str) -> bool {
    let digits = text.strip_prefix('-').filter(|digits| !digits.is_empty());
    digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(query: &str) -> Options {
        parse(Some(query)).unwrap_or_else(|bad| panic!("{query}: {bad}"))
    }

    #[test]
    fn nothing_asked_is_the_bucket_s_choice() {
        assert_eq!(parse(None), Ok(Options::default()));
        assert_eq!(parsed(""), Options::default());
        assert_eq!(
            parsed("&&nosuch=1&n_val=7&sloppy_quorum=false&asis=true&deletedvclock"),
            Options::default()
        );
        assert_eq!(
            parsed("r=default&notfound_ok=DEFAULT&sync_on_write=default"),
            Options::default()
        );
    }

    #[test]
    fn counts_and_booleans() {
        let options = parsed(
            "r=1&pr=one&w=all&dw=quorum&pw=2&rw=3&node_confirms=2&basic_quorum=True&notfound_ok=false",
        );
        assert_eq!(
            (options.get.r, options.get.pr),
            (Count::Exact(1), Count::One)
        );
        assert_eq!(
            (options.put.w, options.put.dw, options.put.pw),
            (Count::All, Count::Quorum, Count::Exact(2))
        );
        assert_eq!(
            (options.get.node_confirms, options.put.node_confirms),
            (Count::Exact(2), Count::Exact(2))
        );
        assert_eq!(options.rw, Count::Exact(3));
        assert_eq!(
            (options.get.basic_quorum, options.get.notfound_ok),
            (Some(true), Some(false))
        );
        assert_eq!(parsed("r=0").get.r, Count::Exact(0));
        assert_eq!(parsed("r=-1").get.r, Count::Exact(0));
        assert_eq!(parsed("r=1&r=2").get.r, Count::Exact(1), "the first holds");
    }

    #[test]
    fn the_rest() {
        let options = parsed("returnbody=true&vtag=a%2Bb&timeout=1500&sync_on_write=all");
        assert!(options.returnbody);
        assert_eq!(
            (options.vtag.as_deref(), options.timeout_ms),
            (Some("a+b"), Some(1500))
        );
        for (word, flush) in [
            ("all", Flush::Counted),
            ("one", Flush::One),
            ("backend", Flush::AsBucket),
        ] {
            assert_eq!(parsed(&format!("sync_on_write={word}")).flush, flush);
        }
        assert!(!parsed("returnbody=abc").returnbody && !parsed("returnbody").returnbody);
        assert_eq!(
            (
                parsed("timeout=0").timeout_ms,
                parsed("timeout=-5").timeout_ms
            ),
            (Some(0), Some(0))
        );
    }

    #[test]
    fn texts_of_refusals() {
        let count = "query parameter must be an integer or one of the following words: 'one', 'quorum' or 'all'\n";
        let rows = [
            ("r=abc", format!("r {count}")),
            ("r=", format!("r {count}")),
            ("r=1.5", format!("r {count}")),
            ("r=4294967296", format!("r {count}")),
            ("r=-", format!("r {count}")),
            ("r=+1", format!("r {count}")),
            ("r=ONE", format!("r {count}")),
            ("pr=abc", format!("pr {count}")),
            ("w=abc", format!("w {count}")),
            ("dw=abc", format!("dw {count}")),
            ("pw=abc", format!("pw {count}")),
            ("rw=abc", format!("rw {count}")),
            ("node_confirms=abc", format!("node_confirms {count}")),
            (
                "basic_quorum=abc",
                "basic_quorum query parameter must be true or false\n".to_owned(),
            ),
            (
                "notfound_ok=maybe",
                "notfound_ok query parameter must be true or false\n".to_owned(),
            ),
            ("timeout=abc", "Bad timeout value \"abc\"\n".to_owned()),
            ("timeout=", "Bad timeout value \"\"\n".to_owned()),
            (
                "timeout=%22%0a",
                "Bad timeout value \"\\\"\\n\"\n".to_owned(),
            ),
            (
                "r=%4",
                "a percent sign in the query is not followed by two hexadecimal digits\n"
                    .to_owned(),
            ),
        ];
        for (query, text) in rows {
            assert_eq!(
                parse(Some(query)).map_err(|bad| bad.to_string()),
                Err(text),
                "{query}"
            );
        }
        let sync = parse(Some("sync_on_write=abc"))
            .expect_err("no word for it")
            .to_string();
        assert_eq!(sync.len(), 228);
    }

    #[test]
    fn a_delete_takes_rw_where_nothing_else_is_named() {
        let spec = |query: &str| (parsed(query).delete_get().r, parsed(query).delete_put().w);
        assert_eq!(spec("rw=2"), (Count::Exact(2), Count::Exact(2)));
        assert_eq!(spec("rw=2&r=1"), (Count::Exact(1), Count::Exact(2)));
        assert_eq!(spec("rw=2&w=3"), (Count::Exact(2), Count::Exact(3)));
        assert_eq!(spec("rw=2&dw=1"), (Count::Exact(2), Count::Default));
        assert_eq!(spec(""), (Count::Default, Count::Default));
    }
}
