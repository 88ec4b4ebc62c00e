use std::{panic::resume_unwind, sync::Arc};

use tokio::sync::oneshot;
use tracing::Span;

use super::{
    gate::{Gate, Turn},
    house::House,
    manager::Manager,
    permit::Permit,
    session::Session,
};
use crate::{
    connect::{Connector, Duty, Failures},
    error::{Attempt, ConnectError, Error, Stage},
    event::CloseReason,
    hook::HookError,
    policy::Policy,
    spans::{self, traced},
};

/// What opening a connection came to.
pub(super) struct Outcome {
    pub(super) opened: Result<Kept, Arc<ConnectError>>,
    /// Given back after what it permitted.
    pub(super) permit: Permit,
}

/// A session that has no place yet: when dropped, it is laid down for whoever comes next.
pub(super) struct Kept {
    session: Option<Box<Session>>,
}

impl Kept {
    pub(super) const fn new(session: Box<Session>) -> Self {
        Self {
            session: Some(session),
        }
    }

    pub(super) fn take(mut self) -> Option<Box<Session>> {
        self.session.take()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            session.lay_down();
        }
    }
}

impl Manager {
    /// Opens a connection in a task of its own: if whoever asked goes away, the handshake goes on and the connection is for
    /// the next one who asks. The end of the pool ends it.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`], when there is nothing more to be had from the task.
    pub(super) async fn open(
        &self,
        turn: Turn,
        permit: Permit,
        asks: &Span,
    ) -> Result<Outcome, Error> {
        let opening = Opening {
            draft: Draft {
                connector: self.connector().clone(),
                house: Arc::clone(&self.house),
                rotated_at: self.next_turn(),
                span: spans::connect(&self.connector().policy(), asks),
                duty: Duty::Loan,
            },
            gate: Arc::clone(&self.gate),
        };
        let (asked, outcome) = oneshot::channel();
        let task = tokio::spawn(opening.run(turn, permit, asked));
        if let Ok(outcome) = outcome.await {
            return Ok(outcome);
        }
        match task.await {
            Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
            Ok(()) | Err(_) => Err(Error::Closed),
        }
    }
}

struct Opening {
    draft: Draft,
    gate: Arc<Gate>,
}

/// A session to be.
pub(super) struct Draft {
    pub(super) connector: Connector,
    pub(super) house: Arc<House>,
    pub(super) rotated_at: f64,
    pub(super) span: Span,
    pub(super) duty: Duty,
}

impl Opening {
    async fn run(self, turn: Turn, permit: Permit, asked: oneshot::Sender<Outcome>) {
        let policy = self.draft.connector.policy();
        let opened = tokio::select! {
            biased;
            () = self.gate.closed() => return,
            opened = self.draft.open(&policy) => opened,
        };
        let opened = match opened {
            Ok(session) => {
                let kept = Kept::new(session);
                if asked.is_closed() {
                    // Before the turn ends, so that nobody opens another one instead.
                    drop(kept);
                    turn.succeeded();
                    return;
                }
                turn.succeeded();
                Ok(kept)
            }
            Err(error) => {
                let error = Arc::new(error);
                turn.failed(&error, &policy);
                Err(error)
            }
        };
        drop(asked.send(Outcome { opened, permit }));
    }
}

impl Draft {
    pub(super) async fn open(&self, policy: &Policy) -> Result<Box<Session>, ConnectError> {
        traced(&self.span, self.set_up(policy)).await
    }

    async fn set_up(&self, policy: &Policy) -> Result<Box<Session>, ConnectError> {
        let refused = self.house.before_connect(policy).await;
        refused.map_err(|error| self.not_set_up(error, policy, None))?;
        let opened = self.connector.open(self.duty).await?;
        let (connector, house) = (self.connector.clone(), Arc::clone(&self.house));
        let session = Session::new(opened, connector, house, self.rotated_at);
        let mut session = Box::new(session);
        if let Err(error) = self.house.after_connect(&mut session).await {
            let error = self.not_set_up(error, policy, Some(&session));
            session.close(CloseReason::CheckFailed);
            return Err(error);
        }
        match self.duty {
            Duty::Lane => session.join_lane(),
            Duty::Loan => session.set_up(),
        }
        spans::reached(&self.span, session.server());
        Ok(session)
    }

    fn not_set_up(
        &self,
        error: HookError,
        policy: &Policy,
        session: Option<&Session>,
    ) -> ConnectError {
        let (host, port, address) = match session {
            Some(session) => session.place(),
            None => {
                let mut hosts = policy.hosts.iter();
                let first = hosts.next().map(|host| (Arc::clone(&host.name), host.port));
                let (name, port) = first.unwrap_or_default();
                (name, port, None)
            }
        };
        let problem = match session {
            Some(_) => "the session could not be set up",
            None => "nothing was sent",
        };
        let mut failures = Failures::new(self.connector.observer());
        failures.push(Attempt {
            host,
            port,
            address,
            stage: Stage::Setup,
            failure: None,
            problem: problem.to_owned(),
            source: Some(error.into()),
        });
        failures.into_error()
    }
}
