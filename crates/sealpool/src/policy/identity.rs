use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls::{crypto::CryptoProvider, sign::CertifiedKey};
use rustls_pki_types::CertificateDer;
use sealpool_dsn::Secret;
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use super::{
    key,
    material::{Content, Material},
};
use crate::config::{ConfigError, Written};

/// Where our own certificate and its key are.
#[derive(Debug)]
pub(super) struct Identity {
    certificate: Written<PathBuf>,
    key: Written<PathBuf>,
    passphrase: Option<Secret>,
}

impl Identity {
    /// Half an identity is an error: whoever wrote it believes to have a whole one.
    pub(super) fn decide(
        certificate: Option<Written<PathBuf>>,
        key: Option<Written<PathBuf>>,
        passphrase: Option<Written<Secret>>,
    ) -> Result<Option<Self>, ConfigError> {
        let incomplete = |problem, fix| ConfigError::new("incomplete", problem, fix);
        match (certificate, key, passphrase) {
            (Some(certificate), Some(key), passphrase) => Ok(Some(Self {
                certificate,
                key,
                passphrase: passphrase.map(|written| written.value),
            })),
            (Some(Written { place, .. }), None, _) => Err(place.refuse(
                "tls.client_cert",
                incomplete(
                    "a client certificate without its key proves nothing",
                    "set tls.client_key as well",
                ),
            )),
            (None, Some(Written { place, .. }), _) => Err(place.refuse(
                "tls.client_key",
                incomplete(
                    "a key without its certificate cannot be presented",
                    "set tls.client_cert as well",
                ),
            )),
            (None, None, Some(Written { place, .. })) => Err(place.refuse(
                "tls.client_key_password",
                incomplete(
                    "there is no key that this could open",
                    "set tls.client_cert and tls.client_key as well",
                ),
            )),
            (None, None, None) => Ok(None),
        }
    }

    /// Reads the files and checks that they belong together and are still valid.
    pub(super) fn load(&self, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, ConfigError> {
        let Self {
            certificate,
            key,
            passphrase,
        } = self;
        let (chain, name) = chain(&certificate.value)
            .map_err(|error| certificate.place.refuse("tls.client_cert", error))?;
        let signer = key::load(&key.value, passphrase.as_ref(), provider)
            .map_err(|error| key.place.refuse("tls.client_key", error))?;
        if let (Some(ours), Some(theirs)) = (signer.public_key(), spki(&chain))
            && *ours != *theirs
        {
            return Err(key.place.refuse(
                "tls.client_key",
                ConfigError::new(
                    "key_mismatch",
                    format!(
                        "{} does not belong to the certificate of {name}",
                        key.value.display()
                    ),
                    "name the key for which that certificate was issued",
                ),
            ));
        }
        Ok(Arc::new(CertifiedKey::new(chain, signer)))
    }
}

fn chain(path: &Path) -> Result<(Vec<CertificateDer<'static>>, String), ConfigError> {
    let unusable = |problem: String| {
        ConfigError::new(
            "identity_unusable",
            problem,
            "name the file of the client's certificate, PEM or DER, followed by its intermediates",
        )
    };
    let content = Material::of(&path.to_string_lossy())
        .map_err(|error| error.coded("identity_missing", "identity_unusable"))?;
    let Content::One(material) = content else {
        return Err(unusable(format!("{} is a directory", path.display())));
    };
    let chain = material.certificates().map_err(unusable)?;
    let Some(leaf) = chain.first() else {
        return Err(unusable(format!(
            "{} holds 0 usable certificates{}",
            material.name,
            material.looks_like()
        )));
    };
    let (_, read) = X509Certificate::from_der(leaf).map_err(|error| {
        unusable(format!(
            "{}: certificate 1 cannot be read: {error}",
            material.name
        ))
    })?;
    let validity = read.validity();
    let lapsed = |time: i64, what| {
        ConfigError::new(
            "identity_expired",
            format!(
                "{}: the certificate of {} {what} {}; it is now {}",
                material.name,
                read.subject(),
                shown(time),
                humantime::format_rfc3339_seconds(SystemTime::now()),
            ),
            "renew it, or set the clock right",
        )
    };
    let (begin, end) = (
        validity.not_before.timestamp(),
        validity.not_after.timestamp(),
    );
    if at(end) < SystemTime::now() {
        return Err(lapsed(end, "expired at"));
    }
    if at(begin) > SystemTime::now() {
        return Err(lapsed(begin, "is not valid before"));
    }
    let name = read.subject().to_string();
    Ok((chain, name))
}

fn spki(chain: &[CertificateDer<'_>]) -> Option<Vec<u8>> {
    let (_, leaf) = X509Certificate::from_der(chain.first()?).ok()?;
    Some(leaf.public_key().raw.to_vec())
}

fn at(seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

fn shown(seconds: i64) -> humantime::Rfc3339Timestamp {
    humantime::format_rfc3339_seconds(at(seconds))
}
