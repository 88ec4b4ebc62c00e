use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

/// Tells whether a connection has dealt with all that it was given.
///
/// What a client sends goes into a channel to the connection's task: a future that is dropped at once leaves a request
/// there which no frame betrays yet. But it wakes the task, and that is seen here, before the sender goes on. Every
/// wake-up must have been followed by a whole poll.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// Wake-ups and beginnings of polls.
    stirred: AtomicU64,
    /// `stirred` as it was at the beginning of the last poll that is over.
    done: AtomicU64,
    /// That of the task that polls, which is always the same: a task's waker does not change.
    task: OnceLock<Waker>,
}

impl Pulse {
    pub(super) fn poll<T>(
        &self,
        cx: &Context<'_>,
        waker: &Waker,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let began = self.stirred.fetch_add(1, Ordering::SeqCst) + 1;
        self.task.get_or_init(|| cx.waker().clone());
        let result = poll(&mut Context::from_waker(waker));
        self.done.store(began, Ordering::SeqCst);
        result
    }

    pub(super) fn is_at_rest(&self) -> bool {
        self.done.load(Ordering::SeqCst) == self.stirred.load(Ordering::SeqCst)
    }
}

impl Wake for Pulse {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.stirred.fetch_add(1, Ordering::SeqCst);
        if let Some(task) = self.task.get() {
            task.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_up_counts_until_a_poll_begun_after_it_is_over() {
        let pulse = Arc::new(Pulse::default());
        let waker = Waker::from(Arc::clone(&pulse));
        let cx = Context::from_waker(Waker::noop());
        assert!(pulse.is_at_rest());
        waker.wake_by_ref();
        assert!(!pulse.is_at_rest());
        let _ = pulse.poll(&cx, &waker, |_| {
            assert!(!pulse.is_at_rest());
            Poll::<()>::Pending
        });
        assert!(pulse.is_at_rest());
        let _ = pulse.poll(&cx, &waker, |inside| {
            inside.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        assert!(!pulse.is_at_rest());
    }
}
