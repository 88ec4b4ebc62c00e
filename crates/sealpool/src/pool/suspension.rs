use std::{
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
};

use tokio::sync::Notify;

use super::Pool;

/// Whether the pool lends nothing for the time being.
#[derive(Debug, Default)]
pub(super) struct Suspension {
    suspended: AtomicBool,
    resumed: Notify,
}

impl Suspension {
    pub(super) fn is_on(&self) -> bool {
        self.suspended.load(Ordering::Relaxed)
    }

    /// Waits until it is over.
    pub(super) async fn over(&self) {
        while self.is_on() {
            let mut resumed = pin!(self.resumed.notified());
            resumed.as_mut().enable();
            if self.is_on() {
                resumed.await;
            }
        }
    }
}

impl Pool {
    /// Lends no client until [`Pool::resume`]: acquires wait in their order, each within its own limit, and `try_acquire`
    /// gives none. Clients in use go on, and idle connections stay: for a failover or a migration that is on its way.
    ///
    /// Suspending twice is the same as once.
    pub fn suspend(&self) {
        let suspension = &self.manager.house.suspension;
        suspension.suspended.store(true, Ordering::Relaxed);
    }

    /// Lets those go on who have waited since [`Pool::suspend`], in the order in which they came.
    pub fn resume(&self) {
        let suspension = &self.manager.house.suspension;
        suspension.suspended.store(false, Ordering::Relaxed);
        suspension.resumed.notify_waiters();
    }
}
