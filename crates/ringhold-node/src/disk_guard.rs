//! Taking less while the disk is nearly full (T22).
//!
//! Once a second the host is asked how much of the data directory's file system is left, and
//! [`Watermarks`](ringhold_core::health::Watermarks) make a level of it. What is not taken at that level is refused before it reaches
//! a writer, with a refusal of its own, so that a coordinator asks the next fallback and a client hears what to do. Peers are told
//! the level with each heartbeat, and ask a node that is full last.
//!
//! Everything that leaves this node goes on, and so do deletes, checkpoints, reads, and what the node notes for itself. When there is room
//! again, whoever made it, the node takes everything again by itself.
//!
//! Not here: a disk that has no room at all. A write that fails poisons the store, whatever the level was (T21).

use crate::env::Environment;
use crate::node::Node;
use crate::replica::Kept;
use ringhold_core::health::{DiskLevel, DiskSpace, DiskUse, Watermarks};
use ringhold_core::version::Object;
use ringhold_wire::message::Change;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// How often the host is asked.
const LOOK_US: u64 = 1_000_000;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct DiskGuard {
    watermarks: Watermarks,
    level: AtomicU8,
    total_bytes: AtomicU64,
    available_bytes: AtomicU64,
}

impl DiskGuard {
    pub(crate) fn new(watermarks: Watermarks) -> Self {
        Self {
            watermarks,
            ..Self::default()
        }
    }

    pub(crate) fn level(&self) -> DiskLevel {
        match self.level.load(Ordering::Relaxed) {
            0 => DiskLevel::Ample,
            1 => DiskLevel::Low,
            2 => DiskLevel::Full,
            _ => DiskLevel::Exhausted,
        }
    }

    /// Whether there is room for this now.
    pub(crate) fn takes(&self, what: DiskUse) -> bool {
        self.level().takes(what)
    }

    fn note(&self, space: DiskSpace) {
        let before = self.level();
        let level = self.watermarks.level(before, space);
        self.total_bytes.store(space.total_bytes, Ordering::Relaxed);
        self.available_bytes
            .store(space.available_bytes, Ordering::Relaxed);
        self.level.store(code(level), Ordering::Relaxed);
        if level == before {
            return;
        }
        let percent = space.used_thousandths() / 10;
        match level {
            DiskLevel::Ample => tracing::info!(percent, "the disk has room again"),
            DiskLevel::Low => tracing::warn!(percent, "the disk is nearly full: make room"),
            DiskLevel::Full => tracing::error!(
                percent,
                "the disk is nearly full: no puts are coordinated here and nothing is kept for others until there is room"
            ),
            DiskLevel::Exhausted => tracing::error!(
                percent,
                "the disk is nearly full: nothing but deletes is taken until there is room"
            ),
        }
    }
}

fn code(level: DiskLevel) -> u8 {
    match level {
        DiskLevel::Ample => 0,
        DiskLevel::Low => 1,
        DiskLevel::Full => 2,
        DiskLevel::Exhausted => 3,
    }
}

/// What a put is for the disk.
pub(crate) fn use_of_put(change: &Change) -> DiskUse {
    if change.is_delete() {
        DiskUse::Delete
    } else {
        DiskUse::Put
    }
}

/// What an object that others have coordinated is for the disk. A tombstone comes with the versions that its writer had not seen, which
/// are there already or soon will be; refused, it could not free anything.
pub(crate) fn use_of_copy(object: &Object, kept: Kept) -> DiskUse {
    let versions = object.versions();
    let deletes = versions
        .iter()
        .any(|version| version.content.is_tombstone());
    if deletes || versions.is_empty() {
        return DiskUse::Delete;
    }
    use_of_update(kept)
}

/// What an update of a data type is for the disk, where others have coordinated it.
pub(crate) fn use_of_update(kept: Kept) -> DiskUse {
    match kept {
        Kept::AsHome => DiskUse::Copy,
        Kept::AsHint { .. } => DiskUse::Hint,
    }
}

/// Looks at the disk for as long as the node lives; not at all where the host knows nothing of one.
pub(crate) async fn run(node: Weak<Node>, environment: Arc<dyn Environment>) {
    loop {
        let space = environment.disk_space().await;
        let Some(node) = node.upgrade() else {
            return;
        };
        if let Some(space) = space {
            node.disk.note(space);
        }
        drop(node);
        environment
            .sleep_until(environment.now_us().saturating_add(LOOK_US))
            .await;
    }
}

impl Node {
    /// How full the disk is, for what this node takes.
    #[must_use]
    pub fn disk_level(&self) -> DiskLevel {
        self.disk.level()
    }

    /// What was left of the disk at the last look; zeros before the first.
    #[must_use]
    pub fn disk_space(&self) -> DiskSpace {
        DiskSpace {
            total_bytes: self.disk.total_bytes.load(Ordering::Relaxed),
            available_bytes: self.disk.available_bytes.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_follows_the_disk_both_ways() {
        let guard = DiskGuard::new(Watermarks::default());
        let fill = |percent: u64| {
            guard.note(DiskSpace {
                total_bytes: 100,
                available_bytes: 100 - percent,
            });
            guard.level()
        };
        assert_eq!(guard.level(), DiskLevel::Ample);
        assert_eq!(fill(96), DiskLevel::Exhausted);
        assert!(guard.takes(DiskUse::Delete) && !guard.takes(DiskUse::Copy));
        assert_eq!(fill(91), DiskLevel::Full);
        assert!(guard.takes(DiskUse::Copy) && !guard.takes(DiskUse::Put));
        assert_eq!(fill(86), DiskLevel::Low);
        assert_eq!(fill(10), DiskLevel::Ample);
    }
}
