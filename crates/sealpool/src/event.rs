use std::{
    fmt,
    net::SocketAddr,
    panic::Location,
    time::{Duration, SystemTime},
};

use crate::{
    closed_set::closed_set,
    config::Change,
    connect::{Outcome, TlsSession},
    error::Stage,
    failure::HandshakeFailure,
    policy::{AuthMethod, ReloadError},
    pool::{Veto, WeakPool},
};

/// Something that happened in a pool, as a typed fact.
///
/// For each handshake started there is exactly one sealed or failed: `started = sealed + failed` whenever none is
/// under way, with the ones given up by the caller among the failed (reason `cancelled`).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A pool was built: the first event of each.
    #[non_exhaustive]
    PoolBuilt {
        /// The pool, which an observer may keep to ask for its levels.
        pool: &'a WeakPool,
        /// `host:port/database`, of all hosts.
        name: &'a str,
        /// Lets an observer refuse the pool.
        veto: &'a Veto,
    },
    /// An acquire ended, in whatever way.
    ///
    /// It is told once for each acquire that began, and for a `try_acquire` that gave a client.
    #[non_exhaustive]
    AcquireEnded {
        /// What it came to.
        outcome: AcquireOutcome,
        /// The time from its beginning.
        duration: Duration,
    },
    /// A client was given back.
    #[non_exhaustive]
    ClientReturned {
        /// The server.
        server: Server<'a>,
        /// For how long it was held.
        held: Duration,
    },
    /// An attempt to connect to one address failed; a connect tries as many as there are.
    #[non_exhaustive]
    ConnectFailed {
        /// The host as configured.
        host: &'a str,
        /// The port.
        port: u16,
        /// The address, when the name had been resolved.
        address: Option<SocketAddr>,
        /// How far it came.
        stage: Stage,
        /// The reason, when the handshake failed.
        failure: Option<HandshakeFailure>,
    },
    /// TLS was asked of a server.
    #[non_exhaustive]
    HandshakeStarted {
        /// The server.
        server: Server<'a>,
    },
    /// The server was verified and everything from now on is encrypted.
    ///
    /// It is reported when the login has ended, since a server refuses a client certificate only after the handshake.
    #[non_exhaustive]
    HandshakeSealed {
        /// The server.
        server: Server<'a>,
        /// The time from the request for TLS to the end of the handshake.
        duration: Duration,
        /// What was negotiated.
        session: &'a TlsSession,
    },
    /// The handshake failed; nothing but the request for TLS and the handshake itself was sent.
    #[non_exhaustive]
    HandshakeFailed {
        /// The server.
        server: Server<'a>,
        /// The time from the request for TLS to the failure.
        duration: Duration,
        /// The reason.
        failure: HandshakeFailure,
    },
    /// A login went by a method that should be given up; `require_auth` can forbid it.
    #[non_exhaustive]
    WeakAuthenticationUsed {
        /// The server.
        server: Server<'a>,
        /// The method.
        method: AuthMethod,
    },
    /// A connection is ready for queries.
    #[non_exhaustive]
    ConnectionOpened {
        /// The server.
        server: Server<'a>,
        /// The time from the start of the TCP connection.
        duration: Duration,
    },
    /// A connection has left the pool.
    #[non_exhaustive]
    ConnectionClosed {
        /// The server.
        server: Server<'a>,
        /// Why.
        reason: CloseReason,
    },
    /// A connection was asked whether it answers: before it was lent, since nobody had used it for a while or another one
    /// to the same server was lost, or in the background (`pool.keepalive_interval`).
    #[non_exhaustive]
    HealthChecked {
        /// The server.
        server: Server<'a>,
        /// What it came to.
        outcome: HealthCheckOutcome,
    },
    /// A client has been held for longer than `pool.leak_threshold`: once for each time it is lent.
    #[non_exhaustive]
    LeakSuspected {
        /// The server.
        server: Server<'a>,
        /// Where it was acquired.
        place: &'static Location<'static>,
        /// For how long it has been held.
        held: Duration,
    },
    /// A statement on a [`Lane`](crate::Lane) ended, in whatever way: once for each call.
    #[non_exhaustive]
    LaneStatementEnded {
        /// What became of it; unknown if its call was dropped after it was sent.
        outcome: Outcome,
    },
    /// A connection of a [`Lane`](crate::Lane) was closed, since somebody had opened a transaction on it or changed its
    /// session.
    #[non_exhaustive]
    LaneConnectionEvicted {
        /// The server.
        server: Server<'a>,
        /// Where that statement was sent.
        place: Option<&'static Location<'static>>,
    },
    /// The files of certificates, keys, lists and the password were looked at.
    #[non_exhaustive]
    TlsReloaded {
        /// What it came to.
        outcome: ReloadOutcome,
        /// Why it failed; those in force stay.
        error: Option<&'a ReloadError>,
    },
    /// The configuration was read or given anew.
    #[non_exhaustive]
    PoolReconfigured {
        /// What it came to.
        outcome: ReloadOutcome,
        /// What is in force now, and was not before.
        changes: &'a [Change],
        /// Why it failed; what is in force stays.
        error: Option<&'a ReloadError>,
    },
    /// A certificate in use ends in 30, 14 or 3 days: once for each of these, unless it was made to live shorter.
    #[non_exhaustive]
    CertificateExpiring {
        /// Whose it is.
        which: CertificateRole,
        /// Its subject.
        subject: &'a str,
        /// When it ends.
        not_after: SystemTime,
        /// Whole days until then.
        days_left: u64,
    },
    /// The password provider was asked.
    #[non_exhaustive]
    CredentialRefreshed {
        /// What it came to.
        outcome: CredentialOutcome,
        /// Until when the password is valid, if the provider said so.
        expires_at: Option<SystemTime>,
    },
}

