//! Messages about keys, buckets and index queries.

use super::{GetResp, Pair};
use bytes::Bytes;
use prost::Message;

#[derive(Clone, PartialEq, Eq, Message)]
pub struct ListBucketsReq {
    #[prost(uint32, optional, tag = "1")]
    pub timeout: Option<u32>,
    #[prost(bool, optional, tag = "2")]
    pub stream: Option<bool>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub r#type: Option<Bytes>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct ListBucketsResp {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub buckets: Vec<Bytes>,
    #[prost(bool, optional, tag = "2")]
    pub done: Option<bool>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct ListKeysReq {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub bucket: Bytes,
    #[prost(uint32, optional, tag = "2")]
    pub timeout: Option<u32>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub r#type: Option<Bytes>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct ListKeysResp {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub keys: Vec<Bytes>,
    #[prost(bool, optional, tag = "2")]
    pub done: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum IndexQueryType {
    Eq = 0,
    Range = 1,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct IndexReq {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub bucket: Bytes,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub index: Bytes,
    #[prost(enumeration = "IndexQueryType", required, tag = "3")]
    pub qtype: i32,
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub key: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "5")]
    pub range_min: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "6")]
    pub range_max: Option<Bytes>,
    #[prost(bool, optional, tag = "7")]
    pub return_terms: Option<bool>,
    #[prost(bool, optional, tag = "8")]
    pub stream: Option<bool>,
    #[prost(uint32, optional, tag = "9")]
    pub max_results: Option<u32>,
    #[prost(bytes = "bytes", optional, tag = "10")]
    pub continuation: Option<Bytes>,
    #[prost(uint32, optional, tag = "11")]
    pub timeout: Option<u32>,
    #[prost(bytes = "bytes", optional, tag = "12")]
    pub r#type: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "13")]
    pub term_regex: Option<Bytes>,
    #[prost(bool, optional, tag = "14")]
    pub pagination_sort: Option<bool>,
    #[prost(bytes = "bytes", optional, tag = "15")]
    pub cover_context: Option<Bytes>,
    #[prost(bool, optional, tag = "16")]
    pub return_body: Option<bool>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct IndexResp {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub keys: Vec<Bytes>,
    /// Terms with their keys.
    #[prost(message, repeated, tag = "2")]
    pub results: Vec<Pair>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub continuation: Option<Bytes>,
    #[prost(bool, optional, tag = "4")]
    pub done: Option<bool>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct IndexObject {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub key: Bytes,
    #[prost(message, required, tag = "2")]
    pub object: GetResp,
}

/// Answers an [`IndexReq`] with `return_body`, and a [`CsBucketReq`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct IndexBodyResp {
    #[prost(message, repeated, tag = "1")]
    pub objects: Vec<IndexObject>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub continuation: Option<Bytes>,
    #[prost(bool, optional, tag = "3")]
    pub done: Option<bool>,
}

/// The objects of a bucket in the order of their keys.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct CsBucketReq {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub bucket: Bytes,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub start_key: Bytes,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub end_key: Option<Bytes>,
    #[prost(bool, optional, tag = "4", default = "true")]
    pub start_incl: Option<bool>,
    #[prost(bool, optional, tag = "5", default = "false")]
    pub end_incl: Option<bool>,
    #[prost(bytes = "bytes", optional, tag = "6")]
    pub continuation: Option<Bytes>,
    #[prost(uint32, optional, tag = "7")]
    pub max_results: Option<u32>,
    #[prost(uint32, optional, tag = "8")]
    pub timeout: Option<u32>,
    #[prost(bytes = "bytes", optional, tag = "9")]
    pub r#type: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "10")]
    pub cover_context: Option<Bytes>,
}
