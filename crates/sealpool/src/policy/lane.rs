use std::time::Duration;

use super::{
    limit,
    pooling::{MOST_CONNECTIONS, count},
};
use crate::config::{ConfigError, Written};

/// How single statements share connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lane {
    /// None is no lane.
    pub(crate) max_size: usize,
    /// How many statements are under way on a connection at once.
    pub(crate) max_depth: usize,
    /// After which the server ends a statement; `None` leaves it to what the session has anyway.
    pub(crate) limit: Option<Duration>,
    /// The start-up parameter `options` of its connections.
    pub(crate) options: Option<String>,
}

/// What was written about it, and about every session.
pub(super) struct LaneWritten {
    pub(super) max_size: Option<Written<u32>>,
    pub(super) max_depth: Option<Written<u32>>,
    pub(super) statement_timeout: Option<Written<Duration>>,
    pub(super) session_statement_timeout: Option<Duration>,
    pub(super) options: Option<String>,
}

const STATEMENT_TIMEOUT: u64 = 5;
const MAX_DEPTH: u32 = 32;
const DEEPEST: u32 = 10_000;

impl Lane {
    pub(super) fn decide(written: LaneWritten) -> Result<Self, ConfigError> {
        let LaneWritten {
            max_size,
            max_depth,
            statement_timeout,
            session_statement_timeout,
            options,
        } = written;
        let own = match statement_timeout {
            Some(Written { value, place: _ }) if value.is_zero() => None,
            written => Some(limit("lane.statement_timeout", written, STATEMENT_TIMEOUT)?),
        };
        let session = session_statement_timeout.filter(|limit| !limit.is_zero());
        let shorter = own.into_iter().chain(session).min();
        let set = match own {
            Some(own) if shorter == Some(own) => {
                // Of two, the server takes the later one.
                let set = format!("-c statement_timeout={}", own.as_millis());
                Some(options.map_or_else(|| set.clone(), |options| format!("{options} {set}")))
            }
            _ => options,
        };
        Ok(Self {
            max_size: number("lane.max_size", max_size, 0, 0, MOST_CONNECTIONS)?,
            max_depth: number("lane.max_depth", max_depth, MAX_DEPTH, 1, DEEPEST)?,
            limit: shorter,
            options: set,
        })
    }
}

fn number(
    key: &str,
    written: Option<Written<u32>>,
    default: u32,
    least: u32,
    most: u32,
) -> Result<usize, ConfigError> {
    let Some(Written { value, place }) = written else {
        return Ok(usize::try_from(default).unwrap_or(usize::MAX));
    };
    if !(least..=most).contains(&value) {
        return Err(place.refuse(
            key,
            ConfigError::new(
                "invalid_value",
                format!("{value} is not possible"),
                format!("write a whole number from {least} to {most}"),
            ),
        ));
    }
    count(key, value, &place)
}
