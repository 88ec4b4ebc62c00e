//! The pool: deadpool inside, one deadline around.

mod acquire;
mod builder;
mod client;
mod gate;
mod ledger;
mod manager;
mod mend;
mod permits;
mod readiness;
mod retirement;
mod server_tls;
mod session;
mod shelf;
mod shutdown;
mod status;
mod upkeep;

use std::sync::atomic::Ordering;

pub use builder::PoolBuilder;
pub use client::Client;
pub use ledger::Holder;
pub use readiness::Readiness;
pub use server_tls::ServerTls;
pub use status::Status;

use crate::{
    config::Config,
    policy::{Reload, ReloadError},
};
use manager::Manager;

/// A pool of connections to PostgreSQL, each of them encrypted and its server verified.
///
/// It is cheap to clone; all clones are the same pool.
#[derive(Clone, Debug)]
pub struct Pool {
    connections: deadpool::managed::Pool<Manager, Client>,
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

    /// The pool's levels at this moment.
    #[must_use]
    pub fn status(&self) -> Status {
        let manager = self.connections.manager();
        let cards = manager.house.ledger.cards();
        let used = cards.iter().filter(|card| card.is_lent()).count();
        Status {
            max_size: manager.permits.limit(),
            used,
            idle: cards.len() - used,
            opening: manager.gate.opening(),
            waiting: manager.waiting.load(Ordering::Relaxed),
            stale: manager.connector().stale(),
        }
    }

    /// Who holds a client, where it was acquired and for how long it has been held.
    #[must_use]
    pub fn holders(&self) -> Vec<Holder> {
        self.connections.manager().house.ledger.holders()
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
        self.connections.manager().connector().reload().await
    }
}
