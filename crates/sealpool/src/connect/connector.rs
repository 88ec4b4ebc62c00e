use std::{net::SocketAddr, ops::ControlFlow, sync::Arc};

use sealpool_dsn::{LoadBalanceHosts, TargetSessionAttrs as Wanted};
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
};
use tokio_postgres::Client;
use tracing::Span;

use super::{
    Condition, Credentials, PasswordRequest, TlsSession,
    attempt::{Target, unreachable},
    breaker::{self, Breaker},
    deadline::Deadline,
    dial,
    endpoint::{Endpoint, Endpoints},
    expiry::Expiry,
    failures::Failures,
    losses::{Losses, Lost},
    resolver::Resolver,
    startup::Parting,
};
use crate::{
    config::{Config, ConfigError},
    error::{Attempt, ConnectError, Stage},
    event::Server,
    observers::Observers,
    policy::{AuthMethod, Current, Generation, Host, Login, Policy},
    spans::{self, traced},
};

/// Opens sealed connections, one at a time, without a pool.
///
/// It also implements [`deadpool_postgres::Connect`], for those who need a plain `deadpool_postgres::Pool`.
#[derive(Clone, Debug)]
pub struct Connector(pub(super) Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) current: Current,
    credentials: Option<Arc<Credentials>>,
    pub(super) expiry: Expiry,
    pub(super) swapped: watch::Sender<()>,
    breaker: Breaker,
    pub(super) lost: Lost,
    pub(super) resolver: Resolver,
    pub(super) endpoints: Endpoints,
    observers: Observers,
}

/// A connection that is ready for queries.
pub(crate) struct Opened {
    pub(crate) client: Client,
    /// What deadpool's wrapper may abort.
    pub(crate) task: JoinHandle<()>,
    /// What ends when the connection has ended.
    pub(crate) driver: JoinHandle<()>,
    /// Dropped by the connection's owner when it is done.
    pub(crate) owner: oneshot::Sender<Parting>,
    pub(crate) condition: Arc<Condition>,
    /// What the login went by.
    pub(crate) method: Option<AuthMethod>,
    /// Those of its server.
    pub(crate) losses: Arc<Losses>,
    /// How many there were before it was opened.
    pub(crate) losses_before: u64,
    pub(crate) tls: TlsSession,
    pub(crate) generation: Arc<Generation>,
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) host: Arc<str>,
    pub(crate) port: u16,
    pub(crate) address: SocketAddr,
}

impl Opened {
    fn server(&self) -> Server<'_> {
        Server {
            host: &self.host,
            port: self.port,
            address: self.address,
        }
    }
}

/// What a connection is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Duty {
    /// Statements of many, sent one behind the other.
    Lane,
    /// One borrower at a time.
    Loan,
}

impl Duty {
    fn suited(self, login: Login, policy: &Policy) -> Login {
        match self {
            Self::Lane => Login {
                options: policy.lane.options.clone(),
                ..login
            },
            Self::Loan => login,
        }
    }
}

