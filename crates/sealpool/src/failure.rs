use std::io;

use rustls::{
    AlertDescription, CertRevocationListError, CertificateError, InvalidMessage, PeerIncompatible,
    PeerMisbehaved,
};

use crate::closed_set::closed_set;

closed_set! {
    /// Why a handshake failed: every failed attempt has exactly one of these reasons.
    ///
    /// The set is closed, so that it can be the label of a metric. Text from the peer never becomes part of it.
    pub enum HandshakeFailure {
        /// The server chose an application protocol other than `postgresql`, or none.
        Alpn = "alpn",
        /// The caller or the pool went away while the handshake was under way.
        Cancelled = "cancelled",
        /// The server's certificate is past its notAfter date.
        CertificateExpired = "certificate_expired",
        /// The certificate does not name the configured host.
        CertificateHostnameMismatch = "certificate_hostname_mismatch",
        /// The certificate cannot be read, or is of a version that TLS forbids.
        CertificateMalformed = "certificate_malformed",
        /// The server's certificate is before its notBefore date.
        CertificateNotYetValid = "certificate_not_yet_valid",
        /// The server's key is none of the pinned ones.
        CertificatePinMismatch = "certificate_pin_mismatch",
        /// The certificate may not be used to authenticate a server.
        CertificateRejected = "certificate_rejected",
        /// No list says whether the certificate is revoked, or the list itself has expired.
        CertificateRevocationUnknown = "certificate_revocation_unknown",
        /// The certificate has been revoked.
        CertificateRevoked = "certificate_revoked",
        /// No configured root has issued the certificate.
        CertificateUnknownIssuer = "certificate_unknown_issuer",
        /// The server refused our client certificate.
        ClientCertificateRejected = "client_certificate_rejected",
        /// The server wants a client certificate and was given none.
        ClientCertificateRequired = "client_certificate_required",
        /// The server closed or reset the connection before the handshake was complete.
        ConnectionClosed = "connection_closed",
        /// Our own TLS material or name cannot be used.
        LocalConfig = "local_config",
        /// No cipher suite, key-exchange group or signature scheme in common.
        NoCommonCipher = "no_common_cipher",
        /// Anything else.
        Other = "other",
        /// The server ended the handshake with an alert that no other reason covers.
        PeerAlert = "peer_alert",
        /// Bytes that are not TLS followed the server's consent (the class of CVE-2021-23222).
        PlaintextInjection = "plaintext_injection",
        /// An invalid or unexpected TLS message.
        ProtocolError = "protocol_error",
        /// No TLS version in common.
        ProtocolVersion = "protocol_version",
        /// The server answered the request for TLS with an error message.
        ServerErrorBeforeTls = "server_error_before_tls",
        /// The server answered the request for TLS with `N`.
        ServerRefusedTls = "server_refused_tls",
        /// The server answered the request for TLS with something that is not PostgreSQL.
        ServerUnintelligible = "server_unintelligible",
        /// The server did not prove that it holds the certificate's key.
        SignatureInvalid = "signature_invalid",
        /// Our deadline passed.
        Timeout = "timeout",
    }
}

impl HandshakeFailure {
    /// The reason behind an error of the TLS stream, and of the socket below it.
    pub(crate) fn of_io(error: &io::Error) -> Self {
        if let Some(tls) = tls_error(error) {
            return Self::of_tls(tls);
        }
        match error.kind() {
            io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::NotConnected
            | io::ErrorKind::UnexpectedEof => Self::ConnectionClosed,
            io::ErrorKind::TimedOut => Self::Timeout,
            io::ErrorKind::InvalidInput => Self::LocalConfig,
            _ => Self::Other,
        }
    }

