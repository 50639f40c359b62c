//! The encoding of the ring document, on disk and between nodes.
//!
//! ```text
//! u8       1, the format version
//! u128     cluster id
//! u64      epoch
//! 16 B     hash of the previous document
//! u32      sections: "members", "placement", "staged", then any others; each:
//!   u32      length of the name, name
//!   16 B     hash of the section
//!   u32      length of the content, content
//! 16 B     hash of the document
//! ```
//!
//! Each section has its own length and hash, so that a node can keep, compare and pass on one that
//! it knows nothing about: a section that a later release adds survives every node of this one
//! (T20). The layouts of the three known sections belong to the format version, because their hashes
//! are over their meaning; what a later release wants to say of members or placement, it says in a
//! section of its own, or in a new format version that no release writes before every member reads
//! it. How many replicas keys have came later than the rest of the placement: it stands at the section's end, and only where it is not
//! what it is anyway, so that a document of before is the same bytes.
//!
//! Invariants, checked on decoding: the known sections come first, each name once; every section's
//! hash and the document's are those of the content. So a document that comes out of here is
//! sealed, and is the one that was hashed.
//!
//! Not here: whether such a ring makes sense and may follow the one before. Whoever decodes a
//! document validates it next.

mod changes;

pub use changes::{decode_changes, encode_changes};

use crate::bytes_io::{DecodeError, Reader, WITHOUT_LIMIT, Writer, decode_whole};
use crate::message::NAME_BYTES_MAX;
use bytes::{Bytes, BytesMut};
use ringhold_core::id::{ClusterId, NodeId};
use ringhold_core::ring::document::{MEMBERS_SECTION, PLACEMENT_SECTION, STAGED_SECTION};
use ringhold_core::ring::{
    Addresses, BucketName, Change, Epoch, FurtherSection, Member, MemberState, Next,
    PartitionCount, Placement, Replication, RingDocument, RingHash, SectionHash,
};

/// The version of the format that is written, and the only one that is read.
pub const FORMAT_VERSION: u8 = 1;

/// No section's name is longer, in bytes.
pub const SECTION_NAME_BYTES_MAX: usize = 256;

/// No document has more sections.
pub const SECTIONS_MAX: usize = 256;

const NODE_ID_BYTES: usize = 16;
const SECTION_BYTES_MIN: usize = 4 + 16 + 4;
/// A kind, two empty names and a number.
const CHANGE_BYTES_MIN: usize = 1 + BUCKET_BYTES_MIN;
/// Two empty names and a number.
const BUCKET_BYTES_MIN: usize = 4 + 4 + 1;
/// An id, seven texts, weight and state.
const MEMBER_BYTES_MIN: usize = 16 + 7 * 4 + 4 + 1;

/// The encoding of a document.
///
/// # Panics
/// If the document is not sealed, has too many sections, two of one name, or one with too long a
/// name: nobody could read it.
#[must_use]
pub fn encode(document: &RingDocument) -> Bytes {
    write(document, |writer, _, content| writer.bytes(content))
}

