use std::error::Error as StdError;

use deadpool::managed::QueueMode;

use super::{Pool, manager::Manager};
use crate::{
    config::{Config, ConfigError},
    connect::{Connector, Credentials, Password, PasswordRequest},
    error::Error,
    event::{NoopObserver, Observer},
};

/// What a pool is made of.
#[derive(Debug)]
#[must_use]
pub struct PoolBuilder {
    config: Config,
    credentials: Option<Credentials>,
    observer: Box<dyn Observer>,
}

impl PoolBuilder {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            credentials: None,
            observer: Box::new(NoopObserver),
        }
    }

    /// Who is told of every event; default: nobody.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observer = Box::new(observer);
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

    /// Decides from the configuration and makes the pool. No network is used: the first connection is opened by the
    /// first acquire.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for everything that could mean plaintext or an unverified server, for roots that cannot be read
    /// or are empty, and for values that contradict each other.
    pub fn build(self) -> Result<Pool, Error> {
        let connector = Connector::with(self.config, self.credentials, self.observer)?;
        let max_size = connector.policy().pooling.max_size;
        let connections = deadpool::managed::Pool::builder(Manager::new(connector))
            .max_size(max_size)
            // The connection used last is the one most surely alive, and the others may age.
            .queue_mode(QueueMode::Lifo)
            .build()
            .map_err(|error| {
                ConfigError::new("invalid_value", error.to_string(), "report this as a bug of sealpool")
            })?;
        Ok(Pool { connections })
    }
}
