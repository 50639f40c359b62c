//! What clients ask when they connect.

use super::refusal::Refusal;
use super::{Edge, Session, bucket_type};
use crate::edge::{Door, Place, SERVED_RIAK};
use bytes::Bytes;
use ringhold_wire::message::ObjectName;
use ringhold_wire::riak::{
    ClientId, PreflistItem, PreflistReq, PreflistResp, Response, ServerInfoResp,
};

pub(super) fn server_info(door: &impl Door) -> Response {
    Response::ServerInfo(ServerInfoResp {
        node: Some(Bytes::from(door.own_name())),
        server_version: Some(Bytes::from_static(SERVED_RIAK.as_bytes())),
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

/// Where the replicas of a key are. All of them belong to the key's one partition, so every item names the same.
pub(super) fn preference_list<D: Door>(
    edge: &Edge<D>,
    message: PreflistReq,
) -> Result<Response, Refusal> {
    let name = ObjectName {
        bucket_type: bucket_type(message.r#type.as_ref())?,
        bucket: message.bucket,
        key: message.key,
    };
    edge.check_name(&name)?;
    let bucket_type = name.bucket_type.clone();
    let places = edge.door.preference_list(name);
    let places = places.ok_or_else(|| Refusal::unknown_bucket_type(&bucket_type))?;
    Ok(Response::Preflist(PreflistResp {
        preflist: places.into_iter().map(item).collect(),
    }))
}

fn item(place: Place) -> PreflistItem {
    PreflistItem {
        partition: place.partition.into(),
        node: place.node.into(),
        primary: place.is_primary,
    }
}
