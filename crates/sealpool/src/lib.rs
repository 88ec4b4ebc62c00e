//! A PostgreSQL connection pool over which nothing travels unencrypted or to an unverified server.
//!
//! [`Config`] is what an operator writes, [`Pool`] what a service holds, [`Client`] what a caller borrows.
#![warn(missing_docs)]

mod advice;
mod closed_set;
mod config;
mod connect;
mod error;
mod event;
mod failure;
mod policy;
mod pool;

pub use config::{
    Config, ConfigError, Effective, Explanation, IntoSetting, Key, Layer, Origin, Warning, Word,
};
pub use connect::{
    CancelError, CancelHandle, CancelOutcome, Certificate, ChannelBinding, Connector,
    KeyExchangeGroup, Password, PasswordRequest, TlsSession, TlsVersion,
};
pub use error::{AcquireTimeout, Attempt, Class, ConnectError, Error, Stage};
pub use event::{
    CertificateRole, CloseReason, CredentialOutcome, Event, HealthCheckOutcome, NoopObserver,
    Observer, ReloadOutcome, Server,
};
pub use failure::HandshakeFailure;
pub use policy::{AuthMethod, Reload, ReloadError};
pub use pool::{Client, Holder, Pool, PoolBuilder, Readiness, ServerTls, Status};

pub use deadpool_postgres;
pub use sealpool_dsn::{CheckedDsn, Secret, dsn};
pub use tokio_postgres;

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
