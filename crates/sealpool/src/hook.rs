use std::{error::Error as StdError, fmt, time::Duration};

use tokio_postgres::error::SqlState;

use crate::closed_set::closed_set;

closed_set! {
    /// The places where an application may hook in, set by the methods of the same names of
    /// [`PoolBuilder`](crate::PoolBuilder).
    pub enum Hook {
        /// A connection has been opened.
        AfterConnect = "after_connect",
        /// A connection has come back.
        AfterRelease = "after_release",
        /// A connection is about to be lent.
        BeforeAcquire = "before_acquire",
        /// A connection is about to be closed.
        BeforeClose = "before_close",
        /// A connection is about to be opened.
        BeforeConnect = "before_connect",
    }
}

/// A hook of the application failed; the connection it was called with has been closed.
#[derive(Debug)]
pub struct HookError {
    hook: Hook,
    why: Why,
}

#[derive(Debug)]
enum Why {
    Failed(Box<dyn StdError + Send + Sync>),
    Late(Duration),
    Lost(Option<Box<dyn StdError + Send + Sync>>),
    Panicked,
    Picky(usize),
    Unfinished,
}

impl HookError {
    pub(crate) const fn failed(hook: Hook, error: Box<dyn StdError + Send + Sync>) -> Self {
        let why = Why::Failed(error);
        Self { hook, why }
    }

    pub(crate) const fn late(hook: Hook, limit: Duration) -> Self {
        let why = Why::Late(limit);
        Self { hook, why }
    }

    pub(crate) const fn panicked(hook: Hook) -> Self {
        let why = Why::Panicked;
        Self { hook, why }
    }

    /// It would have none of so many connections.
    pub(crate) const fn picky(hook: Hook, refused: usize) -> Self {
        let why = Why::Picky(refused);
        Self { hook, why }
    }

    /// It left a query or a transaction under way.
    pub(crate) const fn unfinished(hook: Hook) -> Self {
        let why = Why::Unfinished;
        Self { hook, why }
    }

    pub(crate) const fn lost(hook: Hook) -> Self {
        let why = Why::Lost(None);
        Self { hook, why }
    }

    /// The same, now that the connection is known to have been lost, which was no fault of the hook.
    pub(crate) fn of_loss(self) -> Self {
        let Self { hook, why } = self;
        let why = match why {
            Why::Failed(error) => Why::Lost(Some(error)),
            _ => Why::Lost(None),
        };
        Self { hook, why }
    }

    /// Whether the hook passed on that the server is about to end the connection.
    pub(crate) fn is_farewell(&self) -> bool {
        let Why::Failed(error) = &self.why else {
            return false;
        };
        let error = error.downcast_ref::<tokio_postgres::Error>();
        let code = error.and_then(tokio_postgres::Error::code);
        code.is_some_and(|code| {
            [&SqlState::ADMIN_SHUTDOWN, &SqlState::CRASH_SHUTDOWN].contains(&code)
        })
    }

    pub(crate) const fn is_lost(&self) -> bool {
        matches!(self.why, Why::Lost(_))
    }

    /// Which hook it was.
    #[must_use]
    pub const fn hook(&self) -> Hook {
        self.hook
    }

    /// Whether a later try may succeed without anybody's doing: the connection was lost meanwhile, or time ran out
    /// (`pool.hook_timeout`). An error of the hook's own and a panic do not heal by waiting.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self.why, Why::Late(_) | Why::Lost(_))
    }
}

impl fmt::Display for HookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hook, why } = self;
        write!(f, "the {hook} hook ")?;
        match why {
            Why::Failed(_) => f.write_str("failed"),
            Why::Late(limit) => write!(
                f,
                "did not end within {limit:?} (pool.hook_timeout); make it quicker, or raise that"
            ),
            Why::Lost(_) => f.write_str("lost its connection"),
            Why::Panicked => f.write_str("panicked; see the message of the panic"),
            Why::Picky(refused) => write!(
                f,
                "discarded {refused} connections in a row; let it keep those that are good"
            ),
            Why::Unfinished => {
                f.write_str("left a query or a transaction under way; let it end what it begins")
            }
        }
    }
}

impl StdError for HookError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.why {
            Why::Failed(error) | Why::Lost(Some(error)) => Some(&**error),
            Why::Lost(None) | Why::Late(_) | Why::Panicked | Why::Picky(_) | Why::Unfinished => {
                None
            }
        }
    }
}
