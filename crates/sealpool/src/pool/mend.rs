use std::{sync::Arc, thread, time::Duration};

use tokio::{
    runtime::Handle,
    time::{sleep, timeout},
};
use tokio_postgres::{Error, SimpleQueryMessage};

use super::{house::House, permit::Permit, session::Session};
use crate::{
    connect::{Condition, Loan, Turn},
    event::CloseReason,
    policy::{Care, Reset},
};

/// What `DISCARD ALL` does, but for the prepared statements: those of our cache stay. Those that SQL prepared are listed,
/// to be dropped by name.
const RESET: &str = "CLOSE ALL; \
                     SET SESSION AUTHORIZATION DEFAULT; \
                     RESET ROLE; \
                     RESET ALL; \
                     UNLISTEN *; \
                     SELECT pg_catalog.pg_advisory_unlock_all(); \
                     DISCARD TEMP; \
                     DISCARD SEQUENCES; \
                     SELECT name AS prepared FROM pg_catalog.pg_prepared_statements WHERE from_sql";

/// Lays a session down for the next borrower: at once if it is clean, otherwise once it has been mended.
pub(super) fn give_back(permit: Permit, session: Box<Session>) {
    if session.is_closed() {
        return session.close_in_place(CloseReason::Broken, Some(permit));
    }
    let panicking = thread::panicking();
    // First of all whether it is at rest: what is read after that is complete.
    let is_complete = session.condition().is_at_rest();
    let asks = session.house().hooks.after_release.is_some();
    let seems_clean = !panicking && seems_clean(&session);
    if is_complete && seems_clean && !asks {
        return permit.give_back(session);
    }
    let doubtful = Doubtful {
        session: Some(session),
        permit: Some(permit),
        reason: CloseReason::Dirty,
    };
    let Ok(runtime) = Handle::try_current() else {
        return;
    };
    if panicking {
        runtime.spawn(discard(doubtful));
    } else if seems_clean && !asks {
        if let Some(session) = &doubtful.session {
            runtime.spawn(Watch::begin(session).run());
        }
        doubtful.release();
    } else {
        runtime.spawn(mend(doubtful));
    }
}

/// Closes a session that has had its day, but not before a query that is still under way has been cancelled.
pub(super) fn retire(permit: Option<Permit>, session: Box<Session>, reason: CloseReason) {
    let is_busy = session.condition().is_busy();
    let doubtful = Doubtful {
        session: Some(session),
        permit,
        reason,
    };
    if is_busy && let Ok(runtime) = Handle::try_current() {
        runtime.spawn(discard(doubtful));
    }
}

/// Makes sure, before a session is lent again, that what its connection had not dealt with when it came back was nothing.
pub(super) async fn check(session: &mut Session) -> Result<(), CloseReason> {
    if !session.condition().is_unchecked() {
        return Ok(());
    }
    session.condition().take_turn();
    make_fit(session).await
}

fn seems_clean(session: &Session) -> bool {
    let condition = session.condition();
    !condition.is_busy()
        && !condition.is_in_transaction()
        && !needs_reset(session)
        && !session.is_in_doubt()
}

fn needs_reset(session: &Session) -> bool {
    match session.care().reset {
        Reset::Always => true,
        Reset::Auto => !session.condition().traces().is_empty(),
        Reset::Transaction => session.condition().traces().is_lost(),
    }
}

/// A session that must not be lent: closed when this is dropped, which is also how its task ends when its runtime does.
///
/// Its place in the pool stays taken until then.
struct Doubtful {
    session: Option<Box<Session>>,
    permit: Option<Permit>,
    /// Why it is closed, if that is what it comes to.
    reason: CloseReason,
}

impl Doubtful {
    fn release(mut self) {
        if let Some(session) = self.session.take() {
            session.lay_down();
        }
    }

    fn close(mut self, reason: CloseReason) {
        self.reason = reason;
    }
}

impl Drop for Doubtful {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            session.close_in_place(self.reason, self.permit.take());
        }
    }
}

/// Looks after a session that went back before its connection had dealt with all that it was given. That is hardly ever
/// more than the closing of a statement, and the next borrower makes sure of it; but if there is none, a query must not
/// go on.
struct Watch {
    house: Arc<House>,
    condition: Arc<Condition>,
    turn: Turn,
    care: Care,
}

impl Watch {
    fn begin(session: &Session) -> Self {
        Self {
            house: Arc::clone(session.house()),
            condition: Arc::clone(session.condition()),
            turn: session.condition().wait_unchecked(),
            care: session.care(),
        }
    }

