//! TLS between nodes: both ends show certificates of the cluster's authority.
//!
//! TLS 1.3 only, one application protocol, no resumption, so that every connection proves both ends anew. Either end
//! takes the other for a node only if its certificate comes from the authority and names this cluster; that the node is the one whose
//! card follows inside, and a member, is the handshake's to say. A listener lets dialers without a certificate
//! in as far as that handshake, because a node that joins has none yet.
//!
//! A certificate for clients comes from another authority, or from none; it opens nothing here.
//!
//! What goes wrong is told in words of this protocol ([`TlsError`]): an operator sees that a node is of another
//! cluster, or that one end does not speak TLS, and which setting that is.
//!
//! Not here: where certificates come from ([`super::authority`]).

use super::authority::{Authority, AuthorityKey, Credentials, Identity, trust_anchor};
use super::stream::StreamError;
use ringhold_core::id::ClusterId;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, Resumption, WantsClientCert};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ServerConfig};
use rustls::version::TLS13;
use rustls::{
    AlertDescription, CertificateError, ConfigBuilder, DigitallySignedStruct, DistinguishedName,
    PeerIncompatible, SignatureScheme,
};
use std::fmt;
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use webpki::{EndEntityCert, KeyUsage};

/// The one application protocol.
const PROTOCOL: &[u8] = b"ringhold-peer/1";
/// The first byte of each connection that speaks TLS, and never that of a frame.
pub(super) const FIRST_BYTE: u8 = 0x16;

/// Why there is no encrypted connection.
#[derive(Debug, PartialEq)]
pub(crate) enum TlsError {
    /// The other side speaks something else.
    NotTls,
    /// The other side's certificate is not this cluster's.
    ForeignCertificate,
    /// The other side says that of the certificate of this side.
    CertificateRefused,
    /// The other side is no port for peers.
    OtherProtocol,
    Other(rustls::Error),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTls => f.write_str(
                "`peer_tls` is on here, and the other side does not speak TLS: set `peer_tls` for all members alike",
            ),
            Self::ForeignCertificate => {
                f.write_str("the certificate of the other side is not one of this cluster")
            }
            Self::CertificateRefused => f.write_str(
                "the other side does not take this node's certificate: it is of another cluster",
            ),
            Self::OtherProtocol => {
                f.write_str("the other side speaks TLS, but not the protocol of peers")
            }
            Self::Other(error) => write!(f, "TLS: {error}"),
        }
    }
}

impl From<&rustls::Error> for TlsError {
    fn from(error: &rustls::Error) -> Self {
        use rustls::Error::{
            AlertReceived, InvalidCertificate, InvalidMessage, NoApplicationProtocol,
            PeerIncompatible as Incompatible,
        };
        match error {
            InvalidMessage(_) => Self::NotTls,
            InvalidCertificate(_) => Self::ForeignCertificate,
            AlertReceived(
                AlertDescription::UnknownCA
                | AlertDescription::AccessDenied
                | AlertDescription::DecryptError,
            ) => Self::CertificateRefused,
            NoApplicationProtocol
            | AlertReceived(AlertDescription::NoApplicationProtocol)
            | Incompatible(_) => Self::OtherProtocol,
            other => Self::Other(other.clone()),
        }
    }
}

impl TlsError {
    /// What TLS has to say in an error of a socket, if it was TLS that failed.
    pub(super) fn in_io(error: &io::Error) -> Option<Self> {
        let inner = error.get_ref()?.downcast_ref::<rustls::Error>()?;
        Some(Self::from(inner))
    }
}

/// How a node encrypts.
#[derive(Clone)]
pub(crate) struct PeerTls {
    pub(crate) dialing: DialingTls,
    pub(crate) accepting: AcceptingTls,
}

