use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::{Pool, manager::Manager, session::Session};
use crate::{config::ConfigError, error::Error, event::CloseReason, policy::MOST_CONNECTIONS};

impl Pool {
    /// Changes `pool.max_size` while the pool runs. Idle connections beyond it are closed at once, those in use when they
    /// come back.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a size of 0 or more than PostgreSQL can have.
    pub fn resize(&self, max_size: usize) -> Result<(), Error> {
        let most = usize::try_from(MOST_CONNECTIONS).unwrap_or(usize::MAX);
        if !(1..=most).contains(&max_size) {
            return Err(ConfigError::new(
                "invalid_value",
                format!("a pool of {max_size} connections is not possible"),
                format!("ask for 1 to {MOST_CONNECTIONS}"),
            )
            .into());
        }
        resize(&self.manager, max_size);
        Ok(())
    }

    /// Replaces all connections: those that are idle are closed at once, those in use when they come back.
    pub fn evict_all(&self) {
        let house = &self.manager.house;
        house.evictions.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        retire(&self.manager, |session| session.retirement(now));
        self.manager.lane.renew();
    }
}

pub(super) fn resize(manager: &Manager, max_size: usize) {
    manager.house.permits.resize(max_size);
    let cards = manager.house.ledger.cards();
    let cards = cards.iter().filter(|card| !card.is_in_lane());
    let mut surplus = cards.count().saturating_sub(max_size);
    retire(manager, |_| {
        let one_too_many = surplus > 0;
        surplus = surplus.saturating_sub(1);
        one_too_many.then_some(CloseReason::Resized)
    });
}

/// Looks at the idle sessions, the one used longest ago first, and closes those for which there is a reason.
pub(super) fn retire(manager: &Manager, mut reason: impl FnMut(&Session) -> Option<CloseReason>) {
    let mut reasons = Vec::new();
    let mut chosen = |session: &Session| {
        let reason = reason(session);
        reasons.extend(reason);
        reason.is_some()
    };
    let removed = manager.house.shelf(|shelf| shelf.take_if(&mut chosen));
    for (session, reason) in removed.into_iter().zip(reasons) {
        session.close(reason);
    }
}