    fn of_tls(error: &rustls::Error) -> Self {
        use rustls::Error as Tls;
        match error {
            Tls::InvalidCertificate(error) => Self::of_certificate(error),
            Tls::NoCertificatesPresented => Self::CertificateMalformed,
            Tls::AlertReceived(alert) => Self::of_alert(*alert),
            Tls::PeerIncompatible(error) => Self::of_incompatible(error),
            Tls::PeerMisbehaved(PeerMisbehaved::SelectedUnofferedApplicationProtocol)
            | Tls::NoApplicationProtocol => Self::Alpn,
            Tls::PeerMisbehaved(
                PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme
                | PeerMisbehaved::SignedKxWithWrongAlgorithm,
            ) => Self::SignatureInvalid,
            Tls::InvalidMessage(InvalidMessage::UnknownProtocolVersion) => Self::ProtocolVersion,
            Tls::InvalidMessage(_)
            | Tls::PeerMisbehaved(_)
            | Tls::InappropriateMessage { .. }
            | Tls::InappropriateHandshakeMessage { .. }
            | Tls::PeerSentOversizedRecord
            | Tls::DecryptError => Self::ProtocolError,
            // A list of an authority that was made anew under its old name says nothing of its certificates.
            Tls::InvalidCertRevocationList(
                CertRevocationListError::BadSignature
                | CertRevocationListError::IssuerInvalidForCrl,
            ) => Self::CertificateRevocationUnknown,
            Tls::InvalidCertRevocationList(_)
            | Tls::BadMaxFragmentSize
            | Tls::InconsistentKeys(_)
            | Tls::UnsupportedNameType
            | Tls::FailedToGetCurrentTime
            | Tls::FailedToGetRandomBytes => Self::LocalConfig,
            _ => Self::Other,
        }
    }

    fn of_certificate(error: &CertificateError) -> Self {
        use CertificateError as Certificate;
        match error {
            Certificate::Expired | Certificate::ExpiredContext { .. } => Self::CertificateExpired,
            Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => {
                Self::CertificateNotYetValid
            }
            Certificate::Revoked => Self::CertificateRevoked,
            Certificate::UnknownRevocationStatus
            | Certificate::ExpiredRevocationList
            | Certificate::ExpiredRevocationListContext { .. } => {
                Self::CertificateRevocationUnknown
            }
            // A certificate authority made anew under its old name shows as a bad signature.
            Certificate::UnknownIssuer | Certificate::BadSignature => {
                Self::CertificateUnknownIssuer
            }
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
                Self::CertificateHostnameMismatch
            }
            Certificate::BadEncoding | Certificate::UnhandledCriticalExtension => {
                Self::CertificateMalformed
            }
            Certificate::UnsupportedSignatureAlgorithmContext { .. }
            | Certificate::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
                Self::SignatureInvalid
            }
            Certificate::Other(other) if other.0.is::<PinMismatch>() => {
                Self::CertificatePinMismatch
            }
            Certificate::Other(other) => match other.0.downcast_ref::<webpki::Error>() {
                Some(error) => Self::of_webpki(error),
                None => Self::CertificateRejected,
            },
            _ => Self::CertificateRejected,
        }
    }

    fn of_webpki(error: &webpki::Error) -> Self {
        match error {
            webpki::Error::UnsupportedCertVersion
            | webpki::Error::ExtensionValueInvalid
            | webpki::Error::MalformedExtensions
            | webpki::Error::MalformedDnsIdentifier
            | webpki::Error::TrailingData(_)
            | webpki::Error::InvalidSerialNumber => Self::CertificateMalformed,
            _ => Self::CertificateRejected,
        }
    }

    fn of_incompatible(error: &PeerIncompatible) -> Self {
        match error {
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled => Self::ProtocolVersion,
            _ => Self::NoCommonCipher,
        }
    }

    fn of_alert(alert: AlertDescription) -> Self {
        match alert {
            AlertDescription::CertificateRequired | AlertDescription::NoCertificate => {
                Self::ClientCertificateRequired
            }
            AlertDescription::AccessDenied
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::UnsupportedCertificate => Self::ClientCertificateRejected,
            AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => {
                Self::NoCommonCipher
            }
            AlertDescription::NoApplicationProtocol => Self::Alpn,
            AlertDescription::ProtocolVersion => Self::ProtocolVersion,
            _ => Self::PeerAlert,
        }
    }
}

