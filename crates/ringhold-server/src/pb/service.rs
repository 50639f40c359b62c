//! What clients ask when they connect.

use super::Session;
use crate::edge::Door;
use bytes::Bytes;
use ringhold_wire::riak::{ClientId, Response, ServerInfoResp};

/// The release of Riak whose API this is. Clients take the three numbers apart, and do without bucket types, data
/// types and more where they are lower.
const SERVER_VERSION: &[u8] = b"3.2.3";

pub(super) fn server_info(door: &impl Door) -> Response {
    Response::ServerInfo(ServerInfoResp {
        node: Some(Bytes::from(door.own_name())),
        server_version: Some(Bytes::from_static(SERVER_VERSION)),
    })
}

pub(super) fn client_id(session: &Session) -> Response {
    Response::ClientId(ClientId {
        client_id: session.client_id.clone(),
    })
}

/// A name without any effect, which the connection remembers.
pub(super) fn set_client_id(session: &mut Session, message: ClientId) -> Response {
    session.client_id = message.client_id;
    Response::ClientIdSet
}
