use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use tokio::sync::{Notify, Semaphore};
use tracing::Span;

use super::{keeper::Keeper, track::Track};
use crate::{
    connect::{Connector, Duty},
    counted::Counted,
    error::ConnectError,
    event::{CloseReason, Event},
    policy::Lane,
    pool::{gate::Gate, house::House, opening::Draft},
    spans,
};

/// The connections of a lane, and those who wait for a place on one.
pub(in crate::pool) struct Tracks {
    pub(super) connector: Connector,
    pub(super) house: Arc<House>,
    pub(super) gate: Arc<Gate>,
    pub(super) keeper: Keeper,
    open: RwLock<Vec<Arc<Track>>>,
    /// Those that take no more statements, while some are under way.
    leaving: Mutex<Vec<Arc<Track>>>,
    closed: AtomicBool,
    max_size: AtomicUsize,
    max_depth: AtomicUsize,
    /// Whether one is being opened, or is to be when its turn comes.
    opening: AtomicBool,
    /// How many turns to open one are taken.
    turns: AtomicUsize,
    /// The last failure to open one, and how many there have been.
    failed: Mutex<Failed>,
    /// Until the next look, none is opened: the last could not be.
    paused: AtomicBool,
    pub(super) waiting: AtomicUsize,
    /// Whoever has it is the next.
    pub(super) turnstile: Semaphore,
    /// There may be a place.
    pub(super) room: Notify,
}

#[derive(Debug, Default)]
struct Failed {
    times: u64,
    last: Option<Arc<ConnectError>>,
}

impl Tracks {
    pub(in crate::pool) fn new(connector: Connector, house: Arc<House>, gate: Arc<Gate>) -> Self {
        let lane = connector.policy().lane.clone();
        Self {
            connector,
            house,
            gate,
            keeper: Keeper::default(),
            open: RwLock::default(),
            leaving: Mutex::default(),
            closed: AtomicBool::new(false),
            max_size: AtomicUsize::new(lane.max_size),
            max_depth: AtomicUsize::new(lane.max_depth),
            opening: AtomicBool::new(false),
            turns: AtomicUsize::new(0),
            failed: Mutex::default(),
            paused: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
            turnstile: Semaphore::new(1),
            room: Notify::new(),
        }
    }

    /// Goes by the policy that is in force.
    pub(in crate::pool) fn renew(&self) {
        self.follow(&self.connector.policy().lane);
        self.keeper.wake();
    }

    pub(super) fn follow(&self, lane: &Lane) {
        self.max_size.store(lane.max_size, Ordering::Relaxed);
        self.max_depth.store(lane.max_depth, Ordering::Relaxed);
    }

