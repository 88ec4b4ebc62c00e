use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{task::JoinHandle, time::timeout};

use super::Pool;
use crate::connect::CancelHandle;

/// How long the end of a connection that was cut takes at most.
const CUTTING: Duration = Duration::from_secs(1);
/// How long what was cut goes on being cancelled at most, and how many requests are under way at once.
const CANCELLING: Duration = Duration::from_secs(5);
const AT_ONCE: usize = 4;

impl Pool {
    /// Closes the pool: waiters get [`Error::Closed`](crate::Error::Closed) at once, and idle connections say goodbye
    /// (Terminate, then TLS's close_notify), as those in use do when they come back.
    ///
    /// It returns when every connection has ended, those of listeners too. Those that are still in use at the limit are
    /// cut: what they are doing fails, and is cancelled at the server, for which it waits one second at most. Dropping the
    /// future leaves the pool closed and its borrowers undisturbed; a pool that is dropped instead closes likewise, without a
    /// limit.
    pub async fn shutdown(&self, limit: Duration) {
        let manager = &self.manager;
        let cards = manager.house.ledger.cards();
        manager.closing();
        let mut drivers: Vec<_> = cards.iter().filter_map(|card| card.take_driver()).collect();
        drivers.extend(manager.listeners.take_tasks());
        if timeout(limit, all(&mut drivers)).await.is_ok() {
            return;
        }
        drivers.extend(cancel(cards.iter().filter_map(|card| card.cut()).collect()));
        let _ = timeout(CUTTING, all(&mut drivers)).await;
    }
}

/// Few at once, in the background: a server that does not answer holds nobody up.
fn cancel(requests: Vec<CancelHandle>) -> Vec<JoinHandle<()>> {
    let tasks = requests.len().min(AT_ONCE);
    let requests = Arc::new(Mutex::new(requests));
    let next = move || {
        let mut requests = requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.pop()
    };
    (0..tasks)
        .map(|_| {
            let next = next.clone();
            tokio::spawn(async move {
                let work = async {
                    while let Some(request) = next() {
                        let _ = request.cancel().await;
                    }
                };
                let _ = timeout(CANCELLING, work).await;
            })
        })
        .collect()
}

async fn all(drivers: &mut Vec<JoinHandle<()>>) {
    while let Some(driver) = drivers.last_mut() {
        let _ = driver.await;
        drivers.pop();
    }
}
