//! What was decided from the configuration. No state here can mean plaintext or an unverified server.

mod care;
mod current;
mod files;
mod generation;
mod hosts;
mod identity;
mod key;
mod lane;
mod material;
mod methods;
mod negotiation;
mod network;
mod passfile;
mod password;
mod pins;
mod pooling;
mod provider;
mod reconfigured;
mod reload;
mod revocation;
mod roots;
mod session;
mod tls;
mod trust;
mod verifiers;
mod witness;

use std::{sync::Arc, time::Duration};

use sealpool_dsn::Secret;

use crate::config::{Config, ConfigError, Written};

pub(crate) use care::{Care, Reset};
pub(crate) use current::Current;
pub(crate) use generation::Generation;
pub(crate) use hosts::Host;
use identity::Identity;
pub(crate) use lane::Lane;
use lane::LaneWritten;
pub use methods::AuthMethod;
pub(crate) use methods::Methods;
use negotiation::NegotiationWritten;
pub(crate) use negotiation::{Binding, Negotiation, Opening};
pub(crate) use network::{Keepalive, Network};
use passfile::Passfile;
use pooling::PoolingWritten;
pub(crate) use pooling::{MOST_CONNECTIONS, Pooling};
pub use provider::CRYPTO_PROVIDER;
pub use reconfigured::Reconfigured;
pub use reload::{Reload, ReloadError};
pub(crate) use roots::RootNames;
pub(crate) use tls::{PROTOCOL, Tls};
use trust::{Trust, TrustWritten};
pub(crate) use witness::{IdentityAsked, Seen};

/// Everything the rest of the crate goes by.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) hosts: Vec<Host>,
    pub(crate) login: Login,
    pub(crate) tls: Tls,
    pub(crate) network: Network,
    /// Shared with all that is made by this policy.
    pub(crate) generation: Arc<Generation>,
    pub(crate) reload_interval: Duration,
    pub(crate) rotate_within: Duration,
    pub(crate) pooling: Pooling,
    pub(crate) lane: Lane,
    pub(crate) care: Care,
    /// How many statements a session keeps prepared.
    pub(crate) statement_cache: usize,
}

/// What the server is told over TLS.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) password: Option<Secret>,
    pub(crate) database: Option<String>,
    pub(crate) application_name: Option<String>,
    pub(crate) options: Option<String>,
    pub(crate) methods: Methods,
    /// Whether the password is a short-lived token, which servers ask for in clear text.
    pub(crate) token: bool,
}

impl Policy {
    /// What the pool is called unless it is given a name. The database that PostgreSQL takes when none is named has the
    /// user's name, which is not to be seen.
    pub(crate) fn name(&self) -> String {
        let hosts = self.hosts.iter();
        let hosts: Vec<_> = hosts
            .map(|Host { name, port, .. }| format!("{name}:{port}"))
            .collect();
        match &self.login.database {
            Some(database) => format!("{}/{database}", hosts.join(",")),
            None => hosts.join(","),
        }
    }

