//! What operators ask of the ring: staging, committing, aborting, and what it comes to.
//!
//! | request | what it does |
//! | --- | --- |
//! | `POST /ringhold/v1/cluster/stage` | adds a change to the list; its body says which |
//! | `POST /ringhold/v1/cluster/commit` | has all that is staged begin |
//! | `POST /ringhold/v1/cluster/abort` | gives up the placement change under way, or else what is staged |
//! | `GET /ringhold/v1/cluster/plan` | what is staged or under way comes to |
//! | `POST /ringhold/v1/cluster/recovery-plan` | what going on without a majority would come to: `{"give_up":["node2"]}` |
//! | `POST /ringhold/v1/cluster/recover` | does that: `{"give_up":["node2"],"unsafe":true}` |
//! | `GET /ringhold/v1/cluster/transfers` | how far a placement change is |
//!
//! A change is an object such as `{"change":"weigh","node":"node2","weight":200}`, and is read strictly: what is misspelt is
//! refused and not left out. It has to come as `application/json`, which no page of another site can send unasked (see `guard`).
//!
//! 409 means that the cluster as it is does not allow it, and nothing has changed. 503 means that the members could not agree; then
//! some may have accepted it, and whoever asks next finishes it.
//!
//! Not here: which changes fit (`ringhold_core::ring::change`).

use super::Answer;
use super::problem::Problem;
use super::service;
use crate::edge::Room;
use crate::edge::{Door, OrderFailed, Recovery, RingOrder, Wish};
use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::http::request::Parts;
use ringhold_node::{ChangeFailed, RecoveryFailed};
use ringhold_wire::handshake::JOINER_TEXT_BYTES_MAX;
use serde::Deserialize;

const BODY_BYTES_MAX: usize = 16 * 1024;

/// What a path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RingRequest {
    Stage,
    Commit,
    Abort,
    RecoveryPlan,
    Recover,
    Plan,
    Transfers,
}

pub(super) async fn serve<D: Door>(
    door: &D,
    request: RingRequest,
    parts: &Parts,
    body: Incoming,
    room: &Room,
) -> Result<Answer, Problem> {
    let answered = match request {
        RingRequest::Stage | RingRequest::RecoveryPlan | RingRequest::Recover => {
            check_content_type(parts)?;
            let received = room.receive(body, BODY_BYTES_MAX).await;
            let received = received.map_err(|error| error.problem(door))?;
            let body = &received.bytes;
            match request {
                RingRequest::Stage => door.order(RingOrder::Stage(wish(body)?)).await,
                asked => {
                    let carry_out = asked == RingRequest::Recover;
                    door.recovery(recovery(body, carry_out)?).await
                }
            }
        }
        RingRequest::Commit => door.order(RingOrder::Commit).await,
        RingRequest::Abort => door.order(RingOrder::Abort).await,
        RingRequest::Plan => door.plan().await,
        RingRequest::Transfers => Ok(door.transfers().await),
    };
    let value = answered.map_err(|failed| problem_of(&failed))?;
    Ok(service::document(&value))
}

fn check_content_type(parts: &Parts) -> Result<(), Problem> {
    let given = parts.headers.get(CONTENT_TYPE);
    let given = given.and_then(|value| value.to_str().ok());
    let media_type = given.and_then(|text| text.split(';').next());
    if media_type.is_some_and(|text| text.trim().eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "a change of the ring is application/json\n",
    ))
}

/// As it stands in a body.
#[derive(Debug, Deserialize)]
#[serde(tag = "change", rename_all = "lowercase", deny_unknown_fields)]
enum Asked {
    Leave {
        node: String,
    },
    Remove {
        node: String,
        #[serde(default)]
        yes_it_is_dead: bool,
    },
    Replace {
        old: String,
        new: String,
        #[serde(default)]
        yes_it_is_dead: bool,
    },
    Weigh {
        node: String,
        weight: u32,
    },
    Place {
        node: String,
        zone: String,
        #[serde(default)]
        rack: String,
    },
}

/// The same, of a recovery.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedRecovery {
    give_up: Option<Vec<String>>,
    #[serde(default, rename = "unsafe")]
    is_unsafe: bool,
}

/// What is done has to be said in full: who is given up, and that it is unsafe.
fn recovery(body: &[u8], carry_out: bool) -> Result<Recovery, Problem> {
    let asked = serde_json::from_slice(body);
    let AskedRecovery { give_up, is_unsafe } = asked.map_err(|error| {
        Problem::bad_request(format!(
            "the body is no recovery, such as {{\"give_up\":[\"NAME\"],\"unsafe\":true}}: {error}\n"
        ))
    })?;
    if carry_out && !(is_unsafe && give_up.is_some()) {
        return Err(Problem::bad_request(
            "a recovery says whom it gives up, and \"unsafe\":true, because it loses what only those have, and makes two \
             clusters of one if they live\n"
                .to_owned(),
        ));
    }
    Ok(Recovery { give_up, carry_out })
}

