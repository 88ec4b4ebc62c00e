use std::sync::Arc;

use tokio::time::timeout;

use super::Pool;
use crate::error::{AcquireTimeout, ConnectError, Error};

/// What the pool knows of its server, without asking it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Readiness {
    /// The pool has been closed.
    Closed,
    /// There is no connection, and the last one could not be opened.
    Failing(Arc<ConnectError>),
    /// There are connections.
    Ready,
    /// Nothing is lent until [`Pool::resume`].
    Suspended,
    /// There is no connection, and nothing says that one could not be opened.
    Untried,
}

impl Readiness {
    /// Whether an acquire may be expected to succeed.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        matches!(self, Self::Ready)
    }
}

impl Pool {
    /// Opens `pool.min_idle` connections, and at least one: to be called before the service takes requests.
    ///
    /// # Errors
    ///
    /// The first connect that fails, for whatever reason; nothing is tried again. [`Error::Timeout`] after
    /// `pool.acquire_timeout`, [`Error::Closed`].
    pub async fn ready(&self) -> Result<(), Error> {
        let manager = &self.manager;
        manager.upkeep.ensure(manager);
        let limit = manager.pooling().acquire_timeout;
        timeout(limit, self.fill()).await.unwrap_or_else(|_| {
            Err(Error::Timeout(AcquireTimeout {
                limit,
                setting: Some("pool.acquire_timeout"),
                status: self.status().into(),
                oldest: self.holders().into_iter().max_by_key(|holder| holder.held),
                last: manager.gate.last_failure(),
            }))
        })
    }

    async fn fill(&self) -> Result<(), Error> {
        let manager = &self.manager;
        let wanted = manager.pooling().min_idle.max(1);
        while !manager.is_closing() {
            let alive = manager.house.ledger.cards();
            let alive = alive.iter().filter(|card| card.is_alive()).count();
            if alive >= wanted || !manager.warm().await? {
                return Ok(());
            }
        }
        Err(Error::Closed)
    }

    /// What the pool knows of its server, for a probe such as `/readyz`: nothing is sent, and it does not wait.
    ///
    /// A pool that has not been used is [`Readiness::Untried`]; [`Pool::ready`] changes that.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let manager = &self.manager;
        if manager.is_closing() {
            return Readiness::Closed;
        }
        if manager.house.suspension.is_on() {
            return Readiness::Suspended;
        }
        let cards = manager.house.ledger.cards();
        if cards.iter().any(|card| card.is_alive()) {
            return Readiness::Ready;
        }
        match manager.gate.last_failure() {
            Some(error) => Readiness::Failing(error),
            None => Readiness::Untried,
        }
    }
}
