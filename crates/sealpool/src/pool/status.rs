use std::{fmt, time::Duration};

use super::{Pool, manager::Manager};
use crate::closed_set::closed_set;

/// The levels of a pool at one moment.
///
/// Each open connection is counted once: as used, as idle or as one of the lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// The most connections that are open at once.
    pub max_size: usize,
    /// How many idle connections are kept ready.
    pub min_idle: usize,
    /// Connections held by borrowers.
    pub used: usize,
    /// Connections that wait for a borrower.
    pub idle: usize,
    /// Connections that are being opened.
    pub opening: usize,
    /// Acquires that wait for a connection, or for one to be opened.
    pub waiting: usize,
    /// For how long the first of them has waited.
    pub oldest_waiter: Option<Duration>,
    /// Connections of the [`Lane`](crate::Lane), which are neither used nor idle.
    pub lane_connections: usize,
    /// Statements under way on them.
    pub lane_outstanding: usize,
    /// Open connections that were made with certificates, keys, lists or settings which have been replaced since.
    pub stale: usize,
    /// Clients that have been held for longer than `pool.leak_threshold`.
    pub leaks_suspected: usize,
    /// For how long no connection is opened, since the last ones failed.
    pub backoff: Option<Duration>,
    /// Whether it works.
    pub state: PoolState,
}

closed_set! {
    /// Whether a pool works.
    pub enum PoolState {
        /// It has been closed and has no connection left.
        Closed = "closed",
        /// It has been closed, and borrowers hold connections.
        Closing = "closing",
        /// It lends connections.
        Running = "running",
        /// It lends none until it is resumed.
        Suspended = "suspended",
    }
}

impl Pool {
    /// The pool's levels at this moment.
    #[must_use]
    pub fn status(&self) -> Status {
        self.manager.status()
    }
}

impl Manager {
    pub(super) fn status(&self) -> Status {
        let cards = self.house.ledger.cards();
        let used = cards.iter().filter(|card| card.is_lent()).count();
        let pooled = cards.iter().filter(|card| card.is_pooled()).count();
        let (waiting, oldest_waiter) = self.house.permits.waiting();
        let (lane_connections, lane_outstanding) = self.lane.levels();
        Status {
            max_size: self.house.permits.limit(),
            min_idle: self.pooling().min_idle,
            used,
            idle: pooled.saturating_sub(used),
            opening: self.opening(),
            waiting,
            oldest_waiter,
            lane_connections,
            lane_outstanding,
            stale: self.connector().stale(),
            leaks_suspected: cards.iter().filter(|card| card.is_suspected()).count(),
            backoff: self.gate.backoff(),
            state: match (self.is_closing(), cards.is_empty()) {
                (false, _) if self.house.suspension.is_on() => PoolState::Suspended,
                (false, _) => PoolState::Running,
                (true, false) => PoolState::Closing,
                (true, true) => PoolState::Closed,
            },
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            max_size,
            min_idle: _,
            used,
            idle,
            opening,
            waiting,
            oldest_waiter: _,
            lane_connections: _,
            lane_outstanding: _,
            stale: _,
            leaks_suspected: _,
            backoff: _,
            state: _,
        } = self;
        write!(
            f,
            "{used} used, {idle} idle, {opening} opening, {waiting} waiting of at most {max_size}"
        )
    }
}
