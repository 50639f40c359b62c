//! How far an import is, on disk.
//!
//! ```text
//! DIRECTORY/import.json     where from, which types, and the buckets once they are listed
//! DIRECTORY/keys-N          the keys of the N-th bucket, a JSON string a line; complete, since it gets its name last
//! DIRECTORY/done-N          how many of them are done
//! ```
//!
//! Files get their names when they are whole, so a kill leaves either the old or the new one.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use ringhold_client::ObjectName;
use serde::{Deserialize, Serialize};

use crate::output::Failure;

/// A bucket with its type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bucket {
    pub(super) bucket_type: String,
    pub(super) name: String,
}

impl Bucket {
    pub(super) fn key(&self, key: &str) -> ObjectName {
        ObjectName::new(&self.bucket_type, &self.name, key)
    }
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Plan {
    from: Vec<String>,
    types: Vec<String>,
    buckets: Option<Vec<Bucket>>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Ledger {
    directory: PathBuf,
    plan: Plan,
}

fn cant(what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::failed(format!("can't {what} {}: {error}", path.display()))
}

/// Writes a file that is either there as a whole or not at all.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let draft = path.with_extension("new");
    let written = File::create(&draft).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    let named = written.and_then(|()| fs::rename(&draft, path));
    named.map_err(|error| cant("write", path, &error))
}

impl Ledger {
    /// Opens a directory that an import of the same began with, or begins one.
    pub(super) fn open(
        directory: &Path,
        from: &[String],
        types: &[String],
    ) -> Result<Self, Failure> {
        fs::create_dir_all(directory).map_err(|error| cant("make", directory, &error))?;
        let path = directory.join("import.json");
        let begun = Plan {
            from: from.to_vec(),
            types: types.to_vec(),
            buckets: None,
        };
        let plan = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => begun,
            Err(error) => return Err(cant("read", &path, &error)),
            Ok(bytes) => {
                let kept: Plan = serde_json::from_slice(&bytes).map_err(|error| {
                    Failure::failed(format!(
                        "{} is not what an import wrote: {error}",
                        path.display()
                    ))
                })?;
                if kept.from != begun.from || kept.types != begun.types {
                    return Err(Failure::usage(format!(
                        "{} is of an import from {} with the types {}: name another directory for this one",
                        path.display(),
                        kept.from.join(","),
                        kept.types.join(",")
                    )));
                }
                kept
            }
        };
        Ok(Self {
            directory: directory.to_owned(),
            plan,
        })
    }

    /// What is to be copied, once that is known.
    pub(super) fn buckets(&self) -> Option<&[Bucket]> {
        self.plan.buckets.as_deref()
    }

    pub(super) fn plan(&mut self, buckets: Vec<Bucket>) -> Result<(), Failure> {
        self.plan.buckets = Some(buckets);
        let bytes = serde_json::to_vec_pretty(&self.plan).expect("strings and lists are JSON");
        replace(&self.directory.join("import.json"), &bytes)
    }

    fn keys_path(&self, number: usize) -> PathBuf {
        self.directory.join(format!("keys-{number}"))
    }

    pub(super) fn is_listed(&self, number: usize) -> bool {
        self.keys_path(number).exists()
    }

    /// Takes the keys of a bucket.
    pub(super) fn list(&self, number: usize) -> Result<KeyWriter, Failure> {
        let path = self.keys_path(number);
        let draft = path.with_extension("new");
        let file = File::create(&draft).map_err(|error| cant("write", &draft, &error))?;
        Ok(KeyWriter {
            path,
            draft,
            out: BufWriter::new(file),
        })
    }

