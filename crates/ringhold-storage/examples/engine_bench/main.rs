//! LMDB and fjall under the log: the figures from which the default engine was chosen.
//!
//! ```text
//! cargo run --release --example engine_bench -- table DIRECTORY [RUNS]     both engines in turn, medians
//! cargo run --release --example engine_bench -- growth DIRECTORY ENGINE KEYS SEGMENT_MIB plain|node
//! ```
//!
//! A row of the table is made by two processes. The first loads keys in random order and kills itself in the middle of its
//! puts. The second opens what is left, reads, and then overwrites at a steady rate and in bursts of the same average; a batch's time
//! counts from when it was due, so a stall is seen by all that it delays. *Cold* rows have the page cache of the files dropped
//! between the two, and fjall's own cache is an eighth of the data: nearly every read goes to the disk. CPU is that of all threads.
//!
//! `growth` puts new keys and prints what a put costs as the store grows: `node` also keeps leaf sums and an index row for each
//! key, as a node does. The engine `none` takes everything and keeps nothing: what is left is the log's cost.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod as_node;
mod cell;
mod growth;
mod host;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use host::Outcome;

/// Value bytes, keys and runs of a row, and whether it is cold.
const ROWS: [(usize, usize, bool); 6] = [
    (1_024, 100_000, false),
    (1_024, 400_000, true),
    (100, 200_000, false),
    (100, 600_000, true),
    (102_400, 1_500, false),
    (102_400, 4_000, true),
];

fn main() -> Outcome<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["table", directory] => table(Path::new(directory), 1),
        ["table", directory, runs] => table(Path::new(directory), runs.parse()?),
        ["growth", directory, engine, keys, segment, rows] => growth::run(&growth::Plan {
            directory: Path::new(directory),
            engine,
            keys: keys.parse()?,
            segment_bytes: segment.parse::<u64>()? << 20,
            as_node: rows == "node",
        }),
        ["load", directory, engine, bytes, keys, cache] => {
            let cell = cell::Cell::new(directory, engine, bytes, keys, cache)?;
            cell.load_and_die()
        }
        ["use", directory, engine, bytes, keys, cache] => {
            let cell = cell::Cell::new(directory, engine, bytes, keys, cache)?;
            cell.reopen_and_use()
        }
        _ => Err("see the head of the example".into()),
    }
}

fn table(base: &Path, runs: usize) -> Outcome<()> {
    for (bytes, keys, cold) in ROWS {
        let mut figures: [BTreeMap<String, Vec<f64>>; 2] = Default::default();
        for _ in 0..runs {
            for (engine, figures) in ["lmdb", "fjall"].iter().zip(&mut figures) {
                one(base, engine, bytes, keys, cold, figures)?;
            }
        }
        let temperature = if cold { "cold" } else { "warm" };
        println!(
            "\n{bytes} bytes, {keys} keys, {temperature}, runs {runs}: lmdb, fjall, fjall/lmdb"
        );
        for (name, lmdb) in &figures[0] {
            let fjall = figures[1].get(name).ok_or("both say the same")?;
            let (lmdb, fjall) = (median(lmdb), median(fjall));
            println!("{name:34} {lmdb:12.2} {fjall:12.2} {:8.2}", fjall / lmdb);
        }
    }
    Ok(())
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// One run of one engine: both processes.
fn one(
    base: &Path,
    engine: &str,
    bytes: usize,
    keys: usize,
    cold: bool,
    figures: &mut BTreeMap<String, Vec<f64>>,
) -> Outcome<()> {
    let directory = tempfile::tempdir_in(base)?;
    let cache = if cold { bytes * keys / 8 } else { 1 << 30 };
    for step in ["load", "use"] {
        if cold && step == "use" {
            drop_page_cache(directory.path())?;
        }
        let output = Command::new(env::current_exe()?)
            .args([step.as_ref(), directory.path().as_os_str()])
            .args([engine, &bytes.to_string(), &keys.to_string()])
            .arg(cache.to_string())
            .output()?;
        let text = String::from_utf8(output.stdout)?;
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        for line in text.lines() {
            let (name, value) = line.split_once(": ").ok_or("a figure")?;
            figures
                .entry(name.to_owned())
                .or_default()
                .push(value.parse()?);
        }
        // It kills itself, so how it ended does not tell.
        if step == "load" && !text.contains("disk_per_user_byte") {
            return Err(
                "the process that loads was ended by somebody else: is there memory enough?".into(),
            );
        }
    }
    Ok(())
}

fn drop_page_cache(directory: &Path) -> Outcome<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            drop_page_cache(&entry.path())?;
            continue;
        }
        fs::File::open(entry.path())?.sync_all()?;
        let mut input = std::ffi::OsString::from("if=");
        input.push(entry.path());
        let advice = ["iflag=nocache", "count=0", "status=none"];
        Command::new("dd").arg(input).args(advice).status()?;
    }
    Ok(())
}
