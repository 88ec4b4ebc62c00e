use std::{error::Error as StdError, fmt, net::SocketAddr, sync::Arc, time::Duration};

use tokio_postgres::error::SqlState;

use crate::{
    closed_set::closed_set,
    config::ConfigError,
    failure::HandshakeFailure,
    hook::HookError,
    pool::{Holder, PoolState, Status},
};

/// Why there is no pool, or no client.
///
/// [`Error::class`] says whose fault it is and [`Error::is_transient`] whether a later try may succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration was refused; no byte was sent.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A connection was needed and could not be opened.
    #[error(transparent)]
    Connect(#[from] Arc<ConnectError>),
    /// The `before_acquire` hook of the application failed.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// The acquire's deadline passed.
    #[error(transparent)]
    Timeout(#[from] AcquireTimeout),
    /// As many acquires wait as `pool.max_waiting` allows.
    #[error(
        "{0} acquires are waiting already (pool.max_waiting); give clients back sooner, or raise pool.max_size"
    )]
    QueueFull(usize),
    /// The pool has been closed.
    #[error("the pool is closed")]
    Closed,
}

closed_set! {
    /// Whose fault an [`Error`] is.
    pub enum Class {
        /// The server refused the login: role, password, database or pg_hba.conf.
        Auth = "auth",
        /// The pool has been closed.
        Closed = "closed",
        /// What was written in the configuration.
        Config = "config",
        /// The password provider.
        Credential = "credential",
        /// A hook of the application.
        Hook = "hook",
        /// The network, or a name that does not resolve.
        Network = "network",
        /// The server: it is starting, full, or does not keep to its protocol.
        Server = "server",
        /// The statement itself, its parameters, or what another one did to the session that it shared (on a
        /// [`Lane`](crate::Lane)).
        Statement = "statement",
        /// No client in time: the pool is too small, or its clients are held for too long.
        Timeout = "timeout",
        /// TLS: the server does not offer it, or could not be verified.
        Tls = "tls",
    }
}

closed_set! {
    /// How far an attempt to connect came.
    pub enum Stage {
        /// Name resolution.
        Resolve = "resolve",
        /// The TCP connection.
        Tcp = "tcp",
        /// The request for TLS and the handshake.
        Tls = "tls",
        /// The login was refused: role, password, database, pg_hba.conf.
        Auth = "auth",
        /// The login did not end, or the server refused the session for another reason.
        Startup = "startup",
        /// A hook of the application: `before_connect`, ahead of all the others, or `after_connect`.
        Setup = "setup",
    }
}

impl Error {
    /// Whose fault it is.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Config(_) => Class::Config,
            Self::Connect(error) => error.attempts.last().map_or(Class::Network, Attempt::class),
            Self::Hook(_) => Class::Hook,
            Self::Timeout(_) | Self::QueueFull(_) => Class::Timeout,
            Self::Closed => Class::Closed,
        }
    }

    /// Whether a later try may succeed without anybody's doing.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Config(_) | Self::Closed => false,
            Self::Connect(error) => error.is_transient(),
            Self::Hook(error) => error.is_transient(),
            Self::Timeout(_) | Self::QueueFull(_) => true,
        }
    }
}

/// No configured host could be connected to: every attempt with its reason.
#[derive(Debug)]
pub struct ConnectError {
    attempts: Vec<Attempt>,
}

impl ConnectError {
    pub(crate) const fn new(attempts: Vec<Attempt>) -> Self {
        Self { attempts }
    }

    /// The attempts in the order in which they were made; there is at least one.
    #[must_use]
    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    /// Whether a later try may succeed without anybody's doing.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.attempts.iter().any(Attempt::is_transient)
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, attempt) in self.attempts.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{attempt}")?;
        }
        Ok(())
    }
}

impl StdError for ConnectError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.attempts.last()?.source()
    }
}

/// One attempt to connect to one address of one host.
#[derive(Debug)]
pub struct Attempt {
    pub(crate) host: Arc<str>,
    pub(crate) port: u16,
    pub(crate) address: Option<SocketAddr>,
    pub(crate) stage: Stage,
    pub(crate) failure: Option<HandshakeFailure>,
    pub(crate) problem: String,
    pub(crate) source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Attempt {
    /// The host's name as configured.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The address tried, when the name had been resolved.
    #[must_use]
    pub const fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// How far it came.
    #[must_use]
    pub const fn stage(&self) -> Stage {
        self.stage
    }

    /// The reason, when the handshake failed.
    #[must_use]
    pub const fn handshake_failure(&self) -> Option<HandshakeFailure> {
        self.failure
    }

    /// The server's SQLSTATE, when it answered with an error over TLS.
    #[must_use]
    pub fn sql_state(&self) -> Option<&SqlState> {
        self.postgres()?.code()
    }

    fn postgres(&self) -> Option<&tokio_postgres::Error> {
        self.source.as_deref()?.downcast_ref()
    }

    /// The server did not take the login, as it does with a password that is no longer right.
    pub(crate) fn refused_password(&self) -> bool {
        self.sql_state()
            .is_some_and(|state| state.code().starts_with("28"))
    }

    fn is_credential(&self) -> bool {
        matches!(&self.source, Some(source) if source.is::<CredentialError>())
    }

    /// The reason of a failed handshake, or the stage: what metrics and traces call it.
    pub(crate) fn error_type(&self) -> &'static str {
        self.failure
            .map_or(self.stage.as_str(), HandshakeFailure::as_str)
    }

