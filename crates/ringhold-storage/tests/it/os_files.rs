//! The store on a real file system.

use std::sync::Arc;

use ringhold_storage::testing::block_on;
use ringhold_storage::{Durability, Files, LmdbEngine, OpenReport, OsFiles, StoreOptions};

use crate::support::{Random, open, put, text};

#[test]
fn segments_are_written_read_put_aside_and_removed() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let files = OsFiles::open(directory.path()).expect("a new directory");
    let main = async {
        files.create(3).await.expect("a new segment");
        let error = files.create(3).await.expect_err("there is one");
        assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
        files
            .append(3, vec!["ab".into(), "".into(), "cd".into()])
            .await
            .expect("a good disk");
        files.flush(3).await.expect("a good disk");
        files
            .append_flushed(3, vec!["ef".into()])
            .await
            .expect("a good disk");
        let bytes = files.read(3).await.expect("it is there");
        assert_eq!(appended(&bytes), b"abcdef");
        files.create(4).await.expect("a new segment");
        let mut segments = files.list().await.expect("readable");
        segments.sort_unstable();
        assert_eq!(segments, [3, 4]);
        files.quarantine(3).await.expect("it can be moved");
        files
            .remove(vec![4, 5])
            .await
            .expect("absent ones count as removed");
        assert!(files.list().await.expect("readable").is_empty());
        files.create(3).await.expect("the name is free again");
        files
            .quarantine(3)
            .await
            .expect("the first one is not overwritten");
        let aside = std::fs::read_dir(directory.path().join("quarantine"))
            .expect("it is there")
            .count();
        assert_eq!(aside, 2);
    };
    block_on(main, Vec::new());
}

/// What was appended, without the zeros that the file is filled with ahead.
fn appended(bytes: &[u8]) -> &[u8] {
    let last = bytes.iter().rposition(|byte| *byte != 0);
    &bytes[..last.map_or(0, |last| last + 1)]
}

#[test]
fn a_file_grows_ahead_of_what_is_appended() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let files = OsFiles::open(directory.path()).expect("a new directory");
    let main = async {
        files.create(1).await.expect("a new segment");
        let path = directory.path().join("00000000000000000001.log");
        let (mut expected, mut lengths) = (Vec::new(), Vec::new());
        for append in 0..3_000_usize {
            // Of many lengths, none of them a part of a page.
            let part =
                vec![b'a' + u8::try_from(append % 26).expect("a letter"); 1 + append % 1_501];
            expected.extend_from_slice(&part);
            let parts = vec![part.into()];
            files.append_flushed(1, parts).await.expect("a good disk");
            lengths.push(std::fs::metadata(&path).expect("it is there").len());
        }
        let bytes = files.read(1).await.expect("it is there");
        assert_eq!(appended(&bytes), expected);
        lengths.dedup();
        assert!(lengths.len() < 20, "it grew {} times", lengths.len());
    };
    block_on(main, Vec::new());
}

#[test]
fn a_directory_belongs_to_one() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let files = OsFiles::open(directory.path()).expect("a new directory");
    let second = OsFiles::open(directory.path()).err().expect("it is taken");
    assert_eq!(second.kind(), std::io::ErrorKind::WouldBlock);
    drop(files);
}

#[test]
fn a_store_comes_back_from_log_and_lmdb() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut random = Random(3);
    // One opening of the directory for all: its lock goes when the last of its threads has ended.
    let files: Arc<dyn Files> =
        Arc::new(OsFiles::open(directory.path().join("log")).expect("a new directory"));
    for round in 0..4_u128 {
        let engine =
            LmdbEngine::open(&directory.path().join("engine"), 16 << 20).expect("a directory");
        let options = StoreOptions {
            groups: 2,
            partition_bits: 1,
            ..StoreOptions::default()
        };
        let opened = open(Arc::clone(&files), Box::new(engine), options, &mut random);
        let mut opened = opened.expect("one store");
        let expected = OpenReport {
            created: round == 0,
            ..opened.report.clone()
        };
        assert_eq!(opened.report, expected);
        for before in 0..round {
            assert_eq!(
                text(&opened.store, before).as_deref(),
                Some("left"),
                "round {round}"
            );
            assert_eq!(
                text(&opened.store, (1 << 127) + before).as_deref(),
                Some("right")
            );
        }
        let main = async {
            opened.writers[0].stage(put(round, "left"));
            opened.writers[0]
                .commit(Durability::Flushed)
                .await
                .expect("a good disk");
            if round == 1 {
                let begun = opened.store.begin_checkpoint().await.expect("a good disk");
                let begun = begun.expect("there is something");
                opened
                    .store
                    .finish_checkpoint(begun)
                    .await
                    .expect("a good engine");
            }
            opened.writers[1].stage(put((1 << 127) + round, "right"));
            opened.writers[1]
                .commit(Durability::Buffered)
                .await
                .expect("a good disk");
            opened.store.close().await.expect("a good disk");
        };
        block_on(main, vec![Box::pin(opened.flusher)]);
    }
}
