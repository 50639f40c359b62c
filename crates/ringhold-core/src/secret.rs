//! What members prove with the cluster's secret.
//!
//! 256 bits, drawn at founding. Nothing is keyed with the secret itself, but with a key derived for one
//! purpose, so that what leaks of one use helps with no other. [`crate::version::TokenKey`] derives its
//! own.

/// The keyed hash with which two nodes prove to each other that they belong to the same cluster.
#[must_use]
pub fn handshake_mac(cluster_secret: &[u8; 32], message: &[u8]) -> [u8; 16] {
    let key = blake3::derive_key("ringhold peer handshake, version 1", cluster_secret);
    keyed_hash(&key, message)
}

/// The seed of the Ed25519 key with which nodes sign their own certificates. Whoever has the secret has the
/// cluster's authority, and nobody else.
#[must_use]
pub fn authority_seed(cluster_secret: &[u8; 32]) -> [u8; 32] {
    blake3::derive_key("ringhold peer authority, version 1", cluster_secret)
}

/// The keyed hash by which members know a token for joining as one of theirs.
pub(crate) fn join_token_mac(cluster_secret: &[u8; 32], message: &[u8]) -> [u8; 16] {
    let key = blake3::derive_key("ringhold join token, version 1", cluster_secret);
    keyed_hash(&key, message)
}

fn keyed_hash(key: &[u8; 32], message: &[u8]) -> [u8; 16] {
    let mut mac = [0; 16];
    blake3::Hasher::new_keyed(key)
        .update(message)
        .finalize_xof()
        .fill(&mut mac);
    mac
}
