//! Conditional requests: what must be so of an object for the request to be carried out.
//!
//! The order is that of RFC 9110, 13.2.2. `If-Match` and `If-Unmodified-Since` guard a change, or a read of
//! one state; `If-None-Match` guards a creation, or spares the client a body it has. A tombstone
//! counts as nothing: `If-None-Match: *` creates over it.
//!
//! A condition of a store is judged here against a read, and then held at the replica that coordinates the
//! write: the put goes out with the context of that read as its `unchanged_since`, and a replica that
//! has seen more refuses it. That closes the gap between reading and writing on one replica. It is no
//! lock: two coordinators on both sides of a partition may each find the condition true.
//!
//! `X-Riak-If-Not-Modified` is the same with a context in the place of an entity tag.

use hyper::HeaderMap;
use hyper::header::{
    HeaderName, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE,
};
use std::time::UNIX_EPOCH;

/// The state of the object that a condition is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Validators {
    /// Without quotes.
    pub(super) etag: String,
    /// Whole seconds since 1970.
    pub(super) last_modified_s: u64,
}

/// The conditions of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Conditions {
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
    /// Whole seconds since 1970.
    if_unmodified_since: Option<u64>,
    if_modified_since: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Tags {
    Any,
    These(Vec<String>),
}

/// What the conditions amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Proceed {
        /// The client has named this very state, or that there is nothing: it knows what it replaces.
        knows_state: bool,
    },
    /// The client has this state already (304).
    NotModified,
    /// 412.
    Failed,
}

impl Conditions {
    /// Reads the headers. A date that is none is ignored, as the standard has it.
    pub(super) fn read(headers: &HeaderMap) -> Self {
        let date = |name: HeaderName| {
            let text = headers.get(name)?.to_str().ok()?;
            let time = httpdate::parse_http_date(text).ok()?;
            time.duration_since(UNIX_EPOCH)
                .ok()
                .map(|since| since.as_secs())
        };
        Self {
            if_match: Tags::read(headers, &IF_MATCH),
            if_none_match: Tags::read(headers, &IF_NONE_MATCH),
            if_unmodified_since: date(IF_UNMODIFIED_SINCE),
            if_modified_since: date(IF_MODIFIED_SINCE),
        }
    }

    /// Whether a store has to look at the object first.
    pub(super) fn guard_a_write(&self) -> bool {
        self.if_match.is_some()
            || self.if_none_match.is_some()
            || self.if_unmodified_since.is_some()
    }

    /// Judges a get or head of something that is there.
    pub(super) fn of_read(&self, state: &Validators) -> Verdict {
        match self.guard(Some(state)) {
            Verdict::Failed => return Verdict::Failed,
            Verdict::Proceed { .. } | Verdict::NotModified => {}
        }
        let same = match (&self.if_none_match, self.if_modified_since) {
            (Some(tags), _) => tags.name(&state.etag),
            (None, Some(since)) => state.last_modified_s <= since,
            (None, None) => false,
        };
        if same {
            Verdict::NotModified
        } else {
            Verdict::Proceed { knows_state: false }
        }
    }

    /// Judges a store or delete; `None` if there is nothing.
    pub(super) fn of_write(&self, state: Option<&Validators>) -> Verdict {
        let guarded = self.guard(state);
        match (&self.if_none_match, state) {
            _ if guarded == Verdict::Failed => Verdict::Failed,
            (Some(tags), Some(state)) if tags.name(&state.etag) => Verdict::Failed,
            (Some(Tags::Any), None) => Verdict::Proceed { knows_state: true },
            _ => guarded,
        }
    }

    fn guard(&self, state: Option<&Validators>) -> Verdict {
        let fails = match (&self.if_match, self.if_unmodified_since, state) {
            (Some(_), _, None) => true,
            (Some(tags), _, Some(state)) => !tags.name(&state.etag),
            (None, Some(since), Some(state)) => state.last_modified_s > since,
            (None, _, _) => false,
        };
        if fails {
            return Verdict::Failed;
        }
        Verdict::Proceed {
            knows_state: matches!(self.if_match, Some(Tags::These(_))),
        }
    }
}

