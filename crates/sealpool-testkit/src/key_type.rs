use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_ED25519,
    PKCS_RSA_SHA256, RsaKeySize,
};
use rustls_pki_types::PrivatePkcs8KeyDer;

use crate::random;

/// The kind of key a leaf has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyType {
    /// ECDSA on P-256.
    #[default]
    P256,
    /// ECDSA on P-384.
    P384,
    /// Ed25519. If it also signs ([`self_signed`](crate::LeafBuilder::self_signed)), there is no channel binding.
    Ed25519,
    /// RSA with 2048 bits. Takes a noticeable moment to make.
    Rsa2048,
    /// ECDSA on P-521, which signs with SHA-512. If it also signs, there is no channel binding.
    P521,
}

impl KeyType {
    pub(crate) fn generate(self) -> KeyPair {
        match self {
            Self::P256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            Self::P384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
            Self::Ed25519 => KeyPair::from_pkcs8_der_and_sign_algo(
                &PrivatePkcs8KeyDer::from(ed25519()),
                &PKCS_ED25519,
            ),
            Self::P521 => KeyPair::generate_for(&PKCS_ECDSA_P521_SHA512),
            Self::Rsa2048 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
        }
        .expect("the operating system has random bytes")
    }
}

/// rcgen would write version 2 of PKCS#8, with the public key in it, which OpenSSL 1.1 cannot read. This is version 1 as
/// in RFC 8410, 10.3: fixed bytes, then any 32 bytes.
fn ed25519() -> Vec<u8> {
    const BEFORE: [u8; 16] = [
        0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20,
    ];
    [&BEFORE[..], &random::bytes::<32>()].concat()
}
