//! What a put costs as the store grows, in tenths of the keys.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringhold_storage::testing::block_on;
use ringhold_storage::{Durability, Keyspace, Opened, Summarize, Write};

use crate::as_node::AsNode;
use crate::host::{Checkpointing, Outcome, Used, Values, key, open};

const VALUE_BYTES: usize = 1_024;
const BATCH: usize = 128;
const CACHE_BYTES: u64 = 64 << 20;

pub(crate) struct Plan<'a> {
    pub(crate) directory: &'a Path,
    pub(crate) engine: &'a str,
    pub(crate) keys: usize,
    pub(crate) segment_bytes: u64,
    /// With leaf sums, an index row a key, and a read before each write.
    pub(crate) as_node: bool,
}

pub(crate) fn run(plan: &Plan<'_>) -> Outcome<()> {
    let directory = tempfile::tempdir_in(plan.directory)?;
    let summarize = plan
        .as_node
        .then(|| Arc::new(AsNode::with_rows()) as Arc<dyn Summarize>);
    let (engine, segment) = (plan.engine, plan.segment_bytes);
    let Opened {
        store,
        mut writers,
        flusher,
        ..
    } = open(directory.path(), engine, CACHE_BYTES, segment, summarize)?;
    println!(
        "keys  puts/s  CPU µs/put  written/byte  batch µs p50  p99  max  checkpoints  their ms  buffer MB max"
    );
    let main = async {
        let mut values = Values::new(VALUE_BYTES);
        let mut checkpointing = Checkpointing::default();
        for tenth in 0..10 {
            let before = Used::now()?;
            let (mut times, mut buffer) = (Vec::new(), 0);
            let numbers = plan.keys / 10 * tenth..plan.keys / 10 * (tenth + 1);
            for first in numbers.clone().step_by(BATCH) {
                let began = Instant::now();
                for number in first..numbers.end.min(first + BATCH) {
                    let write = Write::put(Keyspace::Objects, key(number), values.value());
                    let replaced = writers[0].read(Keyspace::Objects, &key(number))?;
                    writers[0].stage_over(write, replaced.as_ref());
                }
                writers[0].commit(Durability::Flushed).await?;
                checkpointing.go_on(&store).await?;
                times.push(began.elapsed());
                if times.len() % 16 == 0 {
                    buffer = store.figures().buffer_bytes.max(buffer);
                }
            }
            print_tenth(
                numbers.end,
                plan.keys / 10,
                before,
                times,
                &mut checkpointing.took,
                buffer,
            )?;
        }
        checkpointing.end(&store).await
    };
    block_on(main, vec![Box::pin(flusher)])
}

fn print_tenth(
    keys: usize,
    puts: usize,
    before: Used,
    mut times: Vec<Duration>,
    checkpoints: &mut Vec<Duration>,
    buffer: u64,
) -> Outcome<()> {
    let now = Used::now()?;
    times.sort_unstable();
    let micros = |part: usize| times[(times.len() - 1) * part / 100].as_micros();
    let puts = puts as f64;
    println!(
        "{keys:8} {:7.0} {:6.1} {:6.2} {:6} {:6} {:8} {:3} {:6.0} {:5}",
        puts / (now.at - before.at).as_secs_f64(),
        now.cpu.saturating_sub(before.cpu).as_secs_f64() * 1e6 / puts,
        now.written.saturating_sub(before.written) as f64 / (puts * VALUE_BYTES as f64),
        micros(50),
        micros(99),
        micros(100),
        checkpoints.len(),
        checkpoints.iter().sum::<Duration>().as_secs_f64() * 1e3,
        buffer >> 20,
    );
    checkpoints.clear();
    Ok(())
}
