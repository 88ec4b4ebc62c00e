use std::{
    fmt,
    path::{Path, PathBuf},
};

use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};

use super::material::{BEGIN, Content, Material};
use crate::{
    config::{Config, Written},
    event::CertificateRole,
};

/// The files from which a policy is made.
#[derive(Debug)]
pub(super) struct Files {
    roots: Vec<String>,
    lists: Vec<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    passwords: Vec<PathBuf>,
}

/// What stands in the files at one moment. It is never printed: passwords can be guessed by their digests.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Digests {
    pub(super) tls: [u8; 32],
    pub(super) password: [u8; 32],
}

impl Files {
    pub(super) fn of(config: &Config) -> Self {
        let path = |written: &Option<Written<PathBuf>>| written.as_ref().map(|w| w.value.clone());
        Self {
            roots: config
                .tls_root
                .iter()
                .flat_map(|w| w.value.clone())
                .collect(),
            lists: config
                .tls_crl
                .iter()
                .flat_map(|w| w.value.clone())
                .collect(),
            certificate: path(&config.tls_client_cert),
            key: path(&config.tls_client_key),
            passwords: [&config.password_file, &config.passfile]
                .into_iter()
                .filter_map(path)
                .collect(),
        }
    }

    /// Never fails: whoever builds from the files says best what is wrong with them.
    pub(super) fn digests(&self) -> Digests {
        let Self {
            roots,
            lists,
            certificate,
            key,
            passwords,
        } = self;
        let roots = roots.iter().map(|root| found(root));
        let lists = lists.iter().map(|list| found(&list.to_string_lossy()));
        let identity = certificate.iter().chain(key).map(|path| file(path));
        Digests {
            tls: digest(roots.chain(lists).chain(identity)),
            password: digest(passwords.iter().map(|path| file(path))),
        }
    }

    /// The certificates in the files, to be watched for their end.
    pub(super) fn certificates(&self) -> Vec<(CertificateRole, CertificateDer<'static>)> {
        let certificate = self
            .certificate
            .iter()
            .map(|path| (CertificateRole::Client, file(path)));
        let roots = self
            .roots
            .iter()
            .map(|root| (CertificateRole::Root, found(root)));
        let mut certificates = Vec::new();
        for (role, materials) in certificate.chain(roots) {
            for material in materials.unwrap_or_default() {
                let found = material.certificates().unwrap_or_default();
                certificates.extend(found.into_iter().map(|certificate| (role, certificate)));
            }
        }
        certificates
    }
}

impl fmt::Debug for Digests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Digests").finish_non_exhaustive()
    }
}

/// `None` when something cannot be read.
type Found = Option<Vec<Material>>;

/// There is no file named `system`, and a text may stand in place of one.
fn found(value: &str) -> Found {
    let path = Path::new(value);
    if path.is_dir() || value.starts_with(BEGIN) {
        return Material::of(value).ok().map(Content::into_materials);
    }
    file(path)
}

/// A pipe can be read only once, and not by us.
fn file(path: &Path) -> Found {
    if !path.is_file() {
        return Some(Vec::new());
    }
    Material::read(path).ok().map(|material| vec![material])
}

fn digest(found: impl Iterator<Item = Found>) -> [u8; 32] {
    let mut digest = Sha256::new();
    let mut add = |bytes: &[u8]| {
        digest.update(bytes.len().to_be_bytes());
        digest.update(bytes);
    };
    for found in found {
        match found {
            Some(materials) => {
                for material in materials {
                    add(material.name.as_bytes());
                    add(&material.bytes);
                }
            }
            None => add(b"unreadable"),
        }
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A new setting that names a file has to be looked at as well, or left out here on purpose.
    #[test]
    fn every_setting_that_names_files_is_looked_at() {
        let named: Vec<_> = Config::KEYS
            .iter()
            .filter(|key| key.expects.contains("file") || key.name == "tls.root")
            .map(|key| key.name)
            .collect();
        let looked_at = [
            "password_file",
            "passfile",
            "tls.root",
            "tls.crl",
            "tls.client_cert",
            "tls.client_key",
        ];
        assert_eq!(named, looked_at);
    }
}
