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
