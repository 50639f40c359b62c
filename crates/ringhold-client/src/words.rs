//! Nodes' answers in words. What each leaves behind is the same for every reader, so it stands here once.

use ringhold_wire::message::{GetError, NotStarted, PutError, Rejection, Uncertain};

pub(crate) fn of_get(error: &GetError) -> String {
    match error {
        GetError::QuorumNotMet(shortfall) => shortfall.to_string(),
        GetError::TimedOut => "the deadline passed".to_owned(),
        GetError::Overloaded => "it has more to do than it can; try again later".to_owned(),
        GetError::Violation(violation) => violation.to_string(),
        GetError::UnknownBucketType => "there is no such bucket type".to_owned(),
    }
}

pub(crate) fn of_put(error: &PutError) -> String {
    match error {
        PutError::NotStarted(reason) => {
            format!(
                "wrote nothing: {}; it is safe to try again",
                of_reason(*reason)
            )
        }
        PutError::Unknown(uncertain) => format!(
            "can't say whether it was written: {}; try again under the same idempotency key",
            of_uncertain(*uncertain)
        ),
        PutError::Rejected(rejection) => format!("refused the write: {}", of_rejection(rejection)),
    }
}

fn of_reason(reason: NotStarted) -> String {
    match reason {
        NotStarted::Overloaded => "it has more to do than it can".to_owned(),
        NotStarted::TimedOut => "the deadline passed".to_owned(),
        NotStarted::NoReplica => "no replica of the key can be reached".to_owned(),
        NotStarted::TooFewPrimaries { required, obtained } => {
            format!("{obtained} replicas can be reached, {required} are needed")
        }
        NotStarted::StoreFailed => "its store has failed".to_owned(),
        NotStarted::Starting => "it has just started".to_owned(),
        NotStarted::ClockOff => "its clock is too far from the others'".to_owned(),
        NotStarted::DiskFull => "its disk is nearly full".to_owned(),
    }
}

fn of_uncertain(uncertain: Uncertain) -> String {
    match uncertain {
        Uncertain::QuorumNotMet(shortfall) => shortfall.to_string(),
        Uncertain::TimedOut => "the deadline passed first".to_owned(),
        Uncertain::Interrupted => "its coordinator failed on the way".to_owned(),
    }
}

fn of_rejection(rejection: &Rejection) -> String {
    match rejection {
        Rejection::Violation(violation) => violation.to_string(),
        Rejection::UnknownBucketType => "there is no such bucket type".to_owned(),
        Rejection::ContextRefused => {
            "the context was not given out by this cluster for this key".to_owned()
        }
        Rejection::ObjectTooLarge { bytes, limit } => {
            format!("the object would have {bytes} bytes, {limit} are allowed")
        }
        Rejection::TooManySiblings { siblings, limit } => format!(
            "the key has {siblings} siblings, {limit} are allowed: read, merge, and write with the context"
        ),
        Rejection::ContextTooLarge { entries, limit } => {
            format!("the key's context has {entries} entries, {limit} are allowed")
        }
        Rejection::Modified => "somebody else has written since".to_owned(),
        Rejection::Update(refused) => refused.to_string(),
        Rejection::NotADataType => {
            "a data type and an ordinary value can't be in one key".to_owned()
        }
        Rejection::SiblingsOff => "the bucket keeps no siblings (allow_mult is off)".to_owned(),
    }
}
