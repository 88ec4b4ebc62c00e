use std::time::Duration;

use super::{limit, network::word};
use crate::config::{ConfigError, Written};

/// How a session is made fit for the next borrower.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Care {
    pub(crate) reset: Reset,
    pub(crate) mend_timeout: Duration,
    pub(crate) cancel_grace: Duration,
}

/// When the state of a session is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reset {
    /// At every return.
    Always,
    /// When the borrower may have left something.
    Auto,
    /// Never: transactions are ended, and that is all.
    Transaction,
}

impl Reset {
    const ALL: &'static [Self] = &[Self::Always, Self::Auto, Self::Transaction];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Auto => "auto",
            Self::Transaction => "transaction",
        }
    }
}

/// What was written about it.
pub(super) struct Settings {
    pub(super) reset: Option<Written<String>>,
    pub(super) mend_timeout: Option<Written<Duration>>,
    pub(super) cancel_grace: Option<Written<Duration>>,
}

impl Care {
    const GRACE: Duration = Duration::from_millis(100);

    pub(super) fn decide(settings: Settings) -> Result<Self, ConfigError> {
        let Settings {
            reset,
            mend_timeout,
            cancel_grace,
        } = settings;
        let place = cancel_grace
            .as_ref()
            .map(|written| ("pool.cancel_grace", written.place.clone()));
        let place = place.or_else(|| {
            let written = mend_timeout.as_ref()?;
            Some(("pool.mend_timeout", written.place.clone()))
        });
        let care = Self {
            reset: word("pool.reset", reset, Reset::ALL, Reset::as_str, Reset::Auto)?,
            mend_timeout: limit("pool.mend_timeout", mend_timeout, 5)?,
            cancel_grace: match cancel_grace {
                None => Self::GRACE,
                written => limit("pool.cancel_grace", written, 0)?,
            },
        };
        match place {
            Some((key, place)) if care.cancel_grace >= care.mend_timeout => Err(place.refuse(
                key,
                ConfigError::new(
                    "conflict",
                    format!(
                        "a query left behind would go on for {:?}, and its connection is closed after {:?}",
                        care.cancel_grace, care.mend_timeout
                    ),
                    "write a pool.cancel_grace that is shorter than pool.mend_timeout",
                ),
            )),
            _ => Ok(care),
        }
    }
}
