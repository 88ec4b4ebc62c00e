use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::acceptor::Acceptor;

mod flow;
use flow::{Course, Flow};
pub use flow::{Direction, Treatment};
mod link;
pub use link::Link;

/// A proxy on loopback that does to each connection what a bad network or a bad machine does. A
/// [`Tap`](crate::Tap) in front of it goes on judging what the client sends.
///
/// It passes on half-closes and resets, as long as it passes on anything. If the upstream cannot be reached, the client is
/// reset. Dropping it ends all connections.
pub struct Proxy {
    acceptor: Acceptor,
    plan: Arc<Mutex<Plan>>,
}

struct Plan {
    upstream: SocketAddr,
    to_client: Course,
    to_server: Course,
    links: Vec<(Link, JoinHandle<()>)>,
}

impl Proxy {
    /// Listens on a free port and connects each client to `upstream`.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn start(upstream: SocketAddr) -> io::Result<Self> {
        let plan = Arc::new(Mutex::new(Plan {
            upstream,
            to_client: Course::default(),
            to_server: Course::default(),
            links: Vec::new(),
        }));
        let accepted = Arc::clone(&plan);
        let acceptor = Acceptor::start(move |client: TcpStream| {
            let mut plan = accepted.lock().unwrap_or_else(PoisonError::into_inner);
            let flows = (Flow::new(plan.to_client), Flow::new(plan.to_server));
            let link = Link::start(client, plan.upstream, flows);
            plan.links.push(link);
        })?;
        Ok(Self { acceptor, plan })
    }

    /// Where clients connect to.
    pub fn addr(&self) -> SocketAddr {
        self.acceptor.addr()
    }

    /// The port of [`Proxy::addr`].
    pub fn port(&self) -> u16 {
        self.addr().port()
    }

    /// Every connection so far, those that have ended too, in the order they came.
    pub fn links(&self) -> Vec<Link> {
        self.plan()
            .links
            .iter()
            .map(|(link, _)| link.clone())
            .collect()
    }

    /// How connections are treated that come from now on; those that are there stay as they are.
    pub fn treat_new(&self, direction: Direction, treatment: Treatment) {
        *self.plan().course(direction) = Course::of(treatment);
    }

    /// The same, but each passes so many bytes before. One byte is the least.
    pub fn treat_new_after(&self, direction: Direction, bytes: u64, treatment: Treatment) {
        *self.plan().course(direction) = Course::default().then(bytes, treatment);
    }

    /// Swallows, on all connections that are there, everything that either side sends, its end included. New ones pass.
    pub fn black_hole(&self) {
        for link in self.links() {
            link.treat(Direction::ToClient, Treatment::Discard);
            link.treat(Direction::ToServer, Treatment::Discard);
        }
    }

    /// Connects those who come from now on to another server.
    pub fn swap_upstream(&self, upstream: SocketAddr) {
        self.plan().upstream = upstream;
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Plan {
    fn course(&mut self, direction: Direction) -> &mut Course {
        match direction {
            Direction::ToClient => &mut self.to_client,
            Direction::ToServer => &mut self.to_server,
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acceptor, plan: _ } = self;
        f.debug_struct("Proxy")
            .field("addr", &acceptor.addr())
            .finish_non_exhaustive()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.acceptor.stop();
        let links = std::mem::take(&mut self.plan().links);
        for (link, thread) in links {
            link.end();
            let _ = thread.join();
        }
    }
}
