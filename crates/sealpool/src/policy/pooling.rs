use std::time::Duration;

use super::{limit, within};
use crate::config::{ConfigError, Place, Written};

/// How many connections there may be, for how long, and how long callers wait for them.
#[derive(Clone, Debug)]
pub(crate) struct Pooling {
    pub(crate) max_size: usize,
    pub(crate) min_idle: usize,
    pub(crate) max_waiting: Option<usize>,
    pub(crate) acquire_timeout: Duration,
    pub(crate) retry: bool,
    pub(crate) max_lifetime: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) max_uses: Option<u32>,
    pub(crate) leak_threshold: Option<Duration>,
}

pub(super) struct PoolingWritten {
    pub(super) max_size: Option<Written<u32>>,
    pub(super) min_idle: Option<Written<u32>>,
    pub(super) max_waiting: Option<Written<u32>>,
    pub(super) acquire_timeout: Option<Written<Duration>>,
    pub(super) retry: Option<Written<bool>>,
    pub(super) max_lifetime: Option<Written<Duration>>,
    pub(super) idle_timeout: Option<Written<Duration>>,
    pub(super) max_uses: Option<Written<u32>>,
    pub(super) leak_threshold: Option<Written<Duration>>,
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
            retry,
            max_lifetime,
            idle_timeout,
            max_uses,
            leak_threshold,
        } = written;
        let max_size = size(max_size)?;
        Ok(Self {
            max_size,
            min_idle: least(min_idle, max_size)?,
            max_waiting: max_waiting
                .map(|Written { value, place }| count("pool.max_waiting", value, &place))
                .transpose()?,
            acquire_timeout: limit("pool.acquire_timeout", acquire_timeout, 30)?,
            retry: retry.is_none_or(|written| written.value),
            max_lifetime: limit("pool.max_lifetime", max_lifetime, 30 * 60)?,
            idle_timeout: limit("pool.idle_timeout", idle_timeout, 10 * 60)?,
            max_uses: uses(max_uses)?,
            leak_threshold: leak_threshold
                .map(|written| {
                    let shortest = Duration::from_millis(1);
                    within("pool.leak_threshold", Some(written), shortest, shortest)
                })
                .transpose()?,
        })
    }
}

fn size(written: Option<Written<u32>>) -> Result<usize, ConfigError> {
    let Some(Written { value, place }) = written else {
        return Ok(10);
    };
    if !(1..=MOST_CONNECTIONS).contains(&value) {
        return Err(place.refuse(
            "pool.max_size",
            ConfigError::new(
                "invalid_value",
                format!("a pool of {value} connections is not possible"),
                format!("write a whole number from 1 to {MOST_CONNECTIONS}"),
            ),
        ));
    }
    count("pool.max_size", value, &place)
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

fn count(key: &str, value: u32, place: &Place) -> Result<usize, ConfigError> {
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
