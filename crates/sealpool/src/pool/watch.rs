use tokio::time::Instant;

use super::Client;
use crate::{
    error::Error,
    event::{AcquireOutcome, Event},
    observers::Observers,
};

/// Tells how an acquire ended, once, when it is dropped at the latest. Without observers it is nothing, and no clock is
/// read.
pub(super) struct Watch<'a>(Option<Watched<'a>>);

struct Watched<'a> {
    observers: &'a Observers,
    started: Instant,
    waits: bool,
    ended: Option<Instant>,
    outcome: AcquireOutcome,
}

impl<'a> Watch<'a> {
    pub(super) fn begin(observers: &'a Observers) -> Self {
        Self(observers.are_there().then(|| Watched {
            observers,
            started: Instant::now(),
            waits: false,
            ended: None,
            outcome: AcquireOutcome::Cancelled,
        }))
    }

    /// When it began, if anybody is to be told.
    pub(super) fn started(&self) -> Option<Instant> {
        self.0.as_ref().map(|watched| watched.started)
    }

    /// The time, which matters to those who are told of it more than to the pool.
    pub(super) fn now_or(&self, before: Instant) -> Instant {
        self.0.as_ref().map_or(before, |_| Instant::now())
    }

    pub(super) const fn waits(&mut self) {
        if let Some(watched) = &mut self.0 {
            watched.waits = true;
        }
    }

    /// For who has read the clock at its end.
    pub(super) const fn ends_at(&mut self, now: Instant) {
        if let Some(watched) = &mut self.0 {
            watched.ended = Some(now);
        }
    }

    pub(super) fn ended(mut self, mut result: Result<Client, Error>) -> Result<Client, Error> {
        if let Some(watched) = &mut self.0 {
            watched.ended.get_or_insert_with(Instant::now);
            if let Ok(client) = &mut result {
                client.session_mut().given();
            }
            watched.outcome = match &result {
                Ok(_) if watched.waits => AcquireOutcome::Waited,
                Ok(_) => AcquireOutcome::Direct,
                Err(Error::Closed) => AcquireOutcome::Closed,
                Err(Error::Config(_) | Error::Connect(_) | Error::Hook(_)) => {
                    AcquireOutcome::ConnectFailed
                }
                Err(Error::QueueFull(_)) => AcquireOutcome::QueueFull,
                Err(Error::Timeout(_)) => AcquireOutcome::Timeout,
            };
        }
        result
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        let ended = self.ended.unwrap_or_else(Instant::now);
        self.observers.on_event(&Event::AcquireEnded {
            outcome: self.outcome,
            duration: ended - self.started,
        });
    }
}
