use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::dialect::Dialect;
use crate::error::DsnError;
use crate::host::Host;
use crate::located::Located;
use crate::secret::Secret;
use crate::session::{
    ChannelBinding, ClientCertMode, Limit, LoadBalanceHosts, RequireAuth, SslNegotiation,
    TargetSessionAttrs, TlsVersion,
};
use crate::verification::{Root, TlsWord, Verification};
use crate::warning::Warning;

/// What a connection string says, whatever its dialect.
///
/// The struct is open on purpose: whoever applies it destructures it without `..`, so that a field nobody applies does
/// not compile. `None` means that the string does not say; defaults are the pool's business. No file is opened and no
/// environment variable is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dsn {
    /// The dialect it was read as.
    pub dialect: Dialect,
    /// The servers in the order to try them; never empty, never a socket.
    pub hosts: Vec<Host>,
    /// The database.
    pub database: Option<Located<String>>,
    /// The role to log in as.
    pub user: Option<Located<String>>,
    /// Its password.
    pub password: Option<Located<Secret>>,

    /// What follows from all words about TLS together.
    pub verification: Verification,
    /// These words, in the order of the text.
    pub tls_words: Vec<TlsWord>,
    /// The roots that are named; `None` means those of the operating system.
    pub root: Option<Located<Root>>,
    /// The client certificate.
    pub client_cert: Option<Located<PathBuf>>,
    /// Its key.
    pub client_key: Option<Located<PathBuf>>,
    /// The passphrase of that key.
    pub client_key_password: Option<Located<Secret>>,
    /// Whether the client certificate is sent.
    pub client_cert_mode: Option<Located<ClientCertMode>>,
    /// A file with revocation lists.
    pub crl: Option<Located<PathBuf>>,
    /// A folder with revocation lists.
    pub crl_dir: Option<Located<PathBuf>>,
    /// The lowest version of TLS.
    pub min_tls: Option<Located<TlsVersion>>,
    /// The highest version of TLS, never below `min_tls`.
    pub max_tls: Option<Located<TlsVersion>>,
    /// Whether the host's name is sent in the ClientHello.
    pub sni: Option<Located<bool>>,
    /// How TLS begins.
    pub ssl_negotiation: Option<Located<SslNegotiation>>,
    /// Whether SCRAM is bound to the TLS channel.
    pub channel_binding: Option<Located<ChannelBinding>>,
    /// The ways to log in that the server may ask for.
    pub require_auth: Option<Located<RequireAuth>>,

    /// The role a server must have.
    pub target_session_attrs: Option<Located<TargetSessionAttrs>>,
    /// The order in which hosts are tried.
    pub load_balance_hosts: Option<Located<LoadBalanceHosts>>,
    /// The limit of opening one connection to one host.
    pub connect_timeout: Option<Located<Limit>>,
    /// The limit of opening a connection, all hosts and the login included (JDBC's `loginTimeout`).
    pub login_timeout: Option<Located<Limit>>,
    /// How long sent data may stay unacknowledged.
    pub tcp_user_timeout: Option<Located<Limit>>,
    /// Whether TCP keepalive is on.
    pub keepalives: Option<Located<bool>>,
    /// Idle time before the first probe.
    pub keepalives_idle: Option<Located<Duration>>,
    /// Time between probes.
    pub keepalives_interval: Option<Located<Duration>>,
    /// Probes that may be lost.
    pub keepalives_count: Option<Located<u32>>,

    /// `application_name`.
    pub application_name: Option<Located<String>>,
    /// `application_name` where nothing else gives one.
    pub fallback_application_name: Option<Located<String>>,
    /// Command-line options for the server, `-c name=value …`.
    pub options: Option<Located<String>>,
    /// The schemas, comma-separated as written.
    pub search_path: Option<Located<String>>,
    /// The session's time zone.
    pub time_zone: Option<Located<String>>,
    /// The server's `statement_timeout`.
    pub statement_timeout: Option<Located<Limit>>,
    /// The server's `lock_timeout`.
    pub lock_timeout: Option<Located<Limit>>,
    /// The server's `idle_in_transaction_session_timeout`.
    pub idle_in_transaction_timeout: Option<Located<Limit>>,
    /// How many named prepared statements a connection may keep; 0 keeps none, as a proxy that pools transactions needs.
    pub statement_cache: Option<Located<u32>>,

    /// The most connections of the pool, never 0.
    pub pool_max: Option<Located<u32>>,
    /// The fewest connections of the pool, never above `pool_max`.
    pub pool_min: Option<Located<u32>>,
    /// How long a caller waits for a connection.
    pub acquire_timeout: Option<Located<Limit>>,
    /// How long a connection may lie idle.
    pub idle_timeout: Option<Located<Limit>>,
    /// How long a connection may live.
    pub max_lifetime: Option<Located<Limit>>,

    /// What was understood and deserves a look.
    pub warnings: Vec<Warning>,
}

impl Dsn {
    /// The longest text that is read, in bytes.
    pub const MAX_LEN: usize = 64 * 1024;

    /// Reads a connection string of any dialect; which one it is follows from its beginning.
    ///
    /// A byte order mark, white space at the ends, one pair of quotes and `psql "…"` round it are taken off.
    ///
    /// # Errors
    /// Every string that could mean plaintext, an unverified server or anything that is not understood.
    pub fn parse(text: &str) -> Result<Self, DsnError> {
        crate::read::read(None, text).map_err(|error| error.placed_in(text))
    }

    /// Reads a connection string of one dialect.
    ///
    /// # Errors
    /// As [`Dsn::parse`]; also if the text is of another dialect.
    pub fn parse_as(dialect: Dialect, text: &str) -> Result<Self, DsnError> {
        crate::read::read(Some(dialect), text).map_err(|error| error.placed_in(text))
    }
}

impl FromStr for Dsn {
    type Err = DsnError;

    fn from_str(text: &str) -> Result<Self, DsnError> {
        Self::parse(text)
    }
}

impl fmt::Display for Dsn {
    /// One line for logs: dialect, user, hosts, database and verification.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for ", self.dialect)?;
        if let Some(user) = &self.user {
            write!(f, "{}@", user.value)?;
        }
        for (index, host) in self.hosts.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            if host.name.contains(':') {
                write!(f, "{comma}[{}]:{}", host.name, host.port)?;
            } else {
                write!(f, "{comma}{}:{}", host.name, host.port)?;
            }
        }
        if let Some(database) = &self.database {
            write!(f, "/{}", database.value)?;
        }
        write!(f, ", {}", self.verification)
    }
}
