//! Values with an end.
//!
//! A put may say until when its value is good, or its bucket may say for how long all values are. Either stands in the
//! version, and means the same moment wherever a copy comes to (T11). When it has passed by the wall clock of the
//! node that answers, the value is left out; where nothing else lives, the answer is that of a tombstone: "not
//! found", with a context to write over it.
//!
//! That is all. It hides, it removes nothing, and replicas merge as if nobody had a clock. What has been dead for longer than
//! the grace is reaped like a tombstone, where each primary asks its own clock, so that the earliest decides.
//!
//! A bucket's time to live goes into the put where it enters, as a span, and a put that names its own end keeps that one: every try
//! of a put has the same content, wherever it enters and when (T6).

use crate::node::Node;
use ringhold_core::version::{Content, MetadataField, Object};
use ringhold_wire::message::{Change, ObjectName, PutRequest};
use ringhold_wire::metadata::{expires_at_us, tag, time_to_live};

impl Node {
    /// An object as it is shown to clients now.
    pub(crate) fn shown(&self, name: &ObjectName, mut object: Object) -> Object {
        let wall_us = self.environment.wall_us();
        let properties = self.properties.of(&name.bucket_type, &name.bucket);
        if properties.as_ref().is_some_and(|own| own.write_once) {
            object.keep_first_written();
        }
        let shows_one = properties.is_some_and(|own| own.shows_last_write());
        let hidden = object.hide(shows_one, |version| {
            expires_at_us(version).is_some_and(|end_us| end_us <= wall_us)
        });
        self.metrics.versions_expired.add(hidden as u64);
        object
    }

    /// Gives a put the time to live that its bucket has, unless it names its own.
    pub(crate) fn limit_life(&self, request: &mut PutRequest) {
        let name = &request.name;
        let Some(properties) = self.properties.of(&name.bucket_type, &name.bucket) else {
            return;
        };
        if let (Some(seconds), Change::Content(Content::Value { metadata, .. })) =
            (properties.ttl_seconds, &mut request.change)
        {
            limit(metadata, seconds.saturating_mul(1_000_000));
        }
    }
}

fn limit(metadata: &mut Vec<MetadataField>, time_us: u64) {
    let ends = |field: &MetadataField| matches!(field.tag, tag::EXPIRES_AT | tag::TIME_TO_LIVE);
    if metadata.iter().any(ends) {
        return;
    }
    // In the one order that fields have, so that equal metadata has equal bytes.
    let at = metadata
        .iter()
        .position(|field| field.tag > tag::TIME_TO_LIVE);
    metadata.insert(at.unwrap_or(metadata.len()), time_to_live(time_us));
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringhold_wire::metadata::Metadata;

    #[test]
    fn a_bucket_limits_what_does_not_limit_itself() {
        let unknown = MetadataField {
            tag: 0x8001,
            bytes: "later".into(),
        };
        let plain = Metadata {
            content_type: Some("text/plain".into()),
            unknown: vec![unknown],
            ..Metadata::default()
        };
        let mut fields = plain.to_fields();
        limit(&mut fields, 5);
        limit(&mut fields, 9);
        let expected = Metadata {
            time_to_live_us: Some(5),
            ..plain.clone()
        };
        assert_eq!(fields, expected.to_fields());
        let own = Metadata {
            expires_at_us: Some(7),
            ..plain
        };
        let mut fields = own.to_fields();
        limit(&mut fields, 5);
        assert_eq!(fields, own.to_fields());
    }
}
