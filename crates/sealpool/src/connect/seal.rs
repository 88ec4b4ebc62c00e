use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::net::TcpStream;

use super::{
    Certificate, diagnosis::Diagnosis, dial::within, facts::TlsSession, hello::open,
    stream::SealedStream,
};
use crate::{
    error::{self, Stage},
    event::{Event, Observer, Server},
    failure::{HandshakeFailure, tls_error},
    policy::{Host, IdentityAsked, Tls},
};

/// One attempt at a handshake. Whatever becomes of it is reported exactly once, when it is dropped at the latest.
pub(super) struct Attempt<'a> {
    observer: &'a dyn Observer,
    server: Server<'a>,
    started: Instant,
    /// `None` once the handshake is complete.
    failure: Option<HandshakeFailure>,
}

/// A handshake that is complete on our side, while the server may still refuse our part of it.
pub(super) struct Sealed<'a> {
    observer: &'a dyn Observer,
    server: Server<'a>,
    duration: Duration,
    failure: Option<HandshakeFailure>,
    pub(super) session: TlsSession,
    pub(super) identity: IdentityAsked,
}

/// A handshake's failure, with what the layer below said.
pub(super) struct Failed {
    pub(super) failure: HandshakeFailure,
    pub(super) problem: String,
    pub(super) source: Option<io::Error>,
    /// What the server presented.
    pub(super) chain: Vec<Certificate>,
}

impl Failed {
    pub(super) fn at(self, host: &Host, address: SocketAddr) -> error::Attempt {
        let Self {
            failure,
            problem,
            source,
            chain: _,
        } = self;
        error::Attempt {
            host: Arc::clone(&host.name),
            port: host.port,
            address: Some(address),
            stage: Stage::Tls,
            failure: Some(failure),
            problem,
            source: source.map(Into::into),
        }
    }
}

impl<'a> Attempt<'a> {
    pub(super) fn start(observer: &'a dyn Observer, server: Server<'a>) -> Self {
        observer.on_event(&Event::HandshakeStarted { server });
        let failure = Some(HandshakeFailure::Cancelled);
        Self {
            observer,
            server,
            started: Instant::now(),
            failure,
        }
    }

    /// Opens TLS as the policy says, all of it under one limit.
    pub(super) async fn seal(
        mut self,
        stream: TcpStream,
        host: &Host,
        tls: &Tls,
        limit: Duration,
    ) -> Result<(SealedStream, Sealed<'a>), Failed> {
        let (config, witness) = match tls.handshake() {
            Ok(handshake) => handshake,
            Err(error) => {
                let failure = HandshakeFailure::LocalConfig;
                let problem = format!("{}; {}", failure.cause(), failure.fix());
                return Err(self.failed(
                    failure,
                    problem,
                    Some(io::Error::other(error)),
                    Vec::new(),
                ));
            }
        };
        let opened = open(stream, config, tls.negotiation.opening, &host.server_name);
        let negotiated = within(limit, opened).await;
        let seen = witness.seen();
        let (failure, error) = match negotiated {
            Ok(Ok(stream)) => {
                let identity = seen.identity;
                match TlsSession::new(seen.clone(), &host.server_name) {
                    Some(session) => return Ok((stream, self.sealed(session, identity))),
                    None => (HandshakeFailure::Other, None),
                }
            }
            Ok(Err(failure)) => (failure, None),
            Err(error) if seen.bad_signature => (HandshakeFailure::SignatureInvalid, Some(error)),
            Err(error) => (HandshakeFailure::of_io(&error), Some(error)),
        };
        let chain = seen.chain.iter().cloned().map(Certificate::new).collect();
        let diagnosis = Diagnosis {
            failure,
            error: error.as_ref().and_then(tls_error),
            seen,
            tls,
            name: &host.server_name,
        };
        let problem = diagnosis.to_string();
        Err(self.failed(failure, problem, error, chain))
    }

    fn sealed(&mut self, session: TlsSession, identity: IdentityAsked) -> Sealed<'a> {
        self.failure = None;
        let Self {
            observer,
            server,
            started,
            ..
        } = self;
        let duration = started.elapsed();
        Sealed {
            observer: *observer,
            server: *server,
            duration,
            failure: None,
            session,
            identity,
        }
    }

    fn failed(
        &mut self,
        failure: HandshakeFailure,
        problem: String,
        source: Option<io::Error>,
        chain: Vec<Certificate>,
    ) -> Failed {
        self.failure = Some(failure);
        Failed {
            failure,
            problem,
            source,
            chain,
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if let Some(failure) = self.failure {
            let (server, duration) = (self.server, self.started.elapsed());
            self.observer.on_event(&Event::HandshakeFailed {
                server,
                duration,
                failure,
            });
        }
    }
}

impl Sealed<'_> {
    /// The login broke off: when the server did so by a TLS alert, the handshake has failed after all.
    pub(super) fn broken_off(&mut self, error: &io::Error) -> Option<HandshakeFailure> {
        tls_error(error)?;
        self.failure = Some(HandshakeFailure::of_io(error));
        self.failure
    }

    /// The server missed our certificate, and said so in the login only.
    pub(super) fn lacks_identity(&mut self) -> HandshakeFailure {
        let failure = HandshakeFailure::ClientCertificateRequired;
        self.failure = Some(failure);
        failure
    }
}

impl Drop for Sealed<'_> {
    fn drop(&mut self) {
        let Self {
            observer,
            server,
            duration,
            failure,
            session,
            identity: _,
        } = self;
        let (server, duration) = (*server, *duration);
        observer.on_event(&match *failure {
            Some(failure) => Event::HandshakeFailed {
                server,
                duration,
                failure,
            },
            None => Event::HandshakeSealed {
                server,
                duration,
                session,
            },
        });
    }
}
