use std::sync::Arc;

use tokio::sync::watch;

/// The time for which a client is lent, as its cancel handles see it.
///
/// A cancel request names a server process and not a query. So none may leave once the client has been given back, and
/// one that is under way then must be through before anybody else gets the connection.
#[derive(Debug, Default)]
pub(crate) struct Loan(watch::Sender<State>);

#[derive(Debug, Default)]
struct State {
    over: bool,
    under_way: usize,
    /// A request left, and nobody knows when it arrives.
    astray: bool,
}

impl Loan {
    pub(crate) fn end(&self) {
        self.0.send_modify(|state| state.over = true);
    }

    pub(super) fn is_over(&self) -> bool {
        self.0.borrow().over
    }

    /// Begins to send a request; `None` when the client has been given back.
    pub(super) fn shoot(self: &Arc<Self>) -> Option<Shot> {
        let lent = self.0.send_if_modified(|state| {
            state.under_way += usize::from(!state.over);
            !state.over
        });
        lent.then(|| Shot {
            loan: Arc::clone(self),
            arrived: false,
        })
    }

    /// Waits for the requests under way; whether all of them are known to have arrived.
    pub(crate) async fn settled(&self) -> bool {
        let mut state = self.0.subscribe();
        state
            .wait_for(|state| state.under_way == 0)
            .await
            .is_ok_and(|state| !state.astray)
    }
}

/// A request under way: astray when dropped, unless it is known to have arrived.
#[derive(Debug)]
pub(super) struct Shot {
    loan: Arc<Loan>,
    arrived: bool,
}

impl Shot {
    pub(super) fn arrived(mut self) {
        self.arrived = true;
    }
}

impl Drop for Shot {
    fn drop(&mut self) {
        self.loan.0.send_modify(|state| {
            state.under_way -= 1;
            state.astray |= !self.arrived;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_begins_only_while_the_client_is_lent() {
        let loan = Arc::new(Loan::default());
        loan.shoot().unwrap().arrived();
        loan.end();
        assert!(loan.shoot().is_none());
        assert!(loan.settled().await);
    }

    #[tokio::test]
    async fn a_request_that_was_dropped_is_astray() {
        let loan = Arc::new(Loan::default());
        let shot = loan.shoot();
        loan.end();
        drop(shot);
        assert!(!loan.settled().await);
    }
}