fn wish(body: &[u8]) -> Result<Wish, Problem> {
    let asked = serde_json::from_slice(body);
    let asked: Asked = asked.map_err(|error| {
        Problem::bad_request(format!(
            "the body is no change, such as {{\"change\":\"leave\",\"node\":\"NAME\"}}: {error}\n"
        ))
    })?;
    Ok(match asked {
        Asked::Leave { node } => Wish::Leave { node },
        Asked::Remove {
            node,
            yes_it_is_dead,
        } => Wish::Remove {
            node,
            yes_it_is_dead,
        },
        Asked::Replace {
            old,
            new,
            yes_it_is_dead,
        } => Wish::Replace {
            old,
            new,
            yes_it_is_dead,
        },
        Asked::Weigh { node, weight } => Wish::Weigh { node, weight },
        Asked::Place { node, zone, rack } => {
            for (what, text) in [("zone", &zone), ("rack", &rack)] {
                if text.len() > JOINER_TEXT_BYTES_MAX {
                    return Err(Problem::bad_request(format!(
                        "{what} has {} bytes, the limit is {JOINER_TEXT_BYTES_MAX}\n",
                        text.len()
                    )));
                }
            }
            Wish::Place { node, zone, rack }
        }
    })
}

fn problem_of(failed: &OrderFailed) -> Problem {
    let status = match failed {
        OrderFailed::NoSuchMember { .. } => StatusCode::NOT_FOUND,
        OrderFailed::NotRecovered(
            RecoveryFailed::Refused(_)
            | RecoveryFailed::Outdated { .. }
            | RecoveryFailed::Lives { .. }
            | RecoveryFailed::Parted { .. },
        )
        | OrderFailed::StillThere { .. }
        | OrderFailed::Failed(
            ChangeFailed::Refused(_) | ChangeFailed::TokenSpent | ChangeFailed::Contradiction,
        ) => StatusCode::CONFLICT,
        OrderFailed::NotRecovered(
            RecoveryFailed::Silent { .. } | RecoveryFailed::Outbid | RecoveryFailed::StoreFailed,
        )
        | OrderFailed::Failed(
            ChangeFailed::NoMajority | ChangeFailed::Outbid | ChangeFailed::StoreFailed,
        ) => StatusCode::SERVICE_UNAVAILABLE,
    };
    Problem::new(status, format!("{failed}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recovery_is_done_only_if_it_is_called_unsafe_and_names_whom_it_gives_up() {
        let done = |body: &str| recovery(body.as_bytes(), true).is_ok();
        assert!(done(r#"{"give_up":["b"],"unsafe":true}"#));
        assert!(!done(r#"{"give_up":["b"]}"#));
        assert!(!done(r#"{"give_up":["b"],"unsafe":false}"#));
        assert!(!done(r#"{"unsafe":true}"#));
        assert!(!done(r#"{"give_up":["b"],"unsafe":true,"force":true}"#));
        let shown = recovery(b"{}", false).expect("everybody who is silent");
        assert_eq!((shown.give_up, shown.carry_out), (None, false));
    }

    #[test]
    fn changes_are_read_strictly() {
        let node = || "node2".to_owned();
        let read = |body: &str| wish(body.as_bytes()).ok();
        let rows = [
            (
                r#"{"change":"leave","node":"node2"}"#,
                Some(Wish::Leave { node: node() }),
            ),
            (
                r#"{"change":"weigh","node":"node2","weight":50}"#,
                Some(Wish::Weigh {
                    node: node(),
                    weight: 50,
                }),
            ),
            (
                r#"{"change":"place","node":"node2","zone":"b"}"#,
                Some(Wish::Place {
                    node: node(),
                    zone: "b".to_owned(),
                    rack: String::new(),
                }),
            ),
            (
                r#"{"change":"remove","node":"node2"}"#,
                Some(Wish::Remove {
                    node: node(),
                    yes_it_is_dead: false,
                }),
            ),
            (r#"{"change":"leave"}"#, None),
            (r#"{"change":"leave","node":"node2","zome":"b"}"#, None),
            (r#"{"change":"weigh","node":"node2","weight":-1}"#, None),
            (r#"{"change":"explode","node":"node2"}"#, None),
            (r#"{"node":"node2"}"#, None),
            ("[]", None),
            ("", None),
        ];
        for (body, want) in rows {
            assert_eq!(read(body), want, "{body}");
        }
        let long = format!(
            r#"{{"change":"place","node":"n","zone":"{}"}}"#,
            "z".repeat(JOINER_TEXT_BYTES_MAX + 1)
        );
        assert_eq!(read(&long), None);
    }
}
