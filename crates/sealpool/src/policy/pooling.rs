use std::time::Duration;

use super::{limit, within};
use crate::config::{ConfigError, Place, Written};

/// How many connections there may be, for how long, and how long callers wait for them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pooling {
    pub(crate) max_size: usize,
    pub(crate) min_idle: usize,
    pub(crate) max_waiting: Option<usize>,
    pub(crate) acquire_timeout: Duration,
    pub(crate) hook_timeout: Duration,
    pub(crate) retry: bool,
    /// How many connections may be opened at once.
    pub(crate) max_handshakes: usize,
    pub(crate) max_lifetime: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) max_uses: Option<u32>,
    pub(crate) leak_threshold: Option<Duration>,
    pub(crate) reload_interval: Option<Duration>,
    pub(crate) keepalive_interval: Option<Duration>,
}

pub(super) struct PoolingWritten {
    pub(super) max_size: Option<Written<u32>>,
    pub(super) min_idle: Option<Written<u32>>,
    pub(super) max_waiting: Option<Written<u32>>,
    pub(super) acquire_timeout: Option<Written<Duration>>,
    pub(super) hook_timeout: Option<Written<Duration>>,
    pub(super) retry: Option<Written<bool>>,
    pub(super) max_handshakes: Option<Written<u32>>,
    pub(super) max_lifetime: Option<Written<Duration>>,
    pub(super) idle_timeout: Option<Written<Duration>>,
    pub(super) max_uses: Option<Written<u32>>,
    pub(super) leak_threshold: Option<Written<Duration>>,
    pub(super) reload_interval: Option<Written<Duration>>,
    pub(super) keepalive_interval: Option<Written<Duration>>,
}

/// The most connections a pool may be told to open: PostgreSQL's own limit on `max_connections`.
pub(crate) const MOST_CONNECTIONS: u32 = 262_143;

impl Pooling {
    pub(super) fn decide(written: PoolingWritten) -> Result<Self, ConfigError> {
        let PoolingWritten {
            max_size,
            min_idle,
            max_waiting,
            acquire_timeout,
            hook_timeout,
            retry,
            max_handshakes,
            max_lifetime,
            idle_timeout,
            max_uses,
            leak_threshold,
            reload_interval,
            keepalive_interval,
        } = written;
        let max_size = size(max_size)?;
        Ok(Self {
            max_size,
            min_idle: least(min_idle, max_size)?,
            max_waiting: max_waiting
                .map(|Written { value, place }| count("pool.max_waiting", value, &place))
                .transpose()?,
            acquire_timeout: limit("pool.acquire_timeout", acquire_timeout, 30)?,
            hook_timeout: limit("pool.hook_timeout", hook_timeout, 5)?,
            retry: retry.is_none_or(|written| written.value),
            max_handshakes: handshakes(max_handshakes)?,
            max_lifetime: limit("pool.max_lifetime", max_lifetime, 30 * 60)?,
            idle_timeout: limit("pool.idle_timeout", idle_timeout, 10 * 60)?,
            max_uses: uses(max_uses)?,
            leak_threshold: leak_threshold
                .map(|written| {
                    let shortest = Duration::from_millis(1);
                    within("pool.leak_threshold", Some(written), shortest, shortest)
                })
                .transpose()?,
            reload_interval: reload_interval
                .map(|written| {
                    let shortest = Duration::from_secs(1);
                    within("pool.reload_interval", Some(written), shortest, shortest)
                })
                .transpose()?,
            keepalive_interval: keepalive(keepalive_interval)?,
        })
    }
}

fn size(written: Option<Written<u32>>) -> Result<usize, ConfigError> {
    connections("pool.max_size", written, 10, |value| {
        format!("a pool of {value} connections is not possible")
    })
}

fn handshakes(written: Option<Written<u32>>) -> Result<usize, ConfigError> {
    let key = "connect.max_concurrent_handshakes";
    connections(key, written, 4, |value| {
        format!("{value} connections cannot be opened at once")
    })
}

fn connections(
    key: &str,
    written: Option<Written<u32>>,
    default: usize,
    problem: fn(u32) -> String,
) -> Result<usize, ConfigError> {
    let Some(Written { value, place }) = written else {
        return Ok(default);
    };
    if !(1..=MOST_CONNECTIONS).contains(&value) {
        return Err(place.refuse(
            key,
            ConfigError::new(
                "invalid_value",
                problem(value),
                format!("write a whole number from 1 to {MOST_CONNECTIONS}"),
            ),
        ));
    }
    count(key, value, &place)
}

fn least(written: Option<Written<u32>>, max_size: usize) -> Result<usize, ConfigError> {
    let Some(Written { value, place }) = written else {
        return Ok(0);
    };
    let least = count("pool.min_idle", value, &place)?;
    if least > max_size {
        return Err(place.refuse(
            "pool.min_idle",
            ConfigError::new(
                "conflict",
                format!("{least} idle connections do not fit into a pool of {max_size}"),
                "lower it, or raise pool.max_size",
            ),
        ));
    }
    Ok(least)
}

fn uses(written: Option<Written<u32>>) -> Result<Option<u32>, ConfigError> {
    match written {
        Some(Written { value: 0, place }) => Err(place.refuse(
            "pool.max_uses",
            ConfigError::new(
                "invalid_value",
                "a connection that may not be used once is of no use",
                "write a whole number from 1, or remove it",
            ),
        )),
        written => Ok(written.map(|written| written.value)),
    }
}

/// HikariCP's default, and as there, nought is never.
fn keepalive(written: Option<Written<Duration>>) -> Result<Option<Duration>, ConfigError> {
    match written {
        Some(Written { value, place: _ }) if value.is_zero() => Ok(None),
        written => limit("pool.keepalive_interval", written, 120).map(Some),
    }
}

pub(super) fn count(key: &str, value: u32, place: &Place) -> Result<usize, ConfigError> {
    usize::try_from(value).map_err(|_| {
        place.refuse(
            key,
            ConfigError::new(
                "invalid_value",
                "this is too many",
                "write a smaller number",
            ),
        )
    })
}
