//! One binary for all integration tests of the server.

mod datatypes;
mod http;
mod http_compressed;
mod http_door;
mod http_malformed;
mod pb;
mod pb_coverage;
