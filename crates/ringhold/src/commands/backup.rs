//! `backup`: what a running node's store holds, in a file.
//!
//! The node gives out blocks; each is checked as it arrives and written to a file beside the wanted one, which takes its
//! name only when the end block has come and the bytes are on disk. So a file of that name is a whole backup, and a backup
//! that was broken off leaves none.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::ProgressBar;
use ringhold_client::{BaseUrl, HttpPool, Request, Streamed};
use ringhold_wire::backup::{BackupError, BackupReader, Block, End};
use serde_json::{Value, json};

use crate::cli::BackupArgs;
use crate::output::{Failure, Format, Table, print, print_json, progress_bar, say};

/// Ending of the files that `--to DIRECTORY` makes.
pub(super) const SUFFIX: &str = "ringhold-backup";
/// A node that works on a backup sends something every now and then.
const SILENCE: Duration = Duration::from_secs(60);
/// How finely a walk around the ring is shown: 2^10 steps.
const STEP_BITS: u32 = 10;

pub(super) async fn run(arguments: BackupArgs, format: Format) -> Result<(), Failure> {
    let BackupArgs { nodes, to } = arguments;
    let is_directory = nodes.at.len() > 1 || to.is_dir();
    if is_directory {
        fs::create_dir_all(&to).map_err(|error| cant("make", &to, &error))?;
    }
    let mut rows = Vec::new();
    for at in &nodes.at {
        let path = if is_directory {
            to.join(format!("{}.{SUFFIX}", node_name(at).await?))
        } else {
            to.clone()
        };
        let (end, bytes) = back_up(at, &path).await?;
        rows.push(json!({
            "at": at,
            "file": path.display().to_string(),
            "objects": end.objects,
            "buckets": end.buckets,
            "unreadable": end.unreadable,
            "bytes": bytes,
        }));
    }
    match format {
        Format::Table => print(table(&rows))?,
        Format::Json => print_json(&Value::Array(rows.clone()))?,
    }
    let unreadable: u64 = rows
        .iter()
        .filter_map(|row| row["unreadable"].as_u64())
        .sum();
    if unreadable > 0 {
        return Err(Failure::failed(format!(
            "{unreadable} records could not be read and are missing: `ringhold cluster repair` brings them back from the other nodes; back up again then"
        )));
    }
    Ok(())
}

fn table(rows: &[Value]) -> String {
    let headings = ["file", "objects", "buckets", "unreadable", "bytes"];
    let mut table = Table::new(&headings);
    for row in rows {
        table.row(headings.map(|heading| super::view::cell(&row[heading])));
    }
    table.to_string()
}

async fn node_name(at: &str) -> Result<String, Failure> {
    let body = HttpPool::at(at)?
        .resource("/ringhold/v1/status", SILENCE)
        .await?;
    let status: Value = serde_json::from_slice(&body).unwrap_or_default();
    let name = status["node"]["name"].as_str().unwrap_or_default();
    let is_plain =
        |character: char| character.is_ascii_alphanumeric() || "-_.@".contains(character);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(is_plain) {
        return Err(Failure::failed(format!(
            "{at} has no name that a file could have: back it up by itself, with --to FILE"
        )));
    }
    Ok(name.to_owned())
}

/// Takes a backup of one node; what it has, and its bytes.
async fn back_up(at: &str, path: &Path) -> Result<(End, u64), Failure> {
    let request = Request::post("/ringhold/v1/backup", SILENCE);
    let mut answer = Streamed::open(&BaseUrl::parse(at)?, &request).await?;
    let part = path.with_extension("part");
    let file = File::create(&part).map_err(|error| cant("write", &part, &error))?;
    let taken = receive(&mut answer, file, &part).await;
    let kept = taken.and_then(|taken| {
        fs::rename(&part, path).map_err(|error| cant("name", path, &error))?;
        let directory = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        let directory = File::open(directory.unwrap_or(Path::new(".")));
        let synced = directory.and_then(|directory| directory.sync_all());
        synced.map_err(|error| cant("keep", path, &error))?;
        Ok(taken)
    });
    if kept.is_err() {
        // It is no backup, and its name says so even if it can't be removed.
        fs::remove_file(&part).ok();
    }
    kept
}

async fn receive(answer: &mut Streamed, file: File, part: &Path) -> Result<(End, u64), Failure> {
    let bar = progress_bar(1 << STEP_BITS, "steps around the ring");
    let broken = |error: BackupError| Failure::failed(format!("no backup was made: {error}"));
    let mut file = BufWriter::new(file);
    let mut reader = BackupReader::default();
    let mut bytes = 0;
    while let Some(piece) = answer.piece().await? {
        bytes += piece.len() as u64;
        reader.push(&piece);
        while let Some((block, written)) = reader.next_block().map_err(broken)? {
            file.write_all(&written)
                .map_err(|error| cant("write", part, &error))?;
            show(&bar, &block);
        }
    }
    bar.finish_and_clear();
    let end = reader.finish().map_err(broken)?;
    let file = file
        .into_inner()
        .map_err(|error| cant("write", part, error.error()))?;
    file.sync_all()
        .map_err(|error| cant("write", part, &error))?;
    Ok((end, bytes))
}

/// How far around the ring the last object of a block lies.
pub(super) fn show(bar: &ProgressBar, block: &Block) {
    if let Block::Objects(objects) = block
        && let Some((name, _)) = objects.last()
    {
        let step = name.position().0 >> (u128::BITS - STEP_BITS);
        bar.set_position(u64::try_from(step).unwrap_or(0));
    }
}

pub(super) fn cant(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!("can't {what} {}: {error}", path.display()))
}

/// The backups that a path names: a file, or those in a directory.
pub(super) fn files_of(from: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !from.is_dir() {
        return Ok(vec![from.to_owned()]);
    }
    let entries = fs::read_dir(from).map_err(|error| cant("read", from, &error))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| cant("read", from, &error))?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == SUFFIX)
        {
            files.push(path);
        } else {
            say(format_args!(
                "{} is left out: it does not end in .{SUFFIX}",
                path.display()
            ));
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(Failure::usage(format!(
            "there is no backup in {}",
            from.display()
        )));
    }
    Ok(files)
}
