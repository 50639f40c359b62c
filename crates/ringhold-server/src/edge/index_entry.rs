//! What a client may say of a value as an index entry, whichever protocol it speaks.
//!
//! The end of a field's name says what its terms are: `_bin` bytes, `_int` an integer of any size. Names are kept in lower case and integers in the one way to
//! write them, so that the same entry is the same bytes however it was given. What is no entry is refused before anything is stored: it could not be in an
//! index, and nobody would know.

use bytes::Bytes;
use ringhold_core::index::{DIGITS_MAX, FieldKind, field_kind};
use ringhold_wire::metadata::NamedValue;

/// Why something is no index entry. In the order in which Riak tells several.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum BadEntry {
    /// The field's terms are none of this kind.
    Value { field: Bytes, value: Bytes },
    /// The field's name does not say what its terms are.
    Field { field: Bytes },
}

/// Understands an entry.
///
/// # Errors
/// See [`BadEntry`].
pub(crate) fn index_entry(field: &[u8], value: &Bytes) -> Result<NamedValue, BadEntry> {
    let name = Bytes::from(field.to_ascii_lowercase());
    // Of nothing but the suffix there is no field.
    let kind = field_kind(&name).filter(|_| name.len() > 4);
    let value = match kind {
        Some(FieldKind::Bytes) => value.clone(),
        Some(FieldKind::Number) => integer(value).ok_or_else(|| BadEntry::Value {
            field: name.clone(),
            value: value.clone(),
        })?,
        None => return Err(BadEntry::Field { field: name }),
    };
    Ok(NamedValue { name, value })
}

/// The one way to write this integer, of whatever size.
fn integer(text: &[u8]) -> Option<Bytes> {
    let (negative, digits) = match text.split_first()? {
        (b'-', digits) => (true, digits),
        (b'+', digits) => (false, digits),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    let significant = &digits[zeros.min(digits.len() - 1)..];
    let sign: &[u8] = if negative && significant != b"0" {
        b"-"
    } else {
        b""
    };
    let fits = significant.len() <= DIGITS_MAX;
    fits.then(|| [sign, significant].concat().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_one_form() {
        let rows = [
            ("Age_INT", "-007", Some(("age_int", "-7"))),
            ("age_int", "+0", Some(("age_int", "0"))),
            ("age_int", "-0", Some(("age_int", "0"))),
            ("name_bin", "", Some(("name_bin", ""))),
            ("name_bin", "a, b", Some(("name_bin", "a, b"))),
            ("age_int", "", None),
            ("age_int", "1e3", None),
            ("_int", "1", None),
            ("_bin", "x", None),
            ("$key", "x", None),
            ("name", "x", None),
        ];
        for (field, value, kept) in rows {
            let entry = index_entry(field.as_bytes(), &Bytes::from(value)).ok();
            let kept = kept.map(|(name, value)| NamedValue {
                name: name.into(),
                value: value.into(),
            });
            assert_eq!(entry, kept, "{field} {value}");
        }
    }

    #[test]
    fn a_number_is_as_long_as_an_index_takes() {
        let digits = |count: usize| Bytes::from(vec![b'1'; count]);
        assert!(index_entry(b"n_int", &digits(DIGITS_MAX)).is_ok());
        assert!(index_entry(b"n_int", &digits(DIGITS_MAX + 1)).is_err());
    }
}
