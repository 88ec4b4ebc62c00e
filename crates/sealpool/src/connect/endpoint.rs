use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use sealpool_dsn::TargetSessionAttrs as Wanted;
use tokio::time::timeout;
use tokio_postgres::Client;

use super::{Connector, dial, role::Role, signs::Signs};
use crate::{event::CloseReason, policy::Host};

/// An address that so many lookups in a row did not give is one that its name has left.
const MISSES: u32 = 3;

/// One address of a host, shared by all connections to it: whether its role is in doubt, and why it is given up.
///
/// Once it has been given up, the next connection to the same address begins another.
#[derive(Debug)]
pub(crate) struct Endpoint {
    host: Arc<str>,
    port: u16,
    address: SocketAddr,
    wanted: Wanted,
    doubts: AtomicU32,
    /// How many of the doubts have been cleared up.
    settled: AtomicU32,
    /// How many lookups in a row have missed it.
    missed: AtomicU32,
    given_up: OnceLock<CloseReason>,
}

impl Endpoint {
    /// Takes note of what the server said, if it matters to whoever wants such a role.
    pub(super) fn heard(&self, signs: Signs) {
        let matter = match self.wanted {
            Wanted::Any | Wanted::PreferStandby => return,
            Wanted::Primary | Wanted::ReadWrite => Signs::REFUSED_WRITE,
            Wanted::ReadOnly => Signs::PROMOTED.and(Signs::WRITABLE),
            Wanted::Standby => Signs::PROMOTED,
        };
        if signs.has_any_of(matter) {
            self.doubt();
        }
    }

    /// Takes note that a new connection to it would not do; to prefer a role is not to want it.
    pub(super) fn was_unfit(&self, wanted: Wanted) {
        if wanted == self.wanted {
            self.doubt();
        }
    }

    fn doubt(&self) {
        self.doubts.fetch_add(1, Ordering::SeqCst);
    }

    /// The doubt to be cleared up before a connection is lent.
    pub(crate) fn doubted(&self) -> Option<Doubt> {
        let doubts = self.doubts.load(Ordering::SeqCst);
        (doubts != self.settled.load(Ordering::SeqCst)).then_some(Doubt(doubts))
    }

    fn give_up(&self, reason: CloseReason) {
        let _ = self.given_up.set(reason);
    }

    /// Why its connections are to be closed.
    pub(crate) fn given_up(&self) -> Option<CloseReason> {
        self.given_up.get().copied()
    }

    /// Clears a doubt up by asking over one of the connections; why that is to be closed, if it is.
    pub(crate) async fn confirm(
        &self,
        Doubt(doubts): Doubt,
        client: &Client,
        limit: Duration,
    ) -> Result<(), CloseReason> {
        let Ok(Ok(role)) = timeout(limit, Role::asked(client)).await else {
            return Err(CloseReason::CheckFailed);
        };
        let Some(why) = role.unfit(self.wanted) else {
            // Of several who ask, the one with the newest doubt counts.
            self.settled.fetch_max(doubts, Ordering::SeqCst);
            return Ok(());
        };
        let (host, port) = (&*self.host, self.port);
        tracing::info!(host, port, address = %self.address, "{why}: its connections are retired");
        self.give_up(CloseReason::RoleChanged);
        Err(CloseReason::RoleChanged)
    }

    fn is_of(&self, host: &Host) -> bool {
        self.host == host.name && self.port == host.port
    }
}

/// What was doubted up to a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Doubt(u32);

/// Every address that connections are open to.
#[derive(Debug, Default)]
pub(super) struct Endpoints(Mutex<Vec<Weak<Endpoint>>>);

