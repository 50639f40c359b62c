//! What a node keeps beside its store: who it is, which ring it knows, the cluster's secret.
//!
//! | file | content |
//! | --- | --- |
//! | `node` | the node's identity, 32 hexadecimal digits |
//! | `joining` | the same, as long as the node wants to become a member and is none |
//! | `ring` | the ring document that the node was founded or enrolled with, as encoded for the wire; the store has the latest |
//! | `secret` | the cluster's secret, 64 hexadecimal digits, readable by the owner only |
//! | `store` | the identity of the store that belongs to this node, 32 hexadecimal digits |
//! | `engine-name` | which engine the store has: another would not find what it holds |
//! | `log/`, `engine/` | the store's |
//!
//! Each file is replaced by writing a new one beside it, flushing it, renaming it and flushing the directory. A
//! file that is there and can't be read stops the start with the reason: a node that forgot its ring
//! would be a cluster of one (T14).

use crate::founding::{ClusterSecret, Founding, FoundingMember};
use ringhold_core::id::NodeId;
use ringhold_core::ring::{
    Addresses, InvalidRing, Member, MemberState, PartitionCount, Ring, RingDocument,
};
use ringhold_wire::ring as ring_format;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a node is, as far as its data directory says.
pub(crate) struct Membership {
    pub(crate) node: NodeId,
    pub(crate) ring: Arc<Ring>,
    pub(crate) secret: [u8; 32],
}

/// Without the secret.
impl std::fmt::Debug for Membership {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Membership")
            .field("node", &self.node)
            .field("epoch", &self.ring.document().epoch)
            .finish_non_exhaustive()
    }
}

/// Why a node can't tell who it is. Nothing was changed.
#[derive(Debug)]
pub enum DataDirError {
    Io {
        path: PathBuf,
        error: io::Error,
    },
    /// A file has something else in it than it should.
    Malformed {
        path: PathBuf,
        reason: String,
    },
    /// Others could read the cluster's secret.
    SecretIsReadable {
        path: PathBuf,
    },
    /// The directory belongs to another node than the one that was asked to start.
    AnotherNode {
        path: PathBuf,
        here: NodeId,
        asked: NodeId,
    },
    /// The directory belongs to another cluster than the founding list's.
    AnotherCluster {
        path: PathBuf,
    },
    /// A node is to join, and its directory holds what another one has left.
    NotEmpty {
        path: PathBuf,
    },
    /// A new directory and no founding list: nothing says which cluster to found.
    NotFounded {
        path: PathBuf,
    },
    /// The founding list has no member of this name.
    NoSuchMember {
        name: String,
    },
    InvalidRing(InvalidRing),
    /// The directory was made with another engine than the one that is configured.
    AnotherEngine {
        path: PathBuf,
        here: String,
        asked: &'static str,
    },
    /// Another store is here than the one that this node had: its own is gone. An empty store under an old
    /// name would answer "not found" for what this node has acknowledged.
    AnotherStore {
        path: PathBuf,
    },
}

