use rustls::{NamedGroup, ProtocolVersion};

use super::Certificate;
use crate::{closed_set::closed_set, policy::Seen};

closed_set! {
    /// The version of TLS in use.
    pub enum TlsVersion {
        /// TLS 1.2 (RFC 5246).
        V1_2 = "1.2",
        /// TLS 1.3 (RFC 8446).
        V1_3 = "1.3",
    }
}

closed_set! {
    /// The group in which the keys were exchanged.
    pub enum KeyExchangeGroup {
        /// ML-KEM-768 combined with X25519: safe from quantum computers too.
        X25519MlKem768 = "X25519MLKEM768",
        /// Curve25519.
        X25519 = "X25519",
        /// NIST P-256, PostgreSQL's own default up to version 17.
        Secp256r1 = "secp256r1",
        /// NIST P-384.
        Secp384r1 = "secp384r1",
        /// Any other.
        Other = "other",
    }
}

closed_set! {
    /// Whether the login was bound to this very TLS session (SCRAM-SHA-256-PLUS, RFC 5929 `tls-server-end-point`).
    pub enum ChannelBinding {
        /// It was: nobody stands between.
        Bound = "bound",
        /// The login used SCRAM, but the server or its certificate's algorithm offers no binding.
        Unavailable = "unavailable",
        /// The login used a method that knows no binding, or binding is disabled.
        NotUsed = "not_used",
    }
}

/// The facts of one connection's TLS.
#[derive(Clone, Debug)]
pub struct TlsSession {
    pub(super) version: TlsVersion,
    pub(super) group: KeyExchangeGroup,
    pub(super) binding: ChannelBinding,
    pub(super) server_name: String,
    pub(super) chain: Vec<Certificate>,
}

impl TlsSession {
    /// `None` when the handshake was not complete: every verified session has a version and a certificate.
    pub(super) fn new(seen: Seen, server_name: &str) -> Option<Self> {
        let Seen {
            chain,
            version,
            group,
            bad_signature: _,
            identity: _,
        } = seen;
        if chain.is_empty() {
            return None;
        }
        Some(Self {
            version: match version? {
                ProtocolVersion::TLSv1_2 => TlsVersion::V1_2,
                ProtocolVersion::TLSv1_3 => TlsVersion::V1_3,
                _ => return None,
            },
            group: match group {
                Some(NamedGroup::X25519MLKEM768) => KeyExchangeGroup::X25519MlKem768,
                Some(NamedGroup::X25519) => KeyExchangeGroup::X25519,
                Some(NamedGroup::secp256r1) => KeyExchangeGroup::Secp256r1,
                Some(NamedGroup::secp384r1) => KeyExchangeGroup::Secp384r1,
                _ => KeyExchangeGroup::Other,
            },
            binding: ChannelBinding::NotUsed,
            server_name: server_name.to_owned(),
            chain: chain.into_iter().map(Certificate::new).collect(),
        })
    }

    /// One session for each value of each closed set, with a certificate that cannot be read.
    pub(crate) fn samples() -> Vec<Self> {
        let sample = Self {
            version: TlsVersion::V1_3,
            group: KeyExchangeGroup::X25519,
            binding: ChannelBinding::Bound,
            server_name: "db.example.net".to_owned(),
            chain: vec![Certificate::new(Vec::new().into())],
        };
        let versions = TlsVersion::ALL.iter().map(|version| Self {
            version: *version,
            ..sample.clone()
        });
        let groups = KeyExchangeGroup::ALL.iter().map(|group| Self {
            group: *group,
            ..sample.clone()
        });
        let bindings = ChannelBinding::ALL.iter().map(|binding| Self {
            binding: *binding,
            ..sample.clone()
        });
        versions.chain(groups).chain(bindings).collect()
    }

    /// The version of TLS.
    #[must_use]
    pub const fn protocol_version(&self) -> TlsVersion {
        self.version
    }

    /// The group in which the keys were exchanged.
    #[must_use]
    pub const fn key_exchange_group(&self) -> KeyExchangeGroup {
        self.group
    }

    /// Whether the login was bound to this session.
    #[must_use]
    pub const fn channel_binding(&self) -> ChannelBinding {
        self.binding
    }

    /// The name that was asked for and, under verify-full, verified.
    #[must_use]
    pub fn server_name(&self) -> &str {
        &self.server_name
    }

    /// The server's own certificate.
    ///
    /// # Panics
    ///
    /// Never: a session without a certificate is not made.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        self.chain
            .first()
            .expect("a sealed session has a certificate")
    }

    /// The certificates that the server presented, its own first.
    #[must_use]
    pub fn chain(&self) -> &[Certificate] {
        &self.chain
    }
}