    async fn run(self) {
        let Self {
            house,
            condition,
            turn,
            care,
        } = self;
        loop {
            match timeout(care.cancel_grace, condition.rest_in(turn)).await {
                Ok(true) if !condition.is_in_transaction() => return,
                Ok(_) => break,
                Err(_) if condition.is_busy() => break,
                // Before the connection's task has had its turn, nothing is known.
                Err(_) => {}
            }
        }
        let permit = loop {
            if !condition.is_in(turn) {
                return;
            }
            // The end of the pool has closed it.
            let Ok(free) = Permit::free(&house) else {
                return;
            };
            if free.is_some() {
                break free;
            }
            // Whoever has the last one may take this very session.
            sleep(care.cancel_grace).await;
        };
        let same = |session: &Session| {
            Arc::ptr_eq(session.condition(), &condition) && condition.is_in(turn)
        };
        if let Some(session) = house.shelf(|shelf| shelf.take_first(same)) {
            let _ = timeout(care.mend_timeout, stop(&session)).await;
            session.close_in_place(CloseReason::Dirty, permit);
        }
    }
}

/// Closes a session, but not before its query has been cancelled: the server would go on with that.
async fn discard(mut doubtful: Doubtful) {
    if let Some(session) = &mut doubtful.session {
        let limit = session.care().mend_timeout;
        let _ = timeout(limit, stop(session)).await;
    }
}

async fn mend(mut doubtful: Doubtful) {
    let Some(session) = &mut doubtful.session else {
        return;
    };
    match make_fit_and_ask(session).await {
        // It may have had its day meanwhile.
        Ok(()) => match session.come_back() {
            None => doubtful.release(),
            Some(reason) => doubtful.close(reason),
        },
        Err(reason) => doubtful.close(reason),
    }
}

/// What the hook leaves in the session is not for the next borrower either.
async fn make_fit_and_ask(session: &mut Session) -> Result<(), CloseReason> {
    make_fit(session).await?;
    let house = Arc::clone(session.house());
    if house.hooks.after_release.is_none() {
        return Ok(());
    }
    if !house.after_release(session).await {
        return Err(CloseReason::Dirty);
    }
    make_fit(session).await
}

/// Treats it, and sets it up again if it was reset.
async fn make_fit(session: &mut Session) -> Result<(), CloseReason> {
    let limit = session.care().mend_timeout;
    let treated = timeout(limit, treat(session)).await;
    let was_reset = treated.unwrap_or(Err(CloseReason::Dirty))?;
    if was_reset {
        let house = Arc::clone(session.house());
        let set_up = house.after_connect(session).await;
        set_up.map_err(|_| CloseReason::ResetFailed)?;
    }
    Ok(())
}

/// Whether it had to be reset.
async fn treat(session: &mut Session) -> Result<bool, CloseReason> {
    if !session.settled().await {
        return Err(CloseReason::Dirty);
    }
    stop(session).await?;
    let condition = session.condition();
    if condition.is_in_transaction() {
        let rolled_back = session.batch_execute("ROLLBACK").await;
        rolled_back.map_err(|_| CloseReason::Dirty)?;
    }
    let reset_is_due = needs_reset(session);
    if reset_is_due {
        if condition.traces().is_ruin() {
            return Err(CloseReason::Dirty);
        }
        clear(session).await.map_err(|_| CloseReason::ResetFailed)?;
    }
    if !condition.rest().await || condition.is_in_transaction() {
        return Err(CloseReason::Dirty);
    }
    if reset_is_due {
        condition.was_reset();
    }
    session.has_its_role(session.care().mend_timeout).await?;
    Ok(reset_is_due)
}

/// Waits for what is under way, and cancels it when the grace is over: again and again, for requests may be queued.
async fn stop(session: &Session) -> Result<(), CloseReason> {
    let condition = session.condition();
    let mut grace = session.care().cancel_grace;
    loop {
        match timeout(grace, condition.rest()).await {
            Ok(true) => return Ok(()),
            Ok(false) => return Err(CloseReason::Dirty),
            Err(_) if condition.is_busy() => {
                let request = session.cancel_handle(Arc::<Loan>::default());
                request.cancel().await.map_err(|_| CloseReason::Dirty)?;
                grace = grace.saturating_mul(2).max(Duration::from_millis(100));
            }
            // Before the connection's task has had its turn, there is nothing to cancel.
            Err(_) => {}
        }
    }
}

async fn clear(session: &Session) -> Result<(), Error> {
    let answer = session.simple_query(RESET).await?;
    let drops: String = answer
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.try_get("prepared").ok().flatten(),
            _ => None,
        })
        .map(|name| format!("DEALLOCATE \"{}\";", name.replace('"', "\"\"")))
        .collect();
    if drops.is_empty() {
        return Ok(());
    }
    session.batch_execute(&drops).await
}
