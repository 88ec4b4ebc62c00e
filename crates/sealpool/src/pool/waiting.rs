use std::{
    future::poll_fn,
    mem,
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use super::{
    house::House,
    permit::{Granted, Permit},
    queue::{End, Wait},
};

/// What asking for a permit comes to at once.
pub(super) enum Asked<'a> {
    Granted(Granted),
    InLine(Waiting<'a>),
}

/// A place among those who wait, until it is dropped.
pub(super) struct Waiting<'a> {
    house: &'a Arc<House>,
    key: Option<usize>,
    wait: Wait,
    is_new: bool,
}

impl<'a> Waiting<'a> {
    /// In line for a permit.
    pub(super) const fn in_line(house: &'a Arc<House>, key: usize, wait: Wait) -> Self {
        Self {
            house,
            key: Some(key),
            wait,
            is_new: true,
        }
    }

    /// For anything but a permit.
    pub(super) fn enter(house: &'a Arc<House>, wait: Wait) -> Self {
        Self {
            house,
            key: Some(house.permits.enter(wait)),
            wait,
            is_new: false,
        }
    }

    pub(super) const fn wait(&self) -> Wait {
        self.wait
    }

    /// That for which it is in line; to be awaited as soon as it is.
    pub(super) async fn granted(&mut self) -> Result<Granted, End> {
        poll_fn(|cx| {
            // It got in line in this very poll.
            if mem::take(&mut self.is_new) && self.wait.limit() != Some(Duration::ZERO) {
                return Poll::Pending;
            }
            let result = self.poll(cx);
            if matches!(result, Poll::Ready(Ok(_))) {
                self.key = None;
            }
            result
        })
        .await
    }

    /// What else it waits for, if that comes to an end before the wait does.
    pub(super) async fn unless_ended<T>(&self, work: impl Future<Output = T>) -> Result<T, End> {
        let mut work = pin!(work);
        poll_fn(|cx| match self.poll(cx) {
            // Before anything else is tried that waiting does not heal.
            Poll::Ready(Err(end @ (End::Closed | End::Refused(_)))) => Poll::Ready(Err(end)),
            Poll::Ready(Err(late @ End::Late)) => match work.as_mut().poll(cx) {
                Poll::Ready(result) => Poll::Ready(Ok(result)),
                Poll::Pending => Poll::Ready(Err(late)),
            },
            Poll::Ready(Ok(_)) | Poll::Pending => work.as_mut().poll(cx).map(Ok),
        })
        .await
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<Result<Granted, End>> {
        match self.key {
            Some(key) => Permit::poll(self.house, key, self.wait, cx),
            None => Poll::Pending,
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.house.permits.leave(key);
        }
    }
}
