use std::{fmt, sync::Arc};

use super::Condition;
use crate::closed_set::closed_set;

/// A place in what a client sends, from which on [`Mark::outcome`] tells what became of it.
///
/// It is taken before a call and asked after it, while the client is still held. It sends nothing and does not wait.
/// A transaction borrows its client, so the mark is taken before it and renewed before the commit: if that was not sent,
/// nothing of the transaction stays.
#[derive(Clone)]
pub struct Mark {
    condition: Arc<Condition>,
    orders: u64,
    errors: u64,
}

closed_set! {
    /// What became of what a client was told to do.
    ///
    /// To prepare a statement is not to do it: a query whose connection breaks while it is being prepared was not sent.
    pub enum Outcome {
        /// The server has answered all of it and reported no error, even if the answer did not reach the caller.
        Answered = "answered",
        /// Nothing of it has left, nor will it: whoever does it again does it once.
        NotSent = "not_sent",
        /// The server has answered all of it, and with an error.
        Refused = "refused",
        /// Some of it has left, or may still leave, and there is no whole answer. It may have been done: nobody may do it
        /// again who has not looked.
        Unknown = "unknown",
    }
}

impl Mark {
    pub(crate) fn new(condition: &Arc<Condition>) -> Self {
        Self {
            condition: Arc::clone(condition),
            orders: condition.orders(),
            errors: condition.errors(),
        }
    }

    /// Puts the mark here.
    pub fn renew(&mut self) {
        *self = Self::new(&self.condition);
    }

    /// What has become, by this moment, of all that its client was told since.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        // First of all whether more may leave: what is read after that is complete.
        let is_quiet = self.condition.is_quiet();
        let has_left = self.condition.orders() != self.orders;
        let is_owed = self.condition.is_owed();
        let has_failed = self.condition.errors() != self.errors;
        match (has_left, is_owed) {
            (false, _) if is_quiet => Outcome::NotSent,
            (false, _) | (true, true) => Outcome::Unknown,
            (true, false) if has_failed => Outcome::Refused,
            (true, false) => Outcome::Answered,
        }
    }
}

impl fmt::Debug for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Mark").field(&self.outcome()).finish()
    }
}
