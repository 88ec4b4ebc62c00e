use std::{
    future::poll_fn,
    panic::Location,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use deadpool::managed::{PoolError, Timeouts};
use tokio::{runtime::Handle, time::sleep};

use super::{
    Client, Pool,
    gate::Verdict,
    manager::{IDLE_ONLY, NotOpened},
    permits::{Counted, Permit},
};
use crate::error::{AcquireTimeout, Error};

impl Pool {
    /// Takes a connection out of the pool, waiting for one or opening one as needed; it goes back when the client is
    /// dropped.
    ///
    /// Callers are served in the order in which they came. Dropping the future at any time loses nothing. A connect that
    /// fails for a reason that may pass is tried again within the limit (`connect.retry`).
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`] after `pool.acquire_timeout`, [`Error::QueueFull`] when `pool.max_waiting` acquires wait
    /// already, [`Error::Connect`] when a connection could not be opened and waiting does not heal that: this caller
    /// and all who wait get it at once, and within 5 s it is tried twice at most; [`Error::Closed`].
    #[track_caller]
    pub fn acquire(&self) -> impl Future<Output = Result<Client, Error>> + Send {
        let limit = self.connections.manager().pooling.acquire_timeout;
        self.acquire_within(limit, Some("pool.acquire_timeout"), Location::caller())
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
        self.acquire_within(limit, None, Location::caller())
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
        let permit = self.connections.manager().permits.free().ok()??;
        let connections = self.connections.clone();
        let get = async move { connections.timeout_get(&NO_WAITING).await };
        let mut get = Box::pin(IDLE_ONLY.scope((), get));
        let mut cx = Context::from_waker(Waker::noop());
        match get.as_mut().poll(&mut cx) {
            Poll::Ready(Ok(client)) => Some(client.lent(permit, place)),
            Poll::Ready(Err(_)) => None,
            Poll::Pending => {
                // What was taken out for it would be closed with it.
                if let Ok(runtime) = Handle::try_current() {
                    runtime.spawn(async move {
                        drop(get.await);
                        drop(permit);
                    });
                }
                None
            }
        }
    }

    async fn acquire_within(
        &self,
        limit: Duration,
        setting: Option<&'static str>,
        place: &'static Location<'static>,
    ) -> Result<Client, Error> {
        let manager = self.connections.manager();
        manager.upkeep.ensure(&self.connections);
        let mut work = pin!(async {
            let permit = manager.permits.acquire().await?;
            self.get(permit, place).await
        });
        // Most acquires end at once, and those need neither a timer nor a place among those who wait.
        let first = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await;
        if let Poll::Ready(result) = first {
            return result;
        }
        let (_waiting, _) = Counted::new(&manager.waiting);
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
        tokio::select! {
            biased;
            // Before anything else is tried that waiting does not heal.
            error = verdict => Err(error),
            result = work => result,
            () = sleep(limit) => Err(Error::Timeout(AcquireTimeout {
                limit,
                setting,
                status: self.status(),
                last: manager.gate.last_failure(),
            })),
        }
    }

    async fn get(
        &self,
        permit: Permit,
        place: &'static Location<'static>,
    ) -> Result<Client, Error> {
        loop {
            return match self.connections.get().await {
                Ok(client) => Ok(client.lent(permit, place)),
                Err(PoolError::Backend(NotOpened::Failed(error))) => Err(Error::Connect(error)),
                // First of all an idle connection, then the next turn to open one.
                Err(PoolError::Backend(NotOpened::Again)) => continue,
                // No hook and no limit of deadpool's own is set.
                Err(
                    PoolError::Backend(NotOpened::Unasked)
                    | PoolError::Closed
                    | PoolError::Timeout(_)
                    | PoolError::NoRuntimeSpecified
                    | PoolError::PostCreateHook(_),
                ) => Err(Error::Closed),
            };
        }
    }
}
