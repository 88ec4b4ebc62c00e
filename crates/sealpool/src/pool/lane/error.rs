use std::{error::Error as StdError, fmt, panic::Location, time::Duration};

use tokio_postgres::{Error as Postgres, error::DbError};

use super::refusal::Refusal;
use crate::{
    connect::Outcome,
    error::{Class, Error},
    pool::PoolState,
};

/// Why a statement on a [`Lane`](crate::Lane) gave no result.
///
/// [`LaneError::outcome`] says what became of it, [`LaneError::class`] whose fault it is.
#[derive(Debug)]
pub struct LaneError {
    kind: Box<Kind>,
    outcome: Outcome,
}

#[derive(Debug)]
pub(super) enum Kind {
    Off,
    Refused(Refusal),
    /// There was no place for it.
    NoPlace(Error),
    /// What the statement itself came to.
    Statement(Postgres),
    /// It has another number of rows than was asked for.
    Rows {
        asked: &'static str,
        got: usize,
    },
    Lost(Postgres),
    /// The server did not keep to its limit.
    Late(Duration),
    Spoilt {
        by: Option<&'static Location<'static>>,
        source: Option<Postgres>,
    },
}

impl LaneError {
    pub(super) fn new(kind: Kind, outcome: Outcome) -> Self {
        Self {
            kind: Box::new(kind),
            outcome,
        }
    }

    /// What became of the statement: it was done after [`Outcome::Answered`], may have been after [`Outcome::Unknown`], and
    /// was not after the others.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Whose fault it is.
    #[must_use]
    pub fn class(&self) -> Class {
        match &*self.kind {
            Kind::Off => Class::Config,
            Kind::NoPlace(error) => error.class(),
            Kind::Refused(_) | Kind::Statement(_) | Kind::Rows { .. } | Kind::Spoilt { .. } => {
                Class::Statement
            }
            Kind::Lost(_) => Class::Network,
            Kind::Late(_) => Class::Server,
        }
    }

    /// What the server answered, if that was an error.
    #[must_use]
    pub fn as_db_error(&self) -> Option<&DbError> {
        match &*self.kind {
            Kind::Statement(error) | Kind::Lost(error) => error.as_db_error(),
            Kind::Spoilt { by: _, source } => source.as_ref()?.as_db_error(),
            Kind::Off | Kind::Refused(_) | Kind::NoPlace(_) | Kind::Rows { .. } | Kind::Late(_) => {
                None
            }
        }
    }

    /// Why there was no place for it, as an acquire would say it.
    #[must_use]
    pub fn as_pool_error(&self) -> Option<&Error> {
        match &*self.kind {
            Kind::NoPlace(error) => Some(error),
            _ => None,
        }
    }
}

impl From<Error> for LaneError {
    fn from(error: Error) -> Self {
        Self::new(Kind::NoPlace(error), Outcome::NotSent)
    }
}

impl From<Refusal> for LaneError {
    fn from(refusal: Refusal) -> Self {
        Self::new(Kind::Refused(refusal), Outcome::NotSent)
    }
}

impl fmt::Display for LaneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.kind {
            Kind::Off => {
                f.write_str("there is no lane; set lane.max_size to how many connections it may have")
            }
            Kind::Refused(Refusal::Empty) => f.write_str("a lane takes one statement, and there is none"),
            Kind::Refused(Refusal::Begins(word)) => write!(
                f,
                "a lane does not take {word}: it is for single statements that leave the session as it was; use a client of \
                 your own (Pool::acquire)"
            ),
            Kind::Refused(Refusal::Uses(word)) => write!(
                f,
                "a lane does not take a statement with {word}, which may change the session that it shares; use a client of \
                 your own (Pool::acquire)"
            ),
            Kind::NoPlace(Error::Timeout(late)) => {
                write!(f, "no place on the lane within {:?} (pool.acquire_timeout)", late.limit())?;
                match late.last_failure() {
                    _ if late.status().state == PoolState::Suspended => {
                        f.write_str("; the pool is suspended: resume it (Pool::resume)")
                    }
                    Some(_) => f.write_str("; the last connection failed"),
                    None => f.write_str("; send fewer slow statements, or raise lane.max_size"),
                }
            }
            Kind::NoPlace(Error::QueueFull(most)) => write!(
                f,
                "{most} statements wait for a place on the lane already (pool.max_waiting); send fewer at once, or raise \
                 lane.max_size"
            ),
            Kind::NoPlace(error) => fmt::Display::fmt(error, f),
            Kind::Statement(error) => match error.as_db_error() {
                Some(_) => f.write_str("the server refused the statement"),
                None => f.write_str("the statement and its parameters do not fit; nothing was sent"),
            },
            Kind::Rows { asked, got } => write!(f, "{asked} was asked for, and there are {got}"),
            Kind::Lost(_) => match self.outcome {
                Outcome::NotSent => f.write_str("the connection was lost before the statement was sent"),
                _ => f.write_str(
                    "the connection was lost while the statement was under way: look whether it was done, or vouch for \
                     statements that may be sent twice (Lane::retry_reads)",
                ),
            },
            Kind::Late(limit) => write!(
                f,
                "the server did not answer in time, though it ends statements after {limit:?} (lane.statement_timeout): its \
                 connection was closed"
            ),
            Kind::Spoilt { by, source: _ } => {
                f.write_str("the connection was closed: ")?;
                match by {
                    Some(place) => write!(f, "the statement sent at {place}")?,
                    None => f.write_str("another statement")?,
                }
                f.write_str(
                    " opened a transaction or changed the session on the lane; send that by a client of its own (Pool::acquire)",
                )
            }
        }
    }
}

impl StdError for LaneError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &*self.kind {
            Kind::NoPlace(error) => error.source(),
            Kind::Statement(error) | Kind::Lost(error) => Some(error),
            Kind::Spoilt { by: _, source } => source.as_ref().map(|source| source as _),
            Kind::Off | Kind::Refused(_) | Kind::Rows { .. } | Kind::Late(_) => None,
        }
    }
}
