use std::{net::SocketAddr, ops::ControlFlow, sync::Arc};

use sealpool_dsn::{LoadBalanceHosts, TargetSessionAttrs as Wanted};
use tokio::{
    sync::{Notify, oneshot},
    task::JoinHandle,
};
use tokio_postgres::Client;

use super::{
    Condition, Credentials, PasswordRequest, TlsSession,
    attempt::{Target, unreachable},
    deadline::Deadline,
    dial,
    expiry::Expiry,
    startup::Parting,
};
use crate::{
    config::{Config, ConfigError},
    error::{Attempt, ConnectError, Stage},
    event::{NoopObserver, Observer},
    policy::{Current, Generation, Host, Login, Policy},
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
    pub(super) swapped: Notify,
    observer: Box<dyn Observer>,
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
    pub(crate) tls: TlsSession,
    pub(crate) generation: Arc<Generation>,
    pub(crate) host: Arc<str>,
    pub(crate) port: u16,
    pub(crate) address: SocketAddr,
}

impl Connector {
    /// Decides from a configuration how to connect; no network is used.
    ///
    /// # Errors
    ///
    /// Whatever could mean plaintext or an unverified server, and roots that cannot be read.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        Self::with(config, None, Box::new(NoopObserver))
    }

    pub(crate) fn with(
        config: Config,
        credentials: Option<Credentials>,
        observer: Box<dyn Observer>,
    ) -> Result<Self, ConfigError> {
        if credentials.is_some() {
            refuse_a_second_password(&config)?;
        }
        let connector = Self(Arc::new(Shared {
            current: Current::decide(config)?,
            credentials: credentials.map(Arc::new),
            expiry: Expiry::default(),
            swapped: Notify::new(),
            observer,
        }));
        connector.watch_own_certificates();
        Ok(connector)
    }

    pub(crate) fn policy(&self) -> Arc<Policy> {
        self.0.current.policy()
    }

    pub(crate) fn observer(&self) -> &dyn Observer {
        &*self.0.observer
    }

    /// Tries every address of every host until one connection is ready.
    pub(crate) async fn open(&self) -> Result<Opened, ConnectError> {
        let policy = self.policy();
        let end = Deadline::after(policy.network.limits.total);
        let rounds = match policy.network.role {
            Wanted::PreferStandby => &[Wanted::Standby, Wanted::Any][..],
            ref role => std::slice::from_ref(role),
        };
        let mut failed = Vec::new();
        for wanted in rounds {
            for host in shuffled(policy.network.order, policy.hosts.iter().collect()) {
                match self
                    .open_host(&policy, host, *wanted, end, &mut failed)
                    .await
                {
                    ControlFlow::Break(Some(opened)) => return Ok(opened),
                    ControlFlow::Break(None) => return Err(ConnectError::new(failed)),
                    ControlFlow::Continue(()) => {}
                }
            }
        }
        Err(ConnectError::new(failed))
    }

    /// Breaks with a connection, or with none when it is useless to go on.
    async fn open_host(
        &self,
        policy: &Policy,
        host: &Host,
        wanted: Wanted,
        end: Deadline,
        failed: &mut Vec<Attempt>,
    ) -> ControlFlow<Option<Opened>> {
        let network = &policy.network;
        let end = end.and(network.limits.host);
        let addresses = match dial::resolve(host, end.cap(network.limits.resolve)).await {
            Ok(addresses) => addresses,
            Err(error) => {
                failed.push(unreachable(host, None, Stage::Resolve, error));
                return ControlFlow::Continue(());
            }
        };
        let login = match self.login(policy, host, end).await {
            Ok(login) => login,
            Err(attempt) => {
                failed.push(attempt);
                return ControlFlow::Break(None);
            }
        };
        for address in shuffled(network.order, addresses) {
            let target = Target {
                policy,
                login: &login,
                host,
                wanted,
                end,
            };
            let attempt = match self.open_at(target, address).await {
                Ok(opened) => return ControlFlow::Break(Some(opened)),
                Err(attempt) => attempt,
            };
            let (is_login, is_password) =
                (attempt.stage == Stage::Auth, attempt.refused_password());
            failed.push(attempt);
            if is_password && let Some((policy, login)) = self.renewed(&login, host, end).await {
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
    async fn login(&self, policy: &Policy, host: &Host, end: Deadline) -> Result<Login, Attempt> {
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

fn refuse_a_second_password(config: &Config) -> Result<(), ConfigError> {
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
