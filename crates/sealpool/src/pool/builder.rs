use std::{
    error::Error as StdError,
    io,
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use super::{Pool, hooks::Hooks, manager::Manager};
use crate::{
    config::{Config, ConfigError},
    connect::{Connector, Credentials, Password, PasswordRequest, Resolver},
    error::Error,
    event::{Event, Observer},
    observers::Observers,
};

/// What a pool is made of.
#[derive(Debug)]
#[must_use]
pub struct PoolBuilder {
    config: Config,
    credentials: Option<Credentials>,
    resolver: Resolver,
    observers: Observers,
    pub(super) hooks: Hooks,
}

impl PoolBuilder {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            credentials: None,
            resolver: Resolver::default(),
            observers: Observers::default(),
            hooks: Hooks::default(),
        }
    }

    /// One who is told of every event; default: nobody, which costs nothing. Each call adds another.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observers.add(observer);
        self
    }

    /// Who gives the password of each new connection, such as the token services of AWS (IAM) and Azure (Entra ID);
    /// default: nobody, and the settings `password` and `password_file` count, which may not stand beside it.
    ///
    /// Many connections at once ask once, and a password that states its expiry is used until then. An answer that takes
    /// longer than `connect.password_timeout` is a failure, of class [`Credential`](crate::Class::Credential). Since a token
    /// is good for a short time only, it is sent as it is, inside TLS, to a server that asks for that.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use sealpool::{Config, Password, Pool};
    ///
    /// # async fn token(_: &str) -> std::io::Result<String> { Ok("token".to_owned()) }
    /// let config = Config::new().host("db.example.net").user("app");
    /// let pool = Pool::builder(config)
    ///     .password_provider(|request| async move {
    ///         let token = token(&request.host).await?;
    ///         let expiry = SystemTime::now() + Duration::from_secs(15 * 60);
    ///         Ok(Password::new(token).expires_at(expiry))
    ///     })
    ///     .build();
    /// ```
    pub fn password_provider<F, R>(mut self, provider: F) -> Self
    where
        F: Fn(PasswordRequest) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Password, Box<dyn StdError + Send + Sync>>> + Send + 'static,
    {
        self.credentials = Some(Credentials::new(provider));
        self
    }

    /// Who gives the addresses of a host, by its name and port; default: the system's resolver.
    ///
    /// It is asked for every connection and every `connect.resolve_interval`, under the limit `connect.resolve_timeout`,
    /// but not for a host that has a `hostaddr` or is an address itself. Whatever it answers, the server's certificate is
    /// verified against the name: service discovery cannot lead to a server that is not trusted.
    ///
    /// ```
    /// use std::net::SocketAddr;
    /// use sealpool::{Config, Pool};
    ///
    /// # async fn members(_: &str) -> std::io::Result<Vec<SocketAddr>> { Ok(Vec::new()) }
    /// let config = Config::new().host("orders.db.example.net").user("app");
    /// let pool = Pool::builder(config)
    ///     .resolver(|name, _port| async move { members(&name).await })
    ///     .build();
    /// ```
    pub fn resolver<F, R>(mut self, resolver: F) -> Self
    where
        F: Fn(Arc<str>, u16) -> R + Send + Sync + 'static,
        R: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        self.resolver = Resolver::new(resolver);
        self
    }

    /// Decides from the configuration and makes the pool. No network is used: the first connection is opened by the
    /// first acquire.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for everything that could mean plaintext or an unverified server, for roots that cannot be read
    /// or are empty, for values that contradict each other, and when an observer refuses the pool.
    pub fn build(self) -> Result<Pool, Error> {
        let connector =
            Connector::with(self.config, self.credentials, self.resolver, self.observers)?;
        let manager = Arc::new(Manager::new(connector, self.hooks));
        let pool = Pool { manager };
        pool.introduce()?;
        Ok(pool)
    }
}

impl Pool {
    fn introduce(&self) -> Result<(), ConfigError> {
        let connector = self.manager.connector();
        if !connector.observer().are_there() {
            return Ok(());
        }
        let veto = Veto::default();
        connector.observer().on_event(&Event::PoolBuilt {
            pool: &self.downgrade(),
            name: &connector.policy().name(),
            veto: &veto,
        });
        match veto.0.into_inner() {
            None => Ok(()),
            Some(Objection { problem, fix }) => Err(ConfigError::new("conflict", problem, fix)),
        }
    }
}

/// Lets an observer refuse a pool while it is built, for instance when there is one of that name already.
#[derive(Debug, Default)]
pub struct Veto(OnceLock<Objection>);

#[derive(Debug)]
struct Objection {
    problem: String,
    fix: String,
}

impl Veto {
    /// Makes [`PoolBuilder::build`](crate::PoolBuilder::build) fail with this text: what is wrong, and what to do about
    /// it. The first refusal counts.
    pub fn refuse(&self, problem: impl Into<String>, fix: impl Into<String>) {
        let (problem, fix) = (problem.into(), fix.into());
        let _ = self.0.set(Objection { problem, fix });
    }
}