impl PeerTls {
    /// With a certificate for this node that is made now.
    pub(crate) fn of_member(cluster_secret: &[u8; 32], identity: Identity) -> Self {
        let authority = Authority::of(cluster_secret);
        let credentials = authority.certify(identity);
        Self::with(credentials, &authority.public_key(), identity.cluster)
    }

    /// Shows these credentials, and takes those that come from this authority and name this cluster.
    pub(super) fn with(
        credentials: Credentials,
        authority: &AuthorityKey,
        cluster: ClusterId,
    ) -> Self {
        let verifier = Verifier::new(authority, Some(cluster));
        let chain = vec![credentials.certificate];
        let client = dialing_with(Arc::clone(&verifier))
            .with_client_auth_cert(chain.clone(), credentials.key.clone_key())
            .expect("the key is that of the certificate");
        let mut server = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has cipher suites of TLS 1.3")
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, credentials.key)
            .expect("the key is that of the certificate");
        server.alpn_protocols = vec![PROTOCOL.to_vec()];
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        Self {
            dialing: DialingTls::of(client),
            accepting: AcceptingTls(Arc::new(server).into()),
        }
    }
}

/// The side that dials.
#[derive(Clone)]
pub(crate) struct DialingTls(TlsConnector);

impl DialingTls {
    /// Of a node that is no member yet: it shows no certificate, and takes members of whichever cluster has this
    /// authority.
    pub(crate) fn of_joiner(authority: &AuthorityKey) -> Self {
        Self::of(dialing_with(Verifier::new(authority, None)).with_no_client_auth())
    }

    fn of(mut config: ClientConfig) -> Self {
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        config.resumption = Resumption::disabled();
        config.enable_sni = false;
        Self(Arc::new(config).into())
    }

    /// The encrypted connection, and whom the other side's certificate names.
    ///
    /// # Errors
    /// If the other side does not speak TLS, or is no member of the cluster.
    pub(super) async fn connect(
        &self,
        stream: TcpStream,
    ) -> Result<(TlsStream<TcpStream>, Identity), StreamError> {
        // No name is sent, and none is looked at: whom to reach is a node, not an address.
        let nobody = ServerName::try_from("peer.invalid").expect("it is a name");
        let stream = TlsStream::from(self.0.connect(nobody, stream).await?);
        let identity = far_end(&stream)?.ok_or(TlsError::ForeignCertificate)?;
        Ok((stream, identity))
    }
}

/// The side that listens.
#[derive(Clone)]
pub(crate) struct AcceptingTls(TlsAcceptor);

impl AcceptingTls {
    /// The encrypted connection, and whom the dialer's certificate names, if it has shown one.
    ///
    /// # Errors
    /// If the dialer's certificate is not one of this cluster, or it speaks another protocol.
    pub(super) async fn accept(
        &self,
        stream: TcpStream,
    ) -> Result<(TlsStream<TcpStream>, Option<Identity>), StreamError> {
        let stream = TlsStream::from(self.0.accept(stream).await?);
        let identity = far_end(&stream)?;
        Ok((stream, identity))
    }
}

/// Looks at what the two ends have agreed on.
fn far_end(stream: &TlsStream<TcpStream>) -> Result<Option<Identity>, TlsError> {
    let (_, session) = stream.get_ref();
    if session.alpn_protocol() != Some(PROTOCOL) {
        return Err(TlsError::OtherProtocol);
    }
    let certificate = session.peer_certificates().and_then(<[_]>::first);
    certificate
        .map(|certificate| named_by(certificate).ok_or(TlsError::ForeignCertificate))
        .transpose()
}

/// The one node that a certificate names.
fn named_by(certificate: &CertificateDer<'_>) -> Option<Identity> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    let mut uris = certificate.valid_uri_names();
    let identity = Identity::from_uri(uris.next()?)?;
    uris.next().is_none().then_some(identity)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn dialing_with(verifier: Arc<Verifier>) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has cipher suites of TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
}