/// Writes a document, each section's content in the given way.
fn write(
    document: &RingDocument,
    write_content: impl Fn(&mut Writer<'_>, &SectionHash, &Bytes),
) -> Bytes {
    let hashes = document.count_section_hashes();
    assert!(
        document.section_hashes == hashes,
        "a ring document is sealed before it is written"
    );
    assert!(
        hashes.len() <= SECTIONS_MAX,
        "a ring document of {} sections",
        hashes.len()
    );
    assert!(
        distinct(hashes.iter().map(|section| section.name.as_str())),
        "two sections of one name"
    );
    let mut out = BytesMut::new();
    let mut writer = Writer::new(&mut out);
    writer.u8(FORMAT_VERSION);
    writer.u128(document.cluster_id.0);
    writer.u64(document.epoch.0);
    writer.raw(&document.previous.0);
    writer.list(&sections(document), |writer, (name, content)| {
        let section = section_of(&hashes, name).expect("every section is hashed");
        writer.bytes_within("section name", name.as_bytes(), SECTION_NAME_BYTES_MAX);
        writer.raw(&section.hash.0);
        write_content(writer, section, content);
    });
    writer.raw(&document.hash().0);
    out.freeze()
}

/// Decodes a document and checks its hashes. It is still to be validated.
///
/// # Errors
/// If the bytes are no encoding of a document, or are damaged.
pub fn decode(bytes: Bytes) -> Result<RingDocument, DecodeError> {
    decode_whole("ring document", bytes, |reader| {
        read::<SECTION_BYTES_MIN>(reader, read_section)
    })
}

/// All sections with their content, the known ones first.
fn sections(document: &RingDocument) -> Vec<(&str, Bytes)> {
    let mut members = BytesMut::new();
    Writer::new(&mut members).list(&document.members, write_member);
    let mut placement = BytesMut::new();
    write_placement(&mut Writer::new(&mut placement), &document.placement);
    let mut staged = BytesMut::new();
    Writer::new(&mut staged).list(&document.staged, write_change);
    let known = [
        (MEMBERS_SECTION, members.freeze()),
        (PLACEMENT_SECTION, placement.freeze()),
        (STAGED_SECTION, staged.freeze()),
    ];
    let further = document.further.iter();
    known
        .into_iter()
        .chain(further.map(|f| (f.name.as_str(), f.bytes.clone())))
        .collect()
}

fn section_of<'a>(hashes: &'a [SectionHash], name: &str) -> Option<&'a SectionHash> {
    hashes.iter().find(|section| section.name == name)
}

/// A section as it lies in the bytes.
struct Section {
    name: String,
    hash: RingHash,
    content: Bytes,
}

/// Reads a document whose sections are of at least so many bytes, each in the given way.
fn read<const SECTION_BYTES: usize>(
    reader: &mut Reader,
    read_section: impl Fn(&mut Reader) -> Result<Section, DecodeError>,
) -> Result<RingDocument, DecodeError> {
    let version = reader.u8("ring document")?;
    if version != FORMAT_VERSION {
        return Err(DecodeError::UnknownVersion {
            what: "ring document",
            version,
        });
    }
    let cluster_id = ClusterId(reader.u128("cluster id")?);
    let epoch = Epoch(reader.u64("epoch")?);
    let previous = RingHash(reader.array("previous hash")?);
    let offset = reader.offset();
    let sections = reader.list::<_, SECTION_BYTES>("sections", read_section)?;
    let (count, left) = (sections.len(), reader.left());
    if count > SECTIONS_MAX {
        return Err(DecodeError::TooMany {
            what: "sections",
            offset,
            count,
            left,
        });
    }
    let Some((known, further)) = known_first(&sections) else {
        return Err(DecodeError::Malformed {
            what: "sections",
            offset,
        });
    };
    let [members, placement, staged] = known.map(|section| section.content.clone());
    let document = RingDocument {
        cluster_id,
        epoch,
        previous,
        members: decode_whole("members", members, read_members)?,
        placement: decode_whole("placement", placement, read_placement)?,
        staged: decode_whole("staged changes", staged, read_changes)?,
        further,
        section_hashes: Vec::new(),
    }
    .sealed();
    if sections
        .iter()
        .any(|s| section_of(&document.section_hashes, &s.name).map(|s| s.hash) != Some(s.hash))
    {
        return Err(DecodeError::HashMismatch {
            what: "section",
            offset,
        });
    }
    let offset = reader.offset();
    if RingHash(reader.array("document hash")?) != document.hash() {
        return Err(DecodeError::HashMismatch {
            what: "ring document",
            offset,
        });
    }
    Ok(document)
}

/// The three known sections and all others, if names are as they must be.
fn known_first(sections: &[Section]) -> Option<([&Section; 3], Vec<FurtherSection>)> {
    let [members, placement, staged, further @ ..] = sections else {
        return None;
    };
    let known = [members, placement, staged];
    let names = [MEMBERS_SECTION, PLACEMENT_SECTION, STAGED_SECTION];
    if known.map(|section| section.name.as_str()) != names
        || !distinct(sections.iter().map(|section| section.name.as_str()))
    {
        return None;
    }
    let further = further.iter();
    let further = further.map(|s| FurtherSection {
        name: s.name.clone(),
        bytes: s.content.clone(),
    });
    Some((known, further.collect()))
}

fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> bool {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names.windows(2).all(|pair| pair[0] != pair[1])
}

fn read_section(reader: &mut Reader) -> Result<Section, DecodeError> {
    let name = read_text(reader, "section name", SECTION_NAME_BYTES_MAX)?;
    let hash = RingHash(reader.array("section hash")?);
    let content = reader.bytes("section", WITHOUT_LIMIT)?;
    Ok(Section {
        name,
        hash,
        content,
    })
}

fn write_member(writer: &mut Writer<'_>, member: &Member) {
    writer.u128(member.id.0);
    for text in member.texts() {
        writer.bytes(text.as_bytes());
    }
    writer.u32(member.weight);
    writer.u8(match member.state {
        MemberState::Joining => 1,
        MemberState::Up => 2,
        MemberState::Leaving => 3,
        MemberState::Down => 4,
        MemberState::Removed => 5,
        MemberState::Lost => 6,
    });
}

fn read_members(reader: &mut Reader) -> Result<Vec<Member>, DecodeError> {
    reader.list::<_, MEMBER_BYTES_MIN>("members", read_member)
}

fn read_member(reader: &mut Reader) -> Result<Member, DecodeError> {
    Ok(Member {
        id: NodeId(reader.u128("node id")?),
        name: read_text(reader, "name", WITHOUT_LIMIT)?,
        addresses: Addresses {
            peer: read_text(reader, "peer address", WITHOUT_LIMIT)?,
            http: read_text(reader, "http address", WITHOUT_LIMIT)?,
            pb: read_text(reader, "pb address", WITHOUT_LIMIT)?,
            native: read_text(reader, "native address", WITHOUT_LIMIT)?,
        },
        zone: read_text(reader, "zone", WITHOUT_LIMIT)?,
        rack: read_text(reader, "rack", WITHOUT_LIMIT)?,
        weight: reader.u32("weight")?,
        state: match reader.u8("member state")? {
            1 => MemberState::Joining,
            2 => MemberState::Up,
            3 => MemberState::Leaving,
            4 => MemberState::Down,
            5 => MemberState::Removed,
            6 => MemberState::Lost,
            code => return Err(reader.unknown_code("member state", code)),
        },
    })
}

fn write_placement(writer: &mut Writer<'_>, placement: &Placement) {
    writer.u32(placement.partition_count.count());
    writer.u64(placement.placement_number);
    writer.u8(placement.target_n);
    write_table(writer, &placement.owners);
    writer.option(placement.next.as_ref(), |writer, next| {
        write_table(writer, &next.owners);
        writer.list(&next.changes, write_change);
    });
    if placement.has_plain_replication() {
        return;
    }
    write_replication(writer, &placement.replication);
    if let Some(next) = &placement.next {
        write_replication(writer, &next.replication);
    }
}

fn read_placement(reader: &mut Reader) -> Result<Placement, DecodeError> {
    let count = reader.u32("partition count")?;
    let partition_count = PartitionCount::new(count).map_err(|_| DecodeError::Malformed {
        what: "partition count",
        offset: 0,
    })?;
    let mut placement = Placement {
        partition_count,
        placement_number: reader.u64("placement number")?,
        target_n: reader.u8("target n")?,
        owners: read_table(reader)?,
        replication: Replication::default(),
        next: reader.option("next", read_next)?,
    };
    if reader.left() == 0 {
        return Ok(placement);
    }
    let offset = reader.offset();
    placement.replication = read_replication(reader)?;
    if let Some(next) = &mut placement.next {
        next.replication = read_replication(reader)?;
    }
    // There is one way to write a placement.
    if placement.has_plain_replication() {
        return Err(DecodeError::Malformed {
            what: "replicas",
            offset,
        });
    }
    Ok(placement)
}

fn read_next(reader: &mut Reader) -> Result<Next, DecodeError> {
    Ok(Next {
        owners: read_table(reader)?,
        changes: read_changes(reader)?,
        replication: Replication::default(),
    })
}