    /// Decides, without any network.
    pub(crate) fn decide(config: Config) -> Result<Self, ConfigError> {
        let Config {
            host,
            hostaddr,
            port,
            database,
            user,
            password,
            password_file,
            passfile,
            require_auth,
            application_name,
            options,
            tls_mode,
            tls_root,
            tls_pin,
            tls_crl,
            tls_server_name,
            tls_sni,
            tls_client_cert,
            tls_client_key,
            tls_client_key_password,
            tls_negotiation,
            tls_min_version,
            tls_max_version,
            tls_channel_binding,
            tls_reload_interval,
            tls_rotate_within,
            connect_target_session_attrs,
            connect_load_balance_hosts,
            connect_timeout,
            connect_total_timeout,
            connect_keepalives,
            connect_keepalives_idle,
            connect_keepalives_interval,
            connect_keepalives_count,
            connect_tcp_user_timeout,
            session_search_path,
            session_time_zone,
            session_statement_timeout,
            session_lock_timeout,
            session_idle_in_transaction_timeout,
            session_statement_cache,
            notes: _,
            layers: _,
            connect_resolve_interval,
            connect_resolve_timeout,
            connect_tcp_timeout,
            connect_tls_timeout,
            connect_startup_timeout,
            connect_password_timeout,
            connect_cancel_timeout,
            pool_max_size,
            pool_min_idle,
            pool_max_waiting,
            pool_acquire_timeout,
            pool_hook_timeout,
            pool_max_lifetime,
            pool_idle_timeout,
            pool_max_uses,
            pool_leak_threshold,
            pool_reload_interval,
            pool_keepalive_interval,
            connect_retry,
            connect_max_concurrent_handshakes,
            pool_reset,
            pool_mend_timeout,
            pool_cancel_grace,
            lane_max_size,
            lane_max_depth,
            lane_statement_timeout,
        } = config;
        let trust = Trust::decide(TrustWritten {
            mode: tls_mode,
            root: tls_root,
            pin: tls_pin,
            crl: tls_crl,
        })?;
        let identity = Identity::decide(tls_client_cert, tls_client_key, tls_client_key_password)?;
        let negotiation = Negotiation::decide(NegotiationWritten {
            negotiation: tls_negotiation,
            sni: tls_sni,
            min_version: tls_min_version,
            max_version: tls_max_version,
            channel_binding: tls_channel_binding,
        })?;
        let mut hosts = hosts::decide(host, hostaddr, port, tls_server_name)?;
        let statement_timeout = session_statement_timeout.as_ref();
        let statement_timeout = statement_timeout.map(|written| written.value);
        let options = session::options(session::Settings {
            options,
            search_path: session_search_path,
            time_zone: session_time_zone,
            statement_timeout: session_statement_timeout,
            lock_timeout: session_lock_timeout,
            idle_in_transaction_timeout: session_idle_in_transaction_timeout,
        })?;
        let lane = Lane::decide(LaneWritten {
            max_size: lane_max_size,
            max_depth: lane_max_depth,
            statement_timeout: lane_statement_timeout,
            session_statement_timeout: statement_timeout,
            options: options.clone(),
        })?;
        let user = user.ok_or_else(|| {
            ConfigError::new("missing", "no role to log in as", "set user").about("user")
        })?;
        if let Some(Written { value, place }) = passfile
            && password.is_none()
        {
            let file = Passfile::read(&value, &place)?;
            let database = database
                .as_ref()
                .map_or(&user.value, |written| &written.value);
            for host in &mut hosts {
                let port = host.port.to_string();
                host.password = file.password([&host.name, &port, database, &user.value]);
            }
        }
        Ok(Self {
            hosts,
            login: Login {
                user: user.value,
                password: password::decide(password, password_file)?,
                database: database.map(|written| written.value),
                application_name: application_name.map(|written| written.value),
                options,
                methods: Methods::decide(require_auth)?,
                token: false,
            },
            tls: Tls::new(&trust, identity.as_ref(), negotiation)?,
            network: Network::decide(network::Settings {
                target_session_attrs: connect_target_session_attrs,
                load_balance_hosts: connect_load_balance_hosts,
                timeout: connect_timeout,
                total_timeout: connect_total_timeout,
                keepalives: connect_keepalives,
                keepalives_idle: connect_keepalives_idle,
                keepalives_interval: connect_keepalives_interval,
                keepalives_count: connect_keepalives_count,
                tcp_user_timeout: connect_tcp_user_timeout,
                resolve_interval: connect_resolve_interval,
                resolve_timeout: connect_resolve_timeout,
                tcp_timeout: connect_tcp_timeout,
                tls_timeout: connect_tls_timeout,
                startup_timeout: connect_startup_timeout,
                password_timeout: connect_password_timeout,
                cancel_timeout: connect_cancel_timeout,
            })?,
            generation: Arc::default(),
            reload_interval: within(
                "tls.reload_interval",
                tls_reload_interval,
                Duration::from_secs(30),
                Duration::from_secs(1),
            )?,
            rotate_within: limit("tls.rotate_within", tls_rotate_within, 300)?,
            pooling: Pooling::decide(PoolingWritten {
                max_size: pool_max_size,
                min_idle: pool_min_idle,
                max_waiting: pool_max_waiting,
                acquire_timeout: pool_acquire_timeout,
                hook_timeout: pool_hook_timeout,
                retry: connect_retry,
                max_handshakes: connect_max_concurrent_handshakes,
                max_lifetime: pool_max_lifetime,
                idle_timeout: pool_idle_timeout,
                max_uses: pool_max_uses,
                leak_threshold: pool_leak_threshold,
                reload_interval: pool_reload_interval,
                keepalive_interval: pool_keepalive_interval,
            })?,
            lane,
            care: Care::decide(care::Settings {
                reset: pool_reset,
                mend_timeout: pool_mend_timeout,
                cancel_grace: pool_cancel_grace,
            })?,
            statement_cache: session::statement_cache(session_statement_cache),
        })
    }
}

fn limit(
    key: &str,
    written: Option<Written<Duration>>,
    default_seconds: u64,
) -> Result<Duration, ConfigError> {
    let default = Duration::from_secs(default_seconds);
    within(key, written, default, Duration::from_millis(1))
}

fn within(
    key: &str,
    written: Option<Written<Duration>>,
    default: Duration,
    shortest: Duration,
) -> Result<Duration, ConfigError> {
    const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
    let Some(Written { value, place }) = written else {
        return Ok(default);
    };
    if value < shortest || value > LONGEST {
        return Err(place.refuse(
            key,
            ConfigError::new(
                "invalid_value",
                "this limit cannot be kept",
                format!("write a time from {shortest:?} to 24h: nothing waits for ever here"),
            ),
        ));
    }
    Ok(value)
}
