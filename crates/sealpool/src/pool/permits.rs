use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::{Notify, Semaphore, TryAcquireError};

use crate::error::Error;

/// The right to hold a connection or to open one: as many as the pool is large, given in the order of asking.
///
/// deadpool's own are as many as the pool has ever been large, since it takes none back from a pool that is not full.
#[derive(Debug)]
pub(super) struct Permits {
    semaphore: Semaphore,
    limit: Mutex<usize>,
    /// Permits that end when they are given back, because the pool has been made smaller.
    surplus: AtomicUsize,
    queued: AtomicUsize,
    /// No limit is the largest number.
    most_queued: AtomicUsize,
    returned: Notify,
    /// How many wait for `returned`, since to notify nobody takes a lock.
    watching: AtomicUsize,
}

impl Permits {
    pub(super) fn new(limit: usize, most_queued: Option<usize>) -> Self {
        Self {
            semaphore: Semaphore::new(limit),
            limit: Mutex::new(limit),
            surplus: AtomicUsize::new(0),
            queued: AtomicUsize::new(0),
            most_queued: AtomicUsize::new(most_queued.unwrap_or(usize::MAX)),
            returned: Notify::new(),
            watching: AtomicUsize::new(0),
        }
    }

    pub(super) fn limit(&self) -> usize {
        *self.limit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn in_use(&self) -> usize {
        let all = self.limit() + self.surplus.load(Ordering::Relaxed);
        all.saturating_sub(self.semaphore.available_permits())
    }

    /// A permit, if one is free and nobody waits.
    pub(super) fn free(self: &Arc<Self>) -> Result<Option<Permit>, Error> {
        match self.semaphore.try_acquire() {
            Ok(permit) => {
                permit.forget();
                Ok(Some(Permit(Arc::clone(self))))
            }
            Err(TryAcquireError::NoPermits) => Ok(None),
            Err(TryAcquireError::Closed) => Err(Error::Closed),
        }
    }

    pub(super) async fn acquire(self: &Arc<Self>) -> Result<Permit, Error> {
        if let Some(permit) = self.free()? {
            return Ok(permit);
        }
        let _queued = self.queue()?;
        let permit = self.semaphore.acquire().await;
        permit.map_err(|_| Error::Closed)?.forget();
        Ok(Permit(Arc::clone(self)))
    }

    fn queue(&self) -> Result<Counted<'_>, Error> {
        let (queued, before) = Counted::new(&self.queued);
        let most = self.most_queued.load(Ordering::Relaxed);
        if before >= most {
            return Err(Error::QueueFull(most));
        }
        Ok(queued)
    }

    /// Changes how many may wait; those who do go on.
    pub(super) fn queue_at_most(&self, most: Option<usize>) {
        let most = most.unwrap_or(usize::MAX);
        self.most_queued.store(most, Ordering::Relaxed);
    }

    /// Waits until a connection has come back.
    pub(super) async fn returned(&self) {
        let (_watching, _) = Counted::new(&self.watching);
        self.returned.notified().await;
    }

    /// Changes how many there are; those in use beyond the new limit end when they are given back. What is to be done
    /// first is done by one at a time.
    pub(super) fn resize(&self, new: usize, first: impl FnOnce()) {
        let mut limit = self.limit.lock().unwrap_or_else(PoisonError::into_inner);
        first();
        if new < *limit {
            let fewer = *limit - new;
            let taken = self.semaphore.forget_permits(fewer);
            self.surplus.fetch_add(fewer - taken, Ordering::Relaxed);
        } else {
            let more = *limit..new;
            let fresh = more.filter(|_| !self.take_surplus()).count();
            self.semaphore.add_permits(fresh);
        }
        *limit = new;
    }

    pub(super) fn close(&self) {
        self.semaphore.close();
    }

    fn take_surplus(&self) -> bool {
        let surplus = &self.surplus;
        surplus.load(Ordering::Relaxed) > 0
            && surplus
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                    left.checked_sub(1)
                })
                .is_ok()
    }
}

/// Gives itself back when dropped.
#[derive(Debug)]
pub(super) struct Permit(Arc<Permits>);

impl Permit {
    /// Whether its connection is one too many.
    pub(super) fn is_surplus(&self) -> bool {
        self.0.surplus.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.0.take_surplus() {
            self.0.semaphore.add_permits(1);
        }
        if self.0.watching.load(Ordering::Relaxed) > 0 {
            self.0.returned.notify_waiters();
        }
    }
}

/// One more of a number, until it is dropped.
pub(super) struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    /// Also tells how many there were before.
    pub(super) fn new(number: &'a AtomicUsize) -> (Self, usize) {
        let before = number.fetch_add(1, Ordering::Relaxed);
        (Self(number), before)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free(permits: &Arc<Permits>) -> Vec<Permit> {
        std::iter::from_fn(|| permits.free().unwrap()).collect()
    }

    #[test]
    fn what_was_lent_when_the_pool_shrank_ends_when_it_comes_back() {
        let permits = Arc::new(Permits::new(10, None));
        let mut lent = free(&permits);
        assert_eq!(lent.len(), 10);
        lent.truncate(5);
        permits.resize(2, || ());
        assert!(free(&permits).is_empty());
        drop(lent);
        assert_eq!(free(&permits).len(), 2);
        permits.resize(10, || ());
        assert_eq!(free(&permits).len(), 10, "and not 18, as in deadpool");
    }

    #[test]
    fn growing_again_spares_what_was_to_end() {
        let permits = Arc::new(Permits::new(4, None));
        let lent = free(&permits);
        permits.resize(1, || ());
        permits.resize(3, || ());
        drop(lent);
        assert_eq!(free(&permits).len(), 3);
    }
}
