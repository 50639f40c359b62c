//! Who belongs to the cluster: how nodes agree on it.
//!
//! Dynamo kept membership where each node could change it, and let gossip spread the changes
//! (§4.8.1). Here the two are apart: [`register`] decides on the next ring document, one at a time
//! and for ever, and everything else only carries what was decided.

pub mod register;
