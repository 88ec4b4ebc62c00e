use std::fmt;

/// Why a connection string is refused: a closed set of words that never change, fit for tests and dashboards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    /// Two words contradict each other.
    Conflict,
    /// One key twice with different values, or two spellings of it.
    Duplicate,
    /// GSSAPI encryption is asked for, which would replace TLS.
    Gss,
    /// A value that its key cannot have.
    InvalidValue,
    /// The text does not follow the grammar of its dialect, or is no connection string.
    Malformed,
    /// No host at all.
    NoHost,
    /// An address but no name that a certificate could be checked against.
    NoName,
    /// A template that nobody filled in.
    Placeholder,
    /// A word that permits plaintext.
    Plaintext,
    /// A word that permits plaintext when TLS fails.
    PlaintextFallback,
    /// `verify-ca` without a root of its own.
    RootRequired,
    /// A Unix socket, over which there is no TLS.
    UnixSocket,
    /// A key that no driver is known to have.
    UnknownKey,
    /// A URI scheme of something else.
    UnknownScheme,
    /// An unknown key that seems to be about TLS.
    UnknownTlsKey,
    /// A TLS key with a word that nobody defines.
    UnknownTlsWord,
    /// A key that is known and cannot be honoured.
    UnsupportedKey,
    /// A known key with a known word that cannot be honoured.
    UnsupportedWord,
    /// A word that asks for TLS without verification.
    Unverified,
    /// A protocol version below TLS 1.2.
    WeakProtocol,
}

impl Code {
    /// Every code, in alphabetical order.
    pub const ALL: [Self; 20] = [
        Self::Conflict,
        Self::Duplicate,
        Self::Gss,
        Self::InvalidValue,
        Self::Malformed,
        Self::NoHost,
        Self::NoName,
        Self::Placeholder,
        Self::Plaintext,
        Self::PlaintextFallback,
        Self::RootRequired,
        Self::UnixSocket,
        Self::UnknownKey,
        Self::UnknownScheme,
        Self::UnknownTlsKey,
        Self::UnknownTlsWord,
        Self::UnsupportedKey,
        Self::UnsupportedWord,
        Self::Unverified,
        Self::WeakProtocol,
    ];

    /// The code as a word in snake case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::Duplicate => "duplicate",
            Self::Gss => "gss",
            Self::InvalidValue => "invalid_value",
            Self::Malformed => "malformed",
            Self::NoHost => "no_host",
            Self::NoName => "no_name",
            Self::Placeholder => "placeholder",
            Self::Plaintext => "plaintext",
            Self::PlaintextFallback => "plaintext_fallback",
            Self::RootRequired => "root_required",
            Self::UnixSocket => "unix_socket",
            Self::UnknownKey => "unknown_key",
            Self::UnknownScheme => "unknown_scheme",
            Self::UnknownTlsKey => "unknown_tls_key",
            Self::UnknownTlsWord => "unknown_tls_word",
            Self::UnsupportedKey => "unsupported_key",
            Self::UnsupportedWord => "unsupported_word",
            Self::Unverified => "unverified",
            Self::WeakProtocol => "weak_protocol",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
