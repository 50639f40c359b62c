//! `restore`: the objects of a backup enter a running cluster again, by merge.
//!
//! The whole file is read and checked before anything is sent. First go the bucket types of all files: where one is here and something else, nothing is
//! restored. Then it goes block by block to one node, which merges each object into its homes. A block that was not answered is sent again: merging twice does no harm.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use ringhold_client::{HttpPool, Request};
use ringhold_wire::backup::{BackupError, BackupReader, Block, End};
use serde_json::{Value, json};

use crate::cli::RestoreArgs;
use crate::commands::backup::{cant, files_of};
use crate::commands::view::cell;
use crate::output::{Failure, Format, print, print_json, progress_bar, say};

/// How long one block may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// Tries at one block, and the pause between them.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_secs(1);
const PIECE_BYTES: usize = 1 << 20;

/// What became of the objects.
#[derive(Debug, Default)]
struct Sum {
    whole: u64,
    partly: u64,
    failed: u64,
    members_without_properties: u64,
    types_created: u64,
    types_activated: u64,
}

pub(super) async fn run(arguments: RestoreArgs, format: Format) -> Result<(), Failure> {
    let files = files_of(&arguments.from)?;
    let mut objects = 0;
    for path in &files {
        objects += check(path)?.objects;
    }
    let node = HttpPool::at(&arguments.at)?;
    let path = format!(
        "/ringhold/v1/restore?into_other_cluster={}&older_than_grace={}",
        arguments.into_other_cluster, arguments.older_than_grace
    );
    let mut sum = Sum::default();
    for file in &files {
        if let Some((head, types)) = types_of(file)? {
            sum.add(&send(&node, &path, &head, &types).await?);
        }
    }
    let bar = progress_bar(objects, "objects restored");
    for file in &files {
        let mut head = Bytes::new();
        each_block(file, &mut async |block, bytes| {
            match block {
                Block::Head(_) => head = bytes,
                // They have gone before.
                Block::Types(_) | Block::End(_) => {}
                Block::Properties(_) => sum.add(&send(&node, &path, &head, &bytes).await?),
                Block::Objects(objects) => {
                    sum.add(&send(&node, &path, &head, &bytes).await?);
                    bar.inc(objects.len() as u64);
                }
            }
            Ok(())
        })
        .await?;
    }
    bar.finish_and_clear();
    conclude(&sum, files.len(), format)
}

fn conclude(sum: &Sum, files: usize, format: Format) -> Result<(), Failure> {
    let Sum {
        whole,
        partly,
        failed,
        members_without_properties,
        types_created,
        types_activated,
    } = sum;
    let objects = whole + partly + failed;
    match format {
        Format::Table => print(format!(
            "{objects} objects of {files} files: {whole} are at all their homes, {partly} at some, {failed} at none; \
             {types_created} bucket types were created, {types_activated} activated\n"
        ))?,
        Format::Json => print_json(
            &json!({ "files": files, "objects": objects, "whole": whole, "partly": partly,
            "failed": failed, "members_without_properties": members_without_properties,
            "types_created": types_created, "types_activated": types_activated }),
        )?,
    }
    if *failed > 0 {
        return Err(Failure::failed(format!(
            "{failed} objects were taken by none of their homes: restore again when these are back"
        )));
    }
    if *partly > 0 {
        say(
            "anti-entropy brings the rest to the homes that did not answer; `ringhold cluster repair` hurries it",
        );
    }
    if *members_without_properties > 0 {
        say(
            "some members did not take the bucket properties: they hear of them from the others when they are back",
        );
    }
    Ok(())
}

impl Sum {
    fn add(&mut self, answer: &Value) {
        let count = |name: &str| answer[name].as_u64().unwrap_or(0);
        self.whole += count("whole");
        self.partly += count("partly");
        self.failed += count("failed");
        self.members_without_properties += count("members_without_properties");
        self.types_created += count("types_created");
        self.types_activated += count("types_activated");
    }
}

/// Reads a backup to its end.
fn check(path: &Path) -> Result<End, Failure> {
    let mut reader = BackupReader::default();
    let bytes = File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
    let (bytes, mut file) = bytes.map_err(|error| cant("read", path, &error))?;
    let bar = progress_bar(bytes, "bytes checked");
    let mut piece = vec![0; PIECE_BYTES];
    let refuse =
        |error| Failure::failed(format!("{}: {error}; nothing was restored", path.display()));
    loop {
        let length = file
            .read(&mut piece)
            .map_err(|error| cant("read", path, &error))?;
        if length == 0 {
            break;
        }
        reader.push(&piece[..length]);
        while reader.next_block().map_err(refuse)?.is_some() {}
        bar.inc(length as u64);
    }
    bar.finish_and_clear();
    reader.finish().map_err(refuse)
}

/// The head of a backup and the types in it, which come next; none if it has none.
fn types_of(path: &Path) -> Result<Option<(Bytes, Bytes)>, Failure> {
    let mut file = File::open(path).map_err(|error| cant("read", path, &error))?;
    let mut reader = BackupReader::default();
    let mut piece = vec![0; PIECE_BYTES];
    let mut head = Bytes::new();
    loop {
        let length = file
            .read(&mut piece)
            .map_err(|error| cant("read", path, &error))?;
        reader.push(&piece[..length]);
        while let Some((block, bytes)) =
            reader.next_block().map_err(|error| changed(path, &error))?
        {
            match block {
                Block::Head(_) => head = bytes,
                Block::Types(_) => return Ok(Some((head, bytes))),
                _ => return Ok(None),
            }
        }
        if length == 0 {
            return Ok(None);
        }
    }
}

fn changed(path: &Path, error: &BackupError) -> Failure {
    Failure::failed(format!("{} has changed meanwhile: {error}", path.display()))
}

/// Gives each block of a backup with its bytes.
async fn each_block(
    path: &Path,
    take: &mut impl AsyncFnMut(Block, Bytes) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let file = File::open(path).map_err(|error| cant("read", path, &error))?;
    let mut file = BufReader::new(file);
    let mut reader = BackupReader::default();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let length = file
            .read(&mut piece)
            .map_err(|error| cant("read", path, &error))?;
        if length == 0 {
            return Ok(());
        }
        reader.push(&piece[..length]);
        while let Some((block, bytes)) =
            reader.next_block().map_err(|error| changed(path, &error))?
        {
            take(block, bytes).await?;
        }
    }
}

/// Sends one block with the head before it, until it is answered.
async fn send(node: &HttpPool, path: &str, head: &Bytes, block: &Bytes) -> Result<Value, Failure> {
    let mut request =
        Request::post(path, PATIENCE).header("content-type", "application/vnd.ringhold.backup")?;
    request.body = [&head[..], &block[..]].concat().into();
    let mut tries = 0;
    loop {
        tries += 1;
        let error = match node.request(&request).await {
            Ok(answer) if answer.status == 200 => {
                return serde_json::from_slice(&answer.body).map_err(|error| {
                    Failure::failed(format!("{} did not answer JSON: {error}", node.base()))
                });
            }
            Ok(answer) if answer.status != 503 => {
                return Err(Failure::failed(answer.text().trim_end().to_owned()));
            }
            Ok(answer) => Failure::failed(answer.text()),
            Err(error) => error.into(),
        };
        if tries == TRIES {
            return Err(Failure::failed(format!(
                "{error}; what was sent before is restored, and doing it again does no harm (node {})",
                cell(&json!(node.base().to_string()))
            )));
        }
        tokio::time::sleep(PAUSE).await;
    }
}