impl Endpoints {
    /// The one that a connection belongs to; its address has just been given by a lookup.
    pub(super) fn at(&self, host: &Host, address: SocketAddr, wanted: Wanted) -> Arc<Endpoint> {
        let mut all = self.lock();
        all.retain(|endpoint| endpoint.strong_count() > 0);
        let known = all.iter().filter_map(Weak::upgrade).find(|endpoint| {
            endpoint.is_of(host)
                && endpoint.address == address
                && endpoint.wanted == wanted
                && endpoint.given_up().is_none()
        });
        if let Some(known) = known {
            known.missed.store(0, Ordering::SeqCst);
            return known;
        }
        let endpoint = Arc::new(Endpoint {
            host: Arc::clone(&host.name),
            port: host.port,
            address,
            wanted,
            doubts: AtomicU32::new(0),
            settled: AtomicU32::new(0),
            missed: AtomicU32::new(0),
            given_up: OnceLock::new(),
        });
        all.push(Arc::downgrade(&endpoint));
        endpoint
    }

    fn has(&self, host: &Host) -> bool {
        let all = self.lock();
        let mut all = all.iter().filter_map(Weak::upgrade);
        all.any(|endpoint| endpoint.is_of(host))
    }

    /// Takes note of what a lookup gave.
    fn looked_up(&self, host: &Host, addresses: &[SocketAddr]) {
        let all = self.lock();
        for endpoint in all.iter().filter_map(Weak::upgrade) {
            if !endpoint.is_of(host) {
                continue;
            }
            if addresses.contains(&endpoint.address) {
                endpoint.missed.store(0, Ordering::SeqCst);
            } else if endpoint.missed.fetch_add(1, Ordering::SeqCst) + 1 >= MISSES {
                endpoint.give_up(CloseReason::Evicted);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Endpoint>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connector {
    /// Asks for the addresses of the hosts that connections are open to, and gives those up that their names have left.
    ///
    /// A lookup that fails says nothing.
    pub(crate) async fn look_names_up(&self) {
        let policy = self.policy();
        let limit = policy.network.limits.resolve;
        for host in &policy.hosts {
            if host.known_address().is_some() || !self.0.endpoints.has(host) {
                continue;
            }
            if let Ok(addresses) = dial::resolve(&self.0.resolver, host, limit).await {
                self.0.endpoints.looked_up(host, &addresses);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str) -> Host {
        Host {
            name: name.into(),
            port: 5432,
            address: None,
            server_name: name.to_owned(),
            password: None,
        }
    }

    fn address(last: u8) -> SocketAddr {
        ([203, 0, 113, last], 5432).into()
    }

    #[test]
    fn an_address_is_given_up_after_three_misses_in_a_row() {
        let endpoints = Endpoints::default();
        let (moving, other) = (host("db.example.net"), host("other.example.net"));
        let old = endpoints.at(&moving, address(1), Wanted::Any);
        let stays = endpoints.at(&other, address(1), Wanted::Any);
        for answer in [2, 2, 1, 2, 2] {
            endpoints.looked_up(&moving, &[address(answer), address(3)]);
            assert_eq!(old.given_up(), None);
        }
        // A connection is opened where a lookup led to.
        let same = endpoints.at(&moving, address(1), Wanted::Any);
        assert!(Arc::ptr_eq(&old, &same));
        for _ in 0..2 {
            endpoints.looked_up(&moving, &[address(2)]);
            assert_eq!(old.given_up(), None);
        }
        endpoints.looked_up(&moving, &[address(2)]);
        assert_eq!(old.given_up(), Some(CloseReason::Evicted));
        assert_eq!(stays.given_up(), None);
        let new = endpoints.at(&moving, address(1), Wanted::Any);
        assert_eq!(new.given_up(), None);
        drop((old, same, new));
        assert!(!endpoints.has(&moving) && endpoints.has(&other));
    }

    #[test]
    fn each_role_has_its_own_doubts() {
        let doubted = |signs| {
            Wanted::ALL
                .iter()
                .copied()
                .filter(|wanted| {
                    let endpoint = Endpoints::default().at(&host("db"), address(1), *wanted);
                    endpoint.heard(signs);
                    endpoint.doubted().is_some()
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(
            doubted(Signs::REFUSED_WRITE),
            [Wanted::Primary, Wanted::ReadWrite]
        );
        assert_eq!(
            doubted(Signs::PROMOTED),
            [Wanted::ReadOnly, Wanted::Standby]
        );
        assert_eq!(doubted(Signs::WRITABLE), [Wanted::ReadOnly]);
        assert_eq!(doubted(Signs::default()), []);
    }
}
