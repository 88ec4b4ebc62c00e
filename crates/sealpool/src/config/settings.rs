use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use config::Value;
use sealpool_dsn::Secret;

use super::{
    Change, ConfigError, IntoSetting, Layer, Origin, Place,
    explain::{Effective, Notes},
    layer,
    sheet::{Entry, Sheet},
    value::Setting,
};

/// A value and where it was written.
#[derive(Clone, Debug)]
pub(crate) struct Written<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

impl<T> Written<T> {
    fn is_set_by_the_program(&self) -> bool {
        matches!(self.place.origin, Origin::Code { .. })
    }
}

/// One setting: its name, and what the reference says of it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Key {
    /// The name, the same in TOML, in the environment and in code (`.` becomes `_` in the last two).
    pub name: &'static str,
    /// What it means.
    pub about: &'static str,
    /// What a value must be.
    pub expects: &'static str,
    /// What holds when it is not written.
    pub default: &'static str,
    /// A value as TOML has it, other than the default.
    pub example: &'static str,
    /// Whether its value is never shown.
    pub secret: bool,
}

macro_rules! settings {
    ($(
        $(#[doc = $about:literal])+
        $name:literal $field:ident: $type:ty, default $default:literal, example $example:literal;
    )+) => {
        /// What an operator wrote: every setting of the pool, each with the place where it was written.
        ///
        /// Nothing is decided here. [`PoolBuilder::build`](crate::PoolBuilder::build) turns it into a policy and refuses
        /// whatever could mean plaintext or an unverified server.
        #[derive(Clone, Default)]
        pub struct Config {
            $(pub(crate) $field: Option<Written<$type>>,)+
            pub(crate) notes: Notes,
            /// Where it was read from.
            pub(crate) layers: Vec<Layer>,
        }

        impl Config {
            /// Every setting.
            pub const KEYS: &'static [Key] = &[$(Key {
                name: $name,
                about: concat!($($about),+),
                expects: <$type as Setting>::EXPECTS,
                default: $default,
                example: $example,
                secret: <$type as Setting>::SECRET,
            }),+];

            $(
                $(#[doc = $about])+
                ///
                #[doc = concat!("Setting `", $name, "`; default: ", $default, ".")]
                #[must_use]
                #[track_caller]
                pub fn $field(mut self, value: impl IntoSetting<$type>) -> Self {
                    self.$field = Some(Written {
                        value: value.into_setting(),
                        place: Place { origin: Origin::caller(), excerpt: None },
                    });
                    self
                }
            )+

            /// What a JSON schema says of each setting.
            pub(super) fn schemas() -> Vec<(&'static Key, serde_json::Value)> {
                Self::KEYS.iter().zip([$(<$type as Setting>::schema()),+]).collect()
            }

            pub(super) fn effective(&self) -> Vec<Effective> {
                vec![$(match &self.$field {
                    Some(Written { value, place }) => Effective {
                        name: $name,
                        value: value.show(),
                        origin: place.origin.clone(),
                    },
                    None => Effective {
                        name: $name,
                        value: $default.to_owned(),
                        origin: Origin::Default,
                    },
                }),+]
            }

            /// In what a later configuration differs.
            pub(crate) fn changes(&self, later: &Self) -> Vec<Change> {
                let changes = [$(Change::between($name, $default, &self.$field, &later.$field)),+];
                changes.into_iter().flatten().collect()
            }

            /// Reads its layers once more; what the program has set counts over them, as before.
            pub(crate) fn read_again(&self) -> Result<Self, ConfigError> {
                let mut fresh = Self::layered(self.layers.iter().cloned())?;
                $(if self.$field.as_ref().is_some_and(Written::is_set_by_the_program) {
                    fresh.$field.clone_from(&self.$field);
                })+
                Ok(fresh)
            }

            /// Takes a value from a layer.
            fn write(
                &mut self,
                name: &str,
                value: &Value,
                place: &Place,
            ) -> Result<(), ConfigError> {
                match name {
                    $($name => match <$type as Setting>::read(value) {
                        Some(value) => self.$field = Some(Written { value, place: place.clone() }),
                        None => return Err(place.refuse(name, invalid_value(<$type as Setting>::EXPECTS))),
                    },)+
                    _ => return Err(place.refuse(name, layer::unknown(name))),
                }
                Ok(())
            }
        }

        impl fmt::Debug for Config {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut map = f.debug_map();
                $(if let Some(written) = &self.$field {
                    map.entry(&$name, &format_args!("{} ({})", written.value.show(), written.place.origin));
                })+
                map.finish()
            }
        }
    };
}

