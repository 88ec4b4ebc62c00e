use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::{self, JoinHandle};

use super::flow::{Direction, Flow, Portion, Treatment};
use crate::acceptor::reset_on_close;

/// One connection through a [`Proxy`](crate::Proxy).
#[derive(Clone, Debug)]
pub struct Link {
    flows: Arc<Flows>,
    /// Its own threads alone keep it open, so that it is closed as soon as they are done.
    sockets: Weak<Sockets>,
}

#[derive(Debug)]
struct Flows {
    to_client: Flow,
    to_server: Flow,
}

#[derive(Debug)]
struct Sockets {
    client: TcpStream,
    server: OnceLock<TcpStream>,
}

impl Link {
    pub(super) fn start(
        client: TcpStream,
        upstream: SocketAddr,
        (to_client, to_server): (Flow, Flow),
    ) -> (Self, JoinHandle<()>) {
        let sockets = Arc::new(Sockets {
            client,
            server: OnceLock::new(),
        });
        let link = Self {
            flows: Arc::new(Flows {
                to_client,
                to_server,
            }),
            sockets: Arc::downgrade(&sockets),
        };
        let running = link.clone();
        let thread = thread::spawn(move || running.run(&sockets, upstream));
        (link, thread)
    }

    /// Treats what goes that way from now on. It replaces what [`Link::treat_after`] has planned.
    pub fn treat(&self, direction: Direction, treatment: Treatment) {
        self.flow(direction).treat(treatment);
        self.begin(direction);
    }

    /// Goes on as before for so many bytes more and then treats what goes that way as said. One byte is the least.
    pub fn treat_after(&self, direction: Direction, bytes: u64, treatment: Treatment) {
        self.flow(direction).treat_after(bytes, treatment);
    }

    /// How many bytes have gone on that way.
    pub fn passed(&self, direction: Direction) -> u64 {
        self.flow(direction).passed()
    }

    pub(super) fn end(&self) {
        self.flows.to_client.end();
        self.flows.to_server.end();
        if let Some(sockets) = self.sockets.upgrade() {
            sockets.shutdown(Shutdown::Both);
        }
    }

    fn run(&self, sockets: &Sockets, upstream: SocketAddr) {
        let Ok(server) = TcpStream::connect(upstream) else {
            reset_on_close(&sockets.client);
            return;
        };
        let _ = server.set_nodelay(true);
        let server = sockets.server.get_or_init(|| server);
        // What was said before there was a server could not be done to it.
        self.begin(Direction::ToServer);
        self.begin(Direction::ToClient);
        thread::scope(|scope| {
            scope.spawn(|| self.pump(Direction::ToClient, server, &sockets.client));
            self.pump(Direction::ToServer, &sockets.client, server);
        });
    }

    fn pump(&self, direction: Direction, mut from: &TcpStream, to: &TcpStream) {
        let flow = self.flow(direction);
        let mut buffer = vec![0; 1 << 16];
        loop {
            match from.read(&mut buffer) {
                Ok(0) => {
                    if flow.passes_end() {
                        let _ = to.shutdown(Shutdown::Write);
                    }
                    return;
                }
                Ok(count) => {
                    self.pass(direction, buffer.get(..count).unwrap_or_default(), to);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    if flow.passes_end() {
                        self.reset();
                    }
                    return;
                }
            }
        }
    }

    fn pass(&self, direction: Direction, mut bytes: &[u8], mut to: &TcpStream) {
        let flow = self.flow(direction);
        while !bytes.is_empty() {
            let Some(Portion { count, last }) = flow.portion(bytes.len()) else {
                return;
            };
            let (now, later) = bytes.split_at(count);
            // Whoever gets no more may still send, and what it sends goes on.
            if let Err(error) = to.write_all(now) {
                if error.kind() == ErrorKind::ConnectionReset {
                    self.reset();
                }
                return;
            }
            bytes = later;
            if last {
                self.begin(direction);
            }
        }
    }

    /// Does what a treatment does once.
    fn begin(&self, direction: Direction) {
        match self.flow(direction).treatment() {
            Treatment::Fin => {
                let Some(sockets) = self.sockets.upgrade() else {
                    return;
                };
                let to = match direction {
                    Direction::ToClient => Some(&sockets.client),
                    Direction::ToServer => sockets.server.get(),
                };
                let _ = to.map(|to| to.shutdown(Shutdown::Write));
            }
            Treatment::Reset => self.reset(),
            Treatment::Delay(_)
            | Treatment::Discard
            | Treatment::Drip(_)
            | Treatment::Hold
            | Treatment::Pass => {}
        }
    }

    /// Wakes both threads without sending a FIN, which would go before the RST.
    fn reset(&self) {
        self.flows.to_client.treat(Treatment::Reset);
        self.flows.to_server.treat(Treatment::Reset);
        if let Some(sockets) = self.sockets.upgrade() {
            reset_on_close(&sockets.client);
            let _ = sockets.server.get().map(reset_on_close);
            sockets.shutdown(Shutdown::Read);
        }
    }

    fn flow(&self, direction: Direction) -> &Flow {
        let Flows {
            to_client,
            to_server,
        } = &*self.flows;
        match direction {
            Direction::ToClient => to_client,
            Direction::ToServer => to_server,
        }
    }
}

impl Sockets {
    fn shutdown(&self, how: Shutdown) {
        let _ = self.client.shutdown(how);
        let _ = self.server.get().map(|server| server.shutdown(how));
    }
}
