use base64::{Engine as _, prelude::BASE64_STANDARD};
use rustls::{CertificateError, Error as TlsError, OtherError};
use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use sha2::{Digest as _, Sha256};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use crate::{
    config::{ConfigError, Written},
    failure::PinMismatch,
};

/// The keys that a server may have: the SHA-256 of each SubjectPublicKeyInfo.
#[derive(Clone, Debug)]
pub(super) struct Pins(Vec<[u8; 32]>);

impl Pins {
    pub(super) fn decide(
        written: Option<Written<Vec<String>>>,
    ) -> Result<Option<Self>, ConfigError> {
        let Some(Written { value, place }) = written else {
            return Ok(None);
        };
        let pins = value
            .iter()
            .map(|pin| parsed(pin.trim()))
            .collect::<Option<Vec<_>>>();
        match pins {
            Some(pins) => Ok(Some(Self(pins))),
            None => Err(place.refuse(
                "tls.pin",
                ConfigError::new(
                    "invalid_value",
                    "this is not the SHA-256 of a key",
                    "write sha256/ and 44 characters of base64, or 64 hexadecimal digits: openssl x509 -in server.crt \
                     -noout -pubkey | openssl pkey -pubin -outform DER | openssl dgst -sha256 -binary | openssl base64",
                ),
            )),
        }
    }

    pub(super) fn check(&self, end_entity: &CertificateDer<'_>) -> Result<(), TlsError> {
        let key = spki(end_entity)?;
        let found: [u8; 32] = Sha256::digest(&key).into();
        if self.0.contains(&found) {
            return Ok(());
        }
        let mismatch = PinMismatch {
            found: format!("sha256/{}", BASE64_STANDARD.encode(found)),
            pinned: self.0.len(),
        };
        Err(CertificateError::Other(OtherError(std::sync::Arc::new(mismatch))).into())
    }
}

pub(super) fn spki(
    certificate: &CertificateDer<'_>,
) -> Result<SubjectPublicKeyInfoDer<'static>, TlsError> {
    X509Certificate::from_der(certificate)
        .map(|(_, certificate)| certificate.public_key().raw.to_vec().into())
        .map_err(|_| CertificateError::BadEncoding.into())
}

fn parsed(pin: &str) -> Option<[u8; 32]> {
    if let Some(text) = pin.strip_prefix("sha256:") {
        return from_hex(text);
    }
    let Some(text) = pin.strip_prefix("sha256/") else {
        return from_hex(pin);
    };
    // A second slash is curl's way of writing, or the first character of the base64: the length tells.
    from_base64(text).or_else(|| from_base64(text.strip_prefix('/')?))
}

fn from_base64(text: &str) -> Option<[u8; 32]> {
    BASE64_STANDARD.decode(text).ok()?.try_into().ok()
}

/// Colons as in the fingerprints that OpenSSL prints are left out.
fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digits = text
        .chars()
        .filter(|digit| *digit != ':')
        .map(|digit| {
            digit
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        })
        .collect::<Option<Vec<u8>>>()?;
    let bytes: Vec<u8> = digits
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
        .collect();
    (digits.len() == 64).then_some(bytes)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_may_be_written_in_several_ways() {
        let bytes = [0xab; 32];
        let base64 = BASE64_STANDARD.encode(bytes);
        let hex = "aB".repeat(32);
        let colons = vec!["AB"; 32].join(":");
        for pin in [
            format!("sha256/{base64}"),
            format!("sha256//{base64}"),
            format!("sha256:{hex}"),
            hex,
            colons,
        ] {
            assert_eq!(parsed(&pin), Some(bytes), "{pin}");
        }
        let slashes = BASE64_STANDARD.encode([0xff; 32]);
        for pin in [format!("sha256/{slashes}"), format!("sha256//{slashes}")] {
            assert_eq!(parsed(&pin), Some([0xff; 32]), "{pin}");
        }
        for pin in [
            "",
            "sha256/",
            "sha1/q6urq6s=",
            &base64,
            "abc",
            "sha256/q6urq6s=",
        ] {
            assert_eq!(parsed(pin), None, "{pin}");
        }
    }
}
