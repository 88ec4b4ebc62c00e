use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use tokio::{runtime::Handle, sync::Notify, time::Instant};

use super::{
    alarm::{self, Alarms},
    house::House,
    queue::{End, Queue, Wait},
    session::Session,
    shelf::Shelf,
    waiting::{Asked, Waiting},
};
use crate::{
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
    crowded: AtomicBool,
    returned: Notify,
    /// How many wait for `returned`, since to notify nobody takes a lock.
    watching: AtomicUsize,
}

/// On cache lines of its own: who looks at the lock, or at what is beside it, does not disturb who has it.
#[derive(Debug)]
#[repr(align(128))]
struct State {
    limit: usize,
    /// None is free while somebody is in line.
    free: usize,
    max_waiting: Option<usize>,
    acquire_timeout: Duration,
    closed: bool,
    queue: Queue,
    alarms: Alarms,
    shelf: Shelf,
}

/// A permit, and what is idle, unless the pool is suspended.
pub(super) type Granted = (Permit, Option<Box<Session>>);

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

    /// Takes note that nobody keeps the time any more.
    pub(super) fn lost(&self, alarm: &Arc<Notify>) {
        let mut state = self.state();
        let wakers = match state.alarms.put_off(alarm, None) {
            true => state.queue.wakers(),
            false => Vec::new(),
        };
        drop(state);
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

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
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

impl State {
    /// A permit, for the first in line or for whoever comes.
    fn give(&mut self) -> Option<Waker> {
        let granted = self.queue.grant();
        self.free += usize::from(granted.is_none());
        granted.flatten()
    }

    fn wait(&self, limit: Option<Duration>, now: Instant) -> Result<Wait, Error> {
        if let Some(most) = self.max_waiting
            && self.queue.in_line() >= most
        {
            return Err(Error::QueueFull(most));
        }
        Ok(Wait::within(limit.unwrap_or(self.acquire_timeout), now))
    }

    /// Whether a permit was free.
    fn take(&mut self) -> Result<bool, Error> {
        if self.closed {
            return Err(Error::Closed);
        }
        let is_free = self.free > 0;
        self.free -= usize::from(is_free);
        Ok(is_free)
    }
}

/// Sees to it that the wait ends in time.
fn keep_time(
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

/// Gives itself back when dropped.
#[derive(Debug)]
pub(super) struct Permit {
    house: Arc<House>,
    is_over: bool,
}

impl Permit {
    fn new(house: &Arc<House>) -> Self {
        Self {
            house: Arc::clone(house),
            is_over: false,
        }
    }

    /// One that is free, if nobody waits.
    pub(super) fn free(house: &Arc<House>) -> Result<Option<Self>, Error> {
        let is_free = house.permits.state().take()?;
        Ok(is_free.then(|| Self::new(house)))
    }

    /// One that is free, or a place in line.
    pub(super) fn ask<'a>(
        house: &'a Arc<House>,
        limit: Option<Duration>,
        now: Instant,
    ) -> impl Future<Output = Result<Asked<'a>, Error>> {
        Self::ask_for(house, move |state| state.wait(limit, now))
    }

    /// Gives it back, and waits for another, whoever else may wait.
    pub(super) async fn exchange(self) -> Result<Granted, Error> {
        let house = Arc::clone(&self.house);
        drop(self);
        match Self::ask_for(&house, |_| Ok(Wait::until(None))).await? {
            Asked::Granted(granted) => Ok(granted),
            Asked::InLine(mut waiting) => waiting.granted().await.map_err(|end| match end {
                End::Refused(error) => Error::Connect(error),
                End::Closed | End::Late => Error::Closed,
            }),
        }
    }

    fn ask_for<'a>(
        house: &'a Arc<House>,
        wait: impl Fn(&State) -> Result<Wait, Error>,
    ) -> impl Future<Output = Result<Asked<'a>, Error>> {
        poll_fn(move |cx| {
            // Not under the lock, since all who ask for it write to one place.
            let crowded = &house.permits.crowded;
            let runtime = crowded.load(Ordering::Relaxed).then(Handle::current);
            let mut state = house.permits.state();
            if state.take()? {
                crowded.store(false, Ordering::Relaxed);
                return Poll::Ready(Ok(Asked::Granted(Self::granted(house, state))));
            }
            crowded.store(true, Ordering::Relaxed);
            let wait = wait(&state)?;
            let key = state.queue.line_up(wait, cx);
            // First of all, so that nobody stays in line if there is no runtime.
            let waiting = Waiting::in_line(house, key, wait);
            keep_time(house, state, wait, runtime);
            Poll::Ready(Ok(Asked::InLine(waiting)))
        })
    }

    /// What a wait has come to.
    pub(super) fn poll(
        house: &Arc<House>,
        key: usize,
        wait: Wait,
        cx: &Context<'_>,
    ) -> Poll<Result<Granted, End>> {
        let mut unneeded = None;
        let mut state = house.permits.state();
        match state.queue.poll(key, cx, &mut unneeded) {
            Poll::Ready(Ok(())) => {
                state.queue.leave(key, &mut unneeded);
                Poll::Ready(Ok(Self::granted(house, state)))
            }
            Poll::Ready(Err(end)) => Poll::Ready(Err(end)),
            Poll::Pending => {
                keep_time(house, state, wait, None);
                Poll::Pending
            }
        }
    }

    fn granted(house: &Arc<House>, mut state: MutexGuard<'_, State>) -> Granted {
        let idle = match house.suspension.is_on() {
            true => None,
            false => state.shelf.take(),
        };
        drop(state);
        (Self::new(house), idle)
    }

    /// The same, together with a session that waits for the next borrower.
    pub(super) fn give_back(mut self, session: Box<Session>) {
        drop(self.end(|shelf| shelf.put(session)));
    }

    fn end<T>(&mut self, act: impl FnOnce(&mut Shelf) -> T) -> T {
        self.is_over = true;
        let permits = &self.house.permits;
        let mut state = permits.state();
        let done = act(&mut state.shelf);
        let waker = match permits.take_surplus() {
            true => None,
            false => state.give(),
        };
        drop(state);
        wake(waker);
        if permits.watching.load(Ordering::Relaxed) > 0 {
            permits.returned.notify_waiters();
        }
        done
    }

    /// Whether its connection is one too many.
    pub(super) fn is_surplus(&self) -> bool {
        self.house.permits.surplus.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.is_over {
            self.end(|_| ());
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
    use std::{future::ready, pin::pin, task::Waker};

    use tokio::{
        runtime::Runtime,
        task::yield_now,
        time::{sleep, timeout},
    };

    use super::*;

    const LIMIT: Duration = Duration::from_millis(50);
    const SLACK: Duration = Duration::from_secs(10);

    fn house(limit: usize) -> Arc<House> {
        Arc::new(House::new(Default::default(), Permits::new(limit)))
    }

    fn free(house: &Arc<House>) -> Vec<Permit> {
        std::iter::from_fn(|| Permit::free(house).unwrap()).collect()
    }

    async fn permit(house: &Arc<House>, limit: Duration) -> Result<Permit, End> {
        match Permit::ask(house, Some(limit), Instant::now())
            .await
            .unwrap()
        {
            Asked::Granted((permit, _)) => Ok(permit),
            Asked::InLine(mut waiting) => waiting.granted().await.map(|(permit, _)| permit),
        }
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
            yield_now().await;
        }
        assert!(!waits.is_finished());
        assert_eq!(
            house.permits.waiting().0,
            0,
            "who exchanges is counted already"
        );
        lent.pop();
        drop(waits.await.unwrap().unwrap());
        drop(lent);
        assert_eq!(free(&house).len(), 3);
    }

    #[tokio::test]
    async fn who_goes_away_leaves_the_others_their_order() {
        let house = house(1);
        let mut lent = free(&house);
        let mut waits: Vec<_> = (0..6).map(|_| Box::pin(permit(&house, SLACK))).collect();
        let mut cx = Context::from_waker(Waker::noop());
        for wait in &mut waits {
            assert!(wait.as_mut().poll(&mut cx).is_pending());
        }
        assert_eq!(house.permits.waiting().0, 6);
        drop(waits.remove(3));
        drop(lent.pop());
        assert!(free(&house).is_empty(), "it is the first one's");
        drop(waits.remove(0));
        house.permits.resize(3);
        let polls: Vec<_> = waits
            .iter_mut()
            .map(|wait| wait.as_mut().poll(&mut cx))
            .collect();
        let got: Vec<_> = polls.iter().map(Poll::is_ready).collect();
        assert_eq!(got, [true, true, true, false]);
        assert_eq!(house.permits.waiting().0, 1);
    }

    #[tokio::test]
    async fn whoever_is_not_polled_holds_up_no_end() {
        let house = house(1);
        let _lent = free(&house);
        let mut cx = Context::from_waker(Waker::noop());
        let mut idle = pin!(permit(&house, 2 * LIMIT));
        assert!(idle.as_mut().poll(&mut cx).is_pending());
        let earlier = timeout(SLACK, permit(&house, LIMIT)).await.unwrap();
        assert!(matches!(earlier, Err(End::Late)));
        let later = timeout(SLACK, permit(&house, 3 * LIMIT)).await.unwrap();
        assert!(matches!(later, Err(End::Late)));
        assert!(matches!(idle.await, Err(End::Late)));
        assert_eq!(house.permits.waiting(), (0, None));
    }

    #[tokio::test]
    async fn no_limit_is_too_short_or_too_long() {
        let house = house(1);
        let lent = free(&house);
        let mut cx = Context::from_waker(Waker::noop());
        let mut none = pin!(permit(&house, Duration::ZERO));
        assert!(matches!(
            none.as_mut().poll(&mut cx),
            Poll::Ready(Err(End::Late))
        ));
        let mut ever = pin!(permit(&house, Duration::MAX));
        assert!(ever.as_mut().poll(&mut cx).is_pending());
        drop(lent);
        assert!(ever.await.is_ok());
    }

    /// Whose time ends is served all the same, if that can be done at once.
    #[tokio::test]
    async fn what_is_ready_at_the_end_counts() {
        let house = house(1);
        let waiting = Waiting::enter(&house, Wait::within(LIMIT, Instant::now()));
        sleep(2 * LIMIT).await;
        assert!(matches!(waiting.unless_ended(ready(7)).await, Ok(7)));
        house.permits.close();
        assert!(matches!(
            waiting.unless_ended(ready(7)).await,
            Err(End::Closed)
        ));
        let waiting = Waiting::enter(&house, Wait::within(LIMIT, Instant::now()));
        assert!(matches!(
            waiting.unless_ended(ready(7)).await,
            Err(End::Closed)
        ));
        assert!(matches!(
            Permit::ask(&house, None, Instant::now()).await,
            Err(Error::Closed)
        ));
    }

    #[test]
    fn who_has_moved_to_another_runtime_keeps_his_limit() {
        let house = house(1);
        let _lent = free(&house);
        let [first, second] = [Runtime::new().unwrap(), Runtime::new().unwrap()];
        let mut waits = Box::pin(permit(&house, LIMIT));
        first.block_on(async {
            let mut cx = Context::from_waker(Waker::noop());
            assert!(waits.as_mut().poll(&mut cx).is_pending());
        });
        let moved = second.spawn({
            let house = Arc::clone(&house);
            async move { permit(&house, SLACK).await }
        });
        drop(first);
        let ended = second.block_on(async { timeout(SLACK, waits).await });
        assert!(matches!(ended, Ok(Err(End::Late))));
        moved.abort();
    }
}
