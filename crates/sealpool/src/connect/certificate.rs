use std::{
    fmt,
    net::IpAddr,
    time::{Duration, SystemTime},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rustls_pki_types::CertificateDer;
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use x509_parser::{
    certificate::X509Certificate, extensions::GeneralName, prelude::FromDer, time::ASN1Time,
};

/// A certificate that a server presented.
///
/// It is kept as the server sent it and read when asked.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate(CertificateDer<'static>);

impl Certificate {
    pub(super) const fn new(der: CertificateDer<'static>) -> Self {
        Self(der)
    }

    /// The certificate in DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.0
    }

    /// The subject, such as `CN=db.example.net, O=Example`.
    #[must_use]
    pub fn subject(&self) -> String {
        self.read(|certificate| certificate.subject().to_string())
            .unwrap_or_default()
    }

    /// The issuer.
    #[must_use]
    pub fn issuer(&self) -> String {
        self.read(|certificate| certificate.issuer().to_string())
            .unwrap_or_default()
    }

    /// The DNS names and addresses it is valid for (subjectAltName).
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.read(|certificate| {
            let Ok(Some(names)) = certificate.subject_alternative_name() else {
                return Vec::new();
            };
            names.value.general_names.iter().filter_map(shown).collect()
        })
        .unwrap_or_default()
    }

    /// The time from which it is valid.
    #[must_use]
    pub fn not_before(&self) -> SystemTime {
        self.time(|certificate| certificate.validity().not_before)
    }

    /// The time until which it is valid.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        self.time(|certificate| certificate.validity().not_after)
    }

    /// The SHA-256 of the certificate: what OpenSSL calls its fingerprint.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(&self.0).into()
    }

    /// The SHA-256 of its SubjectPublicKeyInfo, which stays the same when the certificate is renewed with its key.
    #[must_use]
    pub fn spki_sha256(&self) -> [u8; 32] {
        self.read(|certificate| Sha256::digest(certificate.public_key().raw).into())
            .unwrap_or_default()
    }

    /// The key as `tls.pin` takes it: `sha256/` and the base64 of [`Certificate::spki_sha256`].
    #[must_use]
    pub fn pin(&self) -> String {
        format!("sha256/{}", BASE64_STANDARD.encode(self.spki_sha256()))
    }

    /// The channel binding `tls-server-end-point`; `None` where the certificate's signature names no hash for it (RFC
    /// 5929, 4.1), which tokio-postgres-rustls finds true of ECDSA with SHA-512 as well.
    pub(super) fn end_point(&self) -> Option<Vec<u8>> {
        let algorithm = self.signature_algorithm();
        Some(match algorithm.as_str() {
            // SHA-1 counts as SHA-256 here.
            "1.2.840.113549.1.1.5" | "1.2.840.113549.1.1.11" | "1.2.840.10045.4.3.2" => {
                Sha256::digest(&self.0).to_vec()
            }
            "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => Sha384::digest(&self.0).to_vec(),
            "1.2.840.113549.1.1.13" => Sha512::digest(&self.0).to_vec(),
            _ => return None,
        })
    }

    /// What it is signed with, by name where it has no channel binding.
    pub(super) fn signature_name(&self) -> String {
        match self.signature_algorithm().as_str() {
            "1.3.101.112" => "Ed25519".to_owned(),
            "1.2.840.113549.1.1.10" => "RSA-PSS".to_owned(),
            "1.2.840.10045.4.3.4" => "ECDSA with SHA-512".to_owned(),
            other => other.to_owned(),
        }
    }

    fn signature_algorithm(&self) -> String {
        self.read(|certificate| certificate.signature_algorithm.algorithm.to_id_string())
            .unwrap_or_default()
    }

    fn time(&self, of: impl FnOnce(&X509Certificate<'_>) -> ASN1Time) -> SystemTime {
        let seconds = self
            .read(|certificate| of(certificate).timestamp())
            .unwrap_or_default();
        let distance = Duration::from_secs(seconds.unsigned_abs());
        let epoch = SystemTime::UNIX_EPOCH;
        if seconds < 0 {
            epoch - distance
        } else {
            epoch + distance
        }
    }

    /// `None` cannot happen for a certificate that passed verification.
    fn read<R>(&self, read: impl FnOnce(&X509Certificate<'_>) -> R) -> Option<R> {
        X509Certificate::from_der(&self.0)
            .ok()
            .map(|(_, certificate)| read(&certificate))
    }
}

fn shown(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes)
                .ok()
                .map(|bytes| IpAddr::from(bytes).to_string()),
            _ => <[u8; 16]>::try_from(*bytes)
                .ok()
                .map(|bytes| IpAddr::from(bytes).to_string()),
        },
        _ => None,
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("subject", &self.subject())
            .field("issuer", &self.issuer())
            .field("names", &self.names())
            .finish_non_exhaustive()
    }
}
