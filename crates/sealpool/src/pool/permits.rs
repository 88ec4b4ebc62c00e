use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Waker,
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use tokio::{runtime::Handle, sync::Notify, time::Instant};

use super::{
    alarm::{self, Alarms},
    house::House,
    queue::{End, Queue, Wait},
    shelf::Shelf,
};
use crate::{
    counted::Counted,
    error::{ConnectError, Error},
    policy::Pooling,
};

/// The right to hold a connection or to open one: as many as the pool is large, given in the order of asking. What is idle
/// is under the same lock, for the two are asked for and given back together.
#[derive(Debug)]
pub(super) struct Permits {
    state: Mutex<State>,
    /// Permits that end when they are given back, because the pool has been made smaller. Changed under the lock.
    surplus: AtomicUsize,
    /// Whether the last who came had to wait, and the next must be expected to.
    pub(super) crowded: AtomicBool,
    returned: Notify,
    /// How many wait for `returned`, since to notify nobody takes a lock.
    watching: AtomicUsize,
}

/// On cache lines of its own: who looks at the lock, or at what is beside it, does not disturb who has it.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct State {
    limit: usize,
    /// None is free while somebody is in line.
    free: usize,
    max_waiting: Option<usize>,
    acquire_timeout: Duration,
    closed: bool,
    pub(super) queue: Queue,
    alarms: Alarms,
    pub(super) shelf: Shelf,
}

impl Permits {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            state: Mutex::new(State {
                limit,
                free: limit,
                max_waiting: None,
                acquire_timeout: Duration::MAX,
                closed: false,
                queue: Queue::default(),
                alarms: Alarms::default(),
                shelf: Shelf::default(),
            }),
            surplus: AtomicUsize::new(0),
            crowded: AtomicBool::new(false),
            returned: Notify::new(),
            watching: AtomicUsize::new(0),
        }
    }

    /// What holds for those who come from now on.
    pub(super) fn follow(&self, pooling: &Pooling) {
        let mut state = self.state();
        state.max_waiting = pooling.max_waiting;
        state.acquire_timeout = pooling.acquire_timeout;
    }

    pub(super) fn limit(&self) -> usize {
        self.state().limit
    }

    pub(super) fn in_use(&self) -> usize {
        let state = self.state();
        (state.limit + self.surplus.load(Ordering::Relaxed)).saturating_sub(state.free)
    }

    /// How many acquires wait, and for how long the first of them has.
    pub(super) fn waiting(&self) -> (usize, Option<Duration>) {
        self.state().queue.levels()
    }

    /// Waits until a connection has come back.
    pub(super) async fn returned(&self) {
        let (_watching, _) = Counted::new(&self.watching);
        self.returned.notified().await;
    }

    /// Changes how many there are; those in use beyond the new limit end when they are given back.
    pub(super) fn resize(&self, new: usize) {
        let mut state = self.state();
        let old = std::mem::replace(&mut state.limit, new);
        let fewer = old.saturating_sub(new);
        let taken = fewer.min(state.free);
        state.free -= taken;
        self.surplus.fetch_add(fewer - taken, Ordering::Relaxed);
        let more = (old..new).filter(|_| !self.take_surplus()).count();
        let wakers: Vec<_> = (0..more).filter_map(|_| state.give()).collect();
        drop(state);
        wake(wakers);
    }

    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let wakers = state.queue.end_all(&End::Closed);
        let idle = state.shelf.close();
        state.alarms.ring();
        drop(state);
        wake(wakers);
        // Their end tells observers, who may look at the pool.
        drop(idle);
    }

    /// Ends all waits for a reason that does not heal by waiting.
    pub(super) fn refuse(&self, error: &Arc<ConnectError>) {
        let wakers = self.state().queue.end_all(&End::Refused(Arc::clone(error)));
        wake(wakers);
    }

    /// Ends the waits that have lasted long enough; when the next one will have.
    pub(super) fn end_late(&self, alarm: &Arc<Notify>) -> Option<Instant> {
        let mut state = self.state();
        let wakers = state.queue.end_late(Instant::now());
        let next = state.queue.next_end().filter(|_| !state.closed);
        state.alarms.put_off(alarm, next);
        drop(state);
        wake(wakers);
        next
    }

    /// Takes note that an alarm does not ring any more; whether it was to.
    pub(super) fn unset(&self, alarm: &Arc<Notify>) -> bool {
        self.state().alarms.put_off(alarm, None)
    }

    /// Has all who wait look again.
    pub(super) fn wake_all(&self) {
        let wakers = self.state().queue.wakers();
        wake(wakers);
    }

    pub(super) fn shelf<T>(&self, act: impl FnOnce(&mut Shelf) -> T) -> T {
        act(&mut self.state().shelf)
    }

    /// The wait of an acquire that is not in line.
    pub(super) fn wait(&self, limit: Option<Duration>, now: Instant) -> Wait {
        Wait::within(limit.unwrap_or_else(|| self.state().acquire_timeout), now)
    }

    /// Takes a place among those who wait, for anything but a permit.
    pub(super) fn enter(&self, wait: Wait) -> usize {
        let mut state = self.state();
        let key = state.queue.enter(wait);
        if state.closed {
            state.queue.end_all(&End::Closed);
        }
        key
    }

    pub(super) fn leave(&self, key: usize) {
        let mut unneeded = None;
        let mut state = self.state();
        let waker = match state.queue.leave(key, &mut unneeded) {
            true => state.give(),
            false => None,
        };
        drop(state);
        wake(waker);
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Takes a permit back, and does something with what is idle before anybody gets it.
    pub(super) fn release<T>(&self, act: impl FnOnce(&mut Shelf) -> T) -> T {
        let mut state = self.state();
        let done = act(&mut state.shelf);
        let waker = match self.take_surplus() {
            true => None,
            false => state.give(),
        };
        drop(state);
        wake(waker);
        if self.watching.load(Ordering::Relaxed) > 0 {
            self.returned.notify_waiters();
        }
        done
    }

    /// Whether some are to end when they are given back.
    pub(super) fn are_too_many(&self) -> bool {
        self.surplus.load(Ordering::Relaxed) > 0
    }

    fn take_surplus(&self) -> bool {
        self.are_too_many()
            && self
                .surplus
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                    left.checked_sub(1)
                })
                .is_ok()
    }
}

