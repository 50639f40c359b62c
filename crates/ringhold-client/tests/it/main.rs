//! The client against sockets: what a request's end says about whether it was sent.

mod cluster;
mod connections;
mod fake;