impl Connector {
    /// Decides from a configuration how to connect; no network is used.
    ///
    /// # Errors
    ///
    /// Whatever could mean plaintext or an unverified server, and roots that cannot be read.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        Self::with(config, None, Resolver::default(), Observers::default())
    }

    pub(crate) fn with(
        config: Config,
        credentials: Option<Credentials>,
        resolver: Resolver,
        observers: Observers,
    ) -> Result<Self, ConfigError> {
        if credentials.is_some() {
            refuse_a_second_password(&config)?;
        }
        let connector = Self(Arc::new(Shared {
            current: Current::decide(config)?,
            credentials: credentials.map(Arc::new),
            expiry: Expiry::default(),
            swapped: watch::Sender::new(()),
            breaker: Breaker::default(),
            lost: Lost::default(),
            resolver,
            endpoints: Endpoints::default(),
            observers,
        }));
        connector.watch_own_certificates();
        Ok(connector)
    }

    pub(crate) fn policy(&self) -> Arc<Policy> {
        self.0.current.policy()
    }

    /// The newest policy with that server in it.
    pub(super) fn policy_with(&self, host: &str, port: u16) -> Option<Arc<Policy>> {
        self.0.current.policy_with(host, port)
    }

    /// Another number means another policy.
    pub(crate) fn revision(&self) -> u64 {
        self.0.current.revision()
    }

    /// Tells of every policy that comes into force.
    pub(crate) fn swaps(&self) -> watch::Receiver<()> {
        self.0.swapped.subscribe()
    }

    pub(super) fn has_provider(&self) -> bool {
        self.0.credentials.is_some()
    }

    pub(crate) fn observer(&self) -> &Observers {
        &self.0.observers
    }

    /// Waits until a connection is lost.
    pub(crate) async fn lost(&self) {
        self.0.lost.happened().await;
    }

    /// Opens one that is nothing but a connection, in a span of its own.
    pub(crate) async fn open_alone(&self, asks: &Span) -> Result<Opened, ConnectError> {
        let span = spans::connect(&self.policy(), asks);
        let opened = async {
            let opened = self.open(Duty::Loan).await?;
            spans::reached(&span, opened.server());
            Ok(opened)
        };
        traced(&span, opened).await
    }

    /// Tries every address of every host until one connection is ready.
    pub(crate) async fn open(&self, duty: Duty) -> Result<Opened, ConnectError> {
        let policy = self.policy();
        let end = Deadline::after(policy.network.limits.total);
        let rounds = match policy.network.role {
            Wanted::PreferStandby => &[Wanted::Standby, Wanted::Any][..],
            ref role => std::slice::from_ref(role),
        };
        let mut failed = Failures::new(self.observer());
        for wanted in rounds {
            let hosts = shuffled(policy.network.order, policy.hosts.iter().collect());
            let circuit = |host: &Host| breaker::Target::Host(Arc::clone(&host.name), host.port);
            for host in self.0.breaker.order(hosts, |host| circuit(host)) {
                let before = failed.attempts().len();
                match self
                    .open_host(duty, &policy, host, *wanted, end, &mut failed)
                    .await
                {
                    ControlFlow::Break(Some(opened)) => {
                        self.0.breaker.succeeded(&circuit(host));
                        return Ok(opened);
                    }
                    ControlFlow::Break(None) => return Err(failed.into_error()),
                    ControlFlow::Continue(()) => {}
                }
                if failed
                    .attempts()
                    .iter()
                    .skip(before)
                    .all(Attempt::is_transient)
                {
                    self.0.breaker.failed(circuit(host));
                }
            }
        }
        Err(failed.into_error())
    }

    /// Breaks with a connection, or with none when it is useless to go on.
    async fn open_host(
        &self,
        duty: Duty,
        policy: &Policy,
        host: &Host,
        wanted: Wanted,
        end: Deadline,
        failed: &mut Failures<'_>,
    ) -> ControlFlow<Option<Opened>> {
        let network = &policy.network;
        let end = end.and(network.limits.host);
        let limit = end.cap(network.limits.resolve);
        let span = match host.known_address() {
            Some(_) => Span::none(),
            None => spans::resolve(),
        };
        let addresses = async {
            let addresses = dial::resolve(&self.0.resolver, host, limit).await;
            addresses.map_err(|error| unreachable(host, None, Stage::Resolve, error))
        };
        let addresses = match traced(&span, addresses).await {
            Ok(addresses) => addresses,
            Err(attempt) => {
                failed.push(attempt);
                return ControlFlow::Continue(());
            }
        };
        drop(span);
        let login = match self.login(policy, host, end).await {
            Ok(login) => duty.suited(login, policy),
            Err(attempt) => {
                failed.push(attempt);
                return ControlFlow::Break(None);
            }
        };
        let addresses = shuffled(network.order, addresses);
        let circuit = |address: &SocketAddr| breaker::Target::Address(*address);
        for address in self.0.breaker.order(addresses, circuit) {
            let target = Target {
                policy,
                login: &login,
                host,
                wanted,
                end,
            };
            let attempt = match self.open_at(target, address).await {
                Ok(opened) => {
                    self.0.breaker.succeeded(&circuit(&address));
                    return ControlFlow::Break(Some(opened));
                }
                Err(attempt) => attempt,
            };
            if attempt.is_transient() {
                self.0.breaker.failed(circuit(&address));
            }
            let (is_login, is_password) =
                (attempt.stage == Stage::Auth, attempt.refused_password());
            failed.push(attempt);
            if is_password && let Some((policy, login)) = self.renewed(&login, host, end).await {
                let login = duty.suited(login, &policy);
                let target = Target {
                    policy: &policy,
                    login: &login,
                    host,
                    wanted,
                    end,
                };
                match self.open_at(target, address).await {
                    Ok(opened) => return ControlFlow::Break(Some(opened)),
                    Err(attempt) => failed.push(attempt),
                }
            }
            // Another server would be asked for the same login: the wrong password does not become right.
            if is_login {
                return ControlFlow::Break(None);
            }
        }
        ControlFlow::Continue(())
    }

    /// A password may have been changed a moment ago, both at the server and where we have it from.
    async fn renewed(
        &self,
        refused: &Login,
        host: &Host,
        end: Deadline,
    ) -> Option<(Arc<Policy>, Login)> {
        match &self.0.credentials {
            Some(credentials) => {
                let request = request(refused, host);
                if !credentials.forget(&request, refused.password.as_ref()) {
                    return None;
                }
            }
            None if self.0.current.reads_password() => {
                // Somebody else may have done so just now: what counts is whether the password differs.
                let _ = self.reload().await;
            }
            None => return None,
        }
        let policy = self.policy();
        let same = |fresh: &&Host| fresh.name == host.name && fresh.port == host.port;
        let host = policy.hosts.iter().find(same)?;
        let login = self.login(&policy, host, end).await.ok()?;
        (login.password != refused.password).then_some((policy, login))
    }

    /// Asked ahead of the connection, which a server does not keep waiting for long.
    pub(super) async fn login(
        &self,
        policy: &Policy,
        host: &Host,
        end: Deadline,
    ) -> Result<Login, Attempt> {
        let mut login = policy.login.clone();
        if let Some(password) = &host.password {
            login.password = Some(password.clone());
        }
        let Some(credentials) = &self.0.credentials else {
            return Ok(login);
        };
        let limit = end.cap(policy.network.limits.password);
        let secret = credentials.password(request(&login, host), limit, self);
        login.password = Some(secret.await.map_err(|error| Attempt {
            host: Arc::clone(&host.name),
            port: host.port,
            address: None,
            stage: Stage::Auth,
            failure: None,
            problem: "the password provider gave no password".to_owned(),
            source: Some(error.into()),
        })?);
        login.token = true;
        Ok(login)
    }
}

pub(super) fn refuse_a_second_password(config: &Config) -> Result<(), ConfigError> {
    let password = config.password.as_ref().map(|w| ("password", &w.place));
    let file = config
        .password_file
        .as_ref()
        .map(|w| ("password_file", &w.place));
    let passfile = config.passfile.as_ref().map(|w| ("passfile", &w.place));
    match password.or(file).or(passfile) {
        None => Ok(()),
        Some((key, place)) => Err(place.refuse(
            key,
            ConfigError::new(
                "conflict",
                "there is a password provider as well",
                "remove one of the two",
            ),
        )),
    }
}

fn request(login: &Login, host: &Host) -> PasswordRequest {
    PasswordRequest {
        host: Arc::clone(&host.name),
        port: host.port,
        user: login.user.as_str().into(),
    }
}

/// libpq's two orders: as written, or by chance.
fn shuffled<T>(order: LoadBalanceHosts, mut all: Vec<T>) -> Vec<T> {
    match order {
        LoadBalanceHosts::Disable => {}
        LoadBalanceHosts::Random => fastrand::shuffle(&mut all),
    }
    all
}