    /// The keys of a listed bucket that are not done.
    pub(super) fn keys(&self, number: usize) -> Result<Keys, Failure> {
        let path = self.keys_path(number);
        let done_path = self.directory.join(format!("done-{number}"));
        let read = |error: io::Error| cant("read", &path, &error);
        let lines = || Ok::<_, io::Error>(BufReader::new(File::open(&path)?));
        let total = count(lines().map_err(read)?.lines().count());
        let done = match fs::read_to_string(&done_path) {
            Ok(text) => text.trim().parse().unwrap_or(0),
            Err(_) => 0,
        };
        let mut keys = Keys {
            path: path.clone(),
            done_path,
            total,
            done,
            taken: done,
            lines: lines().map_err(read)?,
        };
        let mut line = String::new();
        for _ in 0..done {
            line.clear();
            keys.lines.read_line(&mut line).map_err(read)?;
        }
        Ok(keys)
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// A list of keys that is being written.
#[derive(Debug)]
pub(super) struct KeyWriter {
    path: PathBuf,
    draft: PathBuf,
    out: BufWriter<File>,
}

impl KeyWriter {
    pub(super) fn add(&mut self, key: &str) -> Result<(), Failure> {
        let line = serde_json::to_string(key).expect("text is JSON");
        writeln!(self.out, "{line}").map_err(|error| cant("write", &self.draft, &error))
    }

    pub(super) fn finish(mut self) -> Result<(), Failure> {
        let whole = self
            .out
            .flush()
            .and_then(|()| self.out.get_ref().sync_all());
        let named = whole.and_then(|()| fs::rename(&self.draft, &self.path));
        named.map_err(|error| cant("write", &self.path, &error))
    }
}

/// A list of keys that is being read.
#[derive(Debug)]
pub(super) struct Keys {
    path: PathBuf,
    done_path: PathBuf,
    total: u64,
    done: u64,
    taken: u64,
    lines: BufReader<File>,
}

impl Keys {
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    pub(super) fn done(&self) -> u64 {
        self.done
    }

    /// At most so many keys; none at the end.
    pub(super) fn next(&mut self, at_most: usize) -> Result<Vec<String>, Failure> {
        let mut keys = Vec::new();
        let mut line = String::new();
        while keys.len() < at_most {
            line.clear();
            let read = self.lines.read_line(&mut line);
            if read.map_err(|error| cant("read", &self.path, &error))? == 0 {
                break;
            }
            let key = serde_json::from_str(&line).map_err(|error| {
                Failure::failed(format!(
                    "{} is not what an import wrote: {error}",
                    self.path.display()
                ))
            })?;
            keys.push(key);
        }
        self.taken += count(keys.len());
        Ok(keys)
    }

    /// All that was taken is done.
    pub(super) fn note_done(&mut self) -> Result<(), Failure> {
        self.done = self.taken;
        replace(&self.done_path, self.done.to_string().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_where_it_was() {
        let directory = tempfile::tempdir().expect("a directory");
        let from = ["http://there".to_owned()];
        let types = ["default".to_owned()];
        let open = || Ledger::open(directory.path(), &from, &types).expect("it opens");
        let mut ledger = open();
        assert_eq!(ledger.buckets(), None);
        let bucket = Bucket {
            bucket_type: "default".to_owned(),
            name: "b".to_owned(),
        };
        ledger.plan(vec![bucket.clone()]).expect("written");
        let mut writer = ledger.list(0).expect("room");
        for key in ["one\nline", "two", "\"three\""] {
            writer.add(key).expect("room");
        }
        assert!(!open().is_listed(0), "not before it is whole");
        writer.finish().expect("room");
        let ledger = open();
        assert_eq!(ledger.buckets(), Some(&[bucket][..]));
        let mut keys = ledger.keys(0).expect("listed");
        assert_eq!(keys.next(2).expect("keys"), ["one\nline", "two"]);
        keys.note_done().expect("room");
        assert_eq!(keys.next(2).expect("keys"), ["\"three\""]);
        let mut again = open().keys(0).expect("listed");
        assert_eq!((again.total(), again.done()), (3, 2));
        assert_eq!(again.next(9).expect("keys"), ["\"three\""]);
        assert!(again.next(9).expect("keys").is_empty());
        assert!(Ledger::open(directory.path(), &["http://elsewhere".to_owned()], &types).is_err());
    }
}
