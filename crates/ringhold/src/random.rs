//! Randomness of the operating system, for identities and keys of operations.

/// Fills the slice.
///
/// # Panics
///
/// If the operating system has none to give, which it only has not early in its boot.
pub(crate) fn fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system gives random bytes");
}

/// 128 bits.
pub(crate) fn identity() -> u128 {
    let mut bytes = [0; 16];
    fill(&mut bytes);
    u128::from_be_bytes(bytes)
}

/// 64 bits.
pub(crate) fn number() -> u64 {
    let mut bytes = [0; 8];
    fill(&mut bytes);
    u64::from_be_bytes(bytes)
}
