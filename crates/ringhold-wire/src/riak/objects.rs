//! Messages about objects: get, put, delete.

use bytes::Bytes;
use prost::Message;

/// Two byte strings: a user's metadata, an index entry.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Pair {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub key: Bytes,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub value: Option<Bytes>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct Link {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub bucket: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub key: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub tag: Option<Bytes>,
}

/// One value of an object with what is said of it.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Content {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub value: Bytes,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub content_type: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub charset: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub content_encoding: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "5")]
    pub vtag: Option<Bytes>,
    #[prost(message, repeated, tag = "6")]
    pub links: Vec<Link>,
    /// Seconds since 1970.
    #[prost(uint32, optional, tag = "7")]
    pub last_mod: Option<u32>,
    /// Microseconds of that second.
    #[prost(uint32, optional, tag = "8")]
    pub last_mod_usecs: Option<u32>,
    #[prost(message, repeated, tag = "9")]
    pub usermeta: Vec<Pair>,
    #[prost(message, repeated, tag = "10")]
    pub indexes: Vec<Pair>,
    #[prost(bool, optional, tag = "11")]
    pub deleted: Option<bool>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct GetReq {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub bucket: Bytes,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub key: Bytes,
    #[prost(uint32, optional, tag = "3")]
    pub r: Option<u32>,
    #[prost(uint32, optional, tag = "4")]
    pub pr: Option<u32>,
    #[prost(bool, optional, tag = "5")]
    pub basic_quorum: Option<bool>,
    #[prost(bool, optional, tag = "6")]
    pub notfound_ok: Option<bool>,
    /// A context: whoever still has it is told no more than that it is unchanged.
    #[prost(bytes = "bytes", optional, tag = "7")]
    pub if_modified: Option<Bytes>,
    /// Everything but the values.
    #[prost(bool, optional, tag = "8")]
    pub head: Option<bool>,
    /// The context also where there are only tombstones.
    #[prost(bool, optional, tag = "9")]
    pub deletedvclock: Option<bool>,
    /// Milliseconds.
    #[prost(uint32, optional, tag = "10")]
    pub timeout: Option<u32>,
    #[prost(bool, optional, tag = "11")]
    pub sloppy_quorum: Option<bool>,
    #[prost(uint32, optional, tag = "12")]
    pub n_val: Option<u32>,
    #[prost(bytes = "bytes", optional, tag = "13")]
    pub r#type: Option<Bytes>,
    #[prost(uint32, optional, tag = "14")]
    pub node_confirms: Option<u32>,
}

/// Empty where there is nothing, which is no error.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct GetResp {
    #[prost(message, repeated, tag = "1")]
    pub content: Vec<Content>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub vclock: Option<Bytes>,
    #[prost(bool, optional, tag = "3")]
    pub unchanged: Option<bool>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct PutReq {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub bucket: Bytes,
    /// Absent: the server makes one up.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub key: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub vclock: Option<Bytes>,
    #[prost(message, required, tag = "4")]
    pub content: Content,
    #[prost(uint32, optional, tag = "5")]
    pub w: Option<u32>,
    #[prost(uint32, optional, tag = "6")]
    pub dw: Option<u32>,
    #[prost(bool, optional, tag = "7")]
    pub return_body: Option<bool>,
    #[prost(uint32, optional, tag = "8")]
    pub pw: Option<u32>,
    /// Only if the object still has the context of `vclock`.
    #[prost(bool, optional, tag = "9")]
    pub if_not_modified: Option<bool>,
    /// Only if there is nothing.
    #[prost(bool, optional, tag = "10")]
    pub if_none_match: Option<bool>,
    #[prost(bool, optional, tag = "11")]
    pub return_head: Option<bool>,
    /// Milliseconds.
    #[prost(uint32, optional, tag = "12")]
    pub timeout: Option<u32>,
    #[prost(bool, optional, tag = "13")]
    pub asis: Option<bool>,
    #[prost(bool, optional, tag = "14")]
    pub sloppy_quorum: Option<bool>,
    #[prost(uint32, optional, tag = "15")]
    pub n_val: Option<u32>,
    #[prost(bytes = "bytes", optional, tag = "16")]
    pub r#type: Option<Bytes>,
    #[prost(uint32, optional, tag = "17")]
    pub node_confirms: Option<u32>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct PutResp {
    #[prost(message, repeated, tag = "1")]
    pub content: Vec<Content>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub vclock: Option<Bytes>,
    /// Only where the server made it up.
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub key: Option<Bytes>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct DelReq {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub bucket: Bytes,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub key: Bytes,
    /// For the read and the write, where neither is given.
    #[prost(uint32, optional, tag = "3")]
    pub rw: Option<u32>,
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub vclock: Option<Bytes>,
    #[prost(uint32, optional, tag = "5")]
    pub r: Option<u32>,
    #[prost(uint32, optional, tag = "6")]
    pub w: Option<u32>,
    #[prost(uint32, optional, tag = "7")]
    pub pr: Option<u32>,
    #[prost(uint32, optional, tag = "8")]
    pub pw: Option<u32>,
    #[prost(uint32, optional, tag = "9")]
    pub dw: Option<u32>,
    /// Milliseconds.
    #[prost(uint32, optional, tag = "10")]
    pub timeout: Option<u32>,
    #[prost(bool, optional, tag = "11")]
    pub sloppy_quorum: Option<bool>,
    #[prost(uint32, optional, tag = "12")]
    pub n_val: Option<u32>,
    #[prost(bytes = "bytes", optional, tag = "13")]
    pub r#type: Option<Bytes>,
}
