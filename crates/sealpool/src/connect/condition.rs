use std::{
    pin::pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use tokio::sync::Notify;

use super::{
    mailbox::Mailbox,
    pulse::Pulse,
    statements::Statements,
    traces::Traces,
    traffic::{Spoilt, Standing, Tally, Traffic},
};
use crate::counted::Counted;

/// The condition of a session, as its own traffic tells it: nobody has to ask the server.
///
/// The stream writes it, from the connection's task alone; whoever takes the session back reads it.
#[derive(Debug, Default)]
pub(crate) struct Condition {
    standing: AtomicU8,
    traces: AtomicU8,
    orders: AtomicU64,
    errors: AtomicU64,
    answered: AtomicU64,
    spoilt_by: AtomicU64,
    /// 0 while nothing has been spoilt.
    spoilt_from: AtomicU64,
    ended: AtomicBool,
    /// Odd while the session waits in the pool without anybody knowing that it is at rest.
    turn: AtomicU64,
    pulse: Arc<Pulse>,
    statements: Statements,
    /// How many wait for `changed`; to tell nobody costs more than to look here.
    waiting: AtomicUsize,
    changed: Notify,
    /// Where notifications go; they are dropped without.
    mailbox: OnceLock<Arc<Mailbox>>,
}

/// One wait in the pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn(u64);

impl Condition {
    /// Whether all that was sent has been answered; only then does the rest count.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.pulse.is_at_rest() && !self.standing().is_busy()
    }

    /// Whether nothing more will be sent of what it was given.
    pub(super) fn is_quiet(&self) -> bool {
        self.ended.load(Ordering::SeqCst) || self.is_at_rest()
    }

    pub(super) fn is_owed(&self) -> bool {
        self.standing().is_owed()
    }

    /// To be read before [`Condition::is_owed`], and [`Condition::errors`] after it, the reverse of how they are written.
    pub(crate) fn orders(&self) -> u64 {
        self.orders.load(Ordering::Acquire)
    }

    pub(super) fn errors(&self) -> u64 {
        self.errors.load(Ordering::Acquire)
    }

    /// How many orders have been answered, whole.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Acquire)
    }

    /// The first order since it was set up that left the session as it was not.
    pub(crate) fn spoilt(&self) -> Option<Spoilt> {
        let from = self.spoilt_from.load(Ordering::SeqCst);
        (from > 0).then(|| Spoilt {
            by: self.spoilt_by.load(Ordering::SeqCst),
            from,
        })
    }

    /// Whether an answer is outstanding, as far as frames tell.
    pub(crate) fn is_busy(&self) -> bool {
        self.standing().is_busy()
    }

    pub(crate) fn is_in_transaction(&self) -> bool {
        self.standing().is_in_transaction()
    }

    /// Whether nothing can bring it to rest.
    pub(crate) fn is_stuck(&self) -> bool {
        self.ended.load(Ordering::SeqCst) || self.standing().is_stuck()
    }

    pub(crate) fn traces(&self) -> Traces {
        Traces::from_bits(self.traces.load(Ordering::SeqCst))
    }

    /// Takes note that a reset has removed what could be removed.
    pub(crate) fn was_reset(&self) {
        self.traces
            .fetch_and(!Traces::RESET.bits(), Ordering::SeqCst);
    }

    /// Takes note that what is in the session belongs there.
    pub(crate) fn was_set_up(&self) {
        self.traces.store(0, Ordering::SeqCst);
        self.spoilt_from.store(0, Ordering::SeqCst);
    }

    pub(crate) const fn statements(&self) -> &Statements {
        &self.statements
    }

    /// Waits until it is at rest; `false` when it never will be.
    pub(crate) async fn rest(&self) -> bool {
        self.until(|| self.is_stuck()).await
    }

    /// The same, but no longer than the session waits in the pool.
    pub(crate) async fn rest_in(&self, turn: Turn) -> bool {
        self.until(|| self.is_stuck() || !self.is_in(turn)).await
    }

    /// What it says holds until somebody sends something; an answer that nobody waits for may stir the connection again.
    async fn until(&self, given_up: impl Fn() -> bool) -> bool {
        let (_waiting, _) = Counted::new(&self.waiting);
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if self.is_at_rest() {
                return true;
            }
            if given_up() {
                return false;
            }
            changed.await;
        }
    }

    /// Begins a wait in the pool, at the end of which it is to be checked.
    pub(crate) fn wait_unchecked(&self) -> Turn {
        Turn(self.turn.fetch_add(1, Ordering::SeqCst) + 1)
    }

    pub(crate) fn is_unchecked(&self) -> bool {
        self.turn.load(Ordering::SeqCst) % 2 == 1
    }

    pub(crate) fn is_in(&self, turn: Turn) -> bool {
        self.turn.load(Ordering::SeqCst) == turn.0
    }

    /// Ends the wait.
    pub(crate) fn take_turn(&self) {
        self.turn.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    /// Once; later calls change nothing.
    pub(crate) fn deliver_to(&self, mailbox: Arc<Mailbox>) {
        let _ = self.mailbox.set(mailbox);
    }

    pub(super) fn mailbox(&self) -> Option<&Mailbox> {
        self.mailbox.get().map(|mailbox| &**mailbox)
    }

    pub(super) fn waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.pulse))
    }

    /// Polls the connection; `waker` is its [`Condition::waker`].
    pub(super) fn poll<T>(
        &self,
        cx: &Context<'_>,
        waker: &Waker,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let result = self.pulse.poll(cx, waker, poll);
        // Who counts itself after this looks at the pulse after that, and finds what this poll has come to.
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.changed.notify_waiters();
        }
        result
    }

    /// Takes over what the traffic has come to; `blocked` when requests may be held back because the stream takes no more.
    pub(super) fn update(&self, traffic: &mut Traffic, blocked: bool) {
        let traces = traffic.take_traces();
        if !traces.is_empty() {
            self.traces.fetch_or(traces.bits(), Ordering::SeqCst);
        }
        let Tally {
            orders,
            errors,
            answered,
        } = traffic.tally();
        self.errors.store(errors, Ordering::Release);
        if let Some(Spoilt { by, from }) = traffic.take_spoilt()
            && self.spoilt().is_none()
        {
            self.spoilt_by.store(by, Ordering::SeqCst);
            self.spoilt_from.store(from, Ordering::SeqCst);
        }
        // After what may be wrong with what has been answered.
        self.answered.store(answered, Ordering::Release);
        self.statements
            .follow(traffic.take_stale(), traffic.take_prepared());
        let standing = traffic.standing();
        let standing = if blocked { standing.busy() } else { standing };
        self.standing.store(standing.bits(), Ordering::Release);
        self.orders.store(orders, Ordering::Release);
    }

    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    fn standing(&self) -> Standing {
        Standing::from_bits(self.standing.load(Ordering::Acquire))
    }
}
