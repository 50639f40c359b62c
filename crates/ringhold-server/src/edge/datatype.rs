//! What both of Riak's APIs say of data types: which bucket takes which, and why an update is refused.
//!
//! Riak prints Erlang terms as reasons, and clients look for them, so the two that clients can meet are written as it does:
//! `{precondition,{not_present,<<"elem">>}}` for the element of a set, with the field's name and module for the field of a map.

#[cfg(test)]
pub(crate) mod samples;

use ringhold_core::crdt::{Field, FieldKind, Kind, Refused};
use ringhold_node::properties::Properties;
use ringhold_wire::message::DEFAULT_BUCKET_TYPE;
use std::fmt::Write as _;

/// Why a bucket takes no data types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoDataType {
    /// Updates that knew nothing of each other would be lost.
    SiblingsOff,
    /// Its bucket type does not say which one it is.
    Undefined,
}

/// What the keys of a bucket hold.
pub(crate) fn kind_of(properties: &Properties) -> Result<Kind, NoDataType> {
    if !properties.allow_mult {
        return Err(NoDataType::SiblingsOff);
    }
    properties.datatype.ok_or(NoDataType::Undefined)
}

/// The same by messages that name their bucket type: in the default one, keys hold the counters that were there before data types.
pub(crate) fn kind_of_type(
    bucket_type: &[u8],
    properties: &Properties,
) -> Result<Kind, NoDataType> {
    match kind_of(properties) {
        Err(NoDataType::Undefined) if bucket_type == DEFAULT_BUCKET_TYPE => Ok(Kind::Counter),
        known => known,
    }
}

/// Counters are told in 64 bits. Concurrent updates can lead beyond, and then the end of the range is told.
pub(crate) fn in_64_bits(counter: i128) -> i64 {
    let bounded = counter.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
    i64::try_from(bounded).expect("it is within the range")
}

/// As Riak prints it, where Riak knows the reason.
pub(crate) fn precondition(refused: &Refused) -> Option<String> {
    let missing = match refused {
        Refused::ElementNotPresent { element, .. } => binary(element),
        Refused::FieldNotPresent { fields } => {
            let Field { name, kind } = fields.last()?;
            format!("{{{},{}}}", binary(name), module(*kind))
        }
        _ => return None,
    };
    Some(format!("{{precondition,{{not_present,{missing}}}}}"))
}

/// What Riak's implementation of a field is called.
fn module(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Counter => "riak_dt_emcntr",
        FieldKind::Set => "riak_dt_orswot",
        FieldKind::Register => "riak_dt_lwwreg",
        FieldKind::Flag => "riak_dt_od_flag",
        FieldKind::Map => "riak_dt_map",
    }
}

/// Bytes as Erlang prints them: as a text if they are one of ASCII, else one by one.
pub(crate) fn binary(bytes: &[u8]) -> String {
    let mut text = "<<".to_owned();
    let printable = |byte: &u8| matches!(byte, b' '..=b'~');
    if !bytes.is_empty() && bytes.iter().all(printable) {
        text.push('"');
        for &byte in bytes {
            if matches!(byte, b'"' | b'\\') {
                text.push('\\');
            }
            text.push(char::from(byte));
        }
        text.push('"');
    } else {
        for (at, byte) in bytes.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(text, "{comma}{byte}").expect("a string takes any text");
        }
    }
    text + ">>"
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn reasons_are_erlang_s() {
        let field = |name: &'static str, kind| Field {
            name: Bytes::from(name),
            kind,
        };
        let element = |bytes: &'static [u8]| Refused::ElementNotPresent {
            fields: vec![field("a", FieldKind::Set)],
            element: Bytes::from_static(bytes),
        };
        let rows = [
            (
                element(b"nosuch"),
                "{precondition,{not_present,<<\"nosuch\">>}}",
            ),
            (
                element(b"a\"\\b"),
                "{precondition,{not_present,<<\"a\\\"\\\\b\">>}}",
            ),
            (
                element(b"\x01\xff"),
                "{precondition,{not_present,<<1,255>>}}",
            ),
            (element(b""), "{precondition,{not_present,<<>>}}"),
            (
                Refused::FieldNotPresent {
                    fields: vec![field("m", FieldKind::Map), field("nosuch", FieldKind::Set)],
                },
                "{precondition,{not_present,{<<\"nosuch\">>,riak_dt_orswot}}}",
            ),
        ];
        for (refused, text) in rows {
            assert_eq!(precondition(&refused).as_deref(), Some(text));
        }
        assert_eq!(precondition(&Refused::CounterOverflow), None);
    }

    #[test]
    fn which_buckets_take_which() {
        let mut properties = Properties {
            allow_mult: true,
            ..Properties::default()
        };
        assert_eq!(kind_of(&properties), Err(NoDataType::Undefined));
        assert_eq!(kind_of_type(b"default", &properties), Ok(Kind::Counter));
        assert_eq!(kind_of_type(b"t", &properties), Err(NoDataType::Undefined));
        properties.datatype = Some(Kind::Map);
        assert_eq!(kind_of_type(b"t", &properties), Ok(Kind::Map));
        properties.allow_mult = false;
        assert_eq!(
            kind_of_type(b"t", &properties),
            Err(NoDataType::SiblingsOff)
        );
    }

    #[test]
    fn counters_end_where_their_messages_do() {
        assert_eq!(in_64_bits(-5), -5);
        assert_eq!(in_64_bits(i128::MAX), i64::MAX);
        assert_eq!(in_64_bits(i128::MIN), i64::MIN);
    }
}
