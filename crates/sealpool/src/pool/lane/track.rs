use std::{
    collections::{HashMap, VecDeque},
    panic::Location,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use tokio::{runtime::Handle, time::timeout};
use tokio_postgres::{Client, Error, Statement};

use super::watched::Watched;
use crate::{
    connect::Condition,
    event::CloseReason,
    pool::session::{CHECK, Session},
};

/// A connection of the lane: statements of many leave on it one behind the other, and are answered in that order.
///
/// Each has the number that the session's own traffic counts it by, so that it is known of each whether it has left and
/// whether it was answered, whoever waits for it.
#[derive(Debug)]
pub(super) struct Track {
    session: Box<Session>,
    condition: Arc<Condition>,
    /// What its sessions were opened with.
    pub(super) limit: Option<Duration>,
    orders: Mutex<Orders>,
    /// The number of the last statement, which `orders` guards.
    last: AtomicU64,
    /// While something else than statements is sent, no statement may be.
    errands: AtomicUsize,
    prepared: RwLock<Prepared>,
    /// It is to be asked whether it answers before it is used.
    pub(super) doubtful: AtomicBool,
    /// How many connections to its server had been lost when it last answered.
    losses: AtomicU64,
    /// A statement has been under way for a while, and others would have to wait for it.
    pub(super) slow: AtomicBool,
    /// It did not answer in time.
    pub(super) late: AtomicBool,
    leaving: OnceLock<CloseReason>,
    evicted: AtomicBool,
    pub(super) watched: Mutex<Watched>,
}

#[derive(Debug, Default)]
struct Orders {
    /// Who sent those that have not been answered, the oldest first.
    callers: VecDeque<(u64, &'static Location<'static>)>,
}

/// The statements that are prepared, and how often they have been given up.
#[derive(Debug, Default)]
struct Prepared {
    cleared: u64,
    statements: HashMap<Box<str>, Statement>,
}

/// It takes no statement at present.
#[derive(Debug)]
pub(super) struct Occupied;

impl Track {
    pub(super) fn new(session: Box<Session>, limit: Option<Duration>) -> Self {
        let condition = Arc::clone(session.condition());
        Self {
            // What set it up has been answered.
            last: AtomicU64::new(condition.orders()),
            losses: AtomicU64::new(session.losses().count()),
            session,
            condition,
            limit,
            orders: Mutex::default(),
            errands: AtomicUsize::new(0),
            prepared: RwLock::default(),
            doubtful: AtomicBool::new(false),
            slow: AtomicBool::new(false),
            late: AtomicBool::new(false),
            leaving: OnceLock::new(),
            evicted: AtomicBool::new(false),
            watched: Mutex::default(),
        }
    }

    pub(super) const fn session(&self) -> &Session {
        &self.session
    }

    pub(super) fn client(&self) -> &Client {
        &self.session
    }

    pub(super) const fn condition(&self) -> &Arc<Condition> {
        &self.condition
    }

    pub(super) fn last(&self) -> u64 {
        self.last.load(Ordering::SeqCst)
    }

    /// How many statements are under way, also those that nobody waits for any more.
    pub(super) fn outstanding(&self) -> u64 {
        self.last().saturating_sub(self.condition.answered())
    }

    /// Whether it takes statements at all.
    pub(super) fn is_open(&self) -> bool {
        self.leaving.get().is_none() && !self.session.is_closed()
    }

    pub(super) fn is_on_an_errand(&self) -> bool {
        self.errands.load(Ordering::SeqCst) > 0
    }

    /// Whether it may have been lost unnoticed.
    pub(super) fn is_doubtful(&self) -> bool {
        self.doubtful.load(Ordering::Relaxed)
            || self.losses.load(Ordering::Relaxed) != self.session.losses().count()
    }

    /// Takes no statement from now on; the first reason counts.
    pub(super) fn leave(&self, reason: CloseReason) {
        let _ = self.leaving.set(reason);
    }

    /// Ends it at once: what has left without an answer is cancelled at the server.
    pub(super) fn cut(&self) {
        if let Some(request) = self.session.cut()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(async move { request.cancel().await });
        }
    }

    /// Whether nobody has evicted it yet.
    pub(super) fn evict(&self) -> bool {
        !self.evicted.swap(true, Ordering::SeqCst)
    }

    /// Who sent the statement of that number, if it has not been forgotten.
    pub(super) fn caller(&self, number: u64) -> Option<&'static Location<'static>> {
        let orders = self.orders();
        let mut callers = orders.callers.iter();
        let (_, place) = callers.find(|(known, _)| *known == number)?;
        Some(place)
    }

    /// Sends a statement, which the first poll does; its number, and what that poll came to.
    pub(super) fn send<T>(
        &self,
        place: &'static Location<'static>,
        depth: u64,
        poll: impl FnOnce() -> Poll<Result<T, Error>>,
    ) -> Result<(u64, Poll<Result<T, Error>>), Occupied> {
        let mut orders = self.orders();
        let answered = self.condition.answered();
        let last = self.last();
        if !self.is_open() || self.is_on_an_errand() || last.saturating_sub(answered) >= depth {
            return Err(Occupied);
        }
        let polled = poll();
        if let Poll::Ready(Err(error)) = &polled
            && was_not_given_away(error)
        {
            return Ok((last, polled));
        }
        // Those who may have spoilt it are remembered.
        let known = match self.condition.spoilt() {
            Some(spoilt) => answered.min(spoilt.by.saturating_sub(1)),
            None => answered,
        };
        let callers = &mut orders.callers;
        while callers.front().is_some_and(|(number, _)| *number <= known) {
            callers.pop_front();
        }
        callers.push_back((last + 1, place));
        self.last.store(last + 1, Ordering::SeqCst);
        Ok((last + 1, polled))
    }

    /// What is prepared for a text.
    pub(super) fn statement(&self, text: &str) -> Option<Statement> {
        self.condition.statements().renew();
        let prepared = self.prepared.read().unwrap_or_else(PoisonError::into_inner);
        let is_good = prepared.cleared == self.condition.statements().cleared();
        let statement = prepared.statements.get(text).filter(|_| is_good);
        statement.cloned()
    }

    /// Begins an errand, unless another is under way.
    pub(super) fn errand(self: &Arc<Self>) -> Result<Errand, Occupied> {
        let _orders = self.orders();
        if !self.is_open() || self.is_on_an_errand() {
            return Err(Occupied);
        }
        self.errands.store(1, Ordering::SeqCst);
        Ok(Errand {
            track: Some(Arc::clone(self)),
        })
    }

    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Track {
    fn drop(&mut self) {
        if let Some(reason) = self.leaving.get() {
            self.session.is_to_be_closed_for(*reason);
        }
    }
}

/// Whether an error of a first poll came before anything was handed to the connection. Whatever this does not know was
/// handed over, as far as is known.
fn was_not_given_away(error: &Error) -> bool {
    if error.is_closed() || error.as_db_error().is_some() {
        return false;
    }
    is_of_the_call(error)
}

/// Whether it lies in the parameters.
pub(super) fn is_of_the_call(error: &Error) -> bool {
    let text = error.to_string();
    [
        "error serializing parameter",
        "error encoding message",
        "expected ",
    ]
    .iter()
    .any(|begin| text.starts_with(begin))
}

/// Something else that is sent: statements that are prepared, with what the driver asks of their types, and checks. What
/// that sends is not counted by us, and so no statement is sent meanwhile.
pub(super) struct Errand {
    track: Option<Arc<Track>>,
}

impl Errand {
    /// Prepares a statement and keeps it.
    pub(super) async fn prepare(&self, text: &str) -> Result<Statement, Error> {
        let track = self.track();
        let statements = track.condition.statements();
        let cleared = statements.cleared();
        let statement = track.client().prepare(text).await?;
        let replaced = {
            let prepared = track.prepared.write();
            let mut prepared = prepared.unwrap_or_else(PoisonError::into_inner);
            let old = (prepared.cleared != statements.cleared())
                .then(|| std::mem::take(&mut prepared.statements));
            prepared.cleared = statements.cleared();
            if cleared == prepared.cleared {
                prepared.statements.insert(text.into(), statement.clone());
            }
            old
        };
        // Each tells the server so.
        drop(replaced);
        Ok(statement)
    }

    /// Whether the connection answers and its server has the role that is wanted; what comes behind is not asked again.
    pub(super) async fn check(&self) -> Result<(), CloseReason> {
        let track = self.track();
        let losses = track.session.losses();
        let before = losses.count();
        track.session.has_its_role(CHECK).await?;
        let asked = timeout(CHECK, track.client().simple_query(""));
        if !matches!(asked.await, Ok(Ok(_))) {
            let was_known = track.losses.load(Ordering::Relaxed) != before;
            if was_known {
                losses.confirm();
            } else {
                losses.add();
            }
            return Err(CloseReason::CheckFailed);
        }
        track.losses.store(before, Ordering::Relaxed);
        track.doubtful.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// All that was sent has been answered.
    pub(super) fn end(mut self) {
        if let Some(track) = self.track.take() {
            finish(&track);
        }
    }

    fn track(&self) -> &Arc<Track> {
        self.track.as_ref().expect("an errand that has not ended")
    }
}

impl Drop for Errand {
    /// Whoever goes away leaves requests behind: it ends when those have been answered.
    fn drop(&mut self) {
        let Some(track) = self.track.take() else {
            return;
        };
        let Ok(runtime) = Handle::try_current() else {
            track.leave(CloseReason::Dirty);
            return;
        };
        runtime.spawn(async move {
            if track.condition.rest().await {
                finish(&track);
            } else {
                track.leave(CloseReason::Broken);
            }
        });
    }
}

/// What the errand has sent is counted; statements that were given away before it may not have left yet.
fn finish(track: &Track) {
    let _orders = track.orders();
    let last = track.last().max(track.condition.orders());
    track.last.store(last, Ordering::SeqCst);
    track.errands.store(0, Ordering::SeqCst);
}
