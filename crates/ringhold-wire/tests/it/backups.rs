//! Backups: what was written is read, in any pieces; what was damaged in any way is refused.

use crate::samples;
use bytes::Bytes;
use ringhold_core::id::{ClusterId, NodeId};
use ringhold_wire::backup::{
    BackedUpType, BackupError, BackupReader, BackupWriter, Block, End, Head,
};
use ringhold_wire::message::peer::BucketProperties;

pub(crate) fn blocks() -> Vec<Block> {
    let properties = BucketProperties {
        bucket_type: samples::text("default"),
        bucket: samples::text("carts"),
        changed_us: 1_700_000_000_000_000,
        changed_by: 3,
        overrides: samples::text("n_val = 5"),
    };
    let head = Head {
        cluster: ClusterId(0xc1),
        node: NodeId(0xa),
        epoch: 4,
        began_us: 1_700_000_000_000_001,
    };
    let one = |name: &'static str, is_active| BackedUpType {
        name: samples::text(name),
        is_active,
        properties: samples::text("datatype = set"),
    };
    let types = [one("sets", true), one("drafts", false)];
    let end = End {
        objects: 2,
        buckets: 1,
        unreadable: 1,
    };
    vec![
        Block::Head(head),
        Block::Types(types.into()),
        Block::Properties(vec![properties]),
        Block::Objects(vec![(samples::name(), samples::object())]),
        Block::Objects(vec![(samples::name(), samples::object())]),
        Block::End(end),
    ]
}

pub(crate) fn written(blocks: &[Block]) -> Vec<Bytes> {
    let Some(Block::Head(head)) = blocks.first() else {
        panic!("a backup begins with its head")
    };
    let (mut writer, first) = BackupWriter::begin(*head);
    let mut all = vec![first];
    for block in &blocks[1..] {
        all.push(match block {
            Block::Types(types) => writer.types(types),
            Block::Properties(buckets) => writer.properties(buckets),
            Block::Objects(objects) => writer.objects(objects),
            Block::End(end) => {
                let (last, said) = writer.end(end.unreadable);
                assert_eq!(said, *end);
                all.push(last);
                return all;
            }
            Block::Head(_) => panic!("one head"),
        });
    }
    all
}

pub(crate) fn read(bytes: &[u8], piece: usize) -> Result<(Vec<Block>, End), BackupError> {
    let mut reader = BackupReader::default();
    let mut blocks = Vec::new();
    for piece in bytes.chunks(piece) {
        reader.push(piece);
        while let Some((block, _)) = reader.next_block()? {
            blocks.push(block);
        }
    }
    Ok((blocks, reader.finish()?))
}

#[test]
fn what_was_written_is_read_in_any_pieces() {
    let bytes = written(&blocks()).concat();
    for piece in [1, 7, 64, bytes.len()] {
        let (found, end) = read(&bytes, piece).expect("it is whole");
        assert_eq!(found, blocks());
        assert_eq!(end.objects, 2);
    }
}

#[test]
fn every_damaged_byte_and_every_cut_is_noticed() {
    let bytes = written(&blocks()).concat();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        assert!(read(&damaged, 4_096).is_err(), "byte {at}");
        assert!(read(&bytes[..at], 4_096).is_err(), "cut at {at}");
    }
    let longer = [&bytes[..], b"more"].concat();
    assert!(read(&longer, 4_096).is_err());
}

#[test]
fn a_lost_or_doubled_block_is_noticed() {
    let all = written(&blocks());
    let without = |lost: usize| {
        let kept = all.iter().enumerate().filter(|(at, _)| *at != lost);
        kept.flat_map(|(_, block)| block.to_vec())
            .collect::<Vec<_>>()
    };
    assert_eq!(read(&without(0), 99), Err(BackupError::NotABackup));
    let counts = |error| matches!(error, Err(BackupError::OtherCounts { .. }));
    assert!(counts(read(&without(2), 99)) && counts(read(&without(3), 99)));
    assert_eq!(read(&without(1), 99), Err(BackupError::OtherChecksum));
    assert!(matches!(
        read(&without(5), 99),
        Err(BackupError::Truncated { .. })
    ));
    let moved = [&all[0], &all[1], &all[3], &all[2], &all[4], &all[5]];
    let moved: Vec<u8> = moved.into_iter().flat_map(|block| block.to_vec()).collect();
    assert_eq!(read(&moved, 99), Err(BackupError::OtherChecksum));
}

#[test]
fn other_files_and_later_formats_are_told_apart() {
    assert_eq!(read(b"", 1), Err(BackupError::NotABackup));
    assert_eq!(
        read(b"PK\x03\x04 some archive", 9),
        Err(BackupError::NotABackup)
    );
    let head = written(&blocks()).swap_remove(0);
    let mut later = head[..head.len() - 8].to_vec();
    later[5 + 8 + 1] = 2;
    let checksum = xxhash(&later);
    later.extend_from_slice(&checksum);
    assert_eq!(
        read(&later, 99),
        Err(BackupError::UnknownVersion { version: 2 })
    );
}

fn xxhash(bytes: &[u8]) -> [u8; 8] {
    xxhash_rust::xxh3::xxh3_64(bytes).to_be_bytes()
}
