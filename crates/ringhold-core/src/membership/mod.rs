//! Who belongs to the cluster, and how everybody comes to know.
//!
//! In Dynamo one mechanism did two things (§4.8.1, §4.8.2): gossip carried what each node says of itself, and what came out of it
//! *was* the membership. The first is easy, because a node's word about itself has one author and later words replace earlier
//! ones. The second is not: a ring has as many authors as there are operators, and stores that let gossip merge their words
//! ended up with partitions of two owners or none (T14). So the two are apart here.
//!
//! | module | question |
//! | --- | --- |
//! | [`register`] | which is the next ring document? One, for ever, by a majority |
//! | [`recovery`] | and when no majority can ever speak again? |
//! | [`gossip`] | what does each node say of itself, and how does all of it reach everybody? |
//!
//! Gossip tells a node *that* there is a later ring document, and who has it; it never carries one, and nothing that is gossiped makes
//! anybody a member. It goes the other way round: only members of the ring are gossiped about (T17).
//!
//! As everywhere in this crate, these are states that are handed messages, moments and random numbers, and hand back messages; the
//! host moves them.
//!
//! Not here: the ring document itself ([`crate::ring`]), and whether a member is well ([`crate::health`]).

pub mod gossip;
pub mod recovery;
pub mod register;