/// Takes certificates of one authority.
#[derive(Debug)]
struct Verifier {
    anchor: TrustAnchor<'static>,
    /// The cluster that they must name, if that is known.
    cluster: Option<ClusterId>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    fn new(authority: &AuthorityKey, cluster: Option<ClusterId>) -> Arc<Self> {
        Arc::new(Self {
            anchor: trust_anchor(authority),
            cluster,
            algorithms: ring::default_provider().signature_verification_algorithms,
        })
    }

    fn check(
        &self,
        certificate: &CertificateDer<'_>,
        now: UnixTime,
        usage: KeyUsage,
    ) -> Result<(), rustls::Error> {
        let parsed = EndEntityCert::try_from(certificate);
        let parsed = parsed.map_err(|_| CertificateError::BadEncoding)?;
        parsed
            .verify_for_usage(
                &[webpki::ring::ED25519],
                std::slice::from_ref(&self.anchor),
                &[],
                now,
                usage,
                None,
                None,
            )
            .map_err(|error| {
                tracing::debug!(%error, "a certificate was refused");
                CertificateError::UnknownIssuer
            })?;
        let named = named_by(certificate);
        let is_ours = |named: Identity| self.cluster.is_none_or(|own| named.cluster == own);
        if !named.is_some_and(is_ours) {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(())
    }

    fn check_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.check(end_entity, now, KeyUsage::server_auth())?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::Tls12NotOfferedOrEnabled.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.check_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

impl ClientCertVerifier for Verifier {
    /// A joiner has no certificate; what it may do without one is little.
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.check(end_entity, now, KeyUsage::client_auth())?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::Tls12NotOfferedOrEnabled.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.check_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringhold_core::id::NodeId;
    use tokio::net::TcpListener;

    const SECRET: [u8; 32] = [1; 32];

    fn identity(node: u128) -> Identity {
        Identity {
            cluster: ClusterId(0xc1),
            node: NodeId(node),
        }
    }

    /// What the listener makes of a dialer that trusts it and differs from a peer in what `change` does.
    async fn accepted(change: impl FnOnce(&mut ClientConfig)) -> Result<(), StreamError> {
        let authority = Authority::of(&SECRET);
        let own = authority.certify(identity(1));
        let verifier = Verifier::new(&authority.public_key(), None);
        let config = dialing_with(verifier).with_client_auth_cert(vec![own.certificate], own.key);
        let mut config = config.expect("the key is that of the certificate");
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        change(&mut config);
        let dialing = TlsConnector::from(Arc::new(config));
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = socket.local_addr().expect("its address");
        let dialled = async {
            let stream = TcpStream::connect(address).await?;
            let nobody = ServerName::try_from("peer.invalid").expect("it is a name");
            dialing.connect(nobody, stream).await
        };
        let accepting = PeerTls::of_member(&SECRET, identity(2)).accepting;
        let accepted = async {
            let (stream, _) = socket.accept().await?;
            accepting.accept(stream).await
        };
        let (_dialled, accepted) = tokio::join!(dialled, accepted);
        accepted.map(|(_, named)| assert_eq!(named, Some(identity(1))))
    }

    #[tokio::test]
    async fn only_peers_of_this_protocol_are_taken() {
        accepted(|_| ()).await.expect("nothing was changed");
        for protocols in [vec![], vec![b"http/1.1".to_vec()]] {
            let refused = accepted(|config| config.alpn_protocols = protocols).await;
            assert!(
                matches!(refused, Err(StreamError::Tls(TlsError::OtherProtocol))),
                "{refused:?}"
            );
        }
    }

    #[test]
    fn a_certificate_names_one_node() {
        let credentials = Authority::of(&SECRET).certify(identity(7));
        assert_eq!(named_by(&credentials.certificate), Some(identity(7)));
        let cut = &credentials.certificate[..credentials.certificate.len() - 1];
        assert_eq!(named_by(&CertificateDer::from(cut)), None);
    }
}
