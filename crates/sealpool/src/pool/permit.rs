use std::{
    future::poll_fn,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

use parking_lot::MutexGuard;
use tokio::{runtime::Handle, time::Instant};

use super::{
    house::House,
    permits::{State, keep_time},
    queue::{End, Wait},
    session::Session,
    shelf::Shelf,
    waiting::{Asked, Waiting},
};
use crate::error::Error;

/// A permit, and what is idle, unless the pool is suspended.
pub(super) type Granted = (Permit, Option<Box<Session>>);

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
                if runtime.is_some() {
                    crowded.store(false, Ordering::Relaxed);
                }
                return Poll::Ready(Ok(Asked::Granted(Self::granted(house, state))));
            }
            if runtime.is_none() {
                crowded.store(true, Ordering::Relaxed);
            }
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

    /// Gives it back together with a session, which waits for the next borrower.
    pub(super) fn give_back(mut self, session: Box<Session>) {
        drop(self.end(|shelf| shelf.put(session)));
    }

    fn end<T>(&mut self, act: impl FnOnce(&mut Shelf) -> T) -> T {
        self.is_over = true;
        self.house.permits.release(act)
    }

    /// Whether its connection is one too many.
    pub(super) fn is_surplus(&self) -> bool {
        self.house.permits.are_too_many()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.is_over {
            self.end(|_| ());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::{pending, ready},
        pin::pin,
        sync::atomic::AtomicUsize,
        task::{Wake, Waker},
    };

    use tokio::{
        runtime::{Builder, Runtime},
        task::yield_now,
        time::{advance, timeout},
    };

    use super::*;
    use crate::pool::permits::Permits;

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
    #[tokio::test(start_paused = true)]
    async fn what_is_ready_at_the_end_counts() {
        let house = house(1);
        let waiting = Waiting::enter(&house, Wait::within(LIMIT, Instant::now()));
        advance(LIMIT).await;
        assert_eq!(house.permits.end_late(&Arc::default()), None);
        assert!(matches!(waiting.unless_ended(ready(7)).await, Ok(7)));
        let late = waiting.unless_ended(pending::<()>()).await;
        assert!(matches!(late, Err(End::Late)));
        let waiting = Waiting::enter(&house, Wait::within(LIMIT, Instant::now()));
        house.permits.close();
        let closed = waiting.unless_ended(ready(7)).await;
        assert!(matches!(closed, Err(End::Closed)));
        let waiting = Waiting::enter(&house, Wait::within(LIMIT, Instant::now()));
        let closed = waiting.unless_ended(ready(7)).await;
        assert!(matches!(closed, Err(End::Closed)));
        let closed = Permit::ask(&house, None, Instant::now()).await;
        assert!(matches!(closed, Err(Error::Closed)));
    }

    /// How often somebody was woken.
    #[derive(Default)]
    struct Calls(AtomicUsize);

    impl Wake for Calls {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn whose_runtime_ends_is_woken_once() {
        let house = house(1);
        let lent = free(&house);
        let calls = Arc::<Calls>::default();
        let waker = Waker::from(Arc::clone(&calls));
        let mut cx = Context::from_waker(&waker);
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let handle = runtime.handle().clone();
        let mut waits = Box::pin(permit(&house, SLACK));
        runtime.block_on(async {
            assert!(waits.as_mut().poll(&mut cx).is_pending());
            // What keeps the time has its turn.
            yield_now().await;
        });
        drop(runtime);
        assert_eq!(calls.0.load(Ordering::SeqCst), 1, "to look for another");
        let _dead = handle.enter();
        assert!(waits.as_mut().poll(&mut cx).is_pending());
        assert_eq!(calls.0.load(Ordering::SeqCst), 1, "and not for ever");
        drop(lent);
        assert_eq!(calls.0.load(Ordering::SeqCst), 2);
        assert!(waits.as_mut().poll(&mut cx).is_ready());
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
