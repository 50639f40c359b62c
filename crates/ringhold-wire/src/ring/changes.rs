//! A ring document without the sections that its reader has.
//!
//! The same layout as the whole document, with a flag before each section's content: 1 and the content,
//! or 0 where the reader said that it holds a section of this name and hash. A document of a later epoch mostly differs in
//! one section, and the members of a large cluster are longer than what changed.
//!
//! Reading puts the whole document together and then checks the hashes of all of it, so what comes
//! out is what was hashed, whoever left out what. If the reader's document has changed since it
//! asked, it may lack what was left out; that is an error, and it asks again.

use super::{
    FORMAT_VERSION, SECTION_NAME_BYTES_MAX, Section, read, read_text, section_of, sections, write,
};
use crate::bytes_io::{DecodeError, Reader, WITHOUT_LIMIT, decode_whole};
use bytes::Bytes;
use ringhold_core::ring::{RingDocument, RingHash, SectionHash};

const _: () = assert!(FORMAT_VERSION == 1, "one version for both");

/// An empty name, a hash, a flag.
const SECTION_BYTES_MIN: usize = 4 + 16 + 1;

/// The encoding of a document for somebody who holds these sections.
///
/// # Panics
/// As [`super::encode`].
#[must_use]
pub fn encode_changes(document: &RingDocument, held: &[SectionHash]) -> Bytes {
    write(document, |writer, section, content| {
        let missing = !held.contains(section);
        writer.option(missing.then_some(content), |writer, content| {
            writer.bytes(content);
        });
    })
}

/// Decodes a document with the help of the one that is held, and checks its hashes. It is still to be
/// validated.
///
/// # Errors
/// If the bytes are no such encoding, are damaged, or leave out a section that `held` does not have.
pub fn decode_changes(bytes: Bytes, held: &RingDocument) -> Result<RingDocument, DecodeError> {
    let hashes = held.count_section_hashes();
    let contents = sections(held);
    let content_of = |name: &str, hash: RingHash| {
        let known = section_of(&hashes, name).is_some_and(|section| section.hash == hash);
        let content = contents.iter().find(|(held, _)| *held == name);
        content
            .filter(|_| known)
            .map(|(_, content)| content.clone())
    };
    decode_whole("ring changes", bytes, |reader| {
        read::<SECTION_BYTES_MIN>(reader, |reader| read_section(reader, content_of))
    })
}

fn read_section(
    reader: &mut Reader,
    content_of: impl Fn(&str, RingHash) -> Option<Bytes>,
) -> Result<Section, DecodeError> {
    let name = read_text(reader, "section name", SECTION_NAME_BYTES_MAX)?;
    let hash = RingHash(reader.array("section hash")?);
    let offset = reader.offset();
    let sent = reader.option("content", |reader| reader.bytes("section", WITHOUT_LIMIT))?;
    let content = sent.or_else(|| content_of(&name, hash));
    let what = "section left out";
    Ok(Section {
        content: content.ok_or(DecodeError::Malformed { what, offset })?,
        name,
        hash,
    })
}