settings! {
    /// The names of the servers, in the order in which they are tried. Each is verified under its own name.
    "host" host: Vec<String>, default "none: it must be written", example "\"db.example.net\"";
    /// The addresses to connect to instead of resolving the names; one for each host.
    "hostaddr" hostaddr: Vec<String>, default "none: the names are resolved", example "\"203.0.113.9\"";
    /// The port: one for all hosts, or one for each.
    "port" port: Vec<u16>, default "5432", example "6432";
    /// The database.
    "database" database: String, default "the name of the user", example "\"shop\"";
    /// The role to log in as.
    "user" user: String, default "none: it must be written", example "\"app\"";
    /// The role's password.
    "password" password: Secret, default "none", example "\"00012345\"";
    /// A file that holds the password; one line break at its end is not part of it.
    "password_file" password_file: PathBuf, default "none", example "\"/run/secrets/db-password\"";
    /// A file of passwords as libpq has it (`~/.pgpass`); the first line that fits host, port, database and user counts.
    "passfile" passfile: PathBuf, default "none", example "\"/home/app/.pgpass\"";
    /// The methods of login that are allowed, or with `!` before each those that are not (libpq's `require_auth`).
    "require_auth" require_auth: Vec<String>, default "every method but a password in clear text", example "\"scram-sha-256\"";
    /// The name under which the server lists the connections (`pg_stat_activity`).
    "application_name" application_name: String, default "none", example "\"orders\"";
    /// Command-line options for the server, such as `-c geqo=off`.
    "options" options: String, default "none", example "\"-c geqo=off\"";

    /// What is verified: `verify-full`, or `verify-ca` (the chain but not the name, with roots of its own).
    "tls.mode" tls_mode: String, default "verify-full", example "\"verify-ca\"";
    /// The roots to trust: `system`, `mozilla`, or certificates in files (PEM or DER), in directories or as PEM in its place.
    "tls.root" tls_root: Vec<String>, default "system", example "\"/etc/ssl/shop-ca.pem\"";
    /// The server's key, as `sha256/` and the base64 of the SHA-256 of its SubjectPublicKeyInfo; one of several is enough. Without `tls.root` it is all that is verified.
    "tls.pin" tls_pin: Vec<String>, default "none", example "\"sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\"";
    /// Files and directories of revocation lists; with any, every certificate of the chain must be covered.
    "tls.crl" tls_crl: Vec<PathBuf>, default "none", example "\"/etc/ssl/shop-crl.pem\"";
    /// The name that the server's certificate must bear instead of the host's.
    "tls.server_name" tls_server_name: String, default "the host's own name", example "\"db.internal\"";
    /// Whether the server is told the name that is asked for (SNI).
    "tls.sni" tls_sni: bool, default "true", example "false";
    /// The client's certificate, with its chain.
    "tls.client_cert" tls_client_cert: PathBuf, default "none", example "\"/etc/ssl/app.pem\"";
    /// The key of the client's certificate.
    "tls.client_key" tls_client_key: PathBuf, default "none", example "\"/etc/ssl/app.key\"";
    /// The passphrase of that key.
    "tls.client_key_password" tls_client_key_password: Secret, default "none", example "\"of the key\"";
    /// How TLS begins: `postgres` (after a request, every server) or `direct` (at once, PostgreSQL 17 and newer).
    "tls.negotiation" tls_negotiation: String, default "postgres", example "\"direct\"";
    /// The lowest version of TLS: `1.2` or `1.3`.
    "tls.min_version" tls_min_version: String, default "1.2", example "\"1.3\"";
    /// The highest version of TLS: `1.2` or `1.3`.
    "tls.max_version" tls_max_version: String, default "1.3", example "\"1.2\"";
    /// Whether the login is bound to the TLS session: `prefer`, `require` or `disable`.
    "tls.channel_binding" tls_channel_binding: String, default "prefer", example "\"require\"";
    /// How often the files of certificates, keys, revocation lists and the password are looked at for new content; from `1s` to `24h`.
    "tls.reload_interval" tls_reload_interval: Duration, default "30s", example "\"1m\"";
    /// The time over which connections made with replaced certificates, keys, lists or settings are retired.
    "tls.rotate_within" tls_rotate_within: Duration, default "5m", example "\"10m\"";

    /// The role that a server must have: `any`, `read-write`, `read-only`, `primary`, `standby` or `prefer-standby`.
    "connect.target_session_attrs" connect_target_session_attrs: String, default "any", example "\"read-write\"";
    /// The order in which hosts and their addresses are tried: `disable` (as written) or `random`.
    "connect.load_balance_hosts" connect_load_balance_hosts: String, default "disable", example "\"random\"";
    /// The limit for a connection to one host, all phases together.
    "connect.timeout" connect_timeout: Duration, default "none: each phase has its own", example "\"10s\"";
    /// The limit for a connection, all hosts together.
    "connect.total_timeout" connect_total_timeout: Duration, default "none: the acquire has its own", example "\"20s\"";
    /// Whether TCP looks after idle connections.
    "connect.keepalives" connect_keepalives: bool, default "true", example "false";
    /// The idle time before TCP's first probe.
    "connect.keepalives_idle" connect_keepalives_idle: Duration, default "5s", example "\"30s\"";
    /// The time between TCP's probes.
    "connect.keepalives_interval" connect_keepalives_interval: Duration, default "1s", example "\"5s\"";
    /// How many of TCP's probes may be lost.
    "connect.keepalives_count" connect_keepalives_count: u32, default "3", example "5";
    /// How long sent data may stay unacknowledged; `0s` leaves it to the system. Linux only.
    "connect.tcp_user_timeout" connect_tcp_user_timeout: Duration, default "8s", example "\"20s\"";
    /// Whether an acquire tries again, within its limit, when a connection fails for a reason that may pass.
    "connect.retry" connect_retry: bool, default "true", example "false";
    /// The most connections that are opened at once. A server that has taken none for a second is asked for one at first, and after a failure for one more with each that it has opened.
    "connect.max_concurrent_handshakes" connect_max_concurrent_handshakes: u32, default "4", example "8";
    /// How often the names of the hosts are looked up while connections are open. One that leads to an address which three lookups in a row did not give is retired.
    "connect.resolve_interval" connect_resolve_interval: Duration, default "30s", example "\"5s\"";
    /// The limit for resolving a host's name.
    "connect.resolve_timeout" connect_resolve_timeout: Duration, default "5s", example "\"2s\"";
    /// The limit for a TCP connection to one address.
    "connect.tcp_timeout" connect_tcp_timeout: Duration, default "5s", example "\"2s\"";
    /// The limit for the request for TLS and the whole handshake.
    "connect.tls_timeout" connect_tls_timeout: Duration, default "5s", example "\"3s\"";
    /// The limit for the login.
    "connect.startup_timeout" connect_startup_timeout: Duration, default "10s", example "\"4s\"";
    /// The limit for a password from the provider.
    "connect.password_timeout" connect_password_timeout: Duration, default "10s", example "\"4s\"";
    /// The limit for a cancel request, with the connection that it needs.
    "connect.cancel_timeout" connect_cancel_timeout: Duration, default "5s", example "\"2s\"";

    /// The schemas of the session, comma-separated.
    "session.search_path" session_search_path: String, default "the role's", example "\"shop, public\"";
    /// The time zone of the session.
    "session.time_zone" session_time_zone: String, default "the server's", example "\"Europe/Paris\"";
    /// The server's limit for a statement; `0s` is none.
    "session.statement_timeout" session_statement_timeout: Duration, default "the server's", example "\"30s\"";
    /// The server's limit for waiting for a lock; `0s` is none.
    "session.lock_timeout" session_lock_timeout: Duration, default "the server's", example "\"5s\"";
    /// The server's limit for a transaction that does nothing; `0s` is none.
    "session.idle_in_transaction_timeout" session_idle_in_transaction_timeout: Duration, default "the server's", example "\"1m\"";
    /// How many statements a connection keeps prepared for `prepare_cached`; when there are more, it begins anew. `0` keeps none, for a proxy that gives each transaction another session of the server.
    "session.statement_cache" session_statement_cache: u32, default "512", example "0";

    /// The most connections that are open at once.
    "pool.max_size" pool_max_size: u32, default "10", example "20";
    /// How many idle connections are kept open for the next callers, in the background.
    "pool.min_idle" pool_min_idle: u32, default "0", example "2";
    /// The most acquires that may wait for a connection to come back; one more is refused at once.
    "pool.max_waiting" pool_max_waiting: u32, default "none: any number may wait", example "100";
    /// The limit for an acquire, with all that it waits for.
    "pool.acquire_timeout" pool_acquire_timeout: Duration, default "30s", example "\"5s\"";
    /// The limit for each call of a hook of the application.
    "pool.hook_timeout" pool_hook_timeout: Duration, default "5s", example "\"2s\"";
    /// The age at which a connection is replaced, give or take a tenth, so that those opened together do not end together.
    "pool.max_lifetime" pool_max_lifetime: Duration, default "30m", example "\"1h\"";
    /// How long a connection that nobody uses is kept, unless it is one of the minimum.
    "pool.idle_timeout" pool_idle_timeout: Duration, default "10m", example "\"5m\"";
    /// How often a connection is lent before it is replaced.
    "pool.max_uses" pool_max_uses: u32, default "none: any number of times", example "10000";
    /// The time after which a client that has not been given back is reported as a suspected leak.
    "pool.leak_threshold" pool_leak_threshold: Duration, default "none: nothing is reported", example "\"1m\"";
    /// How often the configuration is read again from its files and variables, to put into force what has changed there; from `1s` to `24h`. A change is taken when two readings in a row have found it.
    "pool.reload_interval" pool_reload_interval: Duration, default "none: only when the program asks for it", example "\"1m\"";
    /// How long an idle connection may be silent before it is asked, in the background, whether it answers, and closed if it does not; `0s` never asks.
    "pool.keepalive_interval" pool_keepalive_interval: Duration, default "2m", example "\"30s\"";
    /// When the state of a session (settings, role, listeners, locks, temporary tables, cursors) is reset as it comes back: `auto` (when its traffic shows that something may be left), `always`, or `transaction` (never; a transaction is ended all the same).
    "pool.reset" pool_reset: String, default "auto", example "\"always\"";
    /// The limit for making a connection fit again that came back busy, in a transaction or with state; then it is closed.
    "pool.mend_timeout" pool_mend_timeout: Duration, default "5s", example "\"2s\"";
    /// How long a query may go on that its borrower has left, before it is cancelled.
    "pool.cancel_grace" pool_cancel_grace: Duration, default "100ms", example "\"1s\"";

    /// The most connections of the lane (`Pool::lane`), beside those of `pool.max_size`; with `0` there is no lane.
    "lane.max_size" lane_max_size: u32, default "0", example "2";
    /// How many statements are under way on a connection of the lane at once.
    "lane.max_depth" lane_max_depth: u32, default "32", example "16";
    /// The server's limit for a statement on the lane, unless `session.statement_timeout` is shorter; `0s` sets none, as a PgBouncer needs it that takes no such setting.
    "lane.statement_timeout" lane_statement_timeout: Duration, default "5s", example "\"1s\"";
}

