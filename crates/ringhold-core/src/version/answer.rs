//! What a client is shown of an object.
//!
//! Inside, a retry that reached another primary stays a second version, because a merge that
//! collapsed equal operations would depend on the order of arrival. A client gets one of the two:
//! of versions with one operation and one content, the one with the greatest dot. The context
//! covers both, so the next write replaces both (T6). Under last-write-wins the client gets one
//! version in all; causality has removed what it could before, so the clock only settles real
//! races, and a write never loses to what it replaced (T5). A value past its time is not shown; inside it stays what it is, so that no clock has a say in how replicas merge (T11).

use super::context::Context;
use super::object::{Content, Object, Version};

impl Object {
    /// The versions as the client sees them: retries shown once, tombstones included.
    #[must_use]
    pub fn siblings(&self) -> Vec<&Version> {
        let mut shown: Vec<&Version> = Vec::with_capacity(self.versions().len());
        for version in self.versions().iter().rev() {
            let twin = |other: &&&Version| {
                other.operation == version.operation && other.hash == version.hash
            };
            if shown.iter().find(twin).is_none() {
                shown.push(version);
            }
        }
        shown.reverse();
        shown
    }

    /// Hides values that are over; returns how many. Beside a later version they are left out; where there is none, or
    /// only one version is shown, they are shown as tombstones: an older version must not take their place, and
    /// whoever writes next has to be told of the greatest timestamp (T5).
    pub fn hide(&mut self, shows_one: bool, is_over: impl Fn(&Version) -> bool) -> usize {
        let is_over = |version: &Version| !version.content.is_tombstone() && is_over(version);
        let count = self.versions().iter().filter(|v| is_over(v)).count();
        if count == 0 {
            return 0;
        }
        let lives = |version: &&Version| !version.content.is_tombstone() && !is_over(version);
        let living = self.versions().iter().filter(lives);
        let latest = living.map(|version| version.timestamp).max();
        if let Some(latest) = latest.filter(|_| !shows_one) {
            self.versions_mut()
                .retain(|version| !is_over(version) || version.timestamp > latest);
        }
        for version in self.versions_mut().iter_mut().filter(|v| is_over(v)) {
            version.content = Content::Tombstone;
            version.hash = version.content.hash();
        }
        count
    }

    /// What a new write replaces in a bucket that shows one version: what its writer had seen, and
    /// of the rest all but the latest `hidden` versions. Along one actor the timestamps rise with the
    /// counters, so covering a version covers none that is later.
    #[must_use]
    pub fn replaced_by(&self, mut seen: Context, hidden: usize) -> Context {
        let unseen = self
            .versions()
            .iter()
            .filter(|version| !seen.covers(version.dot));
        let mut unseen: Vec<_> = unseen
            .map(|version| (version.timestamp, version.dot))
            .collect();
        unseen.sort_unstable();
        let older = unseen.len().saturating_sub(hidden);
        unseen[..older]
            .iter()
            .for_each(|(_, dot)| seen.observe(*dot));
        seen
    }

    /// Where keys are written once, the value that stays: of several, which only writers that did not know of each other leave, the one with the smallest
    /// hash, so that all nodes keep the same one whatever their clocks say. None if there is no value.
    #[must_use]
    pub fn first_written(&self) -> Option<&Version> {
        let values = self
            .versions()
            .iter()
            .filter(|version| !version.content.is_tombstone());
        values.min_by_key(|version| (version.hash, version.dot))
    }

    /// Leaves of the values the one that [stays](Self::first_written), if there is any.
    pub fn keep_first_written(&mut self) {
        let Some(dot) = self.first_written().map(|version| version.dot) else {
            return;
        };
        self.versions_mut().retain(|version| version.dot == dot);
    }

    /// The one version that wins by the greatest timestamp, then the greatest dot.
    #[must_use]
    pub fn last_write(&self) -> Option<&Version> {
        self.versions()
            .iter()
            .max_by_key(|version| (version.timestamp, version.dot))
    }
}
