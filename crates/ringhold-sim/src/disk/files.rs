//! The log's files, as one life of a process sees them.

use super::{APPEND_US, DIRECTORY_US, Disk, FLUSH_US, JOB_US, Queue, READ_US};
use crate::rare::Rare;
use crate::trace::Who;
use bytes::Bytes;
use ringhold_storage::{BoxFuture, Engine, Files};
use std::io;

/// See [`super`].
pub struct SimFiles {
    disk: Disk,
    life: u64,
}

impl SimFiles {
    pub(super) fn new(disk: Disk, life: u64) -> Self {
        Self { disk, life }
    }

    /// An operation on its queue, which takes effect when its time has passed.
    fn queued<T: Send + 'static>(
        &self,
        queue: Queue,
        median_us: u64,
        effect: impl FnOnce(&Disk) -> T + Send + 'static,
    ) -> BoxFuture<'static, T> {
        let at_us = self.disk.schedule(queue, median_us);
        let (disk, life) = (self.disk.clone(), self.life);
        Box::pin(async move { disk.take_effect(life, at_us, effect).await })
    }
}

impl Files for SimFiles {
    fn list(&self) -> BoxFuture<'static, io::Result<Vec<u64>>> {
        self.queued(Queue::Log, READ_US, |disk| {
            Ok(disk.lock().segments.keys().copied().collect())
        })
    }

    fn create(&self, segment: u64) -> BoxFuture<'static, io::Result<()>> {
        self.queued(Queue::Log, DIRECTORY_US, move |disk| disk.create(segment))
    }

    fn append(&self, segment: u64, parts: Vec<Bytes>) -> BoxFuture<'static, io::Result<()>> {
        self.queued(Queue::Log, APPEND_US, move |disk| {
            disk.append(segment, &parts.concat())
        })
    }

    fn flush(&self, segment: u64) -> BoxFuture<'static, io::Result<()>> {
        let covers = self.disk.length(segment);
        self.queued(Queue::Flush, FLUSH_US, move |disk| {
            disk.flush(segment, covers)
        })
    }

    fn append_flushed(
        &self,
        segment: u64,
        parts: Vec<Bytes>,
    ) -> BoxFuture<'static, io::Result<()>> {
        let appended = self.append(segment, parts);
        let flushed_at_us = self.disk.schedule(Queue::Log, FLUSH_US);
        let (disk, life) = (self.disk.clone(), self.life);
        Box::pin(async move {
            appended.await?;
            let covers = disk.length(segment);
            disk.take_effect(life, flushed_at_us, move |disk| disk.flush(segment, covers))
                .await
        })
    }

    fn read(&self, segment: u64) -> BoxFuture<'static, io::Result<Bytes>> {
        self.queued(Queue::Log, READ_US, move |disk| {
            let state = disk.lock();
            let segment = state
                .segments
                .get(&segment)
                .ok_or(io::ErrorKind::NotFound)?;
            Ok(segment.read().into())
        })
    }

    fn quarantine(&self, segment: u64) -> BoxFuture<'static, io::Result<()>> {
        self.queued(Queue::Log, DIRECTORY_US, move |disk| {
            let mut state = disk.lock();
            state
                .segments
                .remove(&segment)
                .ok_or(io::ErrorKind::NotFound)?;
            state.quarantined.push(segment);
            Ok(())
        })
    }

    fn remove(&self, segments: Vec<u64>) -> BoxFuture<'static, io::Result<()>> {
        self.queued(Queue::Log, DIRECTORY_US, move |disk| {
            let mut state = disk.lock();
            segments
                .iter()
                .for_each(|segment| drop(state.segments.remove(segment)));
            Ok(())
        })
    }

    fn offload(&self, job: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        // The job's own flush is only noted; it becomes true when the job's time is over.
        let applied = self.queued(Queue::Jobs, JOB_US, move |_| job());
        let flushed_at_us = self.disk.schedule(Queue::Jobs, JOB_US);
        let (disk, life) = (self.disk.clone(), self.life);
        Box::pin(async move {
            applied.await;
            disk.take_effect(life, flushed_at_us, finish_checkpoint)
                .await;
        })
    }
}

fn finish_checkpoint(disk: &Disk) {
    let mut state = disk.lock();
    if !std::mem::take(&mut state.checkpoint_under_way) {
        return;
    }
    state.rows.flush().expect("memory can always be flushed");
    drop(state);
    disk.0.rare.hit(Rare::Checkpoint);
    disk.0
        .trace
        .event(Who::Node(disk.0.node), "checkpoint", || {
            "is in the engine".to_owned()
        });
}