impl Config {
    /// An empty configuration, to be filled by its setters.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a table of a TOML file; `table` may be a path such as `services.db`, or empty for the whole file.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or is not TOML, a missing table, an unknown key, a value of the wrong kind.
    pub fn from_toml(path: impl AsRef<Path>, table: &str) -> Result<Self, ConfigError> {
        Self::layered([Layer::toml(path, table)])
    }

    /// Reads the environment variables that begin with `prefix` and an underscore.
    ///
    /// With the prefix `APP_DB`, the setting `pool.max_size` is `APP_DB_POOL_MAX_SIZE`; a double underscore for the dot
    /// is understood too.
    ///
    /// # Errors
    ///
    /// A variable with the prefix that matches no setting, a value of the wrong kind.
    pub fn from_env(prefix: &str) -> Result<Self, ConfigError> {
        Self::layered([Layer::env(prefix)])
    }

    /// Reads a connection string of any dialect: libpq's two, JDBC, R2DBC, Npgsql, psqlODBC, PDO and the URIs of other
    /// drivers.
    ///
    /// # Errors
    ///
    /// Every string that could mean plaintext, an unverified server or anything that is not understood. The error never
    /// holds a piece of it that could be a secret.
    #[track_caller]
    pub fn from_dsn(text: &str) -> Result<Self, ConfigError> {
        Self::layered([Layer::dsn(text)])
    }

