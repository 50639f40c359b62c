//! Messages about the server and the connection.

use bytes::Bytes;
use prost::Message;

/// Answers any request, or ends a stream.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ErrorResp {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub errmsg: Bytes,
    /// Riak sends 0, always.
    #[prost(uint32, required, tag = "2")]
    pub errcode: u32,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct ServerInfoResp {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub node: Option<Bytes>,
    /// Three integers with dots between them, which clients take apart.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub server_version: Option<Bytes>,
}

/// A name that a connection goes by, without any effect since Riak 1.0.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ClientId {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub client_id: Bytes,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct PreflistReq {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub bucket: Bytes,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub key: Bytes,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub r#type: Option<Bytes>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct PreflistResp {
    #[prost(message, repeated, tag = "1")]
    pub preflist: Vec<PreflistItem>,
}

/// One replica of a key.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PreflistItem {
    /// Its number, from 0.
    #[prost(int64, required, tag = "1")]
    pub partition: i64,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub node: Bytes,
    #[prost(bool, required, tag = "3")]
    pub primary: bool,
}

/// Asks for a plan: a bucket in shares.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct CoverageReq {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub r#type: Option<Bytes>,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub bucket: Bytes,
    /// At least so many shares.
    #[prost(uint32, optional, tag = "3")]
    pub min_partitions: Option<u32>,
    /// The share that another node is asked for.
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub replace_cover: Option<Bytes>,
    /// Shares whose nodes don't answer.
    #[prost(bytes = "bytes", repeated, tag = "5")]
    pub unavailable_cover: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct CoverageResp {
    #[prost(message, repeated, tag = "1")]
    pub entries: Vec<CoverageEntry>,
}

/// A share, and where to ask for it.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct CoverageEntry {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub ip: Bytes,
    #[prost(uint32, required, tag = "2")]
    pub port: u32,
    /// For people.
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub keyspace_desc: Option<Bytes>,
    /// What an index query gives back.
    #[prost(bytes = "bytes", required, tag = "4")]
    pub cover_context: Bytes,
}
