//! A PostgreSQL connection pool over which nothing travels unencrypted or to an unverified server.
//!
//! [`Config`] is what an operator writes, [`Pool`] what a service holds, [`Client`] what a caller borrows.
#![warn(missing_docs)]

mod advice;
mod closed_set;
mod config;
mod connect;
mod counted;
mod error;
mod event;
mod failure;
mod hook;
mod observers;
mod policy;
mod pool;
mod samples;
mod spans;

pub use config::{
    Change, Config, ConfigError, Effective, Explanation, IntoSetting, Key, Layer, Origin, Warning,
    Word,
};
pub use connect::{
    AddressDiagnosis, CancelError, CancelHandle, CancelOutcome, Certificate, CertificateInUse,
    ChannelBinding, Check, Connector, Diagnosis, Finding, Heard, KeyExchangeGroup, Level, Mark,
    Outcome, Password, PasswordRequest, PlaintextProbe, ServerFacts, TlsSession, TlsVersion,
};
pub use error::{AcquireTimeout, Attempt, Class, ConnectError, Error, Stage};
pub use event::{
    AcquireOutcome, CertificateRole, CloseReason, CredentialOutcome, Event, HealthCheckOutcome,
    NoopObserver, Observer, ReloadOutcome, Server,
};
pub use failure::HandshakeFailure;
pub use hook::{Hook, HookError};
pub use policy::{AuthMethod, CRYPTO_PROVIDER, Reconfigured, Reload, ReloadError};
pub use pool::{
    Client, ConnectRequest, ConnectionInfo, Holder, HookFuture, Lane, LaneError, Listener, Pool,
    PoolBuilder, PoolState, Readiness, ServerTls, Status, Veto, WeakPool,
};

pub use deadpool_postgres;
pub use sealpool_dsn::{CheckedDsn, Secret, dsn};
pub use tokio_postgres;

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
