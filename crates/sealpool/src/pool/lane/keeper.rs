use std::{
    convert::Infallible,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep},
};

use super::{track::Track, tracks::Tracks};
use crate::{event::CloseReason, policy::Policy};

/// How often connections are looked at while statements are under way on them.
const LOOK: Duration = Duration::from_millis(25);
/// The same while there are none.
const DOZE: Duration = Duration::from_millis(250);
const SLEEP: Duration = Duration::from_secs(5);
/// A statement that has been under way for longer holds up those behind it.
const SLOW: Duration = Duration::from_millis(75);
/// A connection that has rested for longer is asked whether it answers before it is used.
const RESTED: Duration = Duration::from_secs(1);
/// What a server may take to end a statement when its limit has passed.
const GRACE: Duration = Duration::from_secs(1);

/// Looks after the connections of a lane: those that are slow, late, too old, unused or too many.
///
/// Its task starts with the first statement, and again with the next one if its runtime has ended. It ends with the pool.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    running: Arc<AtomicBool>,
    dozing: AtomicBool,
    woken: Notify,
    ended: watch::Sender<bool>,
}

impl Keeper {
    pub(super) fn ensure(&self, tracks: &Arc<Tracks>) {
        if self.running.load(Ordering::Relaxed) || self.running.swap(true, Ordering::Relaxed) {
            return;
        }
        let running = Running(Arc::clone(&self.running));
        let (tracks, mut ended) = (Arc::clone(tracks), self.ended.subscribe());
        tokio::spawn(async move {
            let _running = running;
            tokio::select! {
                biased;
                _ = ended.wait_for(|ended| *ended) => {}
                never = run(&tracks) => match never {},
            }
        });
    }

    /// Takes note that a statement is under way.
    pub(super) fn stir(&self) {
        if self.dozing.load(Ordering::SeqCst) && self.dozing.swap(false, Ordering::SeqCst) {
            self.wake();
        }
    }

    pub(super) fn wake(&self) {
        self.woken.notify_one();
    }

    pub(super) fn end(&self) {
        self.ended.send_replace(true);
    }
}

/// Says so when the task has ended, in whatever way.
struct Running(Arc<AtomicBool>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

async fn run(tracks: &Arc<Tracks>) -> Infallible {
    let mut swaps = tracks.connector.swaps();
    loop {
        let pause = tracks.look(Instant::now());
        tokio::select! {
            () = sleep(pause) => {}
            () = tracks.keeper.woken.notified() => {}
            // The sender lives as long as the connector.
            _ = swaps.changed() => {}
        }
    }
}

impl Tracks {
    /// Looks at all connections; how long the next look may wait.
    fn look(self: &Arc<Self>, now: Instant) -> Duration {
        // Before it is known that nothing is under way, so that nobody begins unnoticed.
        self.keeper.dozing.store(true, Ordering::SeqCst);
        let policy = self.connector.policy();
        self.follow(&policy.lane);
        self.unpause();
        let mut pause = self.longest_pause(&policy);
        let all = self.all();
        let mut surplus = all.len().saturating_sub(self.max_size());
        for track in &all {
            if track.condition().spoilt().is_some() {
                self.evict(track);
            } else if let Some(reason) = end_of(track, &policy, now) {
                self.retire(track, reason);
            } else if surplus > 0 {
                surplus -= 1;
                self.retire(track, CloseReason::Resized);
            } else {
                pause = pause.min(self.watch(track, now));
            }
        }
        self.part(|track| {
            let is_over = track.outstanding() == 0 && !track.is_on_an_errand();
            let is_over = is_over || track.session().is_closed();
            if !is_over {
                pause = LOOK;
                end_late(track, now);
            }
            is_over
        });
        if pause <= LOOK {
            self.keeper.dozing.store(false, Ordering::SeqCst);
        }
        self.invite();
        pause
    }

    /// A fraction of the shortest time that is to be kept.
    fn longest_pause(&self, policy: &Policy) -> Duration {
        let pooling = &policy.pooling;
        let life = pooling.idle_timeout.min(pooling.max_lifetime) / 10;
        let rotation = match self.connector.stale() {
            0 => SLEEP,
            _ => policy.rotate_within / 50,
        };
        life.min(rotation).clamp(LOOK, SLEEP)
    }

    /// Looks how long a connection has been busy or at rest.
    fn watch(self: &Arc<Self>, track: &Arc<Track>, now: Instant) -> Duration {
        if track.session().is_in_doubt() {
            track.doubtful.store(true, Ordering::Relaxed);
        }
        let age = age(track, now);
        let is_slow = age.is_some_and(|age| age >= SLOW);
        track.slow.store(is_slow, Ordering::Relaxed);
        let Some(age) = age else {
            let watched = track.watched.lock().unwrap_or_else(PoisonError::into_inner);
            let has_rested = watched.quiet_for(now) >= RESTED;
            if has_rested {
                track.doubtful.store(true, Ordering::Relaxed);
            }
            return if has_rested { SLEEP } else { DOZE };
        };
        if track.limit.is_some_and(|limit| age >= limit + GRACE) {
            self.retire(track, CloseReason::CheckFailed);
        }
        LOOK
    }
}

/// Why a connection is to take no more statements.
fn end_of(track: &Track, policy: &Policy, now: Instant) -> Option<CloseReason> {
    if !track.is_open() {
        return Some(CloseReason::Broken);
    }
    let is_outdated = track.limit != policy.lane.limit;
    let retirement = track.session().retirement(now);
    let retirement = retirement.or_else(|| is_outdated.then_some(CloseReason::Evicted));
    retirement.or_else(|| {
        let watched = track.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let is_idle = watched.quiet_for(now) >= policy.pooling.idle_timeout;
        is_idle.then_some(CloseReason::IdleTimeout)
    })
}

/// The least age of the oldest statement.
fn age(track: &Track, now: Instant) -> Option<Duration> {
    let mut watched = track.watched.lock().unwrap_or_else(PoisonError::into_inner);
    // The last one is read first, so that none is taken for answered that is not.
    let last = track.last();
    watched.look(now, last, track.condition().answered())
}

/// Closes a connection that everybody waits for in vain: by then, each of its statements has had its limit.
fn end_late(track: &Track, now: Instant) {
    let age = age(track, now).unwrap_or_default();
    if let Some(limit) = track.limit
        && age >= limit * 2 + GRACE
    {
        track.late.store(true, Ordering::SeqCst);
        track.cut();
    }
}
