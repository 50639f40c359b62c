//! A backup: the objects of one node's store, in a file that outlives programs.
//!
//! What is in a backup comes back by merge, so it holds what replicas send each other: names and objects with all
//! their siblings and contexts, never a store's own right to go on counting (T2). A file is a row of blocks:
//!
//! ```text
//! u8     kind: 1 head, 2 bucket properties, 3 objects, 4 end, 5 bucket types
//! u32 …  the body's length, and the body
//! u64    XXH3 of all bytes of the block before it
//!
//! head        8 bytes "RHBACKUP", u16 the format version, u128 cluster, u128 node, u64 ring epoch,
//!             u64 when it was begun (microseconds since 1970)
//! types       a list of names, whether the type is active, and what it has set; once, after the head, if there are any
//! properties  a list of buckets with what they have set themselves
//! objects     a list of names and objects, in the order of the ring
//! end         u64 objects, u64 buckets, u64 records that could not be read and are missing,
//!             u128 XXH3 of all bytes of the file before this block
//! ```
//!
//! The head comes first, the end last, and nothing after it: a file that was cut off has no end and is no backup. Blocks
//! are small, so both ends work in bounded memory; one object larger than a block makes a block of its own.
//!
//! Not here: where the bytes come from and go to, and whether a backup may be restored somewhere.

use crate::bytes_io::{DecodeError, Reader, decode_whole, encode_alone};
use crate::message::ObjectName;
use crate::message::codec::Part;
use crate::message::peer::BucketProperties;
use bytes::{Buf, Bytes, BytesMut};
use ringhold_core::id::{ClusterId, NodeId};
use ringhold_core::ring::{TYPE_NAME_BYTES_MAX, TYPE_PROPERTIES_BYTES_MAX};
use ringhold_core::version::Object;
use std::fmt;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// The version of the format that is written, and the only one that is read.
pub const FORMAT_VERSION: u16 = 1;
/// No block's body is longer: an object may have 50 MiB.
pub const BLOCK_BYTES_MAX: usize = 128 << 20;

const MAGIC: [u8; 8] = *b"RHBACKUP";
const PREFIX_BYTES: usize = 1 + 4;
const CHECKSUM_BYTES: usize = 8;
const HEAD_BYTES: usize = 8 + 2 + 16 + 16 + 8 + 8;
const END_BYTES: usize = 3 * 8 + 16;

const HEAD: u8 = 1;
const PROPERTIES: u8 = 2;
const OBJECTS: u8 = 3;
const END: u8 = 4;
const TYPES: u8 = 5;

/// An empty name, a flag, and nothing set.
const TYPE_BYTES_MIN: usize = 4 + 1 + 4;

/// Whose backup it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub cluster: ClusterId,
    pub node: NodeId,
    pub epoch: u64,
    /// By the node's wall clock, in microseconds since 1970.
    pub began_us: u64,
}

/// What is in it, counted by whoever wrote it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct End {
    pub objects: u64,
    pub buckets: u64,
    /// Records that could not be read, and are missing.
    pub unreadable: u64,
}

/// A bucket type, as the ring document has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackedUpType {
    pub name: Bytes,
    /// Or only created, and of no use to anybody.
    pub is_active: bool,
    /// What was set, as the node encodes it.
    pub properties: Bytes,
}

/// One block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    Head(Head),
    Types(Vec<BackedUpType>),
    Properties(Vec<BucketProperties>),
    Objects(Vec<(ObjectName, Object)>),
    End(End),
}

/// Why bytes are no backup. Nothing in them is to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackupError {
    /// They begin like something else.
    NotABackup,
    /// A later release has written them.
    UnknownVersion { version: u16 },
    /// A block is damaged; `offset` is where it begins.
    Damaged { offset: u64 },
    /// They end before the end block: the file was cut off.
    Truncated { offset: u64 },
    /// A block is longer than any that is written.
    TooLong { offset: u64, bytes: usize },
    /// A block that does not belong there: a second head, something after the end, or a kind that nobody writes.
    OutOfPlace { offset: u64, kind: u8 },
    /// The end counts other blocks than there are.
    OtherCounts { said: End, found: End },
    /// The checksum over all does not fit: a whole block was lost or moved.
    OtherChecksum,
    /// A block has its checksum and no meaning.
    Malformed(DecodeError),
}

