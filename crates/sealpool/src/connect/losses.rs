use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::Notify;

/// How many connections to one address were lost: broken off by the server or the network, or found dead.
///
/// One may mean all: those that were open at that time are suspect until they have answered.
#[derive(Debug)]
pub(crate) struct Losses {
    count: AtomicU64,
    happened: Arc<Notify>,
}

/// The losses of all servers.
#[derive(Debug, Default)]
pub(super) struct Lost {
    servers: Mutex<HashMap<SocketAddr, Arc<Losses>>>,
    happened: Arc<Notify>,
}

impl Losses {
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.happened.notify_one();
    }

    /// Has those looked at that are suspect still.
    pub(crate) fn confirm(&self) {
        self.happened.notify_one();
    }
}

impl Lost {
    /// Those of an address.
    pub(super) fn at(&self, address: SocketAddr) -> Arc<Losses> {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(losses) = servers.get(&address) {
            return Arc::clone(losses);
        }
        // Addresses come and go with names that move.
        servers.retain(|_, losses| Arc::strong_count(losses) > 1);
        let losses = Arc::new(Losses {
            count: AtomicU64::new(0),
            happened: Arc::clone(&self.happened),
        });
        servers.insert(address, Arc::clone(&losses));
        losses
    }

    pub(super) async fn happened(&self) {
        self.happened.notified().await;
    }
}
