use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::acceptor::Acceptor;

mod recording;
pub use recording::{Mode, Recording};
mod rules;
pub use rules::{Summary, Violation};
mod relay;
use relay::Relay;

/// Shorter ones turn up in ciphertext by chance.
const SHORTEST_CANARY: usize = 5;

/// A proxy on loopback that records what each client sends and judges it: TLS from the first byte on, or exactly one
/// SSLRequest and then TLS, and no canary anywhere.
///
/// It passes on half-closes and resets. If the upstream cannot be reached, the client is reset. Dropping it ends all
/// connections and judges once more, so that no test can forget to.
pub struct Tap {
    acceptor: Acceptor,
    relays: Arc<Mutex<Vec<Relay>>>,
    canaries: Mutex<Vec<Vec<u8>>>,
}

impl Tap {
    /// Listens on a free port and connects each client to `upstream`.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn start(upstream: SocketAddr) -> io::Result<Self> {
        let relays = Arc::new(Mutex::new(Vec::new()));
        let accepted = Arc::clone(&relays);
        let acceptor = Acceptor::start(move |client: TcpStream| {
            let relay = Relay::start(client, upstream);
            accepted
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(relay);
        })?;
        Ok(Self {
            acceptor,
            relays,
            canaries: Mutex::default(),
        })
    }

    /// Where clients connect to.
    pub fn addr(&self) -> SocketAddr {
        self.acceptor.addr()
    }

    /// The port of [`Tap::addr`].
    pub fn port(&self) -> u16 {
        self.addr().port()
    }

    /// Adds bytes that no client may send: a password, a user's name, SQL.
    ///
    /// # Panics
    /// On less than five bytes, which would turn up in ciphertext by chance.
    pub fn forbid(&self, canary: impl Into<Vec<u8>>) {
        let canary = canary.into();
        assert!(
            canary.len() >= SHORTEST_CANARY,
            "a canary of {} bytes turns up in ciphertext by chance: use {SHORTEST_CANARY} or more",
            canary.len()
        );
        self.canaries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(canary);
    }

    /// What each client has sent so far, in the order they connected.
    pub fn connections(&self) -> Vec<Recording> {
        self.relays().iter().map(Relay::recording).collect()
    }

    /// Judges everything that has arrived so far.
    ///
    /// # Errors
    /// The first violation, with the connection and the place in it.
    pub fn verify(&self) -> Result<Summary, Violation> {
        let canaries = self.canaries.lock().unwrap_or_else(PoisonError::into_inner);
        rules::judge(&self.connections(), &canaries)
    }

    fn relays(&self) -> MutexGuard<'_, Vec<Relay>> {
        self.relays.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            acceptor,
            relays: _,
            canaries: _,
        } = self;
        f.debug_struct("Tap")
            .field("addr", &acceptor.addr())
            .finish_non_exhaustive()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.acceptor.stop();
        for relay in self.relays().iter_mut() {
            relay.end();
        }
        if let Err(violation) = self.verify()
            && !thread::panicking()
        {
            panic!(
                "the tap on {} saw what must not travel: {violation}",
                self.addr()
            );
        }
    }
}
