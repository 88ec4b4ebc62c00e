use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use deadpool_postgres::ClientWrapper;
use tokio::{runtime::Handle, time::timeout};

use super::{
    hooks::{ConnectRequest, HookFuture, OnClient},
    house::House,
    ledger::Card,
    permit::Permit,
    session::Session,
};
use crate::{
    hook::{Hook, HookError},
    policy::Policy,
};

impl House {
    pub(super) async fn before_connect(&self, policy: &Policy) -> Result<(), HookError> {
        let Some(hook) = &self.hooks.before_connect else {
            return Ok(());
        };
        let request = ConnectRequest::new(policy);
        let limit = policy.pooling.hook_timeout;
        call(Hook::BeforeConnect, limit, || hook(request)).await
    }

    /// Whoever sets a session up may leave in it what he likes.
    pub(super) async fn after_connect(&self, session: &mut Session) -> Result<(), HookError> {
        let Some(hook) = &self.hooks.after_connect else {
            return Ok(());
        };
        ask(Hook::AfterConnect, hook, session).await?;
        session.condition().was_set_up();
        Ok(())
    }

    /// Whether it may be lent.
    pub(super) async fn before_acquire(&self, session: &mut Session) -> Result<bool, HookError> {
        let Some(hook) = &self.hooks.before_acquire else {
            return Ok(true);
        };
        ask(Hook::BeforeAcquire, hook, session).await
    }

    /// Whether it is to be kept.
    pub(super) async fn after_release(&self, session: &mut Session) -> bool {
        let Some(hook) = &self.hooks.after_release else {
            return true;
        };
        let answer = ask(Hook::AfterRelease, hook, session).await;
        answer.unwrap_or_else(|error| {
            report(&error);
            false
        })
    }

    /// Parts with a connection, in the background if there is a hook and a runtime.
    pub(super) fn part(
        self: &Arc<Self>,
        client: ClientWrapper,
        card: &Arc<Card>,
        permit: Option<Permit>,
        limit: Duration,
    ) {
        let mut parting = Parting {
            client,
            card: Arc::clone(card),
            // Until then the server has one more.
            _permit: permit.or_else(|| Permit::free(self).ok().flatten()),
        };
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let house = Arc::clone(self);
        runtime.spawn(async move {
            let Some(hook) = &house.hooks.before_close else {
                return;
            };
            let client = &mut parting.client;
            if let Err(error) = call(Hook::BeforeClose, limit, || hook(client)).await {
                report(&error);
            }
        });
    }
}

/// A connection that has left the pool; it may say goodbye when this is dropped.
struct Parting {
    client: ClientWrapper,
    card: Arc<Card>,
    _permit: Option<Permit>,
}

impl Drop for Parting {
    fn drop(&mut self) {
        self.card.let_go();
    }
}

fn report(error: &HookError) {
    let cause = std::error::Error::source(error);
    tracing::warn!(%error, cause, "a connection is closed");
}

/// Calls a hook with a session, which must be at rest afterwards.
async fn ask<T>(hook: Hook, asked: &OnClient<T>, session: &mut Session) -> Result<T, HookError> {
    let limit = session.hook_timeout();
    let answer = match call(hook, limit, || asked(session)).await {
        Ok(answer) => answer,
        Err(error) if session.is_closed() || error.is_farewell() => return Err(error.of_loss()),
        Err(error) => return Err(error),
    };
    let condition = session.condition();
    let rests = timeout(session.care().mend_timeout, condition.rest()).await;
    if session.is_closed() {
        Err(HookError::lost(hook))
    } else if rests == Ok(true) && !condition.is_in_transaction() {
        Ok(answer)
    } else {
        Err(HookError::unfinished(hook))
    }
}

/// One call, which ends at its limit, and whose panic stays here.
async fn call<'a, T>(
    hook: Hook,
    limit: Duration,
    begin: impl FnOnce() -> HookFuture<'a, T> + Send,
) -> Result<T, HookError> {
    let begun = catch_unwind(AssertUnwindSafe(begin));
    let mut future = begun.map_err(|_| HookError::panicked(hook))?;
    let ended = poll_fn(move |cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(Ok(answer))) => Poll::Ready(Ok(answer)),
            Ok(Poll::Ready(Err(error))) => Poll::Ready(Err(HookError::failed(hook, error))),
            Err(_) => Poll::Ready(Err(HookError::panicked(hook))),
        }
    });
    let late = |_| Err(HookError::late(hook, limit));
    timeout(limit, ended).await.unwrap_or_else(late)
}
