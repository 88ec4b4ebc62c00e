use std::{sync::Arc, time::SystemTime};

use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use super::material::{Content, Material};
use crate::config::{ConfigError, Place, Written};

/// Where the roots come from.
#[derive(Clone, Debug)]
pub(super) enum Roots {
    System,
    #[cfg(feature = "mozilla")]
    Mozilla,
    Files(Written<Vec<String>>),
}

/// The roots themselves, and their names for whoever reads of an unknown issuer.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) store: Arc<RootCertStore>,
    pub(super) names: RootNames,
}

/// What the trusted roots are called.
#[derive(Clone, Debug)]
pub(crate) enum RootNames {
    /// A collection of public authorities, such as `the system's roots`.
    Public(String),
    /// Each one's subject.
    Own(Vec<String>),
}

const SYSTEM: &str = "system";
const MOZILLA: &str = "mozilla";

impl Roots {
    pub(super) fn decide(written: Option<Written<Vec<String>>>) -> Result<Self, ConfigError> {
        let Some(written) = written else {
            return Ok(Self::System);
        };
        let refuse = |error| Err(written.place.refuse("tls.root", error));
        match &written.value[..] {
            [word] if word == SYSTEM => Ok(Self::System),
            #[cfg(feature = "mozilla")]
            [word] if word == MOZILLA => Ok(Self::Mozilla),
            #[cfg(not(feature = "mozilla"))]
            [word] if word == MOZILLA => refuse(ConfigError::new(
                "feature",
                "sealpool was built without Mozilla's roots",
                "enable its feature mozilla, or write system",
            )),
            values if values.iter().any(|value| value == SYSTEM) => refuse(ConfigError::new(
                "conflict",
                "the system's roots stand beside files",
                "write either system or the files",
            )),
            values if values.iter().any(|value| value == MOZILLA) => refuse(ConfigError::new(
                "conflict",
                "Mozilla's roots stand beside files",
                "write either mozilla or the files",
            )),
            _ => Ok(Self::Files(written)),
        }
    }

    pub(super) fn load(&self) -> Result<Loaded, ConfigError> {
        match self {
            Self::System => system(),
            #[cfg(feature = "mozilla")]
            Self::Mozilla => {
                let roots = webpki_roots::TLS_SERVER_ROOTS.to_vec();
                Ok(Loaded {
                    names: RootNames::Public(format!("Mozilla's {} roots", roots.len())),
                    store: Arc::new(RootCertStore { roots }),
                })
            }
            Self::Files(Written { value, place }) => files(value, place),
        }
    }
}

/// The system's files. `SSL_CERT_FILE` and `SSL_CERT_DIR` are not looked at: an environment that nobody pointed this
/// pool to must not choose whom it trusts.
#[cfg(not(any(windows, target_vendor = "apple", target_os = "android")))]
fn system() -> Result<Loaded, ConfigError> {
    use std::path::Path;

    // One bundle for each family of systems: Debian and Alpine, Red Hat, SUSE, the BSDs.
    const BUNDLES: [&str; 6] = [
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/ssl/cert.pem",
        "/usr/local/etc/ssl/cert.pem",
    ];
    let mut store = RootCertStore::empty();
    let bundle = BUNDLES.iter().map(Path::new).find(|path| path.exists());
    let found = rustls_native_certs::load_certs_from_paths(bundle, None);
    store.add_parsable_certificates(found.certs);
    if store.is_empty() {
        for directory in openssl_probe::candidate_cert_dirs() {
            let found = rustls_native_certs::load_certs_from_paths(None, Some(directory));
            store.add_parsable_certificates(found.certs);
        }
    }
    if store.is_empty() {
        return Err(ConfigError::new(
            "no_roots",
            "this system has no roots",
            "install the package ca-certificates, or set tls.root to a file",
        )
        .about("tls.root"));
    }
    Ok(Loaded {
        names: RootNames::Public(format!("the system's {} roots", store.len())),
        store: Arc::new(store),
    })
}

/// The system has a verifier of its own, which `trust` asks; here its roots cannot be had.
#[cfg(any(windows, target_vendor = "apple", target_os = "android"))]
fn system() -> Result<Loaded, ConfigError> {
    Err(ConfigError::new(
        "root_required",
        "revocation lists cannot be combined with this system's roots",
        "set tls.root to the file of the authority",
    )
    .about("tls.crl"))
}

fn files(values: &[String], place: &Place) -> Result<Loaded, ConfigError> {
    let mut store = RootCertStore::empty();
    let mut known: Vec<CertificateDer<'static>> = Vec::new();
    let mut names = Vec::new();
    for value in values {
        let content = Material::of(value).map_err(|error| {
            place.refuse("tls.root", error.coded("root_missing", "root_unusable"))
        })?;
        for root in usable(&content).map_err(|error| place.refuse("tls.root", error))? {
            if known.contains(&root) {
                continue;
            }
            names.push(subject(&root));
            store.add(root.clone()).map_err(|error| {
                place.refuse(
                    "tls.root",
                    unusable(format!(
                        "{}: a certificate cannot be read: {error}",
                        content.name()
                    )),
                )
            })?;
            known.push(root);
        }
    }
    Ok(Loaded {
        store: Arc::new(store),
        names: RootNames::Own(names),
    })
}

/// The roots of one value that have not expired; none at all is an error.
fn usable(content: &Content) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let mut good = Vec::new();
    let mut expired = None;
    for material in content.materials() {
        let certificates = material.certificates().map_err(unusable)?;
        for (index, root) in certificates.into_iter().enumerate() {
            match X509Certificate::from_der(&root) {
                Ok((_, read)) if read.validity().not_after.timestamp() < now() => {
                    expired = Some(read.validity().not_after);
                }
                Ok(_) => good.push(root),
                // A file of a directory may well be something else, as long as it does not claim otherwise.
                Err(_) if matches!(content, Content::Directory(..)) && !material.is_pem() => {}
                Err(error) => {
                    return Err(unusable(format!(
                        "{}: certificate {} cannot be read: {error}",
                        material.name,
                        index + 1
                    )));
                }
            }
        }
    }
    if !good.is_empty() {
        return Ok(good);
    }
    let name = content.name();
    Err(match expired {
        Some(time) => ConfigError::new(
            "root_unusable",
            format!(
                "{name} holds 0 usable certificates: what it holds has expired, the last on {time}"
            ),
            "fetch the authority's current certificate",
        ),
        None => unusable(format!(
            "{name} holds 0 usable certificates{}",
            content.looks_like()
        )),
    })
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.ok()
        .and_then(|now| now.as_secs().try_into().ok())
        .unwrap_or_default()
}

fn subject(root: &CertificateDer<'_>) -> String {
    X509Certificate::from_der(root)
        .map(|(_, root)| root.subject().to_string())
        .unwrap_or_default()
}

fn unusable(why: String) -> ConfigError {
    ConfigError::new("root_unusable", why, "name a file of PEM certificates")
}
