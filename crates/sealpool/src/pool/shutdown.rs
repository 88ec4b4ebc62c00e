use std::time::Duration;

use tokio::{
    task::JoinHandle,
    time::{Instant, timeout, timeout_at},
};

use super::Pool;

/// How long the end of a connection that was cut takes at most.
const CUTTING: Duration = Duration::from_secs(1);

impl Pool {
    /// Closes the pool: waiters get [`Error::Closed`](crate::Error::Closed) at once, and idle connections say goodbye
    /// (Terminate, then TLS's close_notify), as those in use do when they come back.
    ///
    /// It returns when every connection has ended. Those that are still in use at the limit are cut: what they are
    /// doing fails. Dropping the future leaves the pool closed and its borrowers undisturbed; a pool that is dropped
    /// instead closes likewise, without a limit.
    pub async fn shutdown(&self, limit: Duration) {
        let end = Instant::now() + limit;
        let manager = self.connections.manager();
        let cards = manager.house.ledger.cards();
        manager.closing();
        self.connections.close();
        let mut drivers: Vec<_> = cards.iter().filter_map(|card| card.take_driver()).collect();
        if timeout_at(end, all(&mut drivers)).await.is_ok() {
            return;
        }
        for card in &cards {
            card.cut();
        }
        let _ = timeout(CUTTING, all(&mut drivers)).await;
    }
}

async fn all(drivers: &mut Vec<JoinHandle<()>>) {
    while let Some(driver) = drivers.last_mut() {
        let _ = driver.await;
        drivers.pop();
    }
}