impl std::fmt::Display for DataDirError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Malformed { path, reason } => write!(
                f,
                "{} is damaged: {reason}. The node does not start without it; restore the file from a backup, or replace this node",
                path.display()
            ),
            Self::SecretIsReadable { path } => write!(
                f,
                "{} holds the cluster's secret and others may read it; run `chmod 600 {}`",
                path.display(),
                path.display()
            ),
            Self::AnotherNode { path, here, asked } => write!(
                f,
                "{} belongs to node {here}, not to {asked}; give this node a directory of its own",
                path.display()
            ),
            Self::AnotherCluster { path } => write!(
                f,
                "{} belongs to another cluster than the founding list; two clusters can't be merged",
                path.display()
            ),
            Self::NotEmpty { path } => write!(
                f,
                "{} is there already, and no node has left it that could go on; join with an empty data directory",
                path.display()
            ),
            Self::NotFounded { path } => write!(
                f,
                "{} is new and no founding list was given; start with `--founding FILE --name NAME`, or with `--join ADDRESS --token TOKEN`",
                path.display()
            ),
            Self::NoSuchMember { name } => {
                write!(
                    f,
                    "the founding list has no member named {name:?}; give one of its names with `--name`"
                )
            }
            Self::AnotherEngine { path, here, asked } => write!(
                f,
                "{} was made with storage.engine = {here:?}, and {asked:?} can't read it: set it back to {here:?}. To change engines, let the node leave and join anew with an empty directory",
                path.display()
            ),
            Self::AnotherStore { path } => write!(
                f,
                "the store of this node is gone from {}: is its disk mounted? If it is lost for good, start the node anew with an empty directory and the founding list",
                path.display()
            ),
            Self::InvalidRing(error) => write!(f, "the ring document is not valid: {error}"),
        }
    }
}

impl std::error::Error for DataDirError {}

/// Who this node is: what the directory says, or, in a new directory, what the founding list says.
pub(crate) fn open(
    directory: &Path,
    founding: Option<&Founding>,
    name: &str,
) -> Result<Membership, DataDirError> {
    fs::create_dir_all(directory).map_err(|error| io_error(directory, error))?;
    if directory.join("node").exists() {
        return reopen(directory, founding, name);
    }
    let founding = founding.ok_or_else(|| DataDirError::NotFounded {
        path: directory.to_owned(),
    })?;
    found(directory, founding, name)
}

/// Whether the directory is that of a member.
pub(crate) fn is_members(directory: &Path) -> bool {
    directory.join("node").exists()
}

/// The identity under which a new node asks to become a member; written down before anybody hears of it, so that whoever
/// asks again after an interruption asks as the same node.
pub(crate) fn joining_identity(
    directory: &Path,
    draw: impl FnOnce() -> NodeId,
) -> Result<NodeId, DataDirError> {
    fs::create_dir_all(directory).map_err(|error| io_error(directory, error))?;
    let path = directory.join("joining");
    if path.exists() {
        return read_identity(&path);
    }
    for left in ["store", "log", "engine", "engine-name", "ring", "secret"] {
        let path = directory.join(left);
        if path.exists() {
            return Err(DataDirError::NotEmpty { path });
        }
    }
    let node = draw();
    replace(directory, &path, node.to_string().as_bytes())
        .map_err(|error| io_error(&path, error))?;
    Ok(node)
}

/// Writes what a new member was told.
pub(crate) fn enrolled(
    directory: &Path,
    node: NodeId,
    document: RingDocument,
    secret: [u8; 32],
) -> Result<Membership, DataDirError> {
    let membership = write(directory, node, document, &ClusterSecret(secret))?;
    // It has said what it had to say; a member does not look at it.
    fs::remove_file(directory.join("joining")).ok();
    Ok(membership)
}

/// Holds the store that was opened against the one that this node had; on its first start, notes it. To be
/// called before the node serves anything.
pub(crate) fn claim_store(directory: &Path, store: u128) -> Result<(), DataDirError> {
    let path = directory.join("store");
    let name = format!("{store:032x}");
    match fs::read_to_string(&path) {
        Ok(known) if known.trim() == name => Ok(()),
        Ok(_) => Err(DataDirError::AnotherStore {
            path: directory.to_owned(),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            replace(directory, &path, name.as_bytes()).map_err(|error| io_error(&path, error))
        }
        Err(error) => Err(io_error(&path, error)),
    }
}

/// Holds the configured engine against the one that the directory was made with; in a new one, notes it. To be called before the
/// engine is opened. A directory from before the name was kept has LMDB's file, or no engine yet.
pub(crate) fn claim_engine(directory: &Path, asked: &'static str) -> Result<(), DataDirError> {
    let path = directory.join("engine-name");
    let here = match fs::read_to_string(&path) {
        Ok(known) => known.trim().to_owned(),
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(io_error(&path, error));
        }
        Err(_) => {
            let is_lmdb = directory.join("engine").join("data.mdb").exists();
            let here = if is_lmdb { "lmdb" } else { asked };
            replace(directory, &path, here.as_bytes()).map_err(|error| io_error(&path, error))?;
            here.to_owned()
        }
    };
    if here == asked {
        return Ok(());
    }
    Err(DataDirError::AnotherEngine {
        path: directory.to_owned(),
        here,
        asked,
    })
}

