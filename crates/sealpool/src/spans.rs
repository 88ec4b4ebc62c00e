//! The spans of `tracing`, with the names and fields of OpenTelemetry. What they tell comes from closed sets and from the
//! configuration, never from a server.

use tracing::{Instrument, Span, debug_span, field::Empty, info_span};

use crate::{
    error::{Attempt, ConnectError},
    event::Server,
    policy::Policy,
};

/// An acquire that waits.
pub(crate) fn waiting_acquire(pool: &str) -> Span {
    info_span!(
        "pool.acquire",
        "db.client.connection.pool.name" = pool,
        outcome = Empty,
        "error.type" = Empty
    )
}

/// An acquire that ended at once: there are many, and none took long.
pub(crate) fn direct_acquire(pool: &str) -> Span {
    debug_span!(
        "pool.acquire",
        "db.client.connection.pool.name" = pool,
        outcome = Empty,
        "error.type" = Empty
    )
}

/// A connect for whoever asked. It has no parent, since what it opens outlives them.
pub(crate) fn connect(policy: &Policy, asked: &Span) -> Span {
    let span = info_span!(
        parent: None,
        "connect",
        "db.system.name" = "postgresql",
        "db.namespace" = policy.login.database.as_deref(),
        "server.address" = Empty,
        "server.port" = Empty,
        "network.peer.address" = Empty,
        "error.type" = Empty
    );
    span.follows_from(asked);
    span
}

pub(crate) fn resolve() -> Span {
    info_span!("resolve", "error.type" = Empty)
}

pub(crate) fn tcp() -> Span {
    info_span!("tcp", "error.type" = Empty)
}

pub(crate) fn tls() -> Span {
    info_span!("tls", "tls.protocol.version" = Empty, "error.type" = Empty)
}

pub(crate) fn startup() -> Span {
    info_span!("startup", "error.type" = Empty)
}

/// Tells which server a connect has come to.
pub(crate) fn reached(connect: &Span, server: Server<'_>) {
    let Server {
        host,
        port,
        address,
    } = server;
    connect.record("server.address", host);
    connect.record("server.port", port);
    connect.record(
        "network.peer.address",
        tracing::field::display(address.ip()),
    );
}

/// Works in a span, which tells why it failed, or that it was given up.
pub(crate) async fn traced<T, E: Failed>(
    span: &Span,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let mut given_up = GivenUp(Some(span));
    let result = work.instrument(span.clone()).await;
    given_up.0 = None;
    if let Err(error) = &result
        && let Some(attempt) = error.attempt()
    {
        // A span ignores the fields that it does not have.
        span.record("error.type", attempt.error_type());
        span.record("server.address", &*attempt.host);
        span.record("server.port", attempt.port);
        let address = attempt.address.map(|address| address.ip());
        span.record("network.peer.address", address.map(tracing::field::display));
    }
    result
}

struct GivenUp<'a>(Option<&'a Span>);

impl Drop for GivenUp<'_> {
    fn drop(&mut self) {
        if let Some(span) = self.0 {
            span.record("error.type", CANCELLED);
        }
    }
}

pub(crate) const CANCELLED: &str = "cancelled";

/// An error of what is traced.
pub(crate) trait Failed {
    /// The attempt that decided.
    fn attempt(&self) -> Option<&Attempt>;
}

impl Failed for Attempt {
    fn attempt(&self) -> Option<&Attempt> {
        Some(self)
    }
}

impl Failed for ConnectError {
    fn attempt(&self) -> Option<&Attempt> {
        self.attempts().last()
    }
}