impl fmt::Display for BackupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotABackup => f.write_str("this is no backup of Ringhold"),
            Self::UnknownVersion { version } => {
                write!(
                    f,
                    "a later release has written this backup (format {version}, this one reads {FORMAT_VERSION})"
                )
            }
            Self::Damaged { offset } => write!(f, "the backup is damaged at byte {offset}"),
            Self::Truncated { offset } => {
                write!(f, "the backup ends early, at byte {offset}: it was cut off")
            }
            Self::TooLong { offset, bytes } => {
                write!(
                    f,
                    "the backup has a block of {bytes} bytes at byte {offset}: it is damaged"
                )
            }
            Self::OutOfPlace { offset, kind } => {
                write!(
                    f,
                    "the backup has a block of kind {kind} at byte {offset} that does not belong there"
                )
            }
            Self::OtherCounts { said, found } => write!(
                f,
                "the backup says it has {} objects and {} buckets, and has {} and {}",
                said.objects, said.buckets, found.objects, found.buckets
            ),
            Self::OtherChecksum => {
                f.write_str("the checksum of the backup does not fit: it is damaged")
            }
            Self::Malformed(error) => write!(f, "the backup can't be understood: {error}"),
        }
    }
}

impl std::error::Error for BackupError {}

/// Makes the blocks of one backup.
pub struct BackupWriter {
    checksum: Xxh3,
    counted: End,
}

impl BackupWriter {
    /// A writer, and the first block.
    #[must_use]
    pub fn begin(head: Head) -> (Self, Bytes) {
        let mut writer = Self {
            checksum: Xxh3::new(),
            counted: End::default(),
        };
        let body = encode_alone(HEAD_BYTES, |writer| {
            writer.raw(&MAGIC);
            writer.u16(FORMAT_VERSION);
            writer.u128(head.cluster.0);
            writer.u128(head.node.0);
            writer.u64(head.epoch);
            writer.u64(head.began_us);
        });
        let block = writer.block(HEAD, &body);
        (writer, block)
    }

    /// All types; before anything that is of one of them.
    pub fn types(&mut self, types: &[BackedUpType]) -> Bytes {
        let body = encode_alone(0, |writer| {
            writer.list(types, |writer, one| {
                writer.bytes(&one.name);
                writer.flag(one.is_active);
                writer.bytes(&one.properties);
            });
        });
        self.block(TYPES, &body)
    }

    pub fn properties(&mut self, buckets: &Vec<BucketProperties>) -> Bytes {
        self.counted.buckets += buckets.len() as u64;
        let body = encode_alone(0, |writer| buckets.write(writer));
        self.block(PROPERTIES, &body)
    }

    pub fn objects(&mut self, objects: &Vec<(ObjectName, Object)>) -> Bytes {
        self.counted.objects += objects.len() as u64;
        let body = encode_alone(0, |writer| objects.write(writer));
        self.block(OBJECTS, &body)
    }

    /// The last block, and what is said in it.
    #[must_use]
    pub fn end(mut self, unreadable: u64) -> (Bytes, End) {
        let end = End {
            unreadable,
            ..self.counted
        };
        let checksum = self.checksum.digest128();
        let body = encode_alone(END_BYTES, |writer| {
            writer.u64(end.objects);
            writer.u64(end.buckets);
            writer.u64(end.unreadable);
            writer.u128(checksum);
        });
        (self.block(END, &body), end)
    }

    fn block(&mut self, kind: u8, body: &[u8]) -> Bytes {
        let block = encode_alone(PREFIX_BYTES + body.len() + CHECKSUM_BYTES, |writer| {
            writer.u8(kind);
            writer.bytes(body);
            writer.u64(xxh3_64(writer.written()));
        });
        self.checksum.update(&block);
        block
    }
}

/// Reads blocks out of bytes as they come.
pub struct BackupReader {
    bytes: BytesMut,
    checksum: Xxh3,
    /// Bytes before those at hand.
    offset: u64,
    has_begun: bool,
    counted: End,
    end: Option<End>,
}

impl Default for BackupReader {
    fn default() -> Self {
        Self {
            bytes: BytesMut::new(),
            checksum: Xxh3::new(),
            offset: 0,
            has_begun: false,
            counted: End::default(),
            end: None,
        }
    }
}

