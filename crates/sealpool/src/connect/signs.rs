use super::complaint::Complaint;

/// What a server says that bears on its role, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Signs(u8);

impl Signs {
    /// It refused a write (SQLSTATE 25006). So it does in a transaction that was begun read-only.
    pub(super) const REFUSED_WRITE: Self = Self(1);
    /// Its sessions may write, unless it is a standby. So says also whoever sets it for one session.
    pub(super) const WRITABLE: Self = Self(2);
    /// It is no standby.
    pub(super) const PROMOTED: Self = Self(4);

    pub(super) fn of_error(complaint: &Complaint) -> Self {
        match complaint.code() {
            b"25006" => Self::REFUSED_WRITE,
            _ => Self::default(),
        }
    }

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) const fn has_any_of(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }
}

/// Enough for a whole ParameterStatus of those that count.
const ROOM: usize = 64;

/// Looks for signs in a ParameterStatus, put together from its pieces.
#[derive(Debug)]
pub(super) struct Watcher {
    head: [u8; ROOM],
    len: usize,
}

impl Default for Watcher {
    fn default() -> Self {
        Self {
            head: [0; ROOM],
            len: 0,
        }
    }
}

impl Watcher {
    pub(super) const fn begin(&mut self) {
        self.len = 0;
    }

    pub(super) fn body(&mut self, piece: &[u8]) {
        let room = self.head.get_mut(self.len..).unwrap_or_default();
        for (place, byte) in room.iter_mut().zip(piece) {
            *place = *byte;
        }
        self.len = (self.len + piece.len()).min(ROOM);
    }

    /// What the message says that has ended.
    pub(super) fn end(&self) -> Signs {
        let mut words = self
            .head
            .get(..self.len)
            .unwrap_or_default()
            .split(|byte| *byte == 0);
        match (words.next(), words.next()) {
            (Some(b"in_hot_standby"), Some(b"off")) => Signs::PROMOTED,
            (Some(b"default_transaction_read_only"), Some(b"off")) => Signs::WRITABLE,
            _ => Signs::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_are_found_in_pieces_of_every_size() {
        let rows: [(&[u8], Signs); 5] = [
            (b"", Signs::default()),
            (b"in_hot_standby\0off\0", Signs::PROMOTED),
            (b"in_hot_standby\0on\0", Signs::default()),
            (b"default_transaction_read_only\0off\0", Signs::WRITABLE),
            (b"application_name\0in_hot_standby\0off\0", Signs::default()),
        ];
        for (body, expected) in rows {
            for size in 1..80 {
                let mut watcher = Watcher::default();
                watcher.begin();
                watcher.body(b"what came before");
                watcher.begin();
                for piece in body.chunks(size) {
                    watcher.body(piece);
                }
                let body = String::from_utf8_lossy(body);
                assert_eq!(watcher.end(), expected, "{body} in pieces of {size}");
            }
        }
    }

    #[test]
    fn a_refused_write_is_a_sign_by_its_code_alone() {
        for (body, expected) in [
            (
                &b"SERROR\0VERROR\0C25006\0Mcannot execute INSERT\0\0"[..],
                Signs::REFUSED_WRITE,
            ),
            (b"SERROR\0VERROR\0C25P02\0\0", Signs::default()),
            (b"SERROR\0VERROR\0CP0001\0MC25006\0\0", Signs::default()),
        ] {
            let mut complaint = Complaint::default();
            complaint.read(body);
            assert_eq!(Signs::of_error(&complaint), expected);
        }
    }
}
