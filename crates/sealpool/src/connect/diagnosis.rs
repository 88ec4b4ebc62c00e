use std::{
    fmt,
    time::{Duration, SystemTime},
};

use rustls::{CertificateError, Error as TlsError};
use rustls_pki_types::UnixTime;

use super::{Certificate, providers};
use crate::{
    failure::{HandshakeFailure, PinMismatch},
    policy::{Opening, RootNames, Seen, Tls},
};

/// Says of a failed handshake which certificate was at fault, why, and what mends it.
pub(super) struct Diagnosis<'a> {
    pub(super) failure: HandshakeFailure,
    pub(super) error: Option<&'a TlsError>,
    pub(super) seen: Seen,
    pub(super) tls: &'a Tls,
    pub(super) name: &'a str,
}

/// So many roots are named, and the rest counted.
const ROOTS_SHOWN: usize = 3;

impl fmt::Display for Diagnosis<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.particular() {
            Some(text) => f.write_str(&text),
            None => write!(f, "{}; {}", self.failure.cause(), self.failure.fix()),
        }
    }
}

impl Diagnosis<'_> {
    fn particular(&self) -> Option<String> {
        let direct = self.tls.negotiation.opening == Opening::Direct;
        if self.failure == HandshakeFailure::ConnectionClosed && direct {
            return Some(
                "the server closed the connection at our hello; is it older than PostgreSQL 17? Then write \
                 tls.negotiation = postgres"
                    .to_owned(),
            );
        }
        let chain = self.chain();
        let leaf = chain.first()?;
        match self.failure {
            HandshakeFailure::CertificateUnknownIssuer => Some(self.unknown_issuer(&chain)),
            HandshakeFailure::CertificateHostnameMismatch => Some(self.other_name(leaf)),
            HandshakeFailure::CertificateExpired | HandshakeFailure::CertificateNotYetValid => {
                self.out_of_time(&chain)
            }
            HandshakeFailure::CertificatePinMismatch => self.other_key(leaf),
            HandshakeFailure::CertificateRevoked => Some(format!(
                "{}, or an authority above it, has been revoked; {}",
                described(leaf),
                self.failure.fix()
            )),
            HandshakeFailure::CertificateRevocationUnknown => Some(self.no_list(&chain)),
            HandshakeFailure::CertificateMalformed | HandshakeFailure::CertificateRejected => {
                self.unfit(leaf)
            }
            HandshakeFailure::SignatureInvalid if !self.seen.bad_signature => Some(format!(
                "{} is signed with {} in a way that cannot be verified here; issue it with ECDSA or RSA and SHA-256 \
                 (with RSA-PSS: openssl -sigopt rsa_pss_saltlen:digest)",
                described(leaf),
                leaf.signature_name()
            )),
            _ => None,
        }
    }

    fn chain(&self) -> Vec<Certificate> {
        let chain = self.seen.chain.iter().cloned();
        chain.map(Certificate::new).collect()
    }

    fn unknown_issuer(&self, chain: &[Certificate]) -> String {
        let trusted = self.trusted();
        let (Some(leaf), Some(last)) = (chain.first(), chain.last()) else {
            return self.failure.cause().to_owned();
        };
        let issuer = tame(&last.issuer());
        if let RootNames::Own(names) = &self.tls.roots
            && names.contains(&issuer)
        {
            return format!(
                "{} is signed by an authority that has the name of a trusted one ({issuer}) and another key: it was made \
                 anew; set tls.root to its new certificate",
                described(leaf)
            );
        }
        if chain.len() == 1 && leaf.issuer() == leaf.subject() {
            let hint = providers::hint(&issuer).unwrap_or("have an authority issue one");
            return format!(
                "{} is self-signed, and trusted are {trusted}; if it is the right one (compare it on the server), set \
                 tls.pin = {}, or {hint}",
                described(leaf),
                leaf.pin(),
            );
        }
        let intermediate = if chain.len() == 1 {
            "; the server sent no intermediate: if that is one, append it to the file of ssl_cert_file"
        } else {
            ""
        };
        let hint = providers::hint(&issuer)
            .unwrap_or("set tls.root to the file of the authority that issued it");
        format!(
            "{} comes from an authority that is not trusted: the last issuer that the server named is {issuer}, and \
             trusted are {trusted}{intermediate}; {hint}",
            described(leaf)
        )
    }

    fn trusted(&self) -> String {
        match &self.tls.roots {
            RootNames::Public(name) => name.clone(),
            RootNames::Own(names) => {
                let mut text = names
                    .iter()
                    .take(ROOTS_SHOWN)
                    .cloned()
                    .collect::<Vec<_>>()
                    .join("; ");
                if names.len() > ROOTS_SHOWN {
                    text.push_str(&format!("; and {} more", names.len() - ROOTS_SHOWN));
                }
                text
            }
        }
    }

    fn other_name(&self, leaf: &Certificate) -> String {
        let name = self.name;
        let names = leaf.names();
        if names.is_empty() {
            let kind = if name.parse::<std::net::IpAddr>().is_ok() {
                "IP"
            } else {
                "DNS"
            };
            return format!(
                "{} names its host in the common name at most, which TLS no longer reads; issue it with subjectAltName = \
                 {kind}:{name} (openssl x509 -req -extfile, or -addext)",
                described(leaf)
            );
        }
        format!(
            "{} is for {}, not for {name}; connect by a name that it bears, set tls.server_name to one if the server is \
             the right one, or issue a certificate for {name}",
            described(leaf),
            tame(&names.join(", "))
        )
    }

    fn out_of_time(&self, chain: &[Certificate]) -> Option<String> {
        let (now, limit) = match self.certificate_error()? {
            CertificateError::ExpiredContext { time, not_after } => (time, not_after),
            CertificateError::NotValidYetContext { time, not_before } => (time, not_before),
            _ => return None,
        };
        let at_fault = chain.iter().find(|certificate| {
            [certificate.not_after(), certificate.not_before()].contains(&system(limit))
        });
        let what = match self.failure {
            HandshakeFailure::CertificateExpired => "expired at",
            _ => "is not valid before",
        };
        Some(format!(
            "{} {what} {}, and it is now {}; {}",
            described(at_fault.or_else(|| chain.first())?),
            shown(limit),
            shown(now),
            self.failure.fix()
        ))
    }

    fn other_key(&self, leaf: &Certificate) -> Option<String> {
        let CertificateError::Other(other) = self.certificate_error()? else {
            return None;
        };
        let PinMismatch { found, pinned } = other.0.downcast_ref()?;
        Some(format!(
            "the key of {} is {found}, which is none of the {pinned} pinned; {}",
            described(leaf),
            self.failure.fix()
        ))
    }

    fn no_list(&self, chain: &[Certificate]) -> String {
        if let Some(CertificateError::ExpiredRevocationListContext { time, next_update }) =
            self.certificate_error()
        {
            return format!(
                "a revocation list of tls.crl was to be renewed by {}, and it is now {}; {}",
                shown(next_update),
                shown(time),
                self.failure.fix()
            );
        }
        let issuers: Vec<_> = chain.iter().map(Certificate::issuer).collect();
        format!(
            "the lists of tls.crl do not cover the whole chain; there must be a current one of each of these: {}",
            tame(&issuers.join("; "))
        )
    }

    fn unfit(&self, leaf: &Certificate) -> Option<String> {
        let error = self.certificate_error()?;
        if let CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } =
            error
        {
            return Some(format!(
                "{} is not for servers: its extendedKeyUsage lacks serverAuth; issue one with it",
                described(leaf)
            ));
        }
        let CertificateError::Other(other) = error else {
            return None;
        };
        match other.0.downcast_ref::<webpki::Error>()? {
            webpki::Error::CaUsedAsEndEntity => Some(format!(
                "{} is an authority's (CA:TRUE) in the place of a server's, as openssl req -x509 makes it; make it with \
                 -addext basicConstraints=critical,CA:FALSE, or set tls.pin = {} if it is the right one",
                described(leaf),
                leaf.pin()
            )),
            webpki::Error::UnsupportedCertVersion => Some(format!(
                "{} is of X.509 version 1, as openssl x509 -req makes it without -extfile; issue one of version 3 with \
                 subjectAltName = DNS:{}, or set tls.pin = {} if it is the right one",
                described(leaf),
                self.name,
                leaf.pin()
            )),
            _ => None,
        }
    }

    fn certificate_error(&self) -> Option<&CertificateError> {
        match self.error? {
            TlsError::InvalidCertificate(error) => Some(error),
            _ => None,
        }
    }
}

fn described(certificate: &Certificate) -> String {
    let subject = match certificate.subject() {
        subject if subject.is_empty() => certificate.names().join(", "),
        subject => subject,
    };
    format!(
        "the certificate of {} (issued by {})",
        tame(&subject),
        tame(&certificate.issuer())
    )
}

/// Nobody has vouched for these texts: they must not forge a line of a log, nor fill it.
fn tame(text: &str) -> String {
    const LONGEST: usize = 200;
    let mut tame: String = text
        .chars()
        .take(LONGEST)
        .map(|letter| if letter.is_control() { '?' } else { letter })
        .collect();
    if text.chars().nth(LONGEST).is_some() {
        tame.push('…');
    }
    tame
}

fn system(time: &UnixTime) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(time.as_secs())
}

fn shown(time: &UnixTime) -> humantime::Rfc3339Timestamp {
    humantime::format_rfc3339_seconds(system(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_forges_no_line_of_a_log() {
        assert_eq!(tame("CN=a\nERROR: b\u{1b}[31m"), "CN=a?ERROR: b?[31m");
        assert_eq!(tame(&"x".repeat(5_000)).chars().count(), 201);
    }
}