    /// Takes no more statements; connections end when those under way have been answered.
    pub(in crate::pool) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.keeper.end();
        let mut all =
            std::mem::take(&mut *self.open.write().unwrap_or_else(PoisonError::into_inner));
        all.append(&mut self.leaving());
        // Their end tells observers, who may look at the pool.
        drop(all);
    }

    pub(in crate::pool) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// How many are being opened.
    pub(in crate::pool) fn opening(&self) -> usize {
        self.turns.load(Ordering::Relaxed)
    }

    /// How many connections are open, and how many statements are under way on them.
    pub(in crate::pool) fn levels(&self) -> (usize, usize) {
        let mut all = self.all();
        all.extend(self.leaving().iter().cloned());
        let under_way: u64 = all.iter().map(|track| track.outstanding()).sum();
        (all.len(), usize::try_from(under_way).unwrap_or(usize::MAX))
    }

    pub(super) fn max_size(&self) -> usize {
        self.max_size.load(Ordering::Relaxed)
    }

    pub(super) fn max_depth(&self) -> u64 {
        self.max_depth.load(Ordering::Relaxed) as u64
    }

    /// The connection for the next statement: the one with the fewest under way, and of these the first. One whose oldest
    /// statement is slow is taken when there is no other and none to be had.
    pub(super) fn choose(self: &Arc<Self>) -> Option<Arc<Track>> {
        let depth = self.max_depth();
        let (chosen, grows) = {
            let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
            let mut quick: Option<(u64, &Arc<Track>)> = None;
            let mut slow: Option<(u64, &Arc<Track>)> = None;
            let mut is_busy = true;
            let mut count = 0;
            let is_opening = self.opening.load(Ordering::SeqCst);
            for track in open.iter().filter(|track| track.is_open()) {
                count += 1;
                let is_slow = track.slow.load(Ordering::Relaxed);
                if track.is_on_an_errand() {
                    // It is soon to be had.
                    is_busy &= is_slow;
                    continue;
                }
                let under_way = track.outstanding();
                // One more is opened before all are full: whoever has to wait costs more.
                is_busy &= is_slow || under_way * 2 >= depth;
                if under_way >= depth {
                    continue;
                }
                let best = if is_slow { &mut slow } else { &mut quick };
                if best.is_none_or(|(least, _)| under_way < least) {
                    *best = Some((under_way, track));
                }
            }
            let grows = is_busy && !is_opening && count < self.max_size();
            let grows = grows && !self.paused.load(Ordering::Relaxed);
            let slow = slow.filter(|_| !grows && !is_opening);
            (quick.or(slow).map(|(_, track)| Arc::clone(track)), grows)
        };
        if grows {
            self.grow();
        }
        chosen
    }

    /// Opens one more, in the background.
    pub(super) fn grow(self: &Arc<Self>) {
        let opening = Arc::clone(self);
        if !self.opening.swap(true, Ordering::SeqCst) {
            tokio::spawn(async move {
                let done = Opening(&opening);
                tokio::select! {
                    biased;
                    () = opening.gate.closed() => {}
                    () = opening.open_one() => {}
                }
                drop(done);
            });
        }
    }

    async fn open_one(self: &Arc<Self>) {
        let policy = self.connector.policy();
        let turn = match self.gate.turn(&policy).await {
            Ok(turn) => turn,
            Err(error) => return self.failed(error),
        };
        let (_opening, _) = Counted::new(&self.turns);
        let draft = Draft {
            connector: self.connector.clone(),
            house: Arc::clone(&self.house),
            rotated_at: fastrand::f64(),
            span: spans::connect(&policy, &Span::none()),
            duty: Duty::Lane,
        };
        match draft.open(&policy).await {
            Ok(session) => {
                turn.succeeded();
                let track = Arc::new(Track::new(session, policy.lane.limit));
                self.add(track);
            }
            Err(error) => {
                let error = Arc::new(error);
                turn.failed(&error, &policy);
                self.failed(error);
            }
        }
    }

    fn add(&self, track: Arc<Track>) {
        {
            let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
            if !self.is_closed() {
                open.push(track);
            }
        }
        self.keeper.wake();
    }

    fn failed(&self, error: Arc<ConnectError>) {
        let mut failed = self.failures();
        failed.times += 1;
        failed.last = Some(error);
        self.paused.store(true, Ordering::Relaxed);
    }

    /// From now on, another one may be opened.
    pub(super) fn unpause(&self) {
        self.paused.store(false, Ordering::Relaxed);
    }

    /// How often opening has failed, and why it did last.
    pub(super) fn failure(&self) -> (u64, Option<Arc<ConnectError>>) {
        let failed = self.failures();
        (failed.times, failed.last.clone())
    }

    /// A connection takes no more statements; it ends when those under way have been answered.
    pub(super) fn retire(&self, track: &Arc<Track>, reason: CloseReason) {
        track.leave(reason);
        let removed = {
            let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
            let place = open.iter().position(|known| Arc::ptr_eq(known, track));
            place.map(|place| open.remove(place))
        };
        let parted = {
            let mut leaving = self.leaving();
            leaving.extend(removed);
            // Nobody looks after them any more.
            match self.is_closed() {
                true => std::mem::take(&mut *leaving),
                false => Vec::new(),
            }
        };
        drop(parted);
        self.keeper.wake();
    }

    /// Closes a connection at once.
    pub(super) fn cut(&self, track: &Arc<Track>, reason: CloseReason) {
        self.retire(track, reason);
        track.cut();
    }

    /// Closes a connection on which somebody has left something, and says who.
    pub(super) fn evict(&self, track: &Arc<Track>) {
        let Some(spoilt) = track.condition().spoilt().filter(|_| track.evict()) else {
            return;
        };
        let place = track.caller(spoilt.by);
        self.cut(track, CloseReason::Dirty);
        let at = place.map(tracing::field::display);
        tracing::warn!(
            at,
            "a statement on the lane opened a transaction or changed the session: its connection was closed"
        );
        self.connector
            .observer()
            .on_event(&Event::LaneConnectionEvicted {
                server: track.session().server(),
                place,
            });
    }

    /// Those that take statements.
    pub(super) fn all(&self) -> Vec<Arc<Track>> {
        self.open
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Lets go of those that have been left by all.
    pub(super) fn part(&self, mut is_over: impl FnMut(&Arc<Track>) -> bool) {
        let parted: Vec<_> = self
            .leaving()
            .extract_if(.., |track| is_over(track))
            .collect();
        drop(parted);
    }

    /// Lets the next of those who wait look whether there is a place.
    pub(super) fn invite(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.room.notify_one();
        }
    }

    pub(super) fn leaving(&self) -> MutexGuard<'_, Vec<Arc<Track>>> {
        self.leaving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failures(&self) -> MutexGuard<'_, Failed> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Tracks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracks")
            .field("max_size", &self.max_size())
            .field("max_depth", &self.max_depth())
            .field("open", &self.all().len())
            .finish_non_exhaustive()
    }
}

/// The end of an opening, in whatever way.
struct Opening<'a>(&'a Tracks);

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.0.opening.store(false, Ordering::SeqCst);
        self.0.room.notify_one();
    }
}
