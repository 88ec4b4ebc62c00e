use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

/// Listens on a free port of loopback and hands every connection on, in order, until it is dropped. What was connected
/// by then is still handed on.
#[derive(Debug)]
pub(crate) struct Acceptor {
    addr: SocketAddr,
    thread: Option<JoinHandle<()>>,
    /// Comes back as the last connection of all.
    stop: Arc<OnceLock<SocketAddr>>,
}

impl Acceptor {
    pub(crate) fn start(mut handle: impl FnMut(TcpStream) + Send + 'static) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let addr = listener.local_addr()?;
        let stop = Arc::new(OnceLock::new());
        let stopping = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name(format!("accept {addr}"))
            .spawn(move || {
                loop {
                    let Ok((stream, from)) = listener.accept() else {
                        continue;
                    };
                    if stopping.get() == Some(&from) {
                        return;
                    }
                    // Bytes are to go out as they come in.
                    let _ = stream.set_nodelay(true);
                    handle(stream);
                }
            })?;
        Ok(Self {
            addr,
            thread: Some(thread),
            stop,
        })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn stop(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        if self.knock().is_ok() {
            let _ = thread.join();
        }
    }

    /// The port of the last connection has to be known before it is accepted, so it is bound before it connects.
    fn knock(&self) -> io::Result<()> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        let from = socket
            .local_addr()?
            .as_socket()
            .ok_or(io::ErrorKind::AddrNotAvailable)?;
        let _ = self.stop.set(from);
        socket.connect(&self.addr.into())
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Makes the last close of this socket send RST instead of FIN.
pub(crate) fn reset_on_close(stream: &TcpStream) {
    // The socket may be gone already, which is what this is for.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}