impl State {
    /// A permit, for the first in line or for whoever comes.
    fn give(&mut self) -> Option<Waker> {
        let granted = self.queue.grant();
        self.free += usize::from(granted.is_none());
        granted.flatten()
    }

    pub(super) fn wait(&self, limit: Option<Duration>, now: Instant) -> Result<Wait, Error> {
        if let Some(most) = self.max_waiting
            && self.queue.in_line() >= most
        {
            return Err(Error::QueueFull(most));
        }
        Ok(Wait::within(limit.unwrap_or(self.acquire_timeout), now))
    }

    /// Whether a permit was free.
    pub(super) fn take(&mut self) -> Result<bool, Error> {
        if self.closed {
            return Err(Error::Closed);
        }
        let is_free = self.free > 0;
        self.free -= usize::from(is_free);
        Ok(is_free)
    }
}

/// Sees to it that the wait ends in time.
pub(super) fn keep_time(
    house: &Arc<House>,
    mut state: MutexGuard<'_, State>,
    wait: Wait,
    runtime: Option<Handle>,
) {
    let Some(until) = wait.until else {
        return;
    };
    let runtime = runtime.unwrap_or_else(Handle::current);
    let unset = state.alarms.set(runtime.id(), until);
    drop(state);
    if let Some(alarm) = unset {
        alarm::start(house, &runtime, alarm);
    }
}

fn wake(wakers: impl IntoIterator<Item = Waker>) {
    for waker in wakers {
        waker.wake();
    }
}
