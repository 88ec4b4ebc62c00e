use crate::failure::HandshakeFailure;

impl HandshakeFailure {
    /// What happened, in words for an operator.
    #[must_use]
    pub const fn cause(self) -> &'static str {
        match self {
            Self::Alpn => "the server did not agree on the application protocol `postgresql`",
            Self::Cancelled => "the caller or the pool went away during the handshake",
            Self::CertificateExpired => "the server's certificate has expired",
            Self::CertificateHostnameMismatch => "the server's certificate does not name this host",
            Self::CertificateMalformed => "the server's certificate cannot be read",
            Self::CertificateNotYetValid => "the server's certificate is not valid yet",
            Self::CertificatePinMismatch => "the server's key is none of the pinned ones",
            Self::CertificateRejected => "the certificate may not be used to authenticate a server",
            Self::CertificateRevocationUnknown => {
                "no valid revocation list covers the server's certificate"
            }
            Self::CertificateRevoked => "the server's certificate has been revoked",
            Self::CertificateUnknownIssuer => {
                "none of the trusted roots has issued the server's certificate"
            }
            Self::ClientCertificateRejected => "the server refused our client certificate",
            Self::ClientCertificateRequired => "the server asks for a client certificate",
            Self::ConnectionClosed => "the server closed the connection during the handshake",
            Self::LocalConfig => "our own TLS settings cannot be used",
            Self::NoCommonCipher => {
                "the server shares no cipher suite or key-exchange group with us"
            }
            Self::Other => "the handshake failed for a reason without a name of its own",
            Self::PeerAlert => "the server ended the handshake with an alert",
            Self::PlaintextInjection => {
                "bytes that are not TLS came after the server's consent: somebody may be tampering"
            }
            Self::ProtocolError => "the server sent an invalid TLS message",
            Self::ProtocolVersion => "the server offers no TLS version that is allowed here",
            Self::ServerErrorBeforeTls => {
                "the server answered the request for TLS with an error (its text is not shown: nobody has vouched for it)"
            }
            Self::ServerRefusedTls => "the server does not offer TLS",
            Self::ServerUnintelligible => "what answers on this port is not a PostgreSQL server",
            Self::SignatureInvalid => {
                "the server did not prove that it holds its certificate's key"
            }
            Self::Timeout => "the server did not complete the handshake within the limit",
        }
    }

    /// What mends it.
    #[must_use]
    pub const fn fix(self) -> &'static str {
        match self {
            Self::Alpn => {
                "write tls.negotiation = postgres, or connect to PostgreSQL 17 or newer itself"
            }
            Self::Cancelled => "allow more time, or ignore it while shutting down",
            Self::CertificateExpired | Self::CertificateNotYetValid => {
                "renew the server's certificate, or set the clocks right"
            }
            Self::CertificateHostnameMismatch => {
                "connect by a name that the certificate carries, or issue one for this host"
            }
            Self::CertificateMalformed => {
                "issue an X.509 version 3 certificate with subjectAltName for the server"
            }
            Self::CertificatePinMismatch => {
                "compare the server's key out of band and, if it was renewed on purpose, pin the new one"
            }
            Self::CertificateRejected => {
                "issue a server certificate that is no certificate authority (basicConstraints CA:FALSE, extendedKeyUsage serverAuth)"
            }
            Self::CertificateRevocationUnknown => "fetch the current revocation list of the issuer",
            Self::CertificateRevoked => "install a new certificate on the server",
            Self::CertificateUnknownIssuer => {
                "set tls.root to the file of the authority that issued it; a server that sends no intermediate must be given its whole chain"
            }
            Self::ClientCertificateRejected => {
                "use a client certificate issued by an authority in the server's ssl_ca_file"
            }
            Self::ClientCertificateRequired => "set tls.client_cert and tls.client_key",
            Self::ConnectionClosed => {
                "look into the server's log; a proxy or firewall between may be cutting the connection"
            }
            Self::LocalConfig => "correct the TLS settings",
            Self::NoCommonCipher => "allow TLS 1.3 or an ECDHE suite in the server's ssl_ciphers",
            Self::Other | Self::PeerAlert => {
                "look into the server's log at the time of the failure"
            }
            Self::PlaintextInjection => "find out what stands between this machine and the server",
            Self::ProtocolError => {
                "check that nothing between here and the server alters the stream"
            }
            Self::ProtocolVersion => {
                "let ssl_min_protocol_version and ssl_max_protocol_version on the server and tls.min_version and tls.max_version here overlap"
            }
            Self::ServerErrorBeforeTls => {
                "look into the server's log; too many connections and a server that is starting up answer so"
            }
            Self::ServerRefusedTls => "set ssl = on in postgresql.conf and reload the server",
            Self::ServerUnintelligible => "check host and port",
            Self::SignatureInvalid => {
                "check that the server's ssl_key_file belongs to its ssl_cert_file"
            }
            Self::Timeout => {
                "check the network and the server's load, or raise connect.tls_timeout"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_cause_and_a_fix_of_its_own_words() {
        for failure in HandshakeFailure::ALL {
            assert!(failure.cause().len() > 20, "{failure}");
            assert!(failure.fix().len() > 15, "{failure}");
            assert!(
                !failure.cause().ends_with('.') && !failure.fix().ends_with('.'),
                "{failure}"
            );
        }
    }
}
