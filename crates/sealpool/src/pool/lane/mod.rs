//! Single statements of many, pipelined on a few connections.

use std::panic::Location;

use tokio_postgres::{Row, types::ToSql};

use super::{Pool, manager::Manager};
use crate::{connect::Outcome, event::Event};

mod error;
mod keeper;
mod place;
mod refusal;
mod statement;
mod track;
mod tracks;
mod watched;
mod words;

pub use error::LaneError;
pub(super) use tracks::Tracks;

use error::Kind;
use place::Deadline;
use statement::{Ask, Count, Order, Rows, Setback};

/// Single statements of many tasks, which share a few connections: each is sent at once, behind those that are under way,
/// and nobody waits for a connection of his own.
///
/// Made by [`Pool::lane`] and cheap to clone. Each statement is a transaction of its own. What opens a transaction, changes
/// the session or needs a cursor is refused before anything is sent, and goes through [`Pool::acquire`]. What gets past
/// that, hidden in a function for instance, closes the connection as soon as its traffic shows it, with a warning that
/// names the place of the call; what a function does to the session is not noticed unless the server reports it.
///
/// A statement is prepared and kept, once for each connection and text: write parameters, not values. The server ends one
/// that takes longer than `lane.statement_timeout`, that one alone; if it does not, the connection is closed when a
/// statement on it has been under way for twice that time and a second.
///
/// A call that is dropped disturbs nobody: what has been sent goes on. An answer stays on its connection until its call is
/// polled, so a future that nobody polls holds up those behind it, as long as the server's limit lets it.
#[derive(Clone, Debug)]
pub struct Lane {
    pool: Pool,
    again: Again,
    unchecked: bool,
}

/// Whether a statement that may have been done is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Again {
    Never,
    Vouched,
}

impl Pool {
    /// A way to send single statements without a client of one's own: many share a few connections, which carries more of
    /// them than clients do. Setting `lane.max_size` says how many connections, beside those of `pool.max_size`.
    ///
    /// ```
    /// use sealpool::{Lane, LaneError, Outcome, Pool};
    ///
    /// # async fn visit(pool: &Pool, page: i64) -> Result<(), LaneError> {
    /// let lane: Lane = pool.lane();
    /// let row = lane.query_one("select title from pages where id = $1", &[&page]).await?;
    /// println!("{}", row.get::<_, &str>(0));
    /// let visited = lane.execute("update pages set visits = visits + 1 where id = $1", &[&page]).await;
    /// match visited.map_err(|error| error.outcome()) {
    ///     Ok(_) => {}
    ///     Err(Outcome::Unknown) => {} // it may have been done: look before doing it again
    ///     Err(_) => {}                // it was not done
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn lane(&self) -> Lane {
        Lane {
            pool: self.clone(),
            again: Again::Never,
            unchecked: false,
        }
    }
}

impl Pool {
    /// Has somebody look after what all connections depend on.
    fn keep_up(&self) {
        self.manager.upkeep.ensure(&self.manager);
    }
}

impl Lane {
    /// The same lane for statements that may be done twice, as reads may: one whose connection is lost is sent again on
    /// another, within `pool.acquire_timeout`. Without it, only what had not left is.
    #[must_use]
    pub fn retry_reads(&self) -> Self {
        Self {
            again: Again::Vouched,
            ..self.clone()
        }
    }

    /// The same lane for statements whose text is not looked at: for tests of what happens then.
    #[doc(hidden)]
    #[must_use]
    pub fn unchecked(&self) -> Self {
        Self {
            unchecked: true,
            ..self.clone()
        }
    }

