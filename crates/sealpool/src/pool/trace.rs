use std::sync::{
    OnceLock,
    atomic::{AtomicBool, Ordering},
};

use tracing::Span;

use crate::{
    error::Error,
    spans::{self, CANCELLED, Failed},
};

/// What an acquire tells those who trace: nothing unless it waits, or they want to know of each.
pub(super) struct Trace<'a> {
    pool: &'a str,
    span: OnceLock<Span>,
    is_told: AtomicBool,
}

impl<'a> Trace<'a> {
    pub(super) const fn new(pool: &'a str) -> Self {
        Self {
            pool,
            span: OnceLock::new(),
            is_told: AtomicBool::new(false),
        }
    }

    /// The span of the wait, which has begun by now.
    pub(super) fn waits(&self) -> &Span {
        self.span.get_or_init(|| spans::waiting_acquire(self.pool))
    }

    pub(super) fn ended<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        let error = result.as_ref().err();
        match self.span.get() {
            Some(span) => tell(span, error, "waited"),
            None => tell(&spans::direct_acquire(self.pool), error, "direct"),
        }
        self.is_told.store(true, Ordering::Relaxed);
        result
    }
}

impl Drop for Trace<'_> {
    fn drop(&mut self) {
        if let Some(span) = self.span.get()
            && !self.is_told.load(Ordering::Relaxed)
        {
            span.record("outcome", CANCELLED);
            span.record("error.type", CANCELLED);
        }
    }
}

fn tell(span: &Span, error: Option<&Error>, given: &'static str) {
    if span.is_disabled() {
        return;
    }
    let (outcome, error_type) = match error {
        None => (given, None),
        Some(Error::Connect(error)) => (
            "connect_failed",
            error.attempt().map(|attempt| attempt.error_type()),
        ),
        Some(Error::Config(_)) => ("connect_failed", Some("config")),
        Some(Error::Closed) => ("closed", Some("closed")),
        Some(Error::Hook(_)) => ("connect_failed", Some("hook")),
        Some(Error::QueueFull(_)) => ("queue_full", Some("queue_full")),
        Some(Error::Timeout(_)) => ("timeout", Some("timeout")),
    };
    span.record("outcome", outcome);
    span.record("error.type", error_type);
}
