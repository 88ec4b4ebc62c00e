use std::{
    cell::Cell,
    future::poll_fn,
    panic::Location,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use deadpool::managed::{PoolError, Timeouts};
use tokio::{
    runtime::Handle,
    time::{sleep, timeout},
};
use tracing::Instrument;

use super::{
    Client, Pool,
    gate::Verdict,
    manager::{IDLE_ONLY, NoneThere, OPENED},
    opening::{Kept, Outcome},
    permits::Permit,
    trace::Trace,
    watch::Watch,
};
use crate::{
    error::{AcquireTimeout, Error},
    hook::{Hook, HookError},
};

/// After which it is looked again whether there is room.
const MOMENT: Duration = Duration::from_millis(5);

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
        const NO_WAITING: Timeouts = Timeouts {
            wait: Some(Duration::ZERO),
            create: None,
            recycle: None,
        };
        let place = Location::caller();
        if self.connections.manager().suspension.is_on() {
            return None;
        }
        let permit = self.connections.manager().permits.free().ok()??;
        let pool = self.clone();
        let get = async move {
            let got = pool.connections.timeout_get(&NO_WAITING).await.ok()?;
            let mut client = got.lent(permit, place);
            match pool.is_fit(&mut client).await {
                Ok(true) => return Some(client),
                Ok(false) | Err(_) => drop(client.discard()),
            }
            None
        };
        let mut get = Box::pin(IDLE_ONLY.scope((), get));
        let mut cx = Context::from_waker(Waker::noop());
        match get.as_mut().poll(&mut cx) {
            Poll::Ready(Some(client)) => {
                let watch = Watch::begin(self.connections.manager().connector().observer());
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
        let manager = self.connections.manager();
        let mut watch = Watch::begin(manager.connector().observer());
        let trace = Trace::new(&manager.name);
        manager.upkeep.ensure(&self.connections);
        let mut work = pin!(async {
            let permit = manager.permits.acquire().await?;
            self.get(permit, place, &trace).await
        });
        // Most acquires end at once, and those need neither a timer nor a place among those who wait.
        let first = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await;
        if let Poll::Ready(result) = first {
            return watch.ended(trace.ended(result));
        }
        watch.waits();
        let work = work.instrument(trace.waits().clone());
        let (limit, setting) = match limit {
            Some(limit) => (limit, None),
            None => (
                manager.pooling().acquire_timeout,
                Some("pool.acquire_timeout"),
            ),
        };
        let _waiting = manager.waiters.enter();
        let mut verdicts = manager.gate.verdicts();
        let verdict = async {
            if manager.is_closing() {
                return Error::Closed;
            }
            match verdicts.changed().await {
                Ok(()) => match &*verdicts.borrow() {
                    Verdict::Refused(error) => Error::Connect(error.clone()),
                    Verdict::Closed | Verdict::None => Error::Closed,
                },
                Err(_) => Error::Closed,
            }
        };
        let result = tokio::select! {
            biased;
            // Before anything else is tried that waiting does not heal.
            error = verdict => Err(error),
            result = work => result,
            () = sleep(limit) => Err(Error::Timeout(AcquireTimeout {
                limit,
                setting,
                status: self.status().into(),
                oldest: self.holders().into_iter().max_by_key(|holder| holder.held),
                last: manager.gate.last_failure(),
            })),
        };
        watch.ended(trace.ended(result))
    }

    async fn get(
        &self,
        mut permit: Permit,
        place: &'static Location<'static>,
        trace: &Trace<'_>,
    ) -> Result<Client, Error> {
        let mut refused = 0;
        loop {
            let got;
            (got, permit) = self.get_any(permit, trace).await?;
            let mut client = got.lent(permit, place);
            if self
                .connections
                .manager()
                .house
                .hooks
                .before_acquire
                .is_none()
            {
                return Ok(client);
            }
            let fit = self.is_fit(&mut client).await;
            if matches!(fit, Ok(true)) {
                return Ok(client);
            }
            permit = client.discard();
            match fit {
                Err(error) if !error.is_lost() => return Err(error.into()),
                Ok(_) | Err(_) => refused += 1,
            }
            if refused > self.connections.manager().permits.limit() {
                return Err(HookError::picky(Hook::BeforeAcquire, refused).into());
            }
        }
    }

    /// What the hook says.
    async fn is_fit(&self, client: &mut Client) -> Result<bool, HookError> {
        let house = &self.connections.manager().house;
        house.before_acquire(client.session_mut()).await
    }

    /// An idle connection, or one that is opened when it is this caller's turn.
    async fn get_any(
        &self,
        mut permit: Permit,
        trace: &Trace<'_>,
    ) -> Result<(Client, Permit), Error> {
        let manager = self.connections.manager();
        loop {
            manager.suspension.over().await;
            match self.connections.get().await {
                Ok(client) => return Ok((client, permit)),
                Err(PoolError::Backend(NoneThere)) => {}
                Err(_) => return Err(Error::Closed),
            }
            let policy = manager.connector().policy();
            let turn = tokio::select! {
                biased;
                turn = manager.gate.turn(&policy) => turn?,
                () = manager.permits.returned() => continue,
            };
            // Opened for somebody who has gone away since.
            if !manager.shelf.is_empty() {
                continue;
            }
            if manager.is_overfull() {
                drop(turn);
                let _ = timeout(MOMENT, manager.permits.returned()).await;
                continue;
            }
            let outcome = manager.open(turn, permit, trace.waits()).await?;
            let Outcome {
                opened,
                permit: same,
            } = outcome;
            permit = same;
            match opened {
                Ok(kept) => return Ok((self.enter(kept).await?, permit)),
                Err(error) if manager.pooling().retry && error.is_transient() => {}
                Err(error) => return Err(Error::Connect(error)),
            }
        }
    }

    /// Takes what has been opened into the pool; if something came back meanwhile, that is lent and this laid down.
    async fn enter(&self, kept: Kept) -> Result<Client, Error> {
        let get = self.connections.get();
        let entered = OPENED.scope(Cell::new(Some(kept)), get).await;
        entered.map_err(|_| Error::Closed)
    }
}
