use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::time::{Sleep, sleep};
use tokio_postgres::Notification;

use crate::error::ConnectError;

/// How many notifications wait to be taken.
const CAPACITY: usize = 1_024;
/// For how long the connection is not read while they are that many and none is taken.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a listener hears.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Heard {
    /// So many notifications were dropped, since nobody took any for 5 s while 1,024 waited.
    Lagged(u64),
    /// Somebody notified a channel.
    Notification(Notification),
    /// The connection has been replaced by another, which listens to the same channels. What was sent between the two is
    /// lost: now is the time to look at whatever the notifications tell of.
    Reconnected,
}

/// What has been heard and not yet been taken, and why nothing is heard.
///
/// While it is full the connection is not read, so that who takes the notifications one by one loses none however many
/// come at once; but not for long, since the server keeps for everybody what one does not read.
#[derive(Debug, Default)]
pub(crate) struct Mailbox(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Result<Heard, Arc<ConnectError>>>,
    lost: u64,
    closed: bool,
    patience: Option<Pin<Box<Sleep>>>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Mailbox {
    /// Ready when the connection may be read.
    pub(super) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if state.closed || state.items.len() < CAPACITY {
            state.patience = None;
            return Poll::Ready(());
        }
        let patience = state
            .patience
            .get_or_insert_with(|| Box::pin(sleep(PATIENCE)));
        if patience.is_elapsed() || patience.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        state.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(super) fn put(&self, notification: Notification) {
        let mut state = self.state();
        if state.items.len() >= CAPACITY {
            state.lost += 1;
            return;
        }
        state.tell_lost();
        let heard = Heard::Notification(notification);
        state.items.push_back(Ok(heard));
        state.wake_reader();
    }

    pub(crate) fn reconnected(&self) {
        let mut state = self.state();
        // A failure that nobody has heard of is over.
        if matches!(state.items.back(), Some(Err(_))) {
            state.items.pop_back();
        }
        if !matches!(state.items.back(), Some(Ok(Heard::Reconnected))) {
            state.items.push_back(Ok(Heard::Reconnected));
        }
        state.wake_reader();
    }

    pub(crate) fn failed(&self, error: Arc<ConnectError>) {
        let mut state = self.state();
        if matches!(state.items.back(), Some(Err(_))) {
            state.items.pop_back();
        }
        state.items.push_back(Err(error));
        state.wake_reader();
    }

    /// Nothing will be put into it, or nobody will take anything out.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.wake_reader();
        state.wake_writer();
    }

    pub(crate) fn poll_take(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Heard, Arc<ConnectError>>>> {
        let mut state = self.state();
        if state.items.is_empty() {
            state.tell_lost();
        }
        let Some(item) = state.items.pop_front() else {
            if state.closed {
                return Poll::Ready(None);
            }
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        state.patience = None;
        state.wake_writer();
        Poll::Ready(Some(item))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn tell_lost(&mut self) {
        if self.lost > 0 {
            self.items.push_back(Ok(Heard::Lagged(self.lost)));
            self.lost = 0;
        }
    }

    fn wake_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn wake_writer(&mut self) {
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }
}