/// The server an event speaks of.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Server<'a> {
    /// The name as configured.
    pub host: &'a str,
    /// The port.
    pub port: u16,
    /// The address.
    pub address: SocketAddr,
}

closed_set! {
    /// What an acquire came to.
    pub enum AcquireOutcome {
        /// Its future was dropped before its end.
        Cancelled = "cancelled",
        /// The pool has been closed.
        Closed = "closed",
        /// A connection could not be opened, and waiting does not heal that.
        ConnectFailed = "connect_failed",
        /// It gave a client at once.
        Direct = "direct",
        /// As many waited as `pool.max_waiting` allows.
        QueueFull = "queue_full",
        /// Its limit passed.
        Timeout = "timeout",
        /// It gave a client after a wait: for a connection to come back, to be opened or to be checked.
        Waited = "waited",
    }
}

impl AcquireOutcome {
    /// Whether the acquire succeeded.
    #[must_use]
    pub const fn gave_a_client(self) -> bool {
        matches!(self, Self::Direct | Self::Waited)
    }
}

closed_set! {
    /// Why a connection has left the pool.
    pub enum CloseReason {
        /// The server or the network ended it.
        Broken = "broken",
        /// It did not answer when it was checked after a time of rest, or a hook (`after_connect`, `before_acquire`) would
        /// not have it lent.
        CheckFailed = "check_failed",
        /// Its owner took it out of the pool, the pool was dropped while it was in use, or its listener was dropped.
        Detached = "detached",
        /// It came back in a state that the next borrower must not meet, or the `after_release` hook would not keep it.
        Dirty = "dirty",
        /// The application asked for all connections to be replaced, the settings that it was made with have been, or the
        /// name of its host leads to other addresses.
        Evicted = "evicted",
        /// Nobody had used it for `pool.idle_timeout`.
        IdleTimeout = "idle_timeout",
        /// It had reached `pool.max_lifetime`.
        MaxLifetime = "max_lifetime",
        /// It had been lent `pool.max_uses` times.
        MaxUses = "max_uses",
        /// The pool was closed or dropped.
        PoolClosed = "pool_closed",
        /// The pool was made smaller.
        Resized = "resized",
        /// What its borrower had left could not be removed.
        ResetFailed = "reset_failed",
        /// Its server no longer has the role that `connect.target_session_attrs` wants.
        RoleChanged = "role_changed",
        /// It was made with certificates, keys, lists or settings of TLS that have been replaced.
        TlsRotated = "tls_rotated",
    }
}

closed_set! {
    /// What the check of a connection came to.
    pub enum HealthCheckOutcome {
        /// It failed or did not answer in time, and the connection was closed.
        Failed = "failed",
        /// It answered.
        Ok = "ok",
    }
}

closed_set! {
    /// What a look at the configuration, or at the files of certificates, keys, lists and the password came to.
    pub enum ReloadOutcome {
        /// Something was new and could not be used; what is in force stays.
        Failed = "failed",
        /// Something was new and is in force.
        Ok = "ok",
        /// Nothing was new.
        Unchanged = "unchanged",
    }
}

closed_set! {
    /// Whose certificate is meant.
    pub enum CertificateRole {
        /// Ours.
        Client = "client",
        /// A trusted root's.
        Root = "root",
        /// One that a server presented.
        Server = "server",
    }
}

closed_set! {
    /// What asking the password provider came to.
    pub enum CredentialOutcome {
        /// It gave none, or not in time.
        Failed = "failed",
        /// It gave a password.
        Ok = "ok",
    }
}

/// Told of every [`Event`] of a pool.
///
/// It is called in the middle of the pool's work: it must neither block nor panic.
pub trait Observer: Send + Sync + 'static {
    /// Takes note of an event.
    fn on_event(&self, event: &Event<'_>);
}

/// The observer that ignores everything, for where there has to be one.
#[derive(Clone, Copy, Debug)]
pub struct NoopObserver;

impl Observer for NoopObserver {
    fn on_event(&self, _: &Event<'_>) {}
}

impl fmt::Debug for dyn Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}