fn reopen(
    directory: &Path,
    founding: Option<&Founding>,
    name: &str,
) -> Result<Membership, DataDirError> {
    let node = read_identity(&directory.join("node"))?;
    let path = directory.join("ring");
    let bytes = fs::read(&path).map_err(|error| io_error(&path, error))?;
    let document = ring_format::decode(bytes.into());
    let document = document.map_err(|error| DataDirError::Malformed {
        path: path.clone(),
        reason: error.to_string(),
    })?;
    if let Some(founding) = founding {
        if founding.cluster_id != document.cluster_id {
            return Err(DataDirError::AnotherCluster {
                path: directory.to_owned(),
            });
        }
        let asked = member_named(founding, name)?;
        if asked != node {
            return Err(DataDirError::AnotherNode {
                path: directory.to_owned(),
                here: node,
                asked,
            });
        }
    }
    let ring = Arc::new(Ring::new(document).map_err(DataDirError::InvalidRing)?);
    Ok(Membership {
        node,
        ring,
        secret: read_secret(&directory.join("secret"))?,
    })
}

fn found(directory: &Path, founding: &Founding, name: &str) -> Result<Membership, DataDirError> {
    let node = member_named(founding, name)?;
    let document = ring_document(founding)?;
    write(directory, node, document, &founding.cluster_secret)
}

/// Writes what makes a node a member. The identity comes last: a directory without it is new.
fn write(
    directory: &Path,
    node: NodeId,
    document: RingDocument,
    secret: &ClusterSecret,
) -> Result<Membership, DataDirError> {
    let encoded = ring_format::encode(&document);
    let ring = Arc::new(Ring::new(document).map_err(DataDirError::InvalidRing)?);
    let secret_text = secret.to_hexadecimal();
    for (file, bytes) in [
        ("ring", &encoded[..]),
        ("secret", secret_text.as_bytes()),
        ("node", node.to_string().as_bytes()),
    ] {
        let path = directory.join(file);
        replace(directory, &path, bytes).map_err(|error| io_error(&path, error))?;
    }
    Ok(Membership {
        node,
        ring,
        secret: secret.0,
    })
}

/// The first ring document of the cluster: every node makes the same one of the same list.
fn ring_document(founding: &Founding) -> Result<RingDocument, DataDirError> {
    let member = |member: &FoundingMember| Member {
        id: member.id,
        name: member.name.clone(),
        addresses: Addresses {
            peer: member.peer.clone(),
            http: member.http.clone(),
            pb: String::new(),
            native: member.native.clone(),
        },
        zone: member.zone.clone(),
        rack: member.rack.clone(),
        weight: member.weight,
        state: MemberState::Up,
    };
    let members = founding.members.iter().map(member).collect();
    let count = PartitionCount::new(founding.partitions)
        .expect("a founding list was checked when it was read");
    let target_n = u8::try_from(founding.target_n).unwrap_or(u8::MAX);
    RingDocument::found(founding.cluster_id, members, count, target_n)
        .and_then(|document| document.with_replicas(founding.n_val))
        .map_err(DataDirError::InvalidRing)
}

fn member_named(founding: &Founding, name: &str) -> Result<NodeId, DataDirError> {
    let member = founding
        .member(name)
        .ok_or_else(|| DataDirError::NoSuchMember {
            name: name.to_owned(),
        })?;
    Ok(member.id)
}

