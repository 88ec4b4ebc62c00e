use std::{
    ops::{Deref, DerefMut},
    panic::Location,
    sync::{Arc, OnceLock},
};

use deadpool::managed::Object;
use deadpool_postgres::ClientWrapper;

use super::{manager::Manager, mend, permits::Permit};
use crate::{
    connect::{CancelHandle, Loan, TlsSession},
    event::CloseReason,
};

/// A connection on loan: it goes back to the pool when this is dropped.
///
/// It goes back as it was lent, or not at all. A query that is still running is cancelled, a transaction rolled back, and
/// the session reset if something may have been left in it (setting `pool.reset`), all in the background; after a panic it
/// is closed. A session that nothing was left in costs no round trip. What a function stored in the database does to the
/// session is not noticed, unless it changes a setting that the server reports: that takes `pool.reset = "always"`.
///
/// It derefs to [`deadpool_postgres::ClientWrapper`], which has the statement cache and transactions, and so to
/// [`tokio_postgres::Client`]. Code that is generic over `tokio_postgres::GenericClient` takes `&**client`, or a
/// transaction.
#[derive(Debug)]
pub struct Client {
    /// Taken when this is dropped, and not before.
    session: Option<Object<Manager>>,
    /// Made for the first cancel handle.
    loan: OnceLock<Arc<Loan>>,
    /// Given back after the session, for whoever waits for one.
    permit: Option<Permit>,
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

    pub(super) fn lent(mut self, permit: Permit, place: &'static Location<'static>) -> Self {
        if let Some(session) = &mut self.session {
            session.lend(place);
        }
        self.permit = Some(permit);
        self
    }

    fn session(&self) -> &Object<Manager> {
        self.session.as_ref().expect("a client that is not dropped")
    }
}

impl From<Object<Manager>> for Client {
    fn from(session: Object<Manager>) -> Self {
        Self {
            session: Some(session),
            loan: OnceLock::new(),
            permit: None,
        }
    }
}

impl Deref for Client {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        self.session()
    }
}

impl DerefMut for Client {
    fn deref_mut(&mut self) -> &mut ClientWrapper {
        self.session.as_mut().expect("a client that is not dropped")
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let Some(mut session) = self.session.take() else {
            return;
        };
        if let Some(loan) = self.loan.take() {
            loan.end();
            session.settle_before_reuse(loan);
        }
        let surplus = self.permit.as_ref().is_some_and(Permit::is_surplus);
        let outlived = session.come_back();
        if let Some(reason) = outlived.or_else(|| surplus.then_some(CloseReason::Resized)) {
            mend::retire(self.permit.take(), session, reason);
        } else {
            mend::give_back(self.permit.take(), session);
        }
    }
}
