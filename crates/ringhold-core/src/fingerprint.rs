//! A keyed fingerprint of an object's names.
//!
//! A store sorts its records by ring position, which is an MD5 and can be made to collide on purpose. Beside it
//! stands this fingerprint, keyed with a secret of the store, so that nobody can aim two names at
//! one record; the names in the record are compared all the same.

/// 128 bits of BLAKE3 over the three names with their lengths, keyed.
#[must_use]
pub fn fingerprint(key: u128, bucket_type: &[u8], bucket: &[u8], object_key: &[u8]) -> u128 {
    let mut whole_key = [0; 32];
    whole_key[..16].copy_from_slice(&key.to_be_bytes());
    let mut hasher = blake3::Hasher::new_keyed(&whole_key);
    for name in [bucket_type, bucket, object_key] {
        hasher.update(&(name.len() as u64).to_be_bytes());
        hasher.update(name);
    }
    let mut first = [0; 16];
    hasher.finalize_xof().fill(&mut first);
    u128::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_key_all_matter() {
        let base = fingerprint(1, b"t", b"b", b"k");
        assert_eq!(base, fingerprint(1, b"t", b"b", b"k"));
        for other in [
            fingerprint(2, b"t", b"b", b"k"),
            fingerprint(1, b"", b"tb", b"k"),
            fingerprint(1, b"t", b"", b"bk"),
            fingerprint(1, b"t", b"b", b"l"),
        ] {
            assert_ne!(base, other);
        }
    }
}
