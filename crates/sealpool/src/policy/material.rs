use std::{
    borrow::Cow,
    fs, io,
    path::{Path, PathBuf},
};

use rustls_pki_types::{CertificateDer, pem::PemObject};

use crate::config::ConfigError;

/// The content of a file, or a text written in its place, and what to call it.
pub(super) struct Material {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

pub(super) const BEGIN: &str = "-----BEGIN";

impl Material {
    /// The files that a value means: itself, or all of a directory, or none but the text in its place.
    pub(super) fn of(value: &str) -> Result<Content, Unreadable> {
        if value.starts_with(BEGIN) {
            return Ok(Content::One(Self::inline(value)));
        }
        let path = absolute(Path::new(value));
        if path.is_dir() {
            return Ok(Content::Directory(path.clone(), Self::all_of(&path)?));
        }
        Ok(Content::One(Self::read(&path)?))
    }

    pub(super) fn read(path: &Path) -> Result<Self, Unreadable> {
        let path = absolute(path);
        let bytes = fs::read(&path).map_err(|error| unreadable(&path, &error))?;
        Ok(Self {
            name: path.display().to_string(),
            bytes,
        })
    }

    fn inline(text: &str) -> Self {
        // Files of variables cannot hold line breaks, so people write the two characters `\n`.
        let text = if text.contains('\n') {
            Cow::Borrowed(text)
        } else {
            Cow::Owned(text.replace("\\n", "\n"))
        };
        Self {
            name: "the text given".to_owned(),
            bytes: text.into_owned().into_bytes(),
        }
    }

    /// Hidden entries are left out: Kubernetes keeps the former state of a mounted secret in one.
    fn all_of(directory: &Path) -> Result<Vec<Self>, Unreadable> {
        let mut paths: Vec<PathBuf> = fs::read_dir(directory)
            .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
            .map_err(|error| unreadable(directory, &error))?;
        paths.retain(|path| {
            let hidden = path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with('.'));
            !hidden && path.is_file()
        });
        paths.sort();
        paths.iter().map(|path| Self::read(path)).collect()
    }

    pub(super) fn is_pem(&self) -> bool {
        self.text().contains(BEGIN)
    }

    pub(super) fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }

    /// Every certificate in it; the error says which one cannot be read.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        if !self.is_pem() {
            // DER is a SEQUENCE, and there is nothing else that a file without PEM could hold.
            return Ok(match self.bytes.first() {
                Some(0x30) => vec![CertificateDer::from(self.bytes.clone())],
                _ => Vec::new(),
            });
        }
        CertificateDer::pem_slice_iter(&self.bytes)
            .enumerate()
            .map(|(index, certificate)| {
                certificate.map_err(|error| {
                    format!(
                        "{}: certificate {} cannot be read: {error}",
                        self.name,
                        index + 1
                    )
                })
            })
            .collect()
    }

    /// What it is, for whoever expected something else.
    pub(super) fn looks_like(&self) -> &'static str {
        const UTF_16: [&[u8]; 2] = [&[0xff, 0xfe], &[0xfe, 0xff]];
        let text = self.text();
        let text = text.trim_start();
        if text.is_empty() {
            ": it is empty"
        } else if text.starts_with('<') {
            ": it is a saved web page"
        } else if text.contains("PRIVATE KEY-----") {
            ": it holds a private key"
        } else if text.contains("-----BEGIN PKCS7-----") {
            ": it is a PKCS#7 bundle; convert it with openssl pkcs7 -print_certs"
        } else if text.contains("-----BEGIN TRUSTED CERTIFICATE-----") {
            ": it is of OpenSSL's own kind TRUSTED CERTIFICATE; convert it with openssl x509"
        } else if text.contains("-----BEGIN X509 CRL-----") {
            ": it is a revocation list"
        } else if UTF_16.iter().any(|mark| self.bytes.starts_with(mark)) {
            ": it is written in UTF-16; save it as UTF-8"
        } else if text.starts_with('\u{feff}') {
            ": it begins with a byte-order mark; save it without"
        } else {
            ""
        }
    }
}

/// What a value leads to.
pub(super) enum Content {
    One(Material),
    Directory(PathBuf, Vec<Material>),
}

impl Content {
    pub(super) fn name(&self) -> String {
        match self {
            Self::One(material) => material.name.clone(),
            Self::Directory(path, _) => path.display().to_string(),
        }
    }

    pub(super) fn materials(&self) -> &[Material] {
        match self {
            Self::One(material) => std::slice::from_ref(material),
            Self::Directory(_, materials) => materials,
        }
    }

    pub(super) fn into_materials(self) -> Vec<Material> {
        match self {
            Self::One(material) => vec![material],
            Self::Directory(_, materials) => materials,
        }
    }

    pub(super) fn looks_like(&self) -> &'static str {
        match self {
            Self::One(material) => material.looks_like(),
            Self::Directory(..) => ": none of its files holds one",
        }
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn unreadable(path: &Path, error: &io::Error) -> Unreadable {
    let mut fix = "confirm that the value matches the path of the saved file".to_owned();
    if path.to_string_lossy().contains('\\') {
        fix.push_str(" (backslashes are escape characters here)");
    }
    Unreadable {
        missing: error.kind() == io::ErrorKind::NotFound,
        problem: format!("{} cannot be read: {error}", path.display()),
        fix,
    }
}

/// A file that is not there, or cannot be read.
pub(super) struct Unreadable {
    missing: bool,
    problem: String,
    fix: String,
}

impl Unreadable {
    /// The error, under the code for what the file should have been.
    pub(super) fn coded(self, missing: &'static str, unusable: &'static str) -> ConfigError {
        let code = if self.missing { missing } else { unusable };
        ConfigError::new(code, self.problem, self.fix)
    }
}
