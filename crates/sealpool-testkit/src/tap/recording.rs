use std::fmt;

/// How the client asked for TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// An SSLRequest, then TLS.
    Classic,
    /// TLS from the first byte, as PostgreSQL understands it since version 17.
    Direct,
}

/// What one client has sent.
#[derive(Clone, Default)]
pub struct Recording {
    bytes: Vec<u8>,
    flights: usize,
    client_spoke_last: bool,
}

pub(crate) enum Direction<'a> {
    FromClient(&'a [u8]),
    FromServer,
}

impl Recording {
    /// Length 8, then the code that stands where a protocol version would
    /// (<https://www.postgresql.org/docs/current/protocol-message-formats.html>).
    pub(crate) const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
    pub(crate) const HANDSHAKE: u8 = 22;

    /// Every byte, in order.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How it asked for TLS; `None` as long as it did not, or did otherwise.
    pub fn mode(&self) -> Option<Mode> {
        if self.bytes.starts_with(&Self::SSL_REQUEST) {
            return Some(Mode::Classic);
        }
        (self.bytes.first() == Some(&Self::HANDSHAKE)).then_some(Mode::Direct)
    }

    /// How many bytes it sent before the first TLS record: 8 or 0, or all of them if it never asked for TLS.
    pub fn cleartext_len(&self) -> usize {
        match self.mode() {
            Some(Mode::Classic) => Self::SSL_REQUEST.len(),
            Some(Mode::Direct) => 0,
            None => self.bytes.len(),
        }
    }

    /// How often the server answered what it had sent, which is how often it had to wait for a round trip.
    pub fn flights(&self) -> usize {
        self.flights
    }

    pub(crate) fn add(&mut self, direction: Direction<'_>) {
        match direction {
            Direction::FromClient(bytes) => {
                self.bytes.extend_from_slice(bytes);
                self.client_spoke_last = true;
            }
            Direction::FromServer => {
                self.flights += usize::from(self.client_spoke_last);
                self.client_spoke_last = false;
            }
        }
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording")
            .field("mode", &self.mode())
            .field("bytes", &self.bytes.len())
            .field("flights", &self.flights)
            .finish_non_exhaustive()
    }
}
