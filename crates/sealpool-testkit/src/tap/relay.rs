use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread::{self, JoinHandle};

use super::recording::{Direction, Recording};
use crate::acceptor::reset_on_close;

/// One client, its upstream, and two threads that copy between them.
#[derive(Debug)]
pub(crate) struct Relay {
    pair: Weak<Pair>,
    recording: Arc<Mutex<Recording>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Pair {
    client: TcpStream,
    upstream: OnceLock<TcpStream>,
    recording: Arc<Mutex<Recording>>,
    client_reset: AtomicBool,
    upstream_reset: AtomicBool,
    ended: AtomicBool,
}

impl Relay {
    pub(crate) fn start(client: TcpStream, upstream: SocketAddr) -> Self {
        let recording = Arc::new(Mutex::new(Recording::default()));
        let pair = Arc::new(Pair {
            client,
            upstream: OnceLock::new(),
            recording: Arc::clone(&recording),
            client_reset: AtomicBool::new(false),
            upstream_reset: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        });
        let weak = Arc::downgrade(&pair);
        let thread = thread::spawn(move || pair.run(upstream));
        Self {
            pair: weak,
            recording,
            thread: Some(thread),
        }
    }

    pub(crate) fn recording(&self) -> Recording {
        self.recording
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Closes both sides; what the client had sent by then is still recorded, because a socket that was shut down gives
    /// what it has received first.
    pub(crate) fn end(&mut self) {
        if let Some(pair) = self.pair.upgrade() {
            let _ = pair.client.shutdown(Shutdown::Both);
            pair.ended.store(true, Ordering::SeqCst);
            if let Some(upstream) = pair.upstream.get() {
                let _ = upstream.shutdown(Shutdown::Both);
            }
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Pair {
    fn run(&self, addr: SocketAddr) {
        let Ok(upstream) = TcpStream::connect(addr) else {
            reset_on_close(&self.client);
            return;
        };
        let _ = upstream.set_nodelay(true);
        let upstream = self.upstream.get_or_init(|| upstream);
        // Whoever ended this before there was an upstream could not shut it down.
        if self.ended.load(Ordering::SeqCst) {
            let _ = upstream.shutdown(Shutdown::Both);
        }
        thread::scope(|scope| {
            scope.spawn(|| self.server_to_client(upstream));
            self.client_to_server(upstream);
        });
    }

    fn client_to_server(&self, upstream: &TcpStream) {
        let mut buffer = vec![0; 1 << 16];
        let mut forward = true;
        loop {
            let bytes = match read(&self.client, &mut buffer) {
                Ok([]) => break,
                Ok(bytes) => bytes,
                Err(_) => return self.pass_reset(upstream),
            };
            self.record(Direction::FromClient(bytes));
            // Without an upstream it still matters what the client sends.
            if forward && let Err(error) = (&mut &*upstream).write_all(bytes) {
                forward = false;
                self.upstream_reset
                    .fetch_or(is_reset(&error), Ordering::SeqCst);
            }
        }
        match self.client_reset.load(Ordering::SeqCst) {
            true => self.pass_reset(upstream),
            false => drop(upstream.shutdown(Shutdown::Write)),
        }
    }

    fn server_to_client(&self, upstream: &TcpStream) {
        let mut buffer = vec![0; 1 << 16];
        loop {
            let bytes = match read(upstream, &mut buffer) {
                Ok([]) => break,
                Ok(bytes) => bytes,
                Err(_) => return self.pass_reset(&self.client),
            };
            self.record(Direction::FromServer);
            if let Err(error) = (&mut &self.client).write_all(bytes) {
                self.client_reset
                    .fetch_or(is_reset(&error), Ordering::SeqCst);
                return;
            }
        }
        match self.upstream_reset.load(Ordering::SeqCst) {
            true => self.pass_reset(&self.client),
            false => drop(self.client.shutdown(Shutdown::Write)),
        }
    }

    /// Wakes the other thread without sending a FIN, which would go before the RST.
    fn pass_reset(&self, to: &TcpStream) {
        reset_on_close(to);
        let _ = to.shutdown(Shutdown::Read);
    }

    fn record(&self, direction: Direction<'_>) {
        self.recording
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .add(direction);
    }
}

fn read<'a>(mut stream: &TcpStream, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
    loop {
        match stream.read(buffer) {
            Ok(count) => return Ok(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn is_reset(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionReset
}
