use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// The acquires that wait, each with the time since when it does.
#[derive(Debug, Default)]
pub(super) struct Waiters(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    next: u64,
    since: BTreeMap<u64, Instant>,
}

impl Waiters {
    pub(super) fn enter(&self) -> Waiting<'_> {
        let mut queue = self.queue();
        let number = queue.next;
        queue.next += 1;
        queue.since.insert(number, Instant::now());
        Waiting {
            waiters: self,
            number,
        }
    }

    /// How many there are, and for how long the first of them has waited.
    pub(super) fn levels(&self) -> (usize, Option<Duration>) {
        let queue = self.queue();
        let oldest = queue.since.first_key_value();
        (queue.since.len(), oldest.map(|(_, since)| since.elapsed()))
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among those who wait, until it is dropped.
pub(super) struct Waiting<'a> {
    waiters: &'a Waiters,
    number: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.waiters.queue().since.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_the_one_that_came_first_of_those_who_still_wait() {
        let waiters = Waiters::default();
        assert_eq!(waiters.levels(), (0, None));
        let first = waiters.enter();
        let came = Instant::now();
        let second = waiters.enter();
        let (count, oldest) = waiters.levels();
        assert_eq!(count, 2);
        assert!(oldest.unwrap() >= came.elapsed().saturating_sub(oldest.unwrap()));
        drop(first);
        let (count, oldest) = waiters.levels();
        assert_eq!(count, 1);
        assert!(oldest.unwrap() <= came.elapsed(), "the second came later");
        drop(second);
        assert_eq!(waiters.levels(), (0, None));
    }
}
