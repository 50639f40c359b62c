//! What the edges share: Riak's two APIs are two ways to say the same.
//!
//! An edge turns a client's bytes into requests to a node, and its answers into bytes. Behind both is one [`Door`]; both stay
//! within one [`Capacity`], wait for clients with the same [`patience`], and call versions by the same
//! [`names`]. Rules of Riak's that do not depend on how a request is spelled are here too.
//!
//! Not here: HTTP ([`crate::http`]) and Protocol Buffers ([`crate::pb`]) themselves.

mod capacity;
pub(crate) mod datatype;
pub mod door;
pub(crate) mod index_entry;
pub mod listing;
pub(crate) mod names;
pub(crate) mod patience;
mod pattern;

pub use capacity::{Capacity, Limits, NameLimits};
pub(crate) use capacity::{Room, UNIT_BYTES};
pub use door::{
    Door, Job, JobRefused, OrderFailed, PbDoor, Place, Recovery, RingOrder, TypeOrder, Wish,
};
pub use listing::{Ended, Listed};

use ringhold_core::quorum::{Count, PutSpec};
use ringhold_core::version::token::ContextToken;
use ringhold_core::version::{Object, Version};
use ringhold_node::properties::Properties;

/// The release of Riak whose API this is. Clients take the three numbers apart, and do without bucket types, data
/// types and more where they are lower.
pub(crate) const SERVED_RIAK: &str = "3.2.3";

/// What somebody has seen who has seen this object.
pub(crate) fn token_of(object: &Object) -> ContextToken {
    ContextToken {
        context: object.context().clone(),
        timestamp: object.greatest_timestamp(),
    }
}

/// What a client of a bucket is shown of an object: all siblings, or the last write. Tombstones are among them.
pub(crate) fn shown<'a>(object: &'a Object, properties: &Properties) -> Vec<&'a Version> {
    if properties.shows_last_write() {
        object.last_write().into_iter().collect()
    } else {
        object.siblings()
    }
}

/// What a delete asks of its write: `rw` where it names nothing else.
pub(crate) fn delete_put(put: PutSpec, rw: Count) -> PutSpec {
    let PutSpec { w, dw, pw, .. } = put;
    let names_none = [w, dw, pw].iter().all(|count| *count == Count::Default);
    PutSpec {
        w: if names_none { rw } else { w },
        ..put
    }
}
