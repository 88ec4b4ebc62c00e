//! The pool: what is idle, who may have it, and one deadline around.

mod acquire;
mod alarm;
mod builder;
mod call;
mod client;
mod connection_info;
mod gate;
mod hooks;
mod house;
mod keepalive;
mod lane;
mod ledger;
mod line;
mod listener;
mod listening;
mod manager;
mod mend;
mod names;
mod opening;
mod permit;
mod permits;
mod queue;
mod readiness;
mod reconfiguration;
mod retirement;
mod server_tls;
mod session;
mod shelf;
mod shutdown;
mod status;
mod suspects;
mod suspension;
mod terms;
mod trace;
mod upkeep;
mod waiting;
mod watch;
mod weak;

pub use builder::{PoolBuilder, Veto};
pub use client::Client;
pub use connection_info::ConnectionInfo;
pub use hooks::{ConnectRequest, HookFuture};
pub use lane::{Lane, LaneError};
pub use ledger::Holder;
pub use listener::Listener;
pub use readiness::Readiness;
pub use server_tls::ServerTls;
pub use status::{PoolState, Status};
pub use weak::WeakPool;

use std::sync::Arc;

use crate::{
    config::Config,
    connect::CertificateInUse,
    connect::{Diagnosis, PlaintextProbe},
    policy::{Reload, ReloadError},
};
use manager::Manager;

/// A pool of connections to PostgreSQL, each of them encrypted and its server verified.
///
/// It is cheap to clone; all clones are the same pool.
#[derive(Clone, Debug)]
pub struct Pool {
    manager: Arc<Manager>,
}

impl Pool {
    /// Begins a pool from a configuration.
    ///
    /// Nothing else can be handed to it, least of all a way to connect without TLS:
    ///
    /// ```compile_fail,E0308
    /// let pool = sealpool::Pool::builder(tokio_postgres::NoTls);
    /// ```
    ///
    /// ```compile_fail,E0599
    /// let pool = sealpool::Pool::builder(sealpool::Config::new()).tls(tokio_postgres::NoTls);
    /// ```
    pub fn builder(config: Config) -> PoolBuilder {
        PoolBuilder::new(config)
    }

    /// Goes the whole way to a query beside the pool, stage by stage, and says what it finds; see
    /// [`Connector::diagnose`](crate::Connector::diagnose).
    pub async fn diagnose(&self, plaintext: PlaintextProbe) -> Diagnosis {
        self.manager.connector().diagnose(plaintext).await
    }

    /// Who holds a client, where it was acquired and for how long it has been held.
    #[must_use]
    pub fn holders(&self) -> Vec<Holder> {
        self.manager.house.ledger.holders()
    }

    /// The certificates on which the connections depend: those of our own files, and those that each server presented
    /// with the connection opened last.
    #[must_use]
    pub fn certificates(&self) -> Vec<CertificateInUse> {
        self.manager.connector().certificates()
    }

    /// Looks at the files of certificates, keys, lists and the password now, and not only with the next
    /// `tls.reload_interval`.
    ///
    /// What is new is put into force for the connections opened from then on, if all of it can be used together. When
    /// certificates, keys or lists have changed, the connections there are get retired while they are idle, spread over
    /// `tls.rotate_within`; no query is disturbed. A new password alone retires none.
    ///
    /// # Errors
    ///
    /// Why what is new was not taken; what was in force stays.
    pub async fn reload(&self) -> Result<Reload, ReloadError> {
        self.manager.connector().reload().await
    }
}
