use std::path::PathBuf;

use rustls_pki_types::{CertificateRevocationListDer, pem::PemObject};
use x509_parser::{prelude::FromDer, revocation_list::CertificateRevocationList};

use super::material::Material;
use crate::config::{ConfigError, Written};

/// The revocation lists of files and directories.
pub(super) fn load(
    written: &Written<Vec<PathBuf>>,
) -> Result<Vec<CertificateRevocationListDer<'static>>, ConfigError> {
    let Written { value, place } = written;
    let mut lists = Vec::new();
    for path in value {
        let found = lists_of(&path.to_string_lossy());
        lists.extend(found.map_err(|error| place.refuse("tls.crl", error))?);
    }
    Ok(lists)
}

fn lists_of(value: &str) -> Result<Vec<CertificateRevocationListDer<'static>>, ConfigError> {
    let content =
        Material::of(value).map_err(|error| error.coded("crl_missing", "crl_unusable"))?;
    let mut lists = Vec::new();
    for material in content.materials() {
        lists.extend(read(material)?);
    }
    if lists.is_empty() {
        let what = match content.looks_like() {
            "" if content
                .materials()
                .iter()
                .any(|m| m.text().contains("BEGIN CERTIFICATE")) =>
            {
                ": it holds certificates"
            }
            what => what,
        };
        return Err(unusable(format!(
            "{} holds 0 revocation lists{what}",
            content.name()
        )));
    }
    Ok(lists)
}

fn read(material: &Material) -> Result<Vec<CertificateRevocationListDer<'static>>, ConfigError> {
    let lists = if material.is_pem() {
        CertificateRevocationListDer::pem_slice_iter(&material.bytes)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| unusable(format!("{} cannot be read: {error}", material.name)))?
    } else if material.bytes.first() == Some(&0x30) {
        vec![material.bytes.clone().into()]
    } else {
        Vec::new()
    };
    for list in &lists {
        webpki::BorrowedCertRevocationList::from_der(list).map_err(|_| {
            if is_version_1(list) {
                return ConfigError::new(
                    "crl_unusable",
                    format!("{}: the list is of version 1", material.name),
                    "issue a list of version 2: set crl_extensions in the authority's openssl.cnf, or call openssl ca \
                     -gencrl with -crlexts",
                );
            }
            unusable(format!("{} holds a list that is damaged", material.name))
        })?;
    }
    Ok(lists)
}

fn is_version_1(list: &[u8]) -> bool {
    CertificateRevocationList::from_der(list).is_ok_and(|(_, list)| list.version().is_none())
}

fn unusable(why: String) -> ConfigError {
    ConfigError::new(
        "crl_unusable",
        why,
        "name a file of revocation lists, PEM or DER",
    )
}
