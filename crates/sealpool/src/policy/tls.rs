use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex},
};

use rustls::{
    ClientConfig, Error as TlsError, NamedGroup,
    client::{Resumption, Tls12Resumption, danger::ServerCertVerifier},
    crypto::CryptoProvider,
    sign::CertifiedKey,
};
use rustls_pki_types::ServerName;

use super::{
    identity::Identity,
    negotiation::{Negotiation, Opening},
    provider::provider,
    roots::RootNames,
    trust::Trust,
    witness::Witness,
};
use crate::config::ConfigError;

/// The TLS settings, whole and checked.
pub(crate) struct Tls {
    pub(crate) negotiation: Negotiation,
    pub(crate) roots: RootNames,
    provider: Arc<CryptoProvider>,
    verifier: Arc<dyn ServerCertVerifier>,
    identity: Option<Arc<CertifiedKey>>,
    groups: Arc<Groups>,
}

/// What PostgreSQL's protocol is called in ALPN (IANA's registry).
pub(crate) const PROTOCOL: &[u8] = b"postgresql";

/// The key-exchange group that each server chose, so that the next hello offers it at once: PostgreSQL up to 17 accepts
/// P-256 only by default, and a wrong first guess costs a round trip.
pub(super) type Groups = Mutex<HashMap<ServerName<'static>, NamedGroup>>;

impl Tls {
    pub(super) fn new(
        trust: &Trust,
        identity: Option<&Identity>,
        negotiation: Negotiation,
    ) -> Result<Self, ConfigError> {
        let provider = provider()?;
        // The generator of aws-lc-rs takes 32 ms to start: here, and not within the first handshake.
        provider.secure_random.fill(&mut [0; 1]).map_err(|_| {
            ConfigError::new(
                "no_random",
                "the system gives no random bytes",
                "check its entropy",
            )
        })?;
        let (verifier, roots) = trust.verifier(&provider)?;
        let identity = identity
            .map(|identity| identity.load(&provider))
            .transpose()?;
        Ok(Self {
            negotiation,
            roots,
            provider,
            verifier,
            identity,
            groups: Arc::default(),
        })
    }

    /// Keeps what is known of the servers' groups when the rest is replaced.
    pub(super) fn remember(&mut self, old: &Self) {
        self.groups = Arc::clone(&old.groups);
    }

    /// The settings of one handshake, and the witness that learns its facts.
    pub(crate) fn handshake(&self) -> Result<(ClientConfig, Arc<Witness>), TlsError> {
        let witness = Arc::new(Witness::new(
            Arc::clone(&self.verifier),
            self.identity.clone(),
            Arc::clone(&self.groups),
        ));
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(self.negotiation.versions)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&witness) as _)
            .with_client_cert_resolver(Arc::clone(&witness) as _);
        config.enable_sni = self.negotiation.sni;
        // Terminators that do not know the name refuse a hello with it, so it goes only where it must.
        if self.negotiation.opening == Opening::Direct {
            config.alpn_protocols = vec![PROTOCOL.to_vec()];
        }
        config.resumption = Resumption::store(Arc::clone(&witness) as _)
            .tls12_resumption(Tls12Resumption::Disabled);
        Ok((config, witness))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("negotiation", &self.negotiation)
            .field("roots", &self.roots)
            .field("verifier", &self.verifier)
            .field("identity", &self.identity.is_some())
            .finish_non_exhaustive()
    }
}
