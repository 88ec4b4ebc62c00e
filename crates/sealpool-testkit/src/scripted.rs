use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::acceptor::{Acceptor, reset_on_close};

/// What a scripted server does next.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Waits until the client has sent so many bytes more; the script ends if it closes before.
    ReadExactly(usize),
    /// Sends all of it in one write.
    Send(Vec<u8>),
    /// Sends one byte at a time.
    Drip {
        /// What to send.
        bytes: Vec<u8>,
        /// How long to wait before each byte.
        every: Duration,
    },
    /// Holds the connection open until the server is dropped.
    Silence,
    /// Sends RST.
    Reset,
    /// Sends FIN.
    Close,
}

/// A server on loopback that plays the same script to each client, whatever the client does, and records what it sends.
///
/// After the last step it closes as with [`Step::Close`]. It goes on recording until the client closes too. Dropping it
/// ends all connections.
#[derive(Debug)]
pub struct Scripted {
    acceptor: Acceptor,
    sessions: Arc<Mutex<Vec<Session>>>,
}

impl Scripted {
    /// Listens on a free port.
    ///
    /// # Errors
    /// When there is none.
    pub fn start(steps: impl Into<Vec<Step>>) -> io::Result<Self> {
        let steps = steps.into();
        let sessions = Arc::new(Mutex::new(Vec::new()));
        let accepted = Arc::clone(&sessions);
        let acceptor = Acceptor::start(move |stream| {
            let session = Session::start(stream, steps.clone());
            accepted
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(session);
        })?;
        Ok(Self { acceptor, sessions })
    }

    /// Where clients connect to.
    pub fn addr(&self) -> SocketAddr {
        self.acceptor.addr()
    }

    /// The port of [`Scripted::addr`].
    pub fn port(&self) -> u16 {
        self.addr().port()
    }

    /// How many clients have connected so far.
    pub fn connections(&self) -> usize {
        self.sessions().len()
    }

    /// What each client has sent so far, in the order they connected.
    pub fn received(&self) -> Vec<Vec<u8>> {
        self.sessions()
            .iter()
            .map(|session| session.wire.lock().received.clone())
            .collect()
    }

    fn sessions(&self) -> MutexGuard<'_, Vec<Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.acceptor.stop();
        for session in self.sessions().drain(..) {
            session.end();
        }
    }
}

#[derive(Debug)]
struct Session {
    wire: Arc<Wire>,
    stream: Weak<TcpStream>,
    thread: JoinHandle<()>,
}

impl Session {
    fn start(stream: TcpStream, steps: Vec<Step>) -> Self {
        let wire = Arc::new(Wire::default());
        let stream = Arc::new(stream);
        let weak = Arc::downgrade(&stream);
        let recorder = Arc::clone(&wire);
        let thread = thread::spawn(move || {
            thread::scope(|scope| {
                scope.spawn(|| recorder.record(&stream));
                recorder.play(&stream, &steps);
            });
        });
        Self {
            wire,
            stream: weak,
            thread,
        }
    }

    fn end(self) {
        let Self {
            wire,
            stream,
            thread,
        } = self;
        wire.lock().ending = true;
        wire.changed.notify_all();
        if let Some(stream) = stream.upgrade() {
            // The client may have closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
        let _ = thread.join();
    }
}

/// What has come from one client, and whether more may come.
#[derive(Debug, Default)]
struct Wire {
    state: Mutex<WireState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct WireState {
    received: Vec<u8>,
    closed: bool,
    ending: bool,
}

impl Wire {
    fn record(&self, mut stream: &TcpStream) {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            self.lock()
                .received
                .extend_from_slice(buffer.get(..count).unwrap_or_default());
            self.changed.notify_all();
        }
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn play(&self, mut stream: &TcpStream, steps: &[Step]) {
        let mut read = 0;
        for step in steps {
            let goes_on = match step {
                Step::ReadExactly(count) => {
                    read += count;
                    self.wait(None, |state| state.received.len() >= read || state.closed);
                    self.lock().received.len() >= read
                }
                Step::Send(bytes) => stream.write_all(bytes).is_ok(),
                Step::Drip { bytes, every } => bytes.iter().all(|byte| {
                    let ended = self.wait(Some(*every), |_| false);
                    !ended && stream.write_all(&[*byte]).is_ok()
                }),
                Step::Silence => !self.wait(None, |_| false),
                Step::Reset => {
                    reset_on_close(stream);
                    // Wakes the recorder without a FIN, which would go before the RST.
                    let _ = stream.shutdown(Shutdown::Read);
                    return;
                }
                Step::Close => false,
            };
            if !goes_on {
                break;
            }
        }
        let _ = stream.shutdown(Shutdown::Write);
    }

    /// Waits for `enough` or for so long, and says whether the server is being dropped.
    fn wait(&self, patience: Option<Duration>, enough: impl Fn(&WireState) -> bool) -> bool {
        let deadline = patience.map(|patience| Instant::now() + patience);
        let mut state = self.lock();
        while !state.ending && !enough(&state) {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            state = match left {
                None => self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => break,
                Some(left) => {
                    self.changed
                        .wait_timeout(state, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
        state.ending
    }

    fn lock(&self) -> MutexGuard<'_, WireState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
