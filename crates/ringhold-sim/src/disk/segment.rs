//! One file of the log: what was written, and what of it is safe.

use crate::random::Random;
use std::ops::Range;

/// What a power cut leaves whole, or not at all, and what a file grows by.
const BLOCK_BYTES: usize = 512;
/// What a file is filled with zeros up to, ahead of what is appended.
const FILLED_BYTES: usize = 4_096;
/// An operation's id may stand across two flushes.
const ID_BYTES: usize = 16;

#[derive(Clone, Debug, Default)]
pub(super) struct Segment {
    bytes: Vec<u8>,
    flushed: usize,
    /// Never written by a flush that failed, although later ones passed over it.
    holes: Vec<Range<usize>>,
}

impl Segment {
    pub(super) fn length(&self) -> usize {
        self.bytes.len()
    }

    /// As a reader of the file sees it: with the zeros that it is filled with ahead.
    pub(super) fn read(&self) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes.resize(bytes.len().next_multiple_of(FILLED_BYTES), 0);
        bytes
    }

    /// What a reader copies, safe in its new place.
    pub(super) fn copied(&self) -> Self {
        Self {
            bytes: self.bytes.clone(),
            flushed: self.bytes.len(),
            holes: Vec::new(),
        }
    }

    /// Bytes that still fit into the block in which it ends.
    pub(super) fn room_in_block(&self) -> usize {
        self.bytes.len().next_multiple_of(BLOCK_BYTES) - self.bytes.len()
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Makes the first `covers` bytes safe; returns those that became so, and a few before them.
    pub(super) fn flush(&mut self, covers: usize) -> Vec<u8> {
        let start = self.flushed.saturating_sub(ID_BYTES - 1);
        self.flushed = self.flushed.max(covers.min(self.bytes.len()));
        let mut safe = self.bytes[start..self.flushed].to_vec();
        for hole in &self.holes {
            for at in hole.clone().filter(|at| (start..self.flushed).contains(at)) {
                safe[at - start] = 0;
            }
        }
        safe
    }

    pub(super) fn forget_unflushed(&mut self) {
        self.holes.push(self.flushed..self.bytes.len());
        self.flushed = self.bytes.len();
    }

    pub(super) fn cut_power(&mut self, random: &mut Random) {
        for hole in std::mem::take(&mut self.holes) {
            self.bytes[hole].fill(0);
        }
        let unflushed = self.bytes.len() - self.flushed;
        let survives = match random.below(3) {
            0 => 0,
            1 => unflushed,
            _ => random.index(unflushed + 1),
        };
        self.bytes.truncate(self.flushed + survives);
        if random.chance(500_000) {
            self.tear(random);
        }
        self.flushed = self.bytes.len();
    }

    /// Some blocks of what was not flushed are zeros.
    fn tear(&mut self, random: &mut Random) {
        let mut at = self.flushed;
        while at < self.bytes.len() {
            let end = ((at / BLOCK_BYTES + 1) * BLOCK_BYTES).min(self.bytes.len());
            if random.chance(333_333) {
                self.bytes[at..end].fill(0);
            }
            at = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_flushed_survives_and_the_rest_may_not() {
        let mut random = Random::new(1);
        let mut lost = 0;
        for _ in 0..100 {
            let mut segment = Segment::default();
            segment.append(&[1; 600]);
            assert_eq!(segment.flush(600).len(), 600);
            segment.append(&[2; 600]);
            segment.cut_power(&mut random);
            assert!(segment.bytes.starts_with(&[1; 600]));
            lost += usize::from(segment.bytes != [vec![1; 600], vec![2; 600]].concat());
        }
        assert!((40..90).contains(&lost), "{lost} of 100");
    }

    #[test]
    fn a_failed_flush_leaves_a_hole_under_later_ones() {
        let mut segment = Segment::default();
        segment.append(&[1; 10]);
        segment.forget_unflushed();
        segment.append(&[2; 10]);
        segment.flush(20);
        assert_eq!(segment.read()[..10], [1; 10], "reads see it");
        segment.cut_power(&mut Random::new(1));
        assert_eq!(segment.bytes, [vec![0; 10], vec![2; 10]].concat());
    }

    #[test]
    fn a_flush_covers_what_it_was_asked_to() {
        let mut segment = Segment::default();
        segment.append(&[1; 10]);
        segment.append(&[2; 10]);
        assert_eq!(segment.flush(10), [1; 10]);
        assert_eq!(segment.flush(20).len(), 20);
    }
}
