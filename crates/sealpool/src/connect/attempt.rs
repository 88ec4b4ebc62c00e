use std::{io, net::SocketAddr, sync::Arc, time::Instant};

use sealpool_dsn::TargetSessionAttrs as Wanted;

use super::{
    Connector, Opened,
    deadline::Deadline,
    dial::{self, within},
    login::LoginRules,
    role::Role,
    seal::{self, Sealed},
    sense::Sensed,
    startup,
    stream::SealedStream,
};
use crate::{
    error::{Attempt, Stage},
    event::{CertificateRole, Event, Server},
    failure::HandshakeFailure,
    policy::{AuthMethod, Binding, Host, Login, Policy},
    spans::{self, traced},
};

/// What all attempts at one host go by.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) policy: &'a Policy,
    pub(super) login: &'a Login,
    pub(super) host: &'a Host,
    pub(super) wanted: Wanted,
    pub(super) end: Deadline,
}

impl Connector {
    pub(super) async fn open_at(
        &self,
        target: Target<'_>,
        address: SocketAddr,
    ) -> Result<Opened, Attempt> {
        let Target {
            policy, host, end, ..
        } = target;
        let started = Instant::now();
        let server = Server {
            host: &host.name,
            port: host.port,
            address,
        };
        let (stream, sealed) = self.seal(policy, host, server, end).await?;
        let login = self.log_in(stream, sealed, target, server);
        let opened = traced(&spans::startup(), login).await?;
        let chain = opened.tls.chain().iter().cloned();
        self.0.expiry.replace(
            Some((&host.name, host.port)),
            chain.map(|certificate| (CertificateRole::Server, certificate)),
        );
        self.observer().on_event(&Event::ConnectionOpened {
            server,
            duration: started.elapsed(),
        });
        Ok(opened)
    }

    pub(super) async fn seal<'a>(
        &'a self,
        policy: &Policy,
        host: &Host,
        server: Server<'a>,
        end: Deadline,
    ) -> Result<(SealedStream, Sealed<'a>), Attempt> {
        let stream = async {
            let stream = dial::connect(server.address, &policy.network, end).await;
            stream.map_err(|error| unreachable(host, Some(server.address), Stage::Tcp, error))
        };
        let stream = traced(&spans::tcp(), stream).await?;
        let attempt = seal::Attempt::start(self.observer(), server);
        let limit = end.cap(policy.network.limits.tls);
        let span = spans::tls();
        let sealed = async {
            let sealed = attempt.seal(stream, host, &policy.tls, limit).await;
            let (stream, sealed) = sealed.map_err(|failed| failed.at(host, server.address))?;
            span.record(
                "tls.protocol.version",
                sealed.session.protocol_version().as_str(),
            );
            Ok((stream, sealed))
        };
        traced(&span, sealed).await
    }

    pub(super) async fn log_in(
        &self,
        stream: SealedStream,
        mut sealed: Sealed<'_>,
        target: Target<'_>,
        server: Server<'_>,
    ) -> Result<Opened, Attempt> {
        let Target {
            policy,
            login,
            host,
            wanted,
            end,
        } = target;
        let failed = |stage, failure, problem, source| Attempt {
            host: Arc::clone(&host.name),
            port: host.port,
            address: Some(server.address),
            stage,
            failure,
            problem,
            source,
        };
        let binding = policy.tls.negotiation.binding;
        let certificate = sealed.session.certificate();
        if binding == Binding::Require && certificate.end_point().is_none() {
            let problem = format!(
                "tls.channel_binding = require, and the server's certificate is signed with {}, for which there is none; \
                 nothing was sent: sign it with ECDSA or RSA and SHA-256, or write prefer",
                certificate.signature_name()
            );
            return Err(failed(Stage::Auth, None, problem, None));
        }
        let losses = self.0.lost.at(server.address);
        let losses_before = losses.count();
        let endpoints = &self.0.endpoints;
        let endpoint = endpoints.at(host, server.address, policy.network.role);
        let rules = LoginRules::new(login, binding);
        let (stream, sense) = Sensed::new(stream, rules, Arc::clone(&endpoint));
        let limit = end.cap(policy.network.limits.startup);
        let (client, connection) = startup::log_in(stream, &sense, login, binding, limit)
            .await
            .map_err(|error| {
                let startup::Failed {
                    stage,
                    problem,
                    source,
                } = error;
                let alert = source
                    .as_ref()
                    .and_then(startup::io_error)
                    .and_then(|error| sealed.broken_off(error));
                let wanted = source.as_ref().is_some_and(|error| {
                    startup::wants_identity(error, sense.step(), sealed.identity)
                });
                let alert = alert.or_else(|| wanted.then(|| sealed.lacks_identity()));
                let source = source.map(Into::into);
                match alert {
                    Some(failure) => failed(Stage::Tls, Some(failure), advice(failure), source),
                    None => failed(stage, None, problem, source),
                }
            })?;
        if sense.method() == Some(AuthMethod::Md5) {
            self.observer().on_event(&Event::WeakAuthenticationUsed {
                server,
                method: AuthMethod::Md5,
            });
        }
        sealed.session.binding = sense.channel_binding();
        let tls = sealed.session.clone();
        let reported = Role::reported(&connection);
        let startup::Driven {
            driver,
            task,
            owner,
        } = startup::drive(
            connection,
            Arc::clone(&host.name),
            sense.condition(),
            Arc::clone(&losses),
        );
        if wanted != Wanted::Any {
            let role = match reported {
                Some(role) => Ok(role),
                None => {
                    let asked = async { Role::asked(&client).await.map_err(io::Error::other) };
                    within(end.cap(policy.network.limits.startup), asked).await
                }
            };
            let role = role.map_err(|error| {
                let problem = "the server did not say what its role is; look into its log";
                failed(Stage::Startup, None, problem.to_owned(), Some(error.into()))
            })?;
            if let Some(why) = role.unfit(wanted) {
                // There may be older connections to it, from the time when it would do.
                endpoint.was_unfit(wanted);
                let problem = format!("{why}, and connect.target_session_attrs wants {wanted}");
                return Err(failed(Stage::Startup, None, problem, None));
            }
        }
        let (host, address) = (Arc::clone(&host.name), server.address);
        Ok(Opened {
            client,
            driver,
            task,
            owner,
            condition: sense.condition(),
            method: sense.method(),
            losses,
            losses_before,
            tls,
            generation: Arc::clone(&policy.generation),
            endpoint,
            host,
            port: server.port,
            address,
        })
    }
}

pub(super) fn unreachable(
    host: &Host,
    address: Option<SocketAddr>,
    stage: Stage,
    error: io::Error,
) -> Attempt {
    let problem = match stage {
        Stage::Resolve => "the name does not resolve; check host and the resolver",
        _ => "no connection; check host, port and the firewalls between",
    };
    Attempt {
        host: Arc::clone(&host.name),
        port: host.port,
        address,
        stage,
        failure: None,
        problem: problem.to_owned(),
        source: Some(error.into()),
    }
}

fn advice(failure: HandshakeFailure) -> String {
    format!("{}; {}", failure.cause(), failure.fix())
}