/// The server's key is none of the pinned ones.
#[derive(Debug, thiserror::Error)]
#[error("the server's key is {found}, none of the {pinned} pinned")]
pub(crate) struct PinMismatch {
    pub(crate) found: String,
    pub(crate) pinned: usize,
}

/// The TLS error inside an error of a stream: walking `source()` does not reach it.
pub(crate) fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_set_is_alphabetical_and_free_of_twins() {
        let names: Vec<_> = HandshakeFailure::ALL.iter().map(|f| f.as_str()).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(names, sorted);
    }

    #[test]
    fn an_unforeseen_tls_error_has_a_reason_too() {
        let error = io::Error::other(rustls::Error::General("new in some later version".into()));
        assert_eq!(HandshakeFailure::of_io(&error), HandshakeFailure::Other);
    }

    #[test]
    fn tls_errors_have_one_reason_each() {
        use rustls::Error as Tls;
        let rows: &[(Tls, HandshakeFailure)] = &[
            (
                CertificateError::UnknownIssuer.into(),
                HandshakeFailure::CertificateUnknownIssuer,
            ),
            (
                CertificateError::BadSignature.into(),
                HandshakeFailure::CertificateUnknownIssuer,
            ),
            (
                CertificateError::Expired.into(),
                HandshakeFailure::CertificateExpired,
            ),
            (
                CertificateError::NotValidYet.into(),
                HandshakeFailure::CertificateNotYetValid,
            ),
            (
                CertificateError::NotValidForName.into(),
                HandshakeFailure::CertificateHostnameMismatch,
            ),
            (
                CertificateError::Revoked.into(),
                HandshakeFailure::CertificateRevoked,
            ),
            (
                CertificateError::UnknownRevocationStatus.into(),
                HandshakeFailure::CertificateRevocationUnknown,
            ),
            (
                CertificateError::InvalidPurpose.into(),
                HandshakeFailure::CertificateRejected,
            ),
            (
                CertificateError::BadEncoding.into(),
                HandshakeFailure::CertificateMalformed,
            ),
            (
                Tls::AlertReceived(AlertDescription::CertificateRequired),
                HandshakeFailure::ClientCertificateRequired,
            ),
            (
                Tls::AlertReceived(AlertDescription::UnknownCA),
                HandshakeFailure::ClientCertificateRejected,
            ),
            (
                Tls::AlertReceived(AlertDescription::HandshakeFailure),
                HandshakeFailure::NoCommonCipher,
            ),
            (
                Tls::AlertReceived(AlertDescription::InternalError),
                HandshakeFailure::PeerAlert,
            ),
            (
                PeerIncompatible::ServerDoesNotSupportTls12Or13.into(),
                HandshakeFailure::ProtocolVersion,
            ),
            (Tls::DecryptError, HandshakeFailure::ProtocolError),
            (Tls::UnsupportedNameType, HandshakeFailure::LocalConfig),
        ];
        for (error, expected) in rows {
            let error = io::Error::new(io::ErrorKind::InvalidData, error.clone());
            assert_eq!(HandshakeFailure::of_io(&error), *expected, "{error}");
        }
    }

    #[test]
    fn a_closed_socket_is_told_from_a_timeout() {
        let closed = io::Error::from(io::ErrorKind::ConnectionReset);
        let late = io::Error::from(io::ErrorKind::TimedOut);
        assert_eq!(
            HandshakeFailure::of_io(&closed),
            HandshakeFailure::ConnectionClosed
        );
        assert_eq!(HandshakeFailure::of_io(&late), HandshakeFailure::Timeout);
    }
}
