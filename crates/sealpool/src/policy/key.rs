use std::{path::Path, sync::Arc};

use rustls::{crypto::CryptoProvider, sign::SigningKey};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject};
use sealpool_dsn::Secret;

use super::material::Material;
use crate::config::ConfigError;

/// Reads a private key: PEM or DER, PKCS#1, PKCS#8 or SEC1, under a passphrase or not.
pub(super) fn load(
    path: &Path,
    passphrase: Option<&Secret>,
    provider: &CryptoProvider,
) -> Result<Arc<dyn SigningKey>, ConfigError> {
    if path.to_string_lossy().starts_with("-----BEGIN") {
        return Err(ConfigError::new(
            "key_unusable",
            "a key in the configuration itself would be shown with it",
            "write the key to a file of mode 0600 and name that",
        ));
    }
    check_permissions(path)?;
    let material =
        Material::read(path).map_err(|error| error.coded("key_missing", "key_unusable"))?;
    let key = read(&material, passphrase)?;
    provider
        .key_provider
        .load_private_key(key)
        .map_err(|error| unusable(&material, &format!("cannot be used: {error}")))
}

fn read(
    material: &Material,
    passphrase: Option<&Secret>,
) -> Result<PrivateKeyDer<'static>, ConfigError> {
    let text = material.text();
    if text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(ConfigError::new(
            "key_unusable",
            format!(
                "{} is encrypted in OpenSSL's old way (Proc-Type: 4,ENCRYPTED), which a passphrase hardly protects",
                material.name
            ),
            "convert it with openssl pkcs8 -topk8 -v2 aes-256-cbc",
        ));
    }
    if let Some(encrypted) = encrypted(material)? {
        return decrypted(material, &encrypted, passphrase);
    }
    if material.is_pem() {
        return PrivateKeyDer::from_pem_slice(&material.bytes).map_err(|error| {
            let what = if text.contains("BEGIN CERTIFICATE") {
                "holds a certificate and no private key".to_owned()
            } else {
                format!("holds no private key: {error}")
            };
            unusable(material, &what)
        });
    }
    PrivateKeyDer::try_from(material.bytes.clone())
        .map_err(|_| unusable(material, "holds no private key"))
}

/// The DER of an encrypted PKCS#8 key.
fn encrypted(material: &Material) -> Result<Option<Vec<u8>>, ConfigError> {
    const LABEL: &str = "ENCRYPTED PRIVATE KEY";
    if material.is_pem() {
        let text = material.text();
        let (begin, end) = (
            format!("-----BEGIN {LABEL}-----"),
            format!("-----END {LABEL}-----"),
        );
        let Some((_, rest)) = text.split_once(&begin) else {
            return Ok(None);
        };
        let body: String = rest
            .split(&end)
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        use base64::{Engine as _, prelude::BASE64_STANDARD};
        return BASE64_STANDARD
            .decode(body)
            .map(Some)
            .map_err(|error| unusable(material, &format!("cannot be read: {error}")));
    }
    // An EncryptedPrivateKeyInfo begins with an algorithm, all other kinds of key with a version.
    Ok(match PrivateKeyDer::try_from(&material.bytes[..]) {
        Err(_) if material.bytes.first() == Some(&0x30) => Some(material.bytes.clone()),
        _ => None,
    })
}

#[cfg(feature = "encrypted-keys")]
fn decrypted(
    material: &Material,
    der: &[u8],
    passphrase: Option<&Secret>,
) -> Result<PrivateKeyDer<'static>, ConfigError> {
    let encrypted = pkcs8::EncryptedPrivateKeyInfo::try_from(der).map_err(|_| {
        if !material.is_pem() {
            return unusable(material, "holds no private key");
        }
        ConfigError::new(
            "key_encrypted",
            format!(
                "{} is encrypted in a way that is not supported",
                material.name
            ),
            "convert it with openssl pkcs8 -topk8 -v2 aes-256-cbc",
        )
    })?;
    let Some(passphrase) = passphrase else {
        return Err(ConfigError::new(
            "key_encrypted",
            format!("{} is under a passphrase", material.name),
            "set tls.client_key_password",
        ));
    };
    let document = encrypted.decrypt(passphrase.expose()).map_err(|_| {
        ConfigError::new(
            "key_encrypted",
            format!("{} does not open with this passphrase", material.name),
            "correct tls.client_key_password",
        )
    })?;
    Ok(PrivateKeyDer::Pkcs8(document.as_bytes().to_vec().into()))
}

#[cfg(not(feature = "encrypted-keys"))]
fn decrypted(
    material: &Material,
    _: &[u8],
    _: Option<&Secret>,
) -> Result<PrivateKeyDer<'static>, ConfigError> {
    Err(ConfigError::new(
        "feature",
        format!(
            "{} is under a passphrase, and sealpool was built without encrypted-keys",
            material.name
        ),
        "enable that feature, or take the passphrase off with openssl pkey",
    ))
}

/// Libpq's rule: nobody else may read it, or root's own group where root owns it.
#[cfg(unix)]
fn check_permissions(path: &Path) -> Result<(), ConfigError> {
    use std::os::unix::fs::MetadataExt as _;

    let refuse = |problem: String, fix: &str| Err(ConfigError::new("key_unusable", problem, fix));
    let shown = path.display();
    // Why it cannot be found is said by whoever reads it.
    let Ok(metadata) = path.metadata() else {
        return Ok(());
    };
    if !metadata.is_file() {
        return refuse(format!("{shown} is not a file"), "name the file of the key");
    }
    let forbidden = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    if metadata.mode() & forbidden != 0 {
        return refuse(
            format!(
                "{shown} may be read by others (mode {:04o})",
                metadata.mode() & 0o7777
            ),
            "chmod 0600 it; 0640 is allowed when root owns it",
        );
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_permissions(_: &Path) -> Result<(), ConfigError> {
    Ok(())
}

fn unusable(material: &Material, why: &str) -> ConfigError {
    ConfigError::new(
        "key_unusable",
        format!("{} {why}", material.name),
        "name the file of the private key: PKCS#8, PKCS#1 or SEC1, PEM or DER",
    )
}