impl BackupReader {
    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next block, with its bytes as they are in the file; none if it is not there as a whole yet.
    ///
    /// # Errors
    /// The bytes are no backup; what came before must not be believed either, as far as it is not merged already.
    pub fn next_block(&mut self) -> Result<Option<(Block, Bytes)>, BackupError> {
        let offset = self.offset;
        let Some((prefix, _)) = self.bytes.split_first_chunk::<PREFIX_BYTES>() else {
            return Ok(None);
        };
        let (kind, length) = (prefix[0], [prefix[1], prefix[2], prefix[3], prefix[4]]);
        let body_bytes = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        let is_expected = match kind {
            HEAD => !self.has_begun,
            TYPES | PROPERTIES | OBJECTS | END => self.has_begun && self.end.is_none(),
            _ => false,
        };
        if !is_expected && !self.has_begun {
            return Err(BackupError::NotABackup);
        }
        if !is_expected {
            return Err(BackupError::OutOfPlace { offset, kind });
        }
        if body_bytes > BLOCK_BYTES_MAX {
            let bytes = body_bytes;
            return Err(BackupError::TooLong { offset, bytes });
        }
        let block_bytes = PREFIX_BYTES + body_bytes + CHECKSUM_BYTES;
        if self.bytes.len() < block_bytes {
            return Ok(None);
        }
        let block = self.bytes.split_to(block_bytes).freeze();
        self.offset += block_bytes as u64;
        let (sealed, mut checksum) = (
            block.slice(..block_bytes - CHECKSUM_BYTES),
            block.slice(block_bytes - CHECKSUM_BYTES..),
        );
        let body = sealed.slice(PREFIX_BYTES..);
        // Before the checksum: another program's file has none of ours.
        if kind == HEAD && !body.starts_with(&MAGIC) {
            return Err(BackupError::NotABackup);
        }
        if checksum.get_u64() != xxh3_64(&sealed) {
            return Err(BackupError::Damaged { offset });
        }
        let decoded = self.decode(kind, body)?;
        self.checksum.update(&block);
        Ok(Some((decoded, block)))
    }

    /// What the whole backup had, once its end was read.
    ///
    /// # Errors
    /// If there was no end, or something after it.
    pub fn finish(self) -> Result<End, BackupError> {
        let offset = self.offset;
        match self.end {
            Some(_) if !self.bytes.is_empty() => Err(BackupError::OutOfPlace {
                offset,
                kind: self.bytes[0],
            }),
            Some(end) => Ok(end),
            None if !self.has_begun => Err(BackupError::NotABackup),
            None => Err(BackupError::Truncated { offset }),
        }
    }

    fn decode(&mut self, kind: u8, body: Bytes) -> Result<Block, BackupError> {
        let malformed = BackupError::Malformed;
        match kind {
            HEAD => {
                let head = decode_head(body)?;
                self.has_begun = true;
                Ok(Block::Head(head))
            }
            TYPES => {
                let types = decode_whole("bucket types", body, read_types).map_err(malformed)?;
                Ok(Block::Types(types))
            }
            PROPERTIES => {
                let buckets = decode_whole("buckets", body, Vec::read).map_err(malformed)?;
                self.counted.buckets += buckets.len() as u64;
                Ok(Block::Properties(buckets))
            }
            OBJECTS => {
                let objects = decode_whole("objects", body, Vec::read).map_err(malformed)?;
                self.counted.objects += objects.len() as u64;
                Ok(Block::Objects(objects))
            }
            _ => {
                let (said, checksum) =
                    decode_whole("end of a backup", body, read_end).map_err(malformed)?;
                let found = End {
                    unreadable: said.unreadable,
                    ..self.counted
                };
                if said != found {
                    return Err(BackupError::OtherCounts { said, found });
                }
                if checksum != self.checksum.digest128() {
                    return Err(BackupError::OtherChecksum);
                }
                self.end = Some(said);
                Ok(Block::End(said))
            }
        }
    }
}

fn decode_head(body: Bytes) -> Result<Head, BackupError> {
    let mut reader = Reader::new(body);
    let magic: [u8; 8] = reader.array("magic").map_err(BackupError::Malformed)?;
    assert_eq!(magic, MAGIC, "looked at before");
    let version = reader.u16("version").map_err(BackupError::Malformed)?;
    if version != FORMAT_VERSION {
        return Err(BackupError::UnknownVersion { version });
    }
    let head = read_head(&mut reader).map_err(BackupError::Malformed)?;
    reader
        .finish("head of a backup")
        .map_err(BackupError::Malformed)?;
    Ok(head)
}

fn read_head(reader: &mut Reader) -> Result<Head, DecodeError> {
    Ok(Head {
        cluster: ClusterId(reader.u128("cluster id")?),
        node: NodeId(reader.u128("node id")?),
        epoch: reader.u64("ring epoch")?,
        began_us: reader.u64("time of the backup")?,
    })
}

fn read_types(reader: &mut Reader) -> Result<Vec<BackedUpType>, DecodeError> {
    reader.list::<_, TYPE_BYTES_MIN>("bucket types", |reader| {
        Ok(BackedUpType {
            name: reader.bytes("bucket type", TYPE_NAME_BYTES_MAX)?,
            is_active: reader.flag("active")?,
            properties: reader.bytes("properties", TYPE_PROPERTIES_BYTES_MAX)?,
        })
    })
}

fn read_end(reader: &mut Reader) -> Result<(End, u128), DecodeError> {
    let end = End {
        objects: reader.u64("objects")?,
        buckets: reader.u64("buckets")?,
        unreadable: reader.u64("unreadable records")?,
    };
    Ok((end, reader.u128("checksum")?))
}
