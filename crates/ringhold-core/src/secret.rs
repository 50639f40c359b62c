//! What members prove with the cluster's secret.
//!
//! 256 bits, drawn at founding. Nothing is keyed with the secret itself, but with a key derived for one
//! purpose, so that what leaks of one use helps with no other. [`crate::version::TokenKey`] derives its
//! own.

/// The keyed hash with which two nodes prove to each other that they belong to the same cluster.
#[must_use]
pub fn handshake_mac(cluster_secret: &[u8; 32], message: &[u8]) -> [u8; 16] {
    let key = blake3::derive_key("ringhold peer handshake, version 1", cluster_secret);
    let mut mac = [0; 16];
    blake3::Hasher::new_keyed(&key)
        .update(message)
        .finalize_xof()
        .fill(&mut mac);
    mac
}