fn write_replication(writer: &mut Writer<'_>, replication: &Replication) {
    writer.u8(replication.default);
    let buckets: Vec<(&BucketName, u8)> =
        replication.buckets.iter().map(|(b, n)| (b, *n)).collect();
    writer.list(&buckets, |writer, (bucket, n)| {
        write_bucket(writer, bucket, *n);
    });
}

fn read_replication(reader: &mut Reader) -> Result<Replication, DecodeError> {
    let default = reader.u8("replicas")?;
    let offset = reader.offset();
    let buckets = reader.list::<_, BUCKET_BYTES_MIN>("buckets", read_bucket)?;
    let count = buckets.len();
    let replication = Replication {
        default,
        buckets: buckets.into_iter().collect(),
    };
    let is_terse = replication.buckets.len() == count && replication.is_terse();
    is_terse
        .then_some(replication)
        .ok_or(DecodeError::Malformed {
            what: "buckets",
            offset,
        })
}

fn write_bucket(writer: &mut Writer<'_>, bucket: &BucketName, n: u8) {
    writer.bytes(&bucket.bucket_type);
    writer.bytes(&bucket.bucket);
    writer.u8(n);
}

fn read_bucket(reader: &mut Reader) -> Result<(BucketName, u8), DecodeError> {
    let bucket = BucketName {
        bucket_type: reader.bytes("bucket type", NAME_BYTES_MAX)?,
        bucket: reader.bytes("bucket", NAME_BYTES_MAX)?,
    };
    Ok((bucket, reader.u8("replicas")?))
}

fn write_change(writer: &mut Writer<'_>, change: &Change) {
    let mut kind = |kind, node: NodeId| {
        writer.u8(kind);
        writer.u128(node.0);
    };
    match change {
        Change::Join { node } => kind(1, *node),
        Change::Leave { node } => kind(2, *node),
        Change::Remove { node } => kind(3, *node),
        Change::Replace { old, new } => {
            kind(4, *old);
            writer.u128(new.0);
        }
        Change::Weigh { node, weight } => {
            kind(5, *node);
            writer.u32(*weight);
        }
        Change::Place { node, zone, rack } => {
            kind(6, *node);
            writer.bytes(zone.as_bytes());
            writer.bytes(rack.as_bytes());
        }
        Change::Replicate { bucket, n } => {
            writer.u8(7);
            write_bucket(writer, bucket, *n);
        }
    }
}

fn read_changes(reader: &mut Reader) -> Result<Vec<Change>, DecodeError> {
    reader.list::<_, CHANGE_BYTES_MIN>("changes", read_change)
}

fn read_change(reader: &mut Reader) -> Result<Change, DecodeError> {
    let kind = reader.u8("change")?;
    if kind == 7 {
        let (bucket, n) = read_bucket(reader)?;
        return Ok(Change::Replicate { bucket, n });
    }
    let node = NodeId(reader.u128("node id")?);
    Ok(match kind {
        1 => Change::Join { node },
        2 => Change::Leave { node },
        3 => Change::Remove { node },
        4 => Change::Replace {
            old: node,
            new: NodeId(reader.u128("node id")?),
        },
        5 => Change::Weigh {
            node,
            weight: reader.u32("weight")?,
        },
        6 => Change::Place {
            node,
            zone: read_text(reader, "zone", WITHOUT_LIMIT)?,
            rack: read_text(reader, "rack", WITHOUT_LIMIT)?,
        },
        code => return Err(reader.unknown_code("change", code)),
    })
}

fn write_table(writer: &mut Writer<'_>, owners: &[NodeId]) {
    writer.list(owners, |writer, owner| writer.u128(owner.0));
}

fn read_table(reader: &mut Reader) -> Result<Vec<NodeId>, DecodeError> {
    reader.list::<_, NODE_ID_BYTES>("owners", |reader| Ok(NodeId(reader.u128("owner")?)))
}

pub(crate) fn read_text(
    reader: &mut Reader,
    what: &'static str,
    limit: usize,
) -> Result<String, DecodeError> {
    let offset = reader.offset();
    let bytes = reader.bytes(what, limit)?;
    let text = std::str::from_utf8(&bytes);
    text.map(str::to_owned)
        .map_err(|_| DecodeError::Malformed { what, offset })
}
