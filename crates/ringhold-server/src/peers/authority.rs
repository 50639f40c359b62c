//! Who signs the members' certificates: every member, with one key that follows from the cluster's secret.
//!
//! The secret is what makes a member, in this protocol and in what the disk holds; an authority beside it would be a
//! second secret to hand over, guard and rotate. So its Ed25519 key is derived from the secret, each node signs a certificate for
//! itself when it starts, for a key that it draws then and never writes down, and whoever has been told the authority's public key can
//! tell members from all others ([why](../../../../docs/decisions/0012-where-do-node-certificates-come-from.md)).
//!
//! The certificate says which node of which cluster shows it, as a URI: `ringhold://CLUSTER/NODE`. It does not
//! expire, because its holder could sign another one at any time, and because clocks that are wrong must not part a
//! cluster that can otherwise go on; who is no member any more is turned away by the ring document.
//!
//! Not here: how a connection is encrypted ([`super::tls`]), and whether the node is a member.

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ED25519, SanType, date_time_ymd,
};
use ringhold_core::id::{ClusterId, NodeId};
use ringhold_core::secret::authority_seed;
use rustls::pki_types::{CertificateDer, Der, PrivateKeyDer, PrivatePkcs8KeyDer, TrustAnchor};

/// An Ed25519 public key.
pub(crate) type AuthorityKey = [u8; 32];

/// What is before the seed of an Ed25519 key in PKCS #8 (RFC 8410, 7).
const PKCS8_HEAD: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
/// What is before the key in the content of a subject's public key info (RFC 8410, 4).
const PUBLIC_KEY_HEAD: [u8; 10] = [0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// The authority's name, the same in all clusters: what tells them apart is the key.
const NAME: &str = "Ringhold peers";
/// What is before that name in the content of a subject that has a common name only, in UTF-8.
const NAME_HEAD: [u8; 11] = [0x31, 23, 0x30, 21, 0x06, 0x03, 0x55, 0x04, 0x03, 0x0c, 14];

const SCHEME: &str = "ringhold://";

/// Whom a certificate names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) cluster: ClusterId,
    pub(crate) node: NodeId,
}

impl Identity {
    fn to_uri(self) -> String {
        format!("{SCHEME}{}/{}", self.cluster, self.node)
    }

    pub(super) fn from_uri(uri: &str) -> Option<Self> {
        let (cluster, node) = uri.strip_prefix(SCHEME)?.split_once('/')?;
        Some(Self {
            cluster: cluster.parse().ok()?,
            node: node.parse().ok()?,
        })
    }
}

/// A node's certificate and the key to it.
pub(super) struct Credentials {
    pub(super) certificate: CertificateDer<'static>,
    pub(super) key: PrivateKeyDer<'static>,
}

/// The authority of the cluster with a certain secret.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn of(cluster_secret: &[u8; 32]) -> Self {
        let pkcs8 = [&PKCS8_HEAD[..], &authority_seed(cluster_secret)].concat();
        let key =
            KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(pkcs8), &PKCS_ED25519);
        let key = key.expect("any 32 bytes are the seed of an Ed25519 key");
        let mut params = CertificateParams::default();
        params.distinguished_name = named(NAME);
        Self {
            issuer: Issuer::new(params, key),
        }
    }

    pub(crate) fn public_key(&self) -> AuthorityKey {
        let key = self.issuer.key().public_key_raw();
        key.try_into().expect("an Ed25519 public key has 32 bytes")
    }

    /// A certificate for a key that is drawn here.
    pub(super) fn certify(&self, identity: Identity) -> Credentials {
        let key = KeyPair::generate_for(&PKCS_ED25519)
            .expect("the operating system has randomness once it has booted");
        let mut params = CertificateParams::default();
        params.distinguished_name = named("Ringhold node");
        let uri = identity.to_uri().try_into();
        params.subject_alt_names = vec![SanType::URI(uri.expect("hexadecimal digits are ASCII"))];
        // RFC 5280, 4.1.2.5: what has no well-defined end.
        params.not_before = date_time_ymd(1970, 1, 1);
        params.not_after = date_time_ymd(9999, 12, 31);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let certificate = params
            .signed_by(&key, &self.issuer)
            .expect("an Ed25519 key signs anything");
        Credentials {
            certificate: certificate.der().clone(),
            key: PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        }
    }
}

/// What a certificate of the authority with this key is traced back to.
pub(super) fn trust_anchor(key: &AuthorityKey) -> TrustAnchor<'static> {
    let content = |head: &[u8], value: &[u8]| Der::from([head, value].concat());
    TrustAnchor {
        subject: content(&NAME_HEAD, NAME.as_bytes()),
        subject_public_key_info: content(&PUBLIC_KEY_HEAD, key),
        name_constraints: None,
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut named = DistinguishedName::new();
    named.push(DnType::CommonName, name);
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_secret_makes_one_authority() {
        let (one, same) = (Authority::of(&[1; 32]), Authority::of(&[1; 32]));
        assert_eq!(one.public_key(), same.public_key());
        assert_ne!(one.public_key(), Authority::of(&[2; 32]).public_key());
    }

    #[test]
    fn a_uri_names_a_node_or_nobody() {
        let identity = Identity {
            cluster: ClusterId(0xc1),
            node: NodeId(0x17),
        };
        let uri = identity.to_uri();
        assert_eq!(Identity::from_uri(&uri), Some(identity));
        for wrong in [
            "",
            "ringhold://",
            &uri[1..],
            &uri[..uri.len() - 1],
            &format!("{uri}/"),
            &uri.replace('/', ":"),
        ] {
            assert_eq!(Identity::from_uri(wrong), None, "{wrong}");
        }
    }
}
