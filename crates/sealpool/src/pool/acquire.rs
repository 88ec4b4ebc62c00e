use std::{
    future::poll_fn,
    panic::Location,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::{runtime::Handle, time::Instant};
use tracing::Instrument;

use super::{
    Client, Pool,
    manager::{check, is_sound},
    opening::{Kept, Outcome},
    permit::Permit,
    queue::{End, Wait},
    session::Session,
    shelf::Shelf,
    trace::Trace,
    waiting::{Asked, Waiting},
    watch::Watch,
};
use crate::{
    error::{AcquireTimeout, Error},
    hook::{Hook, HookError},
};

impl Pool {
    /// Takes a connection out of the pool, waiting for one or opening one as needed; it goes back when the client is
    /// dropped.
    ///
    /// Callers are served in the order in which they came. Dropping the future at any time loses nothing: a connection
    /// that is being opened for it is there for the next caller. A connect that fails for a reason that may pass is tried
    /// again within the limit (`connect.retry`).
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`] after `pool.acquire_timeout`, [`Error::QueueFull`] when `pool.max_waiting` acquires wait
    /// already, [`Error::Connect`] when a connection could not be opened and waiting does not heal that: this caller
    /// and all who wait get it at once, and within 5 s it is tried twice at most; [`Error::Hook`] when the application's
    /// `before_acquire` hook failed; [`Error::Closed`].
    #[track_caller]
    pub fn acquire(&self) -> impl Future<Output = Result<Client, Error>> + Send {
        self.acquire_within(None, Location::caller())
    }

    /// The same, with a limit of this call's own.
    ///
    /// # Errors
    ///
    /// As for [`Pool::acquire`].
    #[track_caller]
    pub fn acquire_timeout(
        &self,
        limit: Duration,
    ) -> impl Future<Output = Result<Client, Error>> + Send {
        self.acquire_within(Some(limit), Location::caller())
    }

    /// An idle connection, or nothing: it waits for nobody, opens nothing and asks the server nothing, so the connection
    /// may have been lost unnoticed while it was idle. One that came back a moment ago may not be ready to be lent again.
    #[must_use]
    #[track_caller]
    pub fn try_acquire(&self) -> Option<Client> {
        let place = Location::caller();
        let manager = Arc::clone(&self.manager);
        if manager.house.suspension.is_on() {
            return None;
        }
        let permit = Permit::free(&manager.house).ok()??;
        let get = async move {
            while let Some(mut session) = manager.house.shelf(Shelf::take) {
                if !is_sound(&mut session).await {
                    continue;
                }
                let mut client = Client::lent(session, permit, place, Instant::now());
                let fit = manager.house.before_acquire(client.session_mut()).await;
                if matches!(fit, Ok(true)) {
                    return Some(client);
                }
                drop(client.discard());
                return None;
            }
            None
        };
        let mut get = Box::pin(get);
        let mut cx = Context::from_waker(Waker::noop());
        match get.as_mut().poll(&mut cx) {
            Poll::Ready(Some(client)) => {
                let watch = Watch::begin(self.manager.connector().observer());
                watch.ended(Ok(client)).ok()
            }
            Poll::Ready(None) => None,
            Poll::Pending => {
                // What was taken out for it would be closed with it.
                if let Ok(runtime) = Handle::try_current() {
                    runtime.spawn(async move { drop(get.await) });
                }
                None
            }
        }
    }

    async fn acquire_within(
        &self,
        limit: Option<Duration>,
        place: &'static Location<'static>,
    ) -> Result<Client, Error> {
        let manager = &self.manager;
        let mut watch = Watch::begin(manager.connector().observer());
        let trace = Trace::new(&manager.name);
        manager.upkeep.ensure(manager);
        let result = self.take(limit, place, &mut watch, &trace).await;
        watch.ended(trace.ended(result))
    }

    async fn take(
        &self,
        limit: Option<Duration>,
        place: &'static Location<'static>,
        watch: &mut Watch<'_>,
        trace: &Trace<'_>,
    ) -> Result<Client, Error> {
        let house = &self.manager.house;
        let now = watch.started().unwrap_or_else(Instant::now);
        let (granted, now, waited) = match Permit::ask(house, limit, now).await? {
            Asked::Granted(granted) => (granted, watch.now_or(now), None),
            Asked::InLine(mut waiting) => {
                watch.waits();
                trace.waits();
                let granted = waiting.granted().await;
                let granted = granted.map_err(|end| self.ended(end, waiting.wait(), limit))?;
                (granted, Instant::now(), Some(waiting.wait()))
            }
        };
        let (permit, idle) = granted;
        let found = match idle {
            Some(session) if session.is_fit(now) && house.hooks.before_acquire.is_none() => {
                watch.ends_at(now);
                return Ok(Client::lent(session, permit, place, now));
            }
            doubtful => doubtful.map(Kept::new),
        };
        let mut work = pin!(self.get(found, permit, place, trace));
        // Most acquires end at once, and those need no place among those who wait.
        if waited.is_none()
            && let Poll::Ready(result) = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await
        {
            return result;
        }
        watch.waits();
        let wait = waited.unwrap_or_else(|| house.permits.wait(limit, now));
        let waiting = Waiting::enter(house, wait);
        let work = work.instrument(trace.waits().clone());
        match waiting.unless_ended(work).await {
            Ok(result) => result,
            Err(end) => Err(self.ended(end, wait, limit)),
        }
    }

    fn ended(&self, end: End, wait: Wait, limit: Option<Duration>) -> Error {
        match end {
            End::Closed => Error::Closed,
            End::Refused(error) => Error::Connect(error),
            End::Late => Error::Timeout(AcquireTimeout {
                limit: wait.limit().unwrap_or(Duration::MAX),
                setting: limit.is_none().then_some("pool.acquire_timeout"),
                status: self.status().into(),
                oldest: self.holders().into_iter().max_by_key(|holder| holder.held),
                last: self.manager.gate.last_failure(),
            }),
        }
    }

    async fn get(
        &self,
        mut found: Option<Kept>,
        mut permit: Permit,
        place: &'static Location<'static>,
        trace: &Trace<'_>,
    ) -> Result<Client, Error> {
        let mut refused = 0;
        loop {
            let session;
            (session, permit) = self.get_any(found.take(), permit, trace).await?;
            let house = &self.manager.house;
            let mut client = Client::lent(session, permit, place, Instant::now());
            let fit = house.before_acquire(client.session_mut()).await;
            if matches!(fit, Ok(true)) {
                return Ok(client);
            }
            permit = client.discard();
            match fit {
                Err(error) if !error.is_lost() => return Err(error.into()),
                Ok(_) | Err(_) => refused += 1,
            }
            if refused > house.permits.limit() {
                return Err(HookError::picky(Hook::BeforeAcquire, refused).into());
            }
        }
    }

    /// An idle connection, or one that is opened when it is this caller's turn.
    async fn get_any(
        &self,
        mut found: Option<Kept>,
        mut permit: Permit,
        trace: &Trace<'_>,
    ) -> Result<(Box<Session>, Permit), Error> {
        let manager = &self.manager;
        let house = &manager.house;
        loop {
            house.suspension.over().await;
            let mut next = || found.take().and_then(Kept::take);
            while let Some(mut session) = next().or_else(|| house.shelf(Shelf::take)) {
                if check(&mut session).await {
                    return Ok((session, permit));
                }
            }
            if manager.is_closing() {
                return Err(Error::Closed);
            }
            let policy = manager.connector().policy();
            let turn = tokio::select! {
                biased;
                turn = manager.gate.turn(&policy) => turn?,
                () = house.permits.returned() => continue,
            };
            // Opened for somebody who has gone away since.
            if !house.shelf(|shelf| shelf.is_empty()) {
                continue;
            }
            if permit.is_surplus() {
                drop(turn);
                let idle;
                (permit, idle) = permit.exchange().await?;
                found = idle.map(Kept::new);
                continue;
            }
            let outcome = manager.open(turn, permit, trace.waits()).await?;
            let Outcome {
                opened,
                permit: same,
            } = outcome;
            permit = same;
            match opened {
                Ok(kept) => found = Some(kept),
                Err(error) if manager.pooling().retry && error.is_transient() => {}
                Err(error) => return Err(Error::Connect(error)),
            }
        }
    }
}
