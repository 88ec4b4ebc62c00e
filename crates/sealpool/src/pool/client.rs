use std::{
    ops::{Deref, DerefMut},
    panic::Location,
    sync::{Arc, OnceLock},
};

use deadpool_postgres::ClientWrapper;
use tokio::time::Instant;

use super::{mend, permit::Permit, session::Session};
use crate::{
    connect::{CancelHandle, Loan, Mark, TlsSession},
    event::CloseReason,
};

/// A connection on loan: it goes back to the pool when this is dropped.
///
/// It goes back as it was lent, or not at all. A query that is still running is cancelled, a transaction rolled back, and
/// the session reset if something may have been left in it (setting `pool.reset`), all in the background; after a panic it
/// is closed. A session that nothing was left in costs no round trip. What a function stored in the database does to the
/// session is not noticed, unless it changes a setting that the server reports: that takes `pool.reset = "always"`.
///
/// A cached statement (`prepare_cached`) that the server has dropped, or that is older than its tables, costs one error at
/// most, or one transaction, whoever changed the tables: after that it is prepared anew. Only the lookup of types that are
/// not built in may fail after `DISCARD ALL` or `DEALLOCATE ALL` until the client is given back; its connection is closed
/// then. How many statements are kept, and none behind a proxy that pools transactions: `session.statement_cache`.
///
/// It derefs to [`deadpool_postgres::ClientWrapper`], which has the statement cache and transactions, and so to
/// [`tokio_postgres::Client`]. Code that is generic over `tokio_postgres::GenericClient` takes `&**client`, or a
/// transaction.
#[derive(Debug)]
pub struct Client {
    /// Taken when this is dropped, and not before. The permit is given back after the session, for whoever waits for one.
    lent: Option<(Box<Session>, Permit)>,
    /// Made for the first cancel handle.
    loan: OnceLock<Arc<Loan>>,
}

impl Client {
    /// The facts of this very connection's TLS.
    #[must_use]
    pub fn tls(&self) -> &TlsSession {
        self.session().tls()
    }

    /// A handle that cancels what this client is running, from any task, over TLS and no other way.
    ///
    /// It is tied to this loan: once the client has been dropped, it does nothing. The `cancel_token()` of
    /// [`tokio_postgres::Client`] sends nothing in clear text either: it has neither an address nor a way to seal.
    #[must_use]
    pub fn cancel_handle(&self) -> CancelHandle {
        self.session()
            .cancel_handle(Arc::clone(self.loan.get_or_init(Arc::default)))
    }

    /// A mark in what this client sends, for calls that must not be done twice: after one that has failed or was given up,
    /// it tells whether that may be done again.
    ///
    /// ```
    /// use sealpool::{Outcome, Pool};
    ///
    /// # async fn pay(pool: &Pool) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut client = pool.acquire().await?;
    /// let mut mark = client.mark();
    /// let transaction = client.transaction().await?;
    /// transaction.execute("update accounts set balance = balance - 1", &[]).await?;
    /// mark.renew();
    /// if let Err(error) = transaction.commit().await {
    ///     match mark.outcome() {
    ///         Outcome::NotSent => {} // do it all again, on another client
    ///         Outcome::Unknown => {} // look whether it was done
    ///         _ => return Err(error.into()),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark::new(self.session().condition())
    }

    pub(super) fn lent(
        mut session: Box<Session>,
        permit: Permit,
        place: &'static Location<'static>,
        now: Instant,
    ) -> Self {
        session.lend(place, now);
        Self {
            lent: Some((session, permit)),
            loan: OnceLock::new(),
        }
    }

    /// Closes the connection, and keeps the right to have one.
    pub(super) fn discard(mut self) -> Permit {
        let (mut session, permit) = self.lent.take().expect(LENT);
        // It may have outlived its loan too: why does not matter any more.
        let _ = session.come_back();
        mend::retire(None, session, CloseReason::CheckFailed);
        permit
    }

    pub(super) fn session_mut(&mut self) -> &mut Session {
        let (session, _) = self.lent.as_mut().expect(LENT);
        session
    }

    fn session(&self) -> &Session {
        let (session, _) = self.lent.as_ref().expect(LENT);
        session
    }
}

const LENT: &str = "a client that is not dropped";

impl Deref for Client {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        self.session()
    }
}

impl DerefMut for Client {
    fn deref_mut(&mut self) -> &mut ClientWrapper {
        self.session_mut()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let Some((mut session, permit)) = self.lent.take() else {
            return;
        };
        if let Some(loan) = self.loan.take() {
            loan.end();
            session.settle_before_reuse(loan);
        }
        let surplus = permit.is_surplus();
        let outlived = session.come_back();
        if let Some(reason) = outlived.or_else(|| surplus.then_some(CloseReason::Resized)) {
            mend::retire(Some(permit), session, reason);
        } else {
            mend::give_back(permit, session);
        }
    }
}
