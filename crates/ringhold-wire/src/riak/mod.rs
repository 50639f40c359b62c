//! Riak's Protocol Buffers API: what its client libraries say and want to hear.
//!
//! A frame is a length (big-endian `u32`, of what follows), a byte that says which message it is, and the message in
//! Protocol Buffers (proto2). A connection has no greeting; the client sends one request at a time and the server
//! answers in order, some requests with a stream of frames.
//!
//! ```text
//! +--------------+--------+----------------------+
//! | length 4 B   | code   | message, length − 1  |
//! +--------------+--------+----------------------+
//! ```
//!
//! Messages are structs with the field names of Riak's `riak_kv.proto` and `riak.proto` (basho/riak_pb `7a5e5352`), without
//! the prefix `Rpb`; the encoding is a library's. What codes there are is one table, [`Request`] and [`Response`]; codes that are
//! not in it are refused by name, never skipped.
//!
//! Invariants: the length is checked against a limit before anything is allocated; no bytes make decoding panic; byte strings
//! of a message share the frame's memory.
//!
//! A field that Riak requires and that is missing is taken as empty: every such field is a name or a value that
//! is refused when it is empty, or may be empty.
//!
//! Not here: sockets, what requests mean, and search, time series and replication, which are out of scope.

mod buckets;
mod datatypes;
mod frame;
mod listing;
mod objects;
mod service;

pub use buckets::{
    BucketProps, CommitHook, GetBucketReq, GetBucketResp, GetBucketTypeReq, ModFun, Repl,
    ResetBucketReq, SetBucketReq, SetBucketTypeReq,
};
pub use datatypes::{
    AddOp, CounterGetReq, CounterOp, CounterResp, CounterUpdateReq, DataType, DtFetchReq,
    DtFetchResp, DtOp, DtUpdateReq, DtUpdateResp, DtValue, FieldType, FlagOp, MapEntry, MapField,
    MapOp, MapUpdate, SetOp,
};
pub use frame::{FrameError, HEADER_BYTES, Header, Request, RequestError, Response};
pub use listing::{
    CsBucketReq, IndexBodyResp, IndexObject, IndexQueryType, IndexReq, IndexResp, ListBucketsReq,
    ListBucketsResp, ListKeysReq, ListKeysResp,
};
pub use objects::{Content, DelReq, GetReq, GetResp, Link, Pair, PutReq, PutResp};
pub use service::{
    ClientId, CoverageEntry, CoverageReq, CoverageResp, ErrorResp, PreflistItem, PreflistReq,
    PreflistResp, ServerInfoResp,
};

/// Numbers that stand for words, in every field that counts replicas.
pub mod symbolic {
    pub const ONE: u32 = u32::MAX - 1;
    pub const QUORUM: u32 = u32::MAX - 2;
    pub const ALL: u32 = u32::MAX - 3;
    pub const DEFAULT: u32 = u32::MAX - 4;
}