impl Tags {
    fn read(headers: &HeaderMap, name: &HeaderName) -> Option<Self> {
        if !headers.contains_key(name) {
            return None;
        }
        let texts = headers.get_all(name).iter().map(HeaderValue::as_bytes);
        let text = String::from_utf8_lossy(&texts.collect::<Vec<_>>().join(&b","[..])).into_owned();
        let tags = text.split(',').map(str::trim).filter(|tag| !tag.is_empty());
        if tags.clone().any(|tag| tag == "*") {
            return Some(Self::Any);
        }
        let bare = tags.map(|tag| {
            tag.strip_prefix("W/")
                .unwrap_or(tag)
                .trim_matches('"')
                .to_owned()
        });
        Some(Self::These(bare.collect()))
    }

    /// A vtag has neither commas nor quotes, and none of ours is weak.
    fn name(&self, etag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::These(tags) => tags.iter().any(|tag| tag == etag),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "Thu, 01 Jan 2015 00:00:00 GMT";
    const SAME: &str = "Fri, 02 Jan 2015 00:00:00 GMT";
    const AFTER: &str = "Sat, 03 Jan 2015 00:00:00 GMT";

    fn state() -> Validators {
        Validators {
            etag: "abc".to_owned(),
            last_modified_s: 1_420_156_800,
        }
    }

    fn conditions(given: Given) -> Conditions {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(*name, HeaderValue::from_static(value));
        }
        Conditions::read(&headers)
    }

    type Given = &'static [(&'static str, &'static str)];

    const FINE: Verdict = Verdict::Proceed { knows_state: false };
    const KNOWN: Verdict = Verdict::Proceed { knows_state: true };

    #[test]
    fn reads() {
        let rows: [(Given, Verdict); 14] = [
            (&[], FINE),
            (&[("if-none-match", "\"abc\"")], Verdict::NotModified),
            (&[("if-none-match", "W/\"abc\"")], Verdict::NotModified),
            (&[("if-none-match", "\"x\", \"abc\"")], Verdict::NotModified),
            (
                &[("if-none-match", "\"x\""), ("if-none-match", "\"abc\"")],
                Verdict::NotModified,
            ),
            (&[("if-none-match", "*")], Verdict::NotModified),
            (
                &[("if-none-match", "\"x\""), ("if-modified-since", AFTER)],
                FINE,
            ),
            (&[("if-match", "\"abc\"")], FINE),
            (
                &[("if-match", "\"x\""), ("if-none-match", "\"abc\"")],
                Verdict::Failed,
            ),
            (&[("if-modified-since", SAME)], Verdict::NotModified),
            (&[("if-modified-since", BEFORE)], FINE),
            (&[("if-unmodified-since", BEFORE)], Verdict::Failed),
            (&[("if-unmodified-since", SAME)], FINE),
            (&[("if-modified-since", "tomorrow")], FINE),
        ];
        for (given, want) in rows {
            assert_eq!(conditions(given).of_read(&state()), want, "{given:?}");
        }
    }

    #[test]
    fn writes() {
        let rows: [(Given, Verdict, Verdict); 8] = [
            (&[("if-none-match", "*")], Verdict::Failed, KNOWN),
            (&[("if-none-match", "\"x\"")], FINE, FINE),
            (&[("if-none-match", "\"abc\"")], Verdict::Failed, FINE),
            (&[("if-match", "\"abc\"")], KNOWN, Verdict::Failed),
            (&[("if-match", "\"x\"")], Verdict::Failed, Verdict::Failed),
            (&[("if-match", "*")], FINE, Verdict::Failed),
            (&[("if-unmodified-since", BEFORE)], Verdict::Failed, FINE),
            (&[("if-unmodified-since", AFTER)], FINE, FINE),
        ];
        for (given, there, absent) in rows {
            let conditions = conditions(given);
            assert!(conditions.guard_a_write());
            assert_eq!(
                conditions.of_write(Some(&state())),
                there,
                "{given:?}, there"
            );
            assert_eq!(conditions.of_write(None), absent, "{given:?}, absent");
        }
        assert!(!conditions(&[("if-modified-since", SAME)]).guard_a_write());
    }
}
