use std::{net::SocketAddr, sync::Arc, time::Duration};

use super::Pool;
use crate::connect::TlsSession;

/// What is known of one of a pool's connections.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// The host, as configured.
    pub host: Arc<str>,
    /// The port.
    pub port: u16,
    /// The address that the host's name led to.
    pub address: SocketAddr,
    /// The time since it was opened.
    pub age: Duration,
    /// How often it has been lent.
    pub uses: u32,
    /// For how long somebody has held it; `None` while it is idle.
    pub held: Option<Duration>,
    /// Whether it is one of the [`Lane`](crate::Lane)'s, which many share and nobody holds.
    pub in_lane: bool,
    /// The facts of its TLS.
    pub tls: Arc<TlsSession>,
}

impl Pool {
    /// The open connections, idle and lent. One that is being opened, or that has been detached or given to a
    /// [`Listener`](crate::Listener), is not among them.
    #[must_use]
    pub fn connections(&self) -> Vec<ConnectionInfo> {
        self.manager.house.ledger.connections()
    }
}
