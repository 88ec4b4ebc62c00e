use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::{Notify, Semaphore, TryAcquireError};

use super::house::House;
use crate::error::Error;

/// The right to hold a connection or to open one: as many as the pool is large, given in the order of asking.
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

    async fn next(&self) -> Result<(), Error> {
        let permit = self.semaphore.acquire().await;
        permit.map_err(|_| Error::Closed)?.forget();
        Ok(())
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

    /// Changes how many there are; those in use beyond the new limit end when they are given back.
    pub(super) fn resize(&self, new: usize) {
        let mut limit = self.limit.lock().unwrap_or_else(PoisonError::into_inner);
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
pub(super) struct Permit(Arc<House>);

impl Permit {
    /// One that is free, if nobody waits.
    pub(super) fn free(house: &Arc<House>) -> Result<Option<Self>, Error> {
        match house.permits.semaphore.try_acquire() {
            Ok(permit) => {
                permit.forget();
                Ok(Some(Self(Arc::clone(house))))
            }
            Err(TryAcquireError::NoPermits) => Ok(None),
            Err(TryAcquireError::Closed) => Err(Error::Closed),
        }
    }

    pub(super) async fn acquire(house: &Arc<House>) -> Result<Self, Error> {
        if let Some(permit) = Self::free(house)? {
            return Ok(permit);
        }
        let _queued = house.permits.queue()?;
        house.permits.next().await?;
        Ok(Self(Arc::clone(house)))
    }

    /// Gives it back, and waits for another, whoever else may wait.
    pub(super) async fn exchange(self) -> Result<Self, Error> {
        let house = Arc::clone(&self.0);
        drop(self);
        house.permits.next().await?;
        Ok(Self(house))
    }

    pub(super) fn house(&self) -> &House {
        &self.0
    }

    /// Whether its connection is one too many.
    pub(super) fn is_surplus(&self) -> bool {
        self.0.permits.surplus.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let permits = &self.0.permits;
        if !permits.take_surplus() {
            permits.semaphore.add_permits(1);
        }
        if permits.watching.load(Ordering::Relaxed) > 0 {
            permits.returned.notify_waiters();
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

    fn house(limit: usize) -> Arc<House> {
        let permits = Permits::new(limit, None);
        Arc::new(House::new(Default::default(), permits))
    }

    fn free(house: &Arc<House>) -> Vec<Permit> {
        std::iter::from_fn(|| Permit::free(house).unwrap()).collect()
    }

    #[test]
    fn what_was_lent_when_the_pool_shrank_ends_when_it_comes_back() {
        let house = house(10);
        let mut lent = free(&house);
        assert_eq!(lent.len(), 10);
        lent.truncate(5);
        house.permits.resize(2);
        assert!(free(&house).is_empty());
        drop(lent);
        assert_eq!(free(&house).len(), 2);
        house.permits.resize(10);
        assert_eq!(free(&house).len(), 10, "and not 18, as in deadpool");
    }

    #[test]
    fn growing_again_spares_what_was_to_end() {
        let house = house(4);
        let lent = free(&house);
        house.permits.resize(1);
        house.permits.resize(3);
        drop(lent);
        assert_eq!(free(&house).len(), 3);
    }

    #[tokio::test]
    async fn what_is_exchanged_in_a_pool_that_shrank_is_one_fewer() {
        let house = house(4);
        let mut lent = free(&house);
        house.permits.resize(3);
        let waits = tokio::spawn(lent.pop().unwrap().exchange());
        while lent.first().unwrap().is_surplus() {
            tokio::task::yield_now().await;
        }
        assert!(!waits.is_finished());
        lent.pop();
        drop(waits.await.unwrap().unwrap());
        drop(lent);
        assert_eq!(free(&house).len(), 3);
    }
}
