//! Loops over one crate each: a frame there and back, a batch on its way to the log, a checkpoint.
//!
//! What grows in a cluster's operation may be looked for here first. Files and engine are in memory: what is counted is this code's and not
//! a library's.

use crate::value;
use bytes::BytesMut;
use ringhold_core::id::{Incarnation, OperationId};
use ringhold_core::version::{Actor, Content, Context, Dot, KeyEpoch, Object, Timestamp, Version};
use ringhold_storage::testing::{MemoryFiles, Task, block_on};
use ringhold_storage::{
    Durability, GroupWriter, Keyspace, MemoryEngine, Opened, StorageKey, Store, StoreOptions, Write,
};
use ringhold_wire::frame::{Frame, FrameDecoder, RequestHeader, append_request};
use ringhold_wire::message::ObjectName;
use ringhold_wire::message::peer::{MergeRequest, Request};
use std::sync::Arc;

/// Writes that share a commit.
const BATCH: usize = 16;
/// Batches between two checkpoints.
const BATCHES: usize = 8;

/// The request by which a put reaches a replica, encoded and decoded.
pub(crate) fn frame(count: usize) -> Option<()> {
    let request = Request::Merge(MergeRequest {
        name: ObjectName {
            bucket_type: "default".into(),
            bucket: "counted".into(),
            key: "key".into(),
        },
        object: object()?,
        flushed: true,
    });
    let mut decoder = FrameDecoder::new();
    decoder.established();
    let mut bytes = BytesMut::new();
    for id in (0..count).map(|number| u64::try_from(number).expect("counts fit")) {
        let header = RequestHeader {
            id,
            remaining_ms: 1_000,
            placement_number: 1,
        };
        append_request(&mut bytes, header, &request).ok()?;
        decoder.feed(&bytes.split());
        let Ok(Some(Frame::Request { body, .. })) = decoder.next_frame() else {
            return None;
        };
        drop(Request::decode(body).ok()?);
    }
    Some(())
}

/// One version of one actor.
fn object() -> Option<Object> {
    let actor = Actor {
        incarnation: Incarnation(7),
        epoch: KeyEpoch(1),
    };
    let content = Content::Value {
        bytes: value(0),
        metadata: Vec::new(),
    };
    let version = Version {
        dot: Dot { actor, counter: 1 },
        timestamp: Timestamp(1_700_000_000_000_000),
        operation: OperationId(1),
        hash: content.hash(),
        content,
    };
    let context = Context::from_sorted(vec![(actor, 1)]).ok()?;
    Object::from_parts(context, vec![version]).ok()
}

/// Batches of [`BATCH`] new values, flushed, in memory files. No checkpoint is due.
pub(crate) fn commit(count: usize) -> Option<()> {
    with_store(async |store, writer| {
        for batch in 0..count {
            commit_batch(batch, writer).await?;
        }
        (!store.checkpoint_due()).then_some(())
    })
}

/// [`BATCHES`] such batches, and the checkpoint that takes them to the engine.
pub(crate) fn checkpoint(count: usize) -> Option<()> {
    with_store(async |store, writer| {
        for number in 0..count {
            for batch in 0..BATCHES {
                commit_batch(number * BATCHES + batch, writer).await?;
            }
            let begun = store.begin_checkpoint().await.ok()??;
            store.finish_checkpoint(begun).await.ok()?;
        }
        Some(())
    })
}

async fn commit_batch(batch: usize, writer: &mut GroupWriter) -> Option<()> {
    for number in batch * BATCH..(batch + 1) * BATCH {
        let number_wide = u128::try_from(number).expect("counts fit");
        // Spread over the ring, as keys are by their hash.
        let position = number_wide.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let key = StorageKey::new(position, number_wide);
        writer.stage(Write::put(Keyspace::Objects, key, value(number)));
    }
    writer.commit(Durability::Flushed).await.ok().map(drop)
}

fn with_store(work: impl AsyncFnOnce(&Store, &mut GroupWriter) -> Option<()>) -> Option<()> {
    let mut drawn = 0;
    let mut draw = || {
        drawn += 1;
        drawn
    };
    let opening = Store::open(
        Arc::new(MemoryFiles::default()),
        Box::new(MemoryEngine::default()),
        StoreOptions::default(),
        None,
        &mut draw,
    );
    let Opened {
        store,
        mut writers,
        flusher,
        ..
    } = block_on(opening, Vec::new()).ok()?;
    let mut writer = writers.pop()?;
    let flusher: Task<'_> = Box::pin(flusher);
    block_on(work(&store, &mut writer), vec![flusher])
}