    fn class(&self) -> Class {
        match self.stage {
            _ if self.is_credential() => Class::Credential,
            Stage::Resolve | Stage::Tcp => Class::Network,
            Stage::Tls => Class::Tls,
            Stage::Auth => Class::Auth,
            Stage::Startup => Class::Server,
            Stage::Setup => Class::Hook,
        }
    }

    pub(crate) fn is_transient(&self) -> bool {
        match self.stage {
            Stage::Resolve | Stage::Tcp => true,
            Stage::Startup => !self.postgres().is_some_and(refuses_parameter),
            Stage::Tls => self.failure.is_some_and(HandshakeFailure::is_transient),
            Stage::Auth => self.is_credential(),
            Stage::Setup => self.hook().is_some_and(HookError::is_transient),
        }
    }

    fn hook(&self) -> Option<&HookError> {
        self.source.as_deref()?.downcast_ref()
    }
}

/// Whether the server did not take what the session was to be set up with: a setting that it does not know, a value that it
/// cannot use; or, if it is PgBouncer, one of the many that it does not track.
pub(crate) fn refuses_parameter(error: &tokio_postgres::Error) -> bool {
    let Some(error) = error.as_db_error() else {
        return false;
    };
    match error.code().code() {
        // PgBouncer says this of whatever goes wrong, in English.
        "08P01" => error.message().contains("startup parameter"),
        "42601" | "42704" => true,
        code => code.starts_with("22"),
    }
}

/// Why the password provider gave no password.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum CredentialError {
    #[error(transparent)]
    Failed(Arc<dyn StdError + Send + Sync>),
    #[error("it gave nothing within {0:?} (connect.password_timeout)")]
    Late(Duration),
    #[error("it panicked, or its runtime ended")]
    Gone,
}

impl HandshakeFailure {
    const fn is_transient(self) -> bool {
        matches!(
            self,
            Self::Cancelled | Self::ConnectionClosed | Self::ServerErrorBeforeTls | Self::Timeout
        )
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            host,
            port,
            address,
            stage,
            failure,
            problem,
            source: _,
        } = self;
        write!(f, "cannot connect to {host}:{port}")?;
        if let Some(address) = address.filter(|address| address.ip().to_string() != **host) {
            write!(f, " at {address}")?;
        }
        write!(f, ": {stage}")?;
        if let Some(failure) = failure {
            write!(f, ": {failure}")?;
        }
        write!(f, ": {problem}")
    }
}

impl StdError for Attempt {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// An error with all that it comes from.
pub(crate) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let said = source.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = source.source();
    }
    text
}

/// No client could be had within the acquire's deadline.
#[derive(Debug)]
pub struct AcquireTimeout {
    pub(crate) limit: Duration,
    /// The setting that the limit comes from, if it comes from one.
    pub(crate) setting: Option<&'static str>,
    pub(crate) status: Box<Status>,
    pub(crate) oldest: Option<Holder>,
    pub(crate) last: Option<Arc<ConnectError>>,
}

impl AcquireTimeout {
    /// The limit that passed.
    #[must_use]
    pub const fn limit(&self) -> Duration {
        self.limit
    }

    /// The pool as it was when the limit passed.
    #[must_use]
    pub const fn status(&self) -> Status {
        *self.status
    }

    /// Who had held a client for the longest time.
    #[must_use]
    pub const fn oldest_holder(&self) -> Option<Holder> {
        self.oldest
    }

    /// Why the last connect failed, unless one has succeeded since.
    #[must_use]
    pub fn last_failure(&self) -> Option<&ConnectError> {
        self.last.as_deref()
    }
}

impl fmt::Display for AcquireTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            limit,
            setting,
            status,
            oldest,
            last,
        } = self;
        write!(f, "no client within {limit:?}")?;
        if let Some(setting) = setting {
            write!(f, " ({setting})")?;
        }
        write!(f, ": {status}")?;
        match last {
            _ if status.state == PoolState::Suspended => {
                f.write_str("; the pool is suspended: resume it (Pool::resume)")
            }
            Some(_) => f.write_str("; the last connection failed"),
            None if status.idle == 0 && status.used >= status.max_size => {
                if let Some(Holder { place, held }) = oldest {
                    write!(f, "; one has been held for {held:.1?}, acquired at {place}")?;
                }
                f.write_str("; give clients back sooner, or raise pool.max_size")
            }
            None => Ok(()),
        }
    }
}

impl StdError for AcquireTimeout {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.last.as_deref().map(|last| last as _)
    }
}
