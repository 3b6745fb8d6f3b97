//! TLS of the client: which authorities are trusted, and what to say when a session cannot be made.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{AlertDescription, CertificateError, ClientConfig, PeerIncompatible, RootCertStore};

use crate::failure::{Failure, FailureKind};

/// TLS sessions remembered for resumption, over all hosts.
const SESSIONS: usize = 1_024;

/// Why the trusted certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsConfigError {
    /// The file cannot be read, or is not PEM.
    #[error("the CA file cannot be read: {0}")]
    Unreadable(rustls::pki_types::pem::Error),
    /// The file holds no certificate.
    #[error("the CA file holds no certificate; it must hold at least one, in PEM form")]
    Empty,
    /// A certificate that cannot serve as an authority, or a library without the needed algorithms.
    #[error("the TLS configuration is not usable: {0}")]
    Unusable(#[from] rustls::Error),
}

/// Reads the operator's own certificate authorities from a PEM file.
///
/// # Errors
/// When the file cannot be read or holds no certificate.
pub fn load_roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
    let roots = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(TlsConfigError::Unreadable)?;
    if roots.is_empty() { Err(TlsConfigError::Empty) } else { Ok(roots) }
}

/// TLS 1.2 and 1.3, Mozilla's authorities and `extra` ones, HTTP/2 offered before HTTP/1.1, no client
/// certificate, no early data.
pub(crate) fn client_config(extra: &[CertificateDer<'static>]) -> Result<Arc<ClientConfig>, TlsConfigError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for root in extra {
        roots.add(root.clone())?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    Ok(Arc::new(config))
}

/// What a failed handshake (or a session broken later) means, if TLS is what failed.
pub(crate) fn describe(error: &io::Error) -> Option<Failure> {
    let tls = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let detail = match tls {
        rustls::Error::InvalidCertificate(fault) => certificate(fault),
        rustls::Error::AlertReceived(AlertDescription::ProtocolVersion)
        | rustls::Error::PeerIncompatible(
            PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled,
        ) => "the receiver does not speak a protocol version that is safe; TLS 1.2 or later is required",
        rustls::Error::AlertReceived(AlertDescription::HandshakeFailure)
        | rustls::Error::PeerIncompatible(_) => {
            "the receiver and the sender have no TLS algorithms in common; offer current ones"
        }
        rustls::Error::AlertReceived(AlertDescription::UnrecognisedName) => {
            "the receiver does not know the host name (TLS alert unrecognized_name)"
        }
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "the receiver asks for a client certificate, and none is configured"
        }
        rustls::Error::AlertReceived(_) => "the receiver refused the TLS session with an alert",
        rustls::Error::InvalidMessage(_) => "what the receiver sent is not TLS; does it speak plain http?",
        rustls::Error::FailedToGetRandomBytes | rustls::Error::FailedToGetCurrentTime => {
            return Some(Failure::local(tls.to_string()));
        }
        _ => "the TLS session broke off",
    };
    Some(Failure::unsent(FailureKind::Tls, detail).with_operator_detail(tls.to_string()))
}

fn certificate(fault: &CertificateError) -> &'static str {
    match fault {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the receiver's certificate has expired; renew it"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the receiver's certificate is not valid yet"
        }
        CertificateError::UnknownIssuer => {
            "the receiver's certificate is self-signed or from an unknown issuer, or its chain is incomplete"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the receiver's certificate is for another name than the URL's host"
        }
        CertificateError::Revoked => "the receiver's certificate has been revoked",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the receiver's certificate is not meant for a server"
        }
        CertificateError::BadSignature => "the receiver's certificate carries a wrong signature",
        // webpki names a self-signed authority used as a server's own certificate in words of its own.
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "the receiver's certificate is self-signed: it is an authority's, not a server's"
        }
        _ => "the receiver's certificate is not acceptable",
    }
}
