use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{
    DigitallySignedStruct, Error as TlsError, NamedGroup, ProtocolVersion, SignatureScheme,
    client::{
        ClientSessionStore, ResolvesClientCert, Tls12ClientSessionValue, Tls13ClientSessionValue,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::tls::Groups;

/// Stands between one handshake and the shared verifier, identity and group memory, and takes down what passes.
pub(crate) struct Witness {
    verifier: Arc<dyn ServerCertVerifier>,
    identity: Option<Arc<CertifiedKey>>,
    groups: Arc<Groups>,
    seen: Mutex<Seen>,
}

/// What a witness saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) version: Option<ProtocolVersion>,
    pub(crate) group: Option<NamedGroup>,
    pub(crate) bad_signature: bool,
    /// What became of the server's wish for a client certificate.
    pub(crate) identity: IdentityAsked,
}

/// Whether the server asked for a client certificate, and what it was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum IdentityAsked {
    #[default]
    Not,
    NoneGiven,
    Given,
}

impl Witness {
    pub(super) fn new(
        verifier: Arc<dyn ServerCertVerifier>,
        identity: Option<Arc<CertifiedKey>>,
        groups: Arc<Groups>,
    ) -> Self {
        Self {
            verifier,
            identity,
            groups,
            seen: Mutex::default(),
        }
    }

    pub(crate) fn seen(&self) -> Seen {
        self.note(|seen| seen.clone())
    }

    fn note<R>(&self, note: impl FnOnce(&mut Seen) -> R) -> R {
        note(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn signed(
        &self,
        version: ProtocolVersion,
        verdict: Result<HandshakeSignatureValid, TlsError>,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.note(|seen| {
            seen.version = Some(version);
            seen.bad_signature = verdict.is_err();
        });
        verdict
    }
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Witness").finish_non_exhaustive()
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        self.note(|seen| {
            seen.chain = [end_entity]
                .into_iter()
                .chain(intermediates)
                .map(|c| c.clone().into_owned())
                .collect();
        });
        self.verifier
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.note(|seen| seen.group = signed_group(message));
        self.signed(
            ProtocolVersion::TLSv1_2,
            self.verifier.verify_tls12_signature(message, cert, dss),
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.signed(
            ProtocolVersion::TLSv1_3,
            self.verifier.verify_tls13_signature(message, cert, dss),
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// The group in what a server of TLS 1.2 signs (RFC 8422, 5.4): both random values, then `named_curve` and its number.
/// The store is told of groups in TLS 1.3 only.
fn signed_group(message: &[u8]) -> Option<NamedGroup> {
    match message.get(64..67)? {
        [3, high, low] => Some(u16::from_be_bytes([*high, *low]).into()),
        _ => None,
    }
}

impl ResolvesClientCert for Witness {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.note(|seen| {
            seen.identity = match self.identity {
                Some(_) => IdentityAsked::Given,
                None => IdentityAsked::NoneGiven,
            };
        });
        self.identity.clone()
    }

    fn has_certs(&self) -> bool {
        self.identity.is_some()
    }
}

/// Keeps groups and nothing else: PostgreSQL resumes no session.
impl ClientSessionStore for Witness {
    fn set_kx_hint(&self, server_name: ServerName<'static>, group: NamedGroup) {
        self.note(|seen| seen.group = Some(group));
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.insert(server_name, group);
    }

    fn kx_hint(&self, server_name: &ServerName<'_>) -> Option<NamedGroup> {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.get(&server_name.to_owned()).copied()
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, _: Tls13ClientSessionValue) {}

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        None
    }
}
