use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::Session;
use crate::connect::Losses;
use crate::event::{CloseReason, Event, HealthCheckOutcome};

/// How long the next borrower waits for a cancel request of the last one to be through.
const SETTLING: Duration = Duration::from_secs(1);

/// A connection that has rested for longer is checked before it is lent.
const RESTED: Duration = Duration::from_secs(1);
pub(in crate::pool) const CHECK: Duration = Duration::from_millis(500);

impl Session {
    /// The connections to its server that were lost.
    pub(in crate::pool) fn losses(&self) -> &Losses {
        &self.losses
    }

    /// Whether its server may have lost the role that is wanted.
    pub(in crate::pool) fn is_in_doubt(&self) -> bool {
        self.endpoint.doubted().is_some()
    }

    /// Whether its server has the role that is wanted: asked only when there is a reason to doubt it.
    pub(in crate::pool) async fn has_its_role(&self, limit: Duration) -> Result<(), CloseReason> {
        match (self.endpoint.given_up(), self.endpoint.doubted()) {
            (Some(CloseReason::RoleChanged), _) => Err(CloseReason::RoleChanged),
            (_, Some(doubt)) => self.endpoint.confirm(doubt, &self.client, limit).await,
            // What its name has left may be used until its turn to be replaced has come.
            (_, None) => Ok(()),
        }
    }

    /// Whether another connection to its server was lost since it last answered.
    pub(in crate::pool) fn is_suspect(&self) -> bool {
        self.losses.count() != self.losses_before
    }

    /// Whether it may be lent without a question: nothing has happened to it, and it has not rested for long.
    pub(in crate::pool) fn is_fit(&self, now: Instant) -> bool {
        !self.client.is_closed()
            && !self.condition.is_unchecked()
            && self.unsettled.is_none()
            && self.generation.superseded_for().is_none()
            && self.endpoint.given_up().is_none()
            && !self.is_in_doubt()
            && !self.is_suspect()
            && !self.is_due(RESTED, now)
    }

    /// Whether it answers, asked only when it is suspect or has rested for a while: a query on every acquire halves what a
    /// pool can do.
    pub(in crate::pool) async fn answers(&mut self) -> bool {
        let is_trusted = !self.is_suspect() && !self.is_due(RESTED, Instant::now());
        is_trusted || self.ask().await
    }

    /// Whether nothing has been heard of it for so long.
    pub(in crate::pool) fn is_due(&self, limit: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.idle_since.max(self.answered)) >= limit
    }

    /// Asks it, and reports what that comes to.
    pub(in crate::pool) async fn ask(&mut self) -> bool {
        let losses = self.losses.count();
        let was_suspect = losses != self.losses_before;
        let answered = matches!(
            timeout(CHECK, self.client.simple_query("")).await,
            Ok(Ok(_))
        );
        let outcome = if answered {
            self.losses_before = losses;
            self.answered = Instant::now();
            HealthCheckOutcome::Ok
        } else {
            // What was known already makes nobody suspect anew.
            if was_suspect {
                self.losses.confirm();
            } else {
                self.losses.add();
            }
            HealthCheckOutcome::Failed
        };
        self.connector.observer().on_event(&Event::HealthChecked {
            server: self.card.server(),
            outcome,
        });
        answered
    }

    /// Whether no cancel request of the last borrower can hit the next one.
    pub(in crate::pool) async fn settled(&mut self) -> bool {
        let Some(loan) = &self.unsettled else {
            return true;
        };
        let settled = timeout(SETTLING, loan.settled()).await.unwrap_or(false);
        if settled {
            self.unsettled = None;
        }
        settled
    }
}
