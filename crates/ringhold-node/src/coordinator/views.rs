//! What the replicas of a key said, and what that makes together. Pure.
//!
//! One replica sends the object, the others a digest. Replicas whose digests equal what is known add
//! nothing; one that differs must send its object too before anybody is answered, because a reply
//! that counts towards R must be in the answer.

use ringhold_core::quorum::{GetOutcome, Target};
use ringhold_core::version::{Dot, Object};
use ringhold_wire::message::peer::ObjectDigest;

#[derive(Debug)]
enum View {
    Whole(Object),
    Digest(ObjectDigest),
}

/// The replies to one get.
#[derive(Debug, Default)]
pub(crate) struct Views {
    views: Vec<(Target, View)>,
    merged: Object,
    has_whole: bool,
}

impl Views {
    pub(crate) fn whole(&mut self, target: Target, object: Object) -> GetOutcome {
        let outcome = outcome_of(object.is_absent(), object.has_value());
        self.merged.merge(&object);
        self.has_whole = true;
        self.views.retain(|(known, _)| known.node != target.node);
        self.views.push((target, View::Whole(object)));
        outcome
    }

    pub(crate) fn digest(&mut self, target: Target, digest: ObjectDigest) -> GetOutcome {
        let is_absent = digest.context.is_empty() && digest.versions.is_empty();
        let outcome = outcome_of(
            is_absent,
            digest.versions.iter().any(|(_, tombstone, _)| !tombstone),
        );
        if self
            .views
            .iter()
            .all(|(known, _)| known.node != target.node)
        {
            self.views.push((target, View::Digest(digest)));
        }
        outcome
    }

    /// Replicas that have said something that counts.
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.views.len()).unwrap_or(u32::MAX)
    }

    /// Whether any replica has sent its object. Digests alone are no answer.
    pub(crate) fn has_whole(&self) -> bool {
        self.has_whole
    }

    /// Whether a replica has said anything that counts.
    pub(crate) fn knows(&self, target: Target) -> bool {
        let mut nodes = self.views.iter().map(|(known, _)| known.node);
        nodes.any(|node| node == target.node)
    }

    /// The replicas whose objects are still needed.
    pub(crate) fn differing(&self) -> Vec<Target> {
        let known = ObjectDigest::of(&self.merged);
        let differs = |view: &View| matches!(view, View::Digest(digest) if *digest != known);
        self.views
            .iter()
            .filter(|(_, view)| differs(view))
            .map(|(target, _)| *target)
            .collect()
    }

    /// Takes back the reply of a replica that said it differs and then did not send its object.
    pub(crate) fn withdraw(&mut self, target: Target) {
        self.views.retain(|(known, _)| known.node != target.node);
    }

    /// The merge of all objects, and the replicas that hold something else.
    pub(crate) fn finish(self) -> (Object, Vec<Target>) {
        let known = ObjectDigest::of(&self.merged);
        let stale = |view: &View| match view {
            View::Whole(object) => *object != self.merged,
            View::Digest(digest) => *digest != known,
        };
        let stale = self
            .views
            .iter()
            .filter(|(_, view)| stale(view))
            .map(|(target, _)| *target)
            .collect();
        (self.merged, stale)
    }
}

pub(crate) fn dots_of(object: &Object) -> Vec<Dot> {
    object
        .versions()
        .iter()
        .map(|version| version.dot)
        .collect()
}

fn outcome_of(is_absent: bool, has_value: bool) -> GetOutcome {
    match (is_absent, has_value) {
        (true, _) => GetOutcome::NotFound,
        (false, true) => GetOutcome::Found,
        (false, false) => GetOutcome::Deleted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringhold_core::id::{Incarnation, NodeId, OperationId};
    use ringhold_core::quorum::ReplicaKind;
    use ringhold_core::version::{Content, Context, KeyEpoch, NewVersion, Timestamp, coordinate};

    fn target(node: u128) -> Target {
        Target {
            node: NodeId(node),
            kind: ReplicaKind::Primary,
        }
    }

    fn written(mut object: Object, incarnation: u128) -> Object {
        let content = Content::Value {
            bytes: "v".into(),
            metadata: Vec::new(),
        };
        let (seen, operation) = (Context::new(), OperationId(incarnation));
        let write = NewVersion {
            seen,
            seen_timestamp: Timestamp(0),
            operation,
            content,
            wall_us: 1,
        };
        coordinate(&mut object, None, Incarnation(incarnation), write, || {
            KeyEpoch(1)
        });
        object
    }

    #[test]
    fn equal_digests_need_no_objects() {
        let object = written(Object::new(), 1);
        let mut views = Views::default();
        assert_eq!(
            views.digest(target(2), ObjectDigest::of(&object)),
            GetOutcome::Found
        );
        assert!(!views.has_whole());
        assert_eq!(views.whole(target(1), object.clone()), GetOutcome::Found);
        assert!(views.differing().is_empty());
        assert_eq!(views.finish(), (object, vec![]));
    }

    #[test]
    fn a_differing_replica_is_asked_and_then_repaired() {
        let (here, there) = (written(Object::new(), 1), written(Object::new(), 2));
        let mut views = Views::default();
        views.whole(target(1), here.clone());
        views.digest(target(2), ObjectDigest::of(&there));
        assert_eq!(
            views.digest(target(3), ObjectDigest::of(&Object::new())),
            GetOutcome::NotFound
        );
        assert_eq!(views.differing(), vec![target(2), target(3)]);
        views.whole(target(2), there);
        views.withdraw(target(3));
        assert!(views.differing().is_empty());
        let (merged, stale) = views.finish();
        assert_eq!(merged.versions().len(), 2);
        assert_eq!(
            stale,
            vec![target(1), target(2)],
            "each lacks the other's version"
        );
    }
}
