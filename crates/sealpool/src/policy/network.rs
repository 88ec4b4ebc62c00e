use std::time::Duration;

use sealpool_dsn::{LoadBalanceHosts, TargetSessionAttrs};

use super::limit;
use crate::config::{ConfigError, Written};

/// How servers are reached, and which of them will do.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) role: TargetSessionAttrs,
    pub(crate) order: LoadBalanceHosts,
    pub(crate) limits: Limits,
    /// How often names are looked up while connections are open.
    pub(crate) resolve_interval: Duration,
    pub(crate) keepalive: Option<Keepalive>,
    /// How long sent data may stay unacknowledged, where the system can be told.
    pub(crate) user_timeout: Option<Duration>,
}

/// The limits of connecting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) resolve: Duration,
    pub(crate) tcp: Duration,
    pub(crate) tls: Duration,
    pub(crate) startup: Duration,
    pub(crate) password: Duration,
    pub(crate) cancel: Duration,
    /// All phases of one host together.
    pub(crate) host: Option<Duration>,
    /// All hosts together.
    pub(crate) total: Option<Duration>,
}

/// TCP's probes of an idle connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keepalive {
    pub(crate) idle: Duration,
    pub(crate) interval: Duration,
    pub(crate) count: u32,
}

/// What was written about the network.
pub(super) struct Settings {
    pub(super) target_session_attrs: Option<Written<String>>,
    pub(super) load_balance_hosts: Option<Written<String>>,
    pub(super) timeout: Option<Written<Duration>>,
    pub(super) total_timeout: Option<Written<Duration>>,
    pub(super) keepalives: Option<Written<bool>>,
    pub(super) keepalives_idle: Option<Written<Duration>>,
    pub(super) keepalives_interval: Option<Written<Duration>>,
    pub(super) keepalives_count: Option<Written<u32>>,
    pub(super) tcp_user_timeout: Option<Written<Duration>>,
    pub(super) resolve_interval: Option<Written<Duration>>,
    pub(super) resolve_timeout: Option<Written<Duration>>,
    pub(super) tcp_timeout: Option<Written<Duration>>,
    pub(super) tls_timeout: Option<Written<Duration>>,
    pub(super) startup_timeout: Option<Written<Duration>>,
    pub(super) password_timeout: Option<Written<Duration>>,
    pub(super) cancel_timeout: Option<Written<Duration>>,
}

impl Network {
    // A dead peer is noticed in every state only by both together, with these values within 8.5 s.
    const KEEPALIVE: Keepalive = Keepalive {
        idle: Duration::from_secs(5),
        interval: Duration::from_secs(1),
        count: 3,
    };
    const USER_TIMEOUT: Duration = Duration::from_secs(8);

    pub(super) fn decide(settings: Settings) -> Result<Self, ConfigError> {
        let Settings {
            target_session_attrs,
            load_balance_hosts,
            timeout,
            total_timeout,
            keepalives,
            keepalives_idle,
            keepalives_interval,
            keepalives_count,
            tcp_user_timeout,
            resolve_interval,
            resolve_timeout,
            tcp_timeout,
            tls_timeout,
            startup_timeout,
            password_timeout,
            cancel_timeout,
        } = settings;
        let limits = Limits {
            resolve: limit("connect.resolve_timeout", resolve_timeout, 5)?,
            tcp: limit("connect.tcp_timeout", tcp_timeout, 5)?,
            tls: limit("connect.tls_timeout", tls_timeout, 5)?,
            startup: limit("connect.startup_timeout", startup_timeout, 10)?,
            password: limit("connect.password_timeout", password_timeout, 10)?,
            cancel: limit("connect.cancel_timeout", cancel_timeout, 5)?,
            host: timeout
                .map(|written| limit("connect.timeout", Some(written), 0))
                .transpose()?,
            total: total_timeout
                .map(|written| limit("connect.total_timeout", Some(written), 0))
                .transpose()?,
        };
        let idle = seconds(
            "connect.keepalives_idle",
            keepalives_idle,
            Self::KEEPALIVE.idle,
        )?;
        let interval = seconds(
            "connect.keepalives_interval",
            keepalives_interval,
            Self::KEEPALIVE.interval,
        )?;
        let count = probes(keepalives_count)?;
        let keepalives = keepalives.is_none_or(|written| written.value);
        Ok(Self {
            role: word(
                "connect.target_session_attrs",
                target_session_attrs,
                TargetSessionAttrs::ALL,
                TargetSessionAttrs::as_str,
                TargetSessionAttrs::Any,
            )?,
            order: word(
                "connect.load_balance_hosts",
                load_balance_hosts,
                LoadBalanceHosts::ALL,
                LoadBalanceHosts::as_str,
                LoadBalanceHosts::Disable,
            )?,
            limits,
            resolve_interval: limit("connect.resolve_interval", resolve_interval, 30)?,
            keepalive: keepalives.then_some(Keepalive {
                idle,
                interval,
                count,
            }),
            user_timeout: user_timeout(tcp_user_timeout)?,
        })
    }
}

/// One of a setting's words.
pub(super) fn word<T: Copy>(
    key: &str,
    written: Option<Written<String>>,
    all: &[T],
    as_str: fn(T) -> &'static str,
    default: T,
) -> Result<T, ConfigError> {
    let Some(Written { value, place }) = written else {
        return Ok(default);
    };
    all.iter()
        .copied()
        .find(|known| as_str(*known) == value)
        .ok_or_else(|| {
            let words: Vec<_> = all.iter().map(|known| as_str(*known)).collect();
            place.refuse(
                key,
                ConfigError::new(
                    "invalid_value",
                    "this is none of its words",
                    format!("write {}", words.join(", ")),
                ),
            )
        })
}

/// TCP counts in whole seconds, up to 32767.
fn seconds(
    key: &str,
    written: Option<Written<Duration>>,
    default: Duration,
) -> Result<Duration, ConfigError> {
    let Some(Written { value, place }) = written else {
        return Ok(default);
    };
    if value.subsec_nanos() != 0 || !(1..=32_767).contains(&value.as_secs()) {
        return Err(place.refuse(
            key,
            ConfigError::new(
                "invalid_value",
                "TCP cannot keep this time",
                "write whole seconds from 1s to 32767s",
            ),
        ));
    }
    Ok(value)
}

fn probes(written: Option<Written<u32>>) -> Result<u32, ConfigError> {
    let Some(Written { value, place }) = written else {
        return Ok(Network::KEEPALIVE.count);
    };
    if !(1..=127).contains(&value) {
        return Err(place.refuse(
            "connect.keepalives_count",
            ConfigError::new("invalid_value", "TCP cannot count so", "write 1 to 127"),
        ));
    }
    Ok(value)
}

fn user_timeout(written: Option<Written<Duration>>) -> Result<Option<Duration>, ConfigError> {
    match written {
        None => Ok(Some(Network::USER_TIMEOUT)),
        Some(written) if written.value.is_zero() => Ok(None),
        written => limit("connect.tcp_user_timeout", written, 0).map(Some),
    }
}