fn read_identity(path: &Path) -> Result<NodeId, DataDirError> {
    let text = fs::read_to_string(path).map_err(|error| io_error(path, error))?;
    text.trim().parse().map_err(
        |error: ringhold_core::id::ParseIdError| DataDirError::Malformed {
            path: path.to_owned(),
            reason: error.to_string(),
        },
    )
}

fn read_secret(path: &Path) -> Result<[u8; 32], DataDirError> {
    let metadata = fs::metadata(path).map_err(|error| io_error(path, error))?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(DataDirError::SecretIsReadable {
            path: path.to_owned(),
        });
    }
    let text = fs::read_to_string(path).map_err(|error| io_error(path, error))?;
    parse_secret(text.trim()).ok_or_else(|| DataDirError::Malformed {
        path: path.to_owned(),
        reason: "a secret is 64 hexadecimal digits".to_owned(),
    })
}

fn parse_secret(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut secret = [0; 32];
    for (byte, pair) in secret.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    Some(secret)
}

fn replace(directory: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(directory)?.sync_all()
}

fn io_error(path: &Path, error: io::Error) -> DataDirError {
    DataDirError::Io {
        path: path.to_owned(),
        error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_store_in_the_place_of_the_known_one_is_refused_every_time() {
        let directory = tempfile::tempdir().expect("a directory");
        for _ in 0..2 {
            claim_store(directory.path(), 7).expect("it is this node's store");
        }
        for _ in 0..2 {
            let refused = claim_store(directory.path(), 8);
            assert!(
                matches!(refused, Err(DataDirError::AnotherStore { .. })),
                "{refused:?}"
            );
        }
    }

    #[test]
    fn a_directory_keeps_its_engine() {
        let directory = tempfile::tempdir().expect("a directory");
        for _ in 0..2 {
            claim_engine(directory.path(), "fjall").expect("new, then its own");
        }
        let refused = claim_engine(directory.path(), "lmdb").expect_err("another");
        let text = refused.to_string();
        assert!(text.contains("fjall") && text.contains("lmdb"), "{text}");
        claim_engine(directory.path(), "fjall").expect("a refusal changes nothing");
    }

    #[test]
    fn a_directory_without_a_name_has_the_engine_whose_file_is_there() {
        let directory = tempfile::tempdir().expect("a directory");
        let engine = directory.path().join("engine");
        fs::create_dir(&engine).expect("a directory");
        fs::write(engine.join("data.mdb"), "").expect("a file");
        assert!(claim_engine(directory.path(), "fjall").is_err());
        claim_engine(directory.path(), "lmdb").expect("its own");
    }

    #[test]
    fn whoever_joins_asks_again_as_the_same_node_and_in_an_empty_directory() {
        let directory = tempfile::tempdir().expect("a directory");
        let drawn = NodeId(7);
        for _ in 0..2 {
            let node = joining_identity(directory.path(), || drawn).expect("an empty directory");
            assert_eq!(node, drawn);
        }
        let again = joining_identity(directory.path(), || panic!("it was drawn"));
        assert_eq!(again.expect("it was written"), drawn);
        assert!(!is_members(directory.path()));
        fs::remove_file(directory.path().join("joining")).expect("it is there");
        fs::create_dir(directory.path().join("log")).expect("a directory");
        let refused = joining_identity(directory.path(), || drawn);
        assert!(
            matches!(refused, Err(DataDirError::NotEmpty { .. })),
            "{refused:?}"
        );
    }

    #[test]
    fn a_secret_is_64_hexadecimal_digits() {
        assert_eq!(parse_secret(&"0f".repeat(32)), Some([15; 32]));
        for text in [
            "",
            "0f",
            &"0g".repeat(32),
            &"0f".repeat(33),
            &"é".repeat(32),
        ] {
            assert_eq!(parse_secret(text), None, "{text}");
        }
    }
}
