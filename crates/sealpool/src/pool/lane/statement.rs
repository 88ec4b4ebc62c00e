use std::{
    future::poll_fn,
    panic::Location,
    pin::pin,
    sync::{Arc, atomic::Ordering},
    task::Poll,
};

use tokio_postgres::{
    Client, Error as Postgres, Row, Statement,
    error::{DbError, Severity, SqlState},
    types::ToSql,
};

use super::{
    error::{Kind, LaneError},
    refusal::{self, Refusal},
    track::{Track, is_of_the_call},
    tracks::Tracks,
};
use crate::{
    connect::Outcome,
    event::{CloseReason, Event, HealthCheckOutcome},
};

/// What is asked of a statement.
pub(super) trait Ask {
    type Answer: Send;

    fn ask(
        client: &Client,
        statement: &Statement,
        params: &[&(dyn ToSql + Sync)],
    ) -> impl Future<Output = Result<Self::Answer, Postgres>> + Send;
}

pub(super) struct Rows;

impl Ask for Rows {
    type Answer = Vec<Row>;

    async fn ask(
        client: &Client,
        statement: &Statement,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Postgres> {
        client.query(statement, params).await
    }
}

pub(super) struct Count;

impl Ask for Count {
    type Answer = u64;

    async fn ask(
        client: &Client,
        statement: &Statement,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, Postgres> {
        client.execute(statement, params).await
    }
}

/// A statement and whose it is.
#[derive(Clone, Copy)]
pub(super) struct Order<'a> {
    pub(super) text: &'a str,
    pub(super) params: &'a [&'a (dyn ToSql + Sync)],
    pub(super) place: &'static Location<'static>,
    /// Not even its text is looked at.
    pub(super) unchecked: bool,
}

/// Why a connection gave no answer.
pub(super) enum Setback {
    /// It took nothing: there may be another one.
    Occupied,
    /// It was lost, or was of no use, before the statement had left.
    NotSent(Postgres),
    /// The same, after.
    Lost(LaneError),
    /// The statement was prepared for tables that have changed since; nothing was done.
    Stale(LaneError),
    /// It is the statement's own fault.
    Final(LaneError),
}

impl From<Refusal> for Setback {
    fn from(refusal: Refusal) -> Self {
        Self::Final(refusal.into())
    }
}

impl Tracks {
    /// Sends a statement on a connection and waits for its answer.
    pub(super) async fn ask<A: Ask>(
        &self,
        track: &Arc<Track>,
        order: Order<'_>,
        sent: &mut Outcome,
    ) -> Result<A::Answer, Setback> {
        if track.is_doubtful() {
            self.check(track).await?;
        }
        let statement = match track.statement(order.text) {
            Some(statement) => statement,
            None => self.prepare(track, order).await?,
        };
        let mut work = pin!(A::ask(track.client(), &statement, order.params));
        let first = poll_fn(|cx| {
            let poll = || work.as_mut().poll(cx);
            Poll::Ready(track.send(order.place, self.max_depth(), poll))
        });
        let (number, polled) = first.await.map_err(|_| Setback::Occupied)?;
        // If the call is dropped from here on, its statement goes on.
        *sent = Outcome::Unknown;
        self.keeper.stir();
        let result = match polled {
            Poll::Ready(result) => result,
            Poll::Pending => work.await,
        };
        self.judged(track, number, result)
    }

    async fn check(&self, track: &Arc<Track>) -> Result<(), Setback> {
        let errand = track.errand().map_err(|_| Setback::Occupied)?;
        let checked = errand.check().await;
        let outcome = match checked {
            Ok(()) => HealthCheckOutcome::Ok,
            Err(_) => HealthCheckOutcome::Failed,
        };
        self.connector.observer().on_event(&Event::HealthChecked {
            server: track.session().server(),
            outcome,
        });
        match checked {
            Ok(()) => {
                errand.end();
                self.invite();
                Ok(())
            }
            Err(reason) => {
                self.cut(track, reason);
                Err(Setback::Occupied)
            }
        }
    }

