use std::{
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until},
};

use super::house::House;
use crate::{error::ConnectError, policy::Policy};

/// For how long a server that took a connection is known to do so.
const PROVEN: Duration = Duration::from_secs(1);
/// What cannot heal by waiting is tried twice in this time, and no more often.
const REFUSED: Duration = Duration::from_secs(5);
/// A server that restarts is back within a second, and a failed attempt costs it next to nothing.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// The pause is this part of the time for which the server has been away.
const PATIENCE: u32 = 20;
/// After which, if nobody has tried, it is not known any more how long it has been away.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// Decides when a connection may be opened, and remembers how the last ones went.
#[derive(Debug)]
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Notify,
    closed: watch::Sender<bool>,
    house: Arc<House>,
}

#[derive(Debug, Default)]
struct State {
    opening: usize,
    proven: Option<Instant>,
    /// How many were opened since the last failure, if there was one.
    recovered: Option<usize>,
    /// Since when nothing but failures that may pass.
    failing: Option<Instant>,
    not_before: Option<Instant>,
    /// When the last two failures were that cannot heal by waiting, the older one first.
    refused: [Option<Instant>; 2],
    /// By what the last failure was decided.
    policy: Weak<Policy>,
    last: Option<Arc<ConnectError>>,
}

enum Next {
    Open,
    Refuse(Arc<ConnectError>),
    Wait(Option<Instant>),
}

impl Gate {
    pub(super) fn new(house: Arc<House>) -> Self {
        Self {
            state: Mutex::default(),
            changed: Notify::new(),
            closed: watch::Sender::new(false),
            house,
        }
    }

    /// Waits for the turn to open a connection.
    ///
    /// # Errors
    ///
    /// What was found lately, if waiting does not heal it.
    pub(super) async fn turn(
        self: &Arc<Self>,
        policy: &Arc<Policy>,
    ) -> Result<Turn, Arc<ConnectError>> {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            let next = self.state().next(policy);
            match next {
                Next::Open => {
                    return Ok(Turn {
                        gate: Arc::clone(self),
                    });
                }
                Next::Refuse(error) => return Err(error),
                Next::Wait(None) => changed.await,
                Next::Wait(Some(until)) => tokio::select! {
                    () = changed => {}
                    () = sleep_until(until) => {}
                },
            }
        }
    }

    /// Why the last connect failed, unless one has succeeded since.
    pub(super) fn last_failure(&self) -> Option<Arc<ConnectError>> {
        self.state().last.clone()
    }

    pub(super) fn opening(&self) -> usize {
        self.state().opening
    }

    /// For how long no connection may be opened yet.
    pub(super) fn backoff(&self) -> Option<Duration> {
        let until = self.state().not_before?;
        Some(until.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
    }

    pub(super) fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Waits until the pool has been closed.
    pub(super) async fn closed(&self) {
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn next(&mut self, policy: &Arc<Policy>) -> Next {
        let now = Instant::now();
        // What is new may be right: certificates, keys or a password.
        let same = std::ptr::eq(self.policy.as_ptr(), Arc::as_ptr(policy));
        if same
            && let [Some(older), Some(_)] = self.refused
            && now < older + REFUSED
            && let Some(error) = &self.last
        {
            return Next::Refuse(Arc::clone(error));
        }
        if self.opening >= self.window(now).min(policy.pooling.max_handshakes) {
            return Next::Wait(None);
        }
        match self.not_before {
            Some(until) if same && now < until => Next::Wait(Some(until)),
            _ => {
                self.opening += 1;
                Next::Open
            }
        }
    }

    /// How many may be opened at once: one prober, until the server is known to take connections. After a failure there is
    /// then one more for each that it, and those after it, have opened: round by round 1, 2, 4 and so on.
    fn window(&self, now: Instant) -> usize {
        match (self.proven, self.recovered) {
            (Some(proven), None) if now < proven + PROVEN => usize::MAX,
            (Some(proven), Some(opened)) if now < proven + PROVEN => opened.saturating_add(1),
            _ => 1,
        }
    }

    /// The longer the server has been away, the longer, with jitter: many services that lost it do not come back in step.
    fn pause(&mut self, now: Instant) -> Duration {
        if self.not_before.is_some_and(|last| now > last + FORGOTTEN) {
            self.failing = None;
        }
        let away = now - *self.failing.get_or_insert(now);
        let longest = (away / PATIENCE).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        longest.mul_f64(0.5 + 0.5 * fastrand::f64())
    }
}

/// The right to open one connection now; ends when dropped.
#[must_use]
#[derive(Debug)]
pub(super) struct Turn {
    gate: Arc<Gate>,
}

impl Turn {
    pub(super) fn succeeded(self) {
        let mut state = self.gate.state();
        *state = State {
            opening: state.opening,
            proven: Some(Instant::now()),
            recovered: state.recovered.map(|opened| opened.saturating_add(1)),
            ..State::default()
        };
    }

    pub(super) fn failed(self, error: &Arc<ConnectError>, policy: &Arc<Policy>) {
        let mut state = self.gate.state();
        state.proven = None;
        state.recovered = Some(0);
        state.last = Some(Arc::clone(error));
        state.policy = Arc::downgrade(policy);
        if error.is_transient() {
            let now = Instant::now();
            let pause = state.pause(now);
            state.not_before = Some(now + pause);
            return;
        }
        let [_, newer] = state.refused;
        state.refused = [newer, Some(Instant::now())];
        drop(state);
        // Before the turn ends, so that nobody who waits takes it.
        self.gate.house.permits.refuse(error);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.gate.state().opening -= 1;
        self.gate.changed.notify_waiters();
    }
}
