//! Coordinating a request (§4.5): who is asked, when it is enough, what the answer is.
//!
//! Any node takes any request. A get is coordinated where it arrives; a put by one of the key's
//! primaries, because only a replica that keeps the write can name it. Each is one straight function
//! over a [`crate::gather::Gather`], with the deciding left to a plan made before and a tally fed on the way.
//!
//! | module | |
//! | --- | --- |
//! | [`plan`] | which nodes, in which order, and what has to be met |
//! | [`get`] | read, compare, answer, repair |
//! | [`views`] | what each replica said of a key, and what that makes together |
//! | [`put`] | route, write here, answer |
//! | [`replicate`] | the other replicas of a put: send, count, replace |
//! | [`explain`] | the notes for a client that asks how it went |

pub(crate) mod explain;
pub(crate) mod get;
pub(crate) mod plan;
pub(crate) mod put;
mod replicate;
pub(crate) mod views;