    /// Reads libpq's environment variables (`PGHOST`, `PGSSLMODE` …), the service that `PGSERVICE` names, and the
    /// password file of `PGPASSFILE` or `~/.pgpass`. They are never read unless this is called.
    ///
    /// # Errors
    ///
    /// Whatever a connection string with the same words would be refused for.
    pub fn from_libpq_env() -> Result<Self, ConfigError> {
        Self::layered([Layer::libpq_env()])
    }

    /// Lays one source over the other: of two that write the same setting, the later one counts.
    ///
    /// A word that permits plaintext is refused wherever it stands, also where a later source says otherwise.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with one of the sources.
    pub fn layered(layers: impl IntoIterator<Item = Layer>) -> Result<Self, ConfigError> {
        let layers: Vec<_> = layers.into_iter().collect();
        let mut all = Sheet::default();
        for layer in &layers {
            all.cover(layer::read(layer)?);
        }
        let Sheet { entries, notes } = all;
        let mut config = Self {
            notes,
            layers,
            ..Self::default()
        };
        for (name, Entry { value, place }) in entries {
            config.write(&name, &value, &place)?;
        }
        Ok(config)
    }
}

fn invalid_value(expects: &str) -> ConfigError {
    ConfigError::new(
        "invalid_value",
        "this value cannot be used",
        format!("write {expects}"),
    )
}

/// The setting whose name is most like the one written.
pub(super) fn nearest(written: &str) -> Option<&'static str> {
    Config::KEYS
        .iter()
        .map(|key| {
            (
                strsim::jaro_winkler(&key.name.replace('.', "_"), &written.replace('.', "_")),
                key.name,
            )
        })
        .filter(|(likeness, _)| *likeness > 0.85)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}