    /// The rows of a statement.
    ///
    /// # Errors
    ///
    /// A statement that a lane does not take, [`Error::Timeout`](crate::Error::Timeout) and the other errors of an acquire
    /// when there was no place for it, what the server says of it, and a lost connection. [`LaneError::outcome`] says what
    /// became of it.
    #[track_caller]
    pub fn query<'a>(
        &'a self,
        text: &'a str,
        params: &'a [&'a (dyn ToSql + Sync)],
    ) -> impl Future<Output = Result<Vec<Row>, LaneError>> + Send + 'a {
        self.run::<Rows>(text, params, Location::caller())
    }

    /// The one row that a statement must have.
    ///
    /// # Errors
    ///
    /// As for [`Lane::query`], and any other number of rows; the statement has been done then.
    #[track_caller]
    pub fn query_one<'a>(
        &'a self,
        text: &'a str,
        params: &'a [&'a (dyn ToSql + Sync)],
    ) -> impl Future<Output = Result<Row, LaneError>> + Send + 'a {
        let place = Location::caller();
        async move {
            let mut rows = self.run::<Rows>(text, params, place).await?;
            match (rows.pop(), rows.len()) {
                (Some(row), 0) => Ok(row),
                (row, more) => Err(miscounted("one row", more + usize::from(row.is_some()))),
            }
        }
    }

    /// The row of a statement, if it has one.
    ///
    /// # Errors
    ///
    /// As for [`Lane::query`], and more than one row; the statement has been done then.
    #[track_caller]
    pub fn query_opt<'a>(
        &'a self,
        text: &'a str,
        params: &'a [&'a (dyn ToSql + Sync)],
    ) -> impl Future<Output = Result<Option<Row>, LaneError>> + Send + 'a {
        let place = Location::caller();
        async move {
            let mut rows = self.run::<Rows>(text, params, place).await?;
            match (rows.pop(), rows.len()) {
                (row, 0) => Ok(row),
                (_, more) => Err(miscounted("one row or none", more + 1)),
            }
        }
    }

    /// How many rows a statement has changed.
    ///
    /// # Errors
    ///
    /// As for [`Lane::query`].
    #[track_caller]
    pub fn execute<'a>(
        &'a self,
        text: &'a str,
        params: &'a [&'a (dyn ToSql + Sync)],
    ) -> impl Future<Output = Result<u64, LaneError>> + Send + 'a {
        self.run::<Count>(text, params, Location::caller())
    }

    async fn run<A: Ask>(
        &self,
        text: &str,
        params: &[&(dyn ToSql + Sync)],
        place: &'static Location<'static>,
    ) -> Result<A::Answer, LaneError> {
        let mut told = Told {
            manager: self.manager(),
            outcome: Outcome::NotSent,
        };
        let order = Order {
            text,
            params,
            place,
            unchecked: self.unchecked,
        };
        let result = self.send::<A>(order, &mut told.outcome).await;
        told.outcome = match &result {
            Ok(_) => Outcome::Answered,
            Err(error) => error.outcome(),
        };
        result
    }

    async fn send<A: Ask>(
        &self,
        order: Order<'_>,
        sent: &mut Outcome,
    ) -> Result<A::Answer, LaneError> {
        if !order.unchecked {
            refusal::begins_well(order.text)?;
        }
        let tracks = &self.manager().lane;
        let mut deadline = Deadline::default();
        let mut is_stale = false;
        loop {
            let track = self.place(&mut deadline).await?;
            let setback = match tracks.ask::<A>(&track, order, sent).await {
                Ok(answer) => return Ok(answer),
                Err(setback) => setback,
            };
            let error = match setback {
                Setback::Occupied => continue,
                Setback::Final(error) => return Err(error),
                Setback::Stale(_) if !is_stale => {
                    is_stale = true;
                    *sent = Outcome::NotSent;
                    continue;
                }
                Setback::Stale(error) => return Err(error),
                Setback::NotSent(error) => {
                    *sent = Outcome::NotSent;
                    LaneError::new(Kind::Lost(error), Outcome::NotSent)
                }
                Setback::Lost(error) if self.again == Again::Vouched => error,
                Setback::Lost(error) => return Err(error),
            };
            if deadline.is_over(self) {
                return Err(error);
            }
        }
    }

    fn manager(&self) -> &Manager {
        &self.pool.manager
    }
}

fn miscounted(asked: &'static str, got: usize) -> LaneError {
    LaneError::new(Kind::Rows { asked, got }, Outcome::Answered)
}

/// Tells what became of a statement, also of one whose call is dropped.
struct Told<'a> {
    manager: &'a Manager,
    outcome: Outcome,
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        let observers = self.manager.connector().observer();
        if observers.are_there() {
            observers.on_event(&Event::LaneStatementEnded {
                outcome: self.outcome,
            });
        }
    }
}
