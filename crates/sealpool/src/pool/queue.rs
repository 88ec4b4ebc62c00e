use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use slab::Slab;
use tokio::time::Instant;

use crate::error::ConnectError;

/// All who wait, each until it leaves: for a permit, and then for a connection to be opened.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiters: Slab<Waiter>,
    /// Who wants a permit, in the order of asking.
    line: VecDeque<usize>,
}

#[derive(Debug)]
struct Waiter {
    wait: Wait,
    progress: Progress,
    waker: Option<Waker>,
}

#[derive(Debug)]
enum Progress {
    InLine,
    /// A permit is there for it.
    Granted,
    /// It waits for something else.
    Served,
    Ended(End),
}

/// Since when somebody waits, and for how long at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait {
    /// Nothing for who is not one of the acquires that wait, or is among them already.
    pub(super) since: Option<Instant>,
    pub(super) until: Option<Instant>,
}

/// Why a wait was ended.
#[derive(Clone, Debug)]
pub(super) enum End {
    Closed,
    Late,
    Refused(Arc<ConnectError>),
}

impl Queue {
    pub(super) fn line_up(&mut self, wait: Wait, cx: &Context<'_>) -> usize {
        let key = self.waiters.insert(Waiter {
            wait,
            progress: Progress::InLine,
            waker: Some(cx.waker().clone()),
        });
        self.line.push_back(key);
        key
    }

    /// For anything but a permit.
    pub(super) fn enter(&mut self, wait: Wait) -> usize {
        self.waiters.insert(Waiter {
            wait,
            progress: Progress::Served,
            waker: None,
        })
    }

    /// How many wait for a permit.
    pub(super) fn in_line(&self) -> usize {
        self.line.len()
    }

    /// Whether somebody took the permit, and whom to wake.
    pub(super) fn grant(&mut self) -> Option<Option<Waker>> {
        let key = self.line.pop_front()?;
        let waiter = self.waiters.get_mut(key)?;
        waiter.progress = Progress::Granted;
        Some(waiter.waker.take())
    }

    /// What has become of it: nothing yet, a permit, or its end. The waker that is not needed any more is to be dropped
    /// when nothing is locked: what that drops may be a client.
    pub(super) fn poll(
        &mut self,
        key: usize,
        cx: &Context<'_>,
        unneeded: &mut Option<Waker>,
    ) -> Poll<Result<(), End>> {
        let Some(waiter) = self.waiters.get_mut(key) else {
            return Poll::Pending;
        };
        match &waiter.progress {
            Progress::Granted => return Poll::Ready(Ok(())),
            Progress::Ended(end) => return Poll::Ready(Err(end.clone())),
            _ if waiter.wait.limit().is_some_and(|limit| limit.is_zero()) => {
                return Poll::Ready(Err(End::Late));
            }
            Progress::InLine | Progress::Served => {}
        }
        let known = waiter.waker.as_ref();
        if !known.is_some_and(|waker| waker.will_wake(cx.waker())) {
            *unneeded = waiter.waker.replace(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Whether it leaves a permit behind.
    pub(super) fn leave(&mut self, key: usize, unneeded: &mut Option<Waker>) -> bool {
        let Some(waiter) = self.waiters.try_remove(key) else {
            return false;
        };
        *unneeded = waiter.waker;
        if matches!(waiter.progress, Progress::InLine)
            && let Some(place) = self.line.iter().position(|waits| *waits == key)
        {
            self.line.remove(place);
        }
        matches!(waiter.progress, Progress::Granted)
    }

    /// Ends the waits of all for whom there is no permit yet.
    pub(super) fn end_all(&mut self, end: &End) -> Vec<Waker> {
        self.end(end, |_| true)
    }

    /// Ends the waits that have lasted long enough.
    pub(super) fn end_late(&mut self, now: Instant) -> Vec<Waker> {
        self.end(&End::Late, |wait| {
            wait.until.is_some_and(|until| until <= now)
        })
    }

    fn end(&mut self, end: &End, chosen: impl Fn(&Wait) -> bool) -> Vec<Waker> {
        let mut wakers = Vec::new();
        for (_, waiter) in &mut self.waiters {
            if waiter.is_waiting() && chosen(&waiter.wait) {
                waiter.progress = Progress::Ended(end.clone());
                wakers.extend(waiter.waker.take());
            }
        }
        let waiters = &self.waiters;
        self.line
            .retain(|key| waiters.get(*key).is_some_and(Waiter::is_waiting));
        wakers
    }

    /// All of them, to look again.
    pub(super) fn wakers(&mut self) -> Vec<Waker> {
        let waiters = self.waiters.iter_mut();
        waiters
            .filter_map(|(_, waiter)| waiter.waker.take())
            .collect()
    }

    /// When the first wait will have lasted long enough.
    pub(super) fn next_end(&self) -> Option<Instant> {
        let waiting = self
            .waiters
            .iter()
            .filter(|(_, waiter)| waiter.is_waiting());
        waiting.filter_map(|(_, waiter)| waiter.wait.until).min()
    }

    /// How many acquires wait, and for how long the first of them has.
    pub(super) fn levels(&self) -> (usize, Option<Duration>) {
        let since = self
            .waiters
            .iter()
            .filter_map(|(_, waiter)| waiter.wait.since);
        (
            since.clone().count(),
            since.min().map(|since| since.elapsed()),
        )
    }
}

impl Waiter {
    const fn is_waiting(&self) -> bool {
        matches!(self.progress, Progress::InLine | Progress::Served)
    }
}

impl Wait {
    /// Of an acquire.
    pub(super) fn within(limit: Duration, now: Instant) -> Self {
        Self {
            since: Some(now),
            until: now.checked_add(limit),
        }
    }

    /// Of somebody else.
    pub(super) const fn until(until: Option<Instant>) -> Self {
        Self { since: None, until }
    }

    /// How long an acquire waits at most.
    pub(super) fn limit(&self) -> Option<Duration> {
        Some(self.until? - self.since?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_oldest_is_the_one_that_came_first_of_those_who_still_wait() {
        let mut queue = Queue::default();
        assert_eq!(queue.levels(), (0, None));
        let second = Duration::from_secs(1);
        let wait = || Wait::within(second, Instant::now());
        let first = queue.enter(wait());
        tokio::time::advance(second).await;
        let last = queue.line_up(wait(), &Context::from_waker(Waker::noop()));
        queue.enter(Wait::until(None));
        tokio::time::advance(second).await;
        assert_eq!(queue.levels(), (2, Some(2 * second)));
        queue.leave(first, &mut None);
        assert_eq!(queue.levels(), (1, Some(second)));
        queue.leave(last, &mut None);
        assert_eq!(queue.levels(), (0, None));
    }
}
