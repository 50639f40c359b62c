//! I16: what can pile up has a bound, at all times.

use super::Violation;
use ringhold_core::version::Object;
use ringhold_core::version::truncate::CONTEXT_ENTRIES_MAX;
use ringhold_storage::Figures;

const NAME: &str = "I16";

/// Versions of a key in one object; the node's own limit, and room for what replicas add by merging.
const VERSIONS_MAX: usize = 300;
/// Tasks of one process. A put has two, a repair one, and the queues in front of them are bounded.
const TASKS_MAX: usize = 20_000;
/// Checkpoints keep the buffers at about two log segments; a slow disk makes it more for a while.
const BUFFERED_SEGMENTS_MAX: u64 = 64;
/// Records are larger than the smallest segments of a run.
const BUFFERED_BYTES_MIN: u64 = 4 << 20;

/// # Errors
/// If an object has outgrown its bounds.
pub fn check_object(key: usize, object: &Object) -> Result<(), Violation> {
    let (entries, versions) = (object.context().len(), object.versions().len());
    if entries > CONTEXT_ENTRIES_MAX || versions > VERSIONS_MAX {
        return Err(Violation::new(
            NAME,
            format!("key {key}: {versions} versions, a context of {entries} actors"),
        ));
    }
    Ok(())
}

/// # Errors
/// If a process has more on its hands than it may take on.
pub fn check_process(
    node: usize,
    tasks: usize,
    figures: &Figures,
    segment_bytes: u64,
) -> Result<(), Violation> {
    if tasks > TASKS_MAX {
        return Err(Violation::new(NAME, format!("n{node} has {tasks} tasks")));
    }
    let limit = (segment_bytes * BUFFERED_SEGMENTS_MAX).max(BUFFERED_BYTES_MIN);
    if figures.buffer_bytes > limit {
        return Err(Violation::new(
            NAME,
            format!(
                "n{node} buffers {} bytes, {limit} at most",
                figures.buffer_bytes
            ),
        ));
    }
    Ok(())
}
