use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

/// What is checked before a byte of SQL is sent. No value of this type permits less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verification {
    /// The chain of the certificate, up to a root of one's own; not the name.
    VerifyCa,
    /// The chain and the name.
    VerifyFull,
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        })
    }
}

/// The roots that a string names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    /// A file, as written; nothing was opened.
    File(PathBuf),
    /// Those of the operating system, `sslrootcert=system`.
    System,
}

/// A word about TLS and what it was taken to mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsWord {
    /// The key as written; the scheme where the scheme is the word.
    pub key: String,
    /// The word as written; empty for a bare key.
    pub word: String,
    /// Its bytes in the text that was given.
    pub span: Range<usize>,
    /// What it was taken to mean.
    pub meaning: Meaning,
}

/// What a word about TLS is taken to mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Meaning {
    /// It neither asks for anything nor gives anything up.
    Neutral,
    /// It asks for TLS and says nothing of certificates; stricter than libpq, the certificate is verified all the same.
    Tls,
    /// It asks for the chain.
    VerifyCa,
    /// It asks for chain and name.
    VerifyFull,
}

impl fmt::Display for Meaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Neutral => "changes nothing about the verification",
            Self::Tls => {
                "asks for TLS; the certificate is verified as well, which is stricter than libpq"
            }
            Self::VerifyCa => {
                "asks for TLS and a certificate from the given root; its name is not checked"
            }
            Self::VerifyFull => "asks for TLS and a certificate that is valid for the host's name",
        })
    }
}
