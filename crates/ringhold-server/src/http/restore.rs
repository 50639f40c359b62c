//! One block of a backup, to be merged into the cluster.
//!
//! A backup is sent block by block, each with the head before it, so a request is small, may be repeated, and is judged
//! by itself: whose backup, and how old. The content type is one that no page of another site can send without
//! asking first, because this writes.

use super::Answer;
use super::options;
use super::problem::Problem;
use super::service;
use crate::edge::Door;
use crate::edge::Room;
use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::http::request::Parts;
use ringhold_node::RestoreRefused;
use ringhold_wire::backup::{BLOCK_BYTES_MAX, BackupError, BackupReader, Block, Head};

/// What a part of a backup is sent as.
const BACKUP: &str = "application/vnd.ringhold.backup";
/// A head and a block with what is around them.
const BODY_BYTES_MAX: usize = BLOCK_BYTES_MAX + 1_024;

pub(super) async fn serve<D: Door>(
    door: &D,
    parts: &Parts,
    body: Incoming,
    room: &Room,
) -> Result<Answer, Problem> {
    let insisting = options::insisting(parts.uri.query())?;
    if parts
        .headers
        .get(CONTENT_TYPE)
        .is_none_or(|kind| kind != BACKUP)
    {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("a part of a backup is sent as {BACKUP}\n"),
        ));
    }
    let received = room.receive(body, BODY_BYTES_MAX).await;
    let received = received.map_err(|error| error.problem(door))?;
    let (head, block) = head_and_block(&received.bytes)
        .map_err(|error| Problem::bad_request(format!("{error}\n")))?;
    let restored = door.restore(head, block, insisting).await;
    let restored = restored.map_err(|refused| {
        let status = match &refused {
            RestoreRefused::TypeNotRestored { .. } => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::CONFLICT,
        };
        Problem::new(status, format!("{refused}\n"))
    })?;
    Ok(service::document(&restored))
}

fn head_and_block(bytes: &[u8]) -> Result<(Head, Block), BackupError> {
    let mut reader = BackupReader::default();
    reader.push(bytes);
    let truncated = BackupError::Truncated {
        offset: bytes.len() as u64,
    };
    let Some((Block::Head(head), _)) = reader.next_block()? else {
        return Err(truncated);
    };
    match reader.next_block()? {
        Some((block, _)) => Ok((head, block)),
        None => Err(truncated),
    }
}
