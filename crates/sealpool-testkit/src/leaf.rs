use std::fmt;
use std::net::IpAddr;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyUsagePurpose, SanType, SerialNumber,
};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use time::{Duration, OffsetDateTime};

use crate::{KeyType, Pki, random, version_1};

/// A leaf in the making; see [`Pki::leaf`].
#[derive(Debug)]
#[must_use = "nothing is made before `issue`"]
pub struct LeafBuilder<'a> {
    pki: &'a Pki,
    params: CertificateParams,
    key_type: KeyType,
    signer: Signer,
    version_1: bool,
}

#[derive(Debug)]
enum Signer {
    Intermediate,
    Itself,
    Root,
}

impl<'a> LeafBuilder<'a> {
    pub(crate) fn new(pki: &'a Pki) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.not_before = OffsetDateTime::now_utc() - Duration::days(1);
        params.not_after = params.not_before + Duration::days(31);
        // An explicit CA:FALSE also makes a self-signed leaf usable as its own root.
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        Self {
            pki,
            params,
            key_type: KeyType::default(),
            signer: Signer::Intermediate,
            version_1: false,
        }
    }

    /// Adds a DNS name; a wildcard is fine. None by default.
    ///
    /// # Panics
    /// On a name that is not ASCII.
    pub fn dns(mut self, name: &str) -> Self {
        let name = name
            .try_into()
            .expect("a DNS name in a certificate is ASCII");
        self.params.subject_alt_names.push(SanType::DnsName(name));
        self
    }

    /// Adds an IP address. None by default.
    pub fn ip(mut self, addr: impl Into<IpAddr>) -> Self {
        self.params
            .subject_alt_names
            .push(SanType::IpAddress(addr.into()));
        self
    }

    /// Sets the common name, which PostgreSQL takes for the user's name in a client certificate. None by default.
    pub fn common_name(mut self, name: &str) -> Self {
        self.params
            .distinguished_name
            .push(DnType::CommonName, name);
        self
    }

    /// Yesterday by default.
    pub fn not_before(mut self, time: OffsetDateTime) -> Self {
        self.params.not_before = time;
        self
    }

    /// In 30 days by default.
    pub fn not_after(mut self, time: OffsetDateTime) -> Self {
        self.params.not_after = time;
        self
    }

    /// [`KeyType::P256`] by default.
    pub fn key_type(mut self, key_type: KeyType) -> Self {
        self.key_type = key_type;
        self
    }

    /// Makes it a client's certificate instead of a server's.
    pub fn client_auth(mut self) -> Self {
        self.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self
    }

    /// Says `CA:TRUE` in it, a defect which verifiers refuse in a leaf.
    pub fn marked_as_ca(mut self) -> Self {
        self.params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        self.params.key_usages.push(KeyUsagePurpose::KeyCertSign);
        self
    }

    /// Makes it X.509 version 1: no extensions, so neither names nor usages. Old recipes make such certificates.
    pub fn version_1(mut self) -> Self {
        self.version_1 = true;
        self
    }

    /// Lets the root sign it, so that no intermediate is needed.
    pub fn signed_by_root(mut self) -> Self {
        self.signer = Signer::Root;
        self
    }

    /// Signs it with its own key.
    pub fn self_signed(mut self) -> Self {
        self.signer = Signer::Itself;
        self
    }

    /// Makes the key and the certificate.
    ///
    /// # Panics
    /// When the operating system gives no random bytes.
    pub fn issue(self) -> Leaf {
        let Self {
            pki,
            mut params,
            key_type,
            signer,
            version_1,
        } = self;
        let serial = SerialNumber::from(random::hex::<8>().into_bytes());
        params.serial_number = Some(serial.clone());
        let key = key_type.generate();
        let (certificate, above) = match signer {
            Signer::Intermediate => (
                pki.intermediate().sign(&params, &key),
                pki.intermediate().pem(),
            ),
            Signer::Itself => (
                params
                    .self_signed(&key)
                    .expect("a certificate of our own making is well-formed"),
                "",
            ),
            Signer::Root => (pki.root().sign(&params, &key), ""),
        };
        let certificate_der = match version_1 {
            false => CertificateDer::from(certificate),
            true => {
                let signing = match signer {
                    Signer::Intermediate => pki.intermediate().key(),
                    Signer::Itself => &key,
                    Signer::Root => pki.root().key(),
                };
                version_1::stripped(certificate.der(), signing)
                    .expect("a certificate of our own making is well-formed")
                    .into()
            }
        };
        let certificate_pem = pem("CERTIFICATE", &certificate_der);
        Leaf {
            chain_pem: format!("{certificate_pem}{above}"),
            certificate_pem,
            certificate_der,
            key_pem: key.serialize_pem(),
            serial,
        }
    }
}

/// A certificate and its key.
#[derive(Clone)]
pub struct Leaf {
    certificate_der: CertificateDer<'static>,
    certificate_pem: String,
    chain_pem: String,
    key_pem: String,
    serial: SerialNumber,
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let lines: Vec<_> = text
        .as_bytes()
        .chunks(64)
        .map(String::from_utf8_lossy)
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

impl Leaf {
    /// The same without the intermediate, as a server sends it whose administrator forgot that.
    pub fn alone(&self) -> Self {
        Self {
            chain_pem: self.certificate_pem.clone(),
            ..self.clone()
        }
    }

    /// A certificate and a key that come from elsewhere, both as PEM; the first certificate is the leaf.
    ///
    /// # Panics
    /// When there is no certificate in it.
    pub fn from_pem(chain_pem: &str, key_pem: &str) -> Self {
        let certificate_der = CertificateDer::from_pem_slice(chain_pem.as_bytes())
            .expect("the text holds a certificate");
        Self {
            certificate_pem: chain_pem.to_owned(),
            chain_pem: chain_pem.to_owned(),
            key_pem: key_pem.to_owned(),
            serial: SerialNumber::from(0),
            certificate_der,
        }
    }

    pub(crate) fn serial(&self) -> &SerialNumber {
        &self.serial
    }

    /// The leaf and the intermediate that signed it, if one did: what a server sends.
    pub fn chain_pem(&self) -> &str {
        &self.chain_pem
    }

    /// The leaf alone, as PEM. A server that sends only this lacks its intermediate.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The leaf alone, as DER.
    pub fn certificate_der(&self) -> &CertificateDer<'static> {
        &self.certificate_der
    }

    /// The private key, as PKCS#8 in PEM.
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }
}

impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            certificate_der: _,
            certificate_pem: _,
            chain_pem,
            key_pem: _,
            serial: _,
        } = self;
        f.debug_struct("Leaf")
            .field("chain_pem", chain_pem)
            .field("key_pem", &format_args!("_"))
            .finish()
    }
}