    async fn prepare(&self, track: &Arc<Track>, order: Order<'_>) -> Result<Statement, Setback> {
        if !order.unchecked {
            refusal::goes_on_well(order.text)?;
        }
        let errand = track.errand().map_err(|_| Setback::Occupied)?;
        let prepared = errand.prepare(order.text).await;
        match prepared {
            Err(error) if !is_answer(&error) && !is_of_the_call(&error) => {
                drop(errand);
                self.cut(track, CloseReason::Broken);
                Err(Setback::NotSent(error))
            }
            prepared => {
                errand.end();
                self.invite();
                prepared.map_err(|error| Setback::Final(of_statement(error)))
            }
        }
    }

    /// What a result means, by what the connection's own traffic says of its statement.
    fn judged<T>(
        &self,
        track: &Arc<Track>,
        number: u64,
        result: Result<T, Postgres>,
    ) -> Result<T, Setback> {
        self.invite();
        let spoilt = track.condition().spoilt();
        if let Some(spoilt) = spoilt {
            self.evict(track);
            if number >= spoilt.from && result.as_ref().err().is_none_or(is_answer) {
                let by = track.caller(spoilt.by);
                let source = result.err();
                let outcome = match source {
                    Some(_) => Outcome::Refused,
                    None => Outcome::Unknown,
                };
                let error = LaneError::new(Kind::Spoilt { by, source }, outcome);
                return Err(match outcome {
                    Outcome::Unknown if number != spoilt.by => Setback::Lost(error),
                    _ => Setback::Final(error),
                });
            }
        }
        match result {
            Ok(answer) => Ok(answer),
            Err(error) if is_answer(&error) && is_stale(&error) => {
                Err(Setback::Stale(of_statement(error)))
            }
            Err(error) if is_answer(&error) || is_of_the_call(&error) => {
                Err(Setback::Final(of_statement(error)))
            }
            Err(error) => Err(self.lost(track, number, error)),
        }
    }

    fn lost(&self, track: &Arc<Track>, number: u64, error: Postgres) -> Setback {
        // It says nothing any more that could be understood.
        self.cut(track, CloseReason::Broken);
        let has_left = track.condition().orders() >= number;
        let is_late = track.late.load(Ordering::SeqCst);
        let outcome = match has_left {
            true => Outcome::Unknown,
            false => Outcome::NotSent,
        };
        if is_late && let Some(limit) = track.limit {
            return Setback::Final(LaneError::new(Kind::Late(limit), outcome));
        }
        if has_left && let Some(spoilt) = track.condition().spoilt() {
            let by = track.caller(spoilt.by);
            let source = Some(error);
            return Setback::Lost(LaneError::new(Kind::Spoilt { by, source }, outcome));
        }
        match has_left {
            false => Setback::NotSent(error),
            true => Setback::Lost(LaneError::new(Kind::Lost(error), outcome)),
        }
    }
}

/// Whether the server answered, and goes on.
fn is_answer(error: &Postgres) -> bool {
    let severity = error.as_db_error().map(DbError::parsed_severity);
    severity == Some(Some(Severity::Error))
}

/// Whether it was prepared for tables that are not the same any more, or is not there.
fn is_stale(error: &Postgres) -> bool {
    let Some(error) = error.as_db_error() else {
        return false;
    };
    match *error.code() {
        SqlState::FEATURE_NOT_SUPPORTED => error.routine() == Some("RevalidateCachedQuery"),
        SqlState::INVALID_SQL_STATEMENT_NAME => true,
        _ => false,
    }
}

fn of_statement(error: Postgres) -> LaneError {
    let outcome = match error.as_db_error() {
        Some(_) => Outcome::Refused,
        None => Outcome::NotSent,
    };
    LaneError::new(Kind::Statement(error), outcome)
}
