use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationList,
    CertificateRevocationListParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls_pki_types::CertificateDer;
use time::{Duration, OffsetDateTime};

use crate::{KeyType, LeafBuilder, RevocationBuilder, random};

/// A root CA and an intermediate CA below it, both P-256, which issue whatever leaf a test asks for.
///
/// Two of them never share a name or a key. For the same names with other keys see [`Pki::remade`].
#[derive(Debug)]
pub struct Pki {
    name: String,
    root: Authority,
    intermediate: Authority,
}

impl Pki {
    /// Makes both CAs, valid from yesterday for ten years.
    ///
    /// # Panics
    /// When the operating system gives no random bytes.
    pub fn new() -> Self {
        Self::named(random::hex::<4>())
    }

    /// Other CAs with the same subject names but other keys, as after a CA was lost and made anew.
    pub fn remade(&self) -> Self {
        Self::named(self.name.clone())
    }

    fn named(name: String) -> Self {
        let root = Authority::root(&format!("sealpool test root {name}"));
        let intermediate = Authority::below(&root, &format!("sealpool test intermediate {name}"));
        Self {
            name,
            root,
            intermediate,
        }
    }

    /// The root's certificate as PEM: what a client trusts.
    pub fn root_pem(&self) -> &str {
        &self.root.pem
    }

    /// The root's certificate as DER.
    pub fn root_der(&self) -> &CertificateDer<'static> {
        self.root.certificate.der()
    }

    /// The intermediate's certificate as PEM. A server has to send it along; see [`Leaf::chain_pem`](crate::Leaf::chain_pem).
    pub fn intermediate_pem(&self) -> &str {
        &self.intermediate.pem
    }

    /// Begins a leaf. As it stands it is a server certificate without any name, P-256, signed by the intermediate,
    /// valid from yesterday for 31 days.
    pub fn leaf(&self) -> LeafBuilder<'_> {
        LeafBuilder::new(self)
    }

    /// Begins the revocation lists of both CAs. As they stand nothing is revoked and they last for a week.
    pub fn revocation(&self) -> RevocationBuilder<'_> {
        RevocationBuilder::new(self)
    }

    pub(crate) fn root(&self) -> &Authority {
        &self.root
    }

    pub(crate) fn intermediate(&self) -> &Authority {
        &self.intermediate
    }
}

impl Default for Pki {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Debug)]
pub(crate) struct Authority {
    certificate: Certificate,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn root(name: &str) -> Self {
        let (params, key) = request(name, BasicConstraints::Unconstrained);
        let certificate = params
            .self_signed(&key)
            .expect("a CA of our own making is well-formed");
        Self::finished(certificate, params, key)
    }

    fn below(parent: &Self, name: &str) -> Self {
        let (params, key) = request(name, BasicConstraints::Constrained(0));
        Self::finished(parent.sign(&params, &key), params, key)
    }

    fn finished(certificate: Certificate, params: CertificateParams, key: KeyPair) -> Self {
        Self {
            pem: certificate.pem(),
            certificate,
            issuer: Issuer::new(params, key),
        }
    }

    pub(crate) fn sign(&self, params: &CertificateParams, key: &KeyPair) -> Certificate {
        params
            .signed_by(key, &self.issuer)
            .expect("a certificate of our own making is well-formed")
    }

    pub(crate) fn sign_list(
        &self,
        list: &CertificateRevocationListParams,
    ) -> Result<CertificateRevocationList, rcgen::Error> {
        list.signed_by(&self.issuer)
    }

    pub(crate) fn key(&self) -> &KeyPair {
        self.issuer.key()
    }

    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }
}

fn request(name: &str, constraints: BasicConstraints) -> (CertificateParams, KeyPair) {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(constraints);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = OffsetDateTime::now_utc() - Duration::days(1);
    params.not_after = params.not_before + Duration::days(3650);
    params.use_authority_key_identifier_extension = true;
    (params, KeyType::P256.generate())
}
