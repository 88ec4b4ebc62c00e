/// What an ErrorResponse says in every language, read from whatever pieces it comes in: its severity, its code, and the
/// routine that raised it.
#[derive(Debug, Default)]
pub(super) struct Complaint {
    /// The field that is being read; 0 between fields.
    field: u8,
    /// As it is shown, which may be in another language.
    shown: Brief<6>,
    /// The same in English, which poolers leave out.
    severity: Brief<6>,
    code: Brief<5>,
    routine: Brief<24>,
}

impl Complaint {
    pub(super) fn read(&mut self, piece: &[u8]) {
        for &byte in piece {
            match (self.field, byte) {
                (0, kind) => self.field = kind,
                (_, 0) => self.field = 0,
                (b'S', byte) => self.shown.push(byte),
                (b'V', byte) => self.severity.push(byte),
                (b'C', byte) => self.code.push(byte),
                (b'R', byte) => self.routine.push(byte),
                _ => {}
            }
        }
    }

    /// Whether the connection outlives it.
    pub(super) fn is_error(&self) -> bool {
        [self.shown.text(), self.severity.text()].contains(&&b"ERROR"[..])
    }

    /// The SQLSTATE.
    pub(super) fn code(&self) -> &[u8] {
        self.code.text()
    }

    pub(super) fn routine(&self) -> &[u8] {
        self.routine.text()
    }
}

/// The beginning of a text.
#[derive(Debug)]
struct Brief<const ROOM: usize> {
    text: [u8; ROOM],
    len: usize,
}

impl<const ROOM: usize> Default for Brief<ROOM> {
    fn default() -> Self {
        Self {
            text: [0; ROOM],
            len: 0,
        }
    }
}

impl<const ROOM: usize> Brief<ROOM> {
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.text.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }

    fn text(&self) -> &[u8] {
        self.text.get(..self.len).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_found_in_pieces_of_every_size() {
        let body = b"SFEHLER\0VERROR\0C26000\0Mprepared statement \"C0A000\"\0Fprepare.c\0L456\0RFetchPreparedStatement\0\0";
        for size in 1..=body.len() {
            let mut complaint = Complaint::default();
            for piece in body.chunks(size) {
                complaint.read(piece);
            }
            assert!(complaint.is_error());
            assert_eq!(complaint.code(), b"26000");
            assert_eq!(complaint.routine(), b"FetchPreparedStatement");
        }
    }

    #[test]
    fn what_is_not_said_is_empty() {
        let mut complaint = Complaint::default();
        complaint.read(b"Mno code\0\0");
        assert_eq!(
            (complaint.code(), complaint.routine()),
            (&b""[..], &b""[..])
        );
        assert!(!complaint.is_error());
    }

    #[test]
    fn an_error_is_no_end() {
        let is_error = |body: &[u8]| {
            let mut complaint = Complaint::default();
            complaint.read(body);
            complaint.is_error()
        };
        assert!(is_error(b"SERROR\0C22012\0\0"));
        assert!(is_error(b"SFEHLER\0VERROR\0C22012\0\0"));
        assert!(!is_error(b"SFATAL\0VFATAL\0C57P01\0MERROR\0\0"));
        assert!(!is_error(b"SERRORS\0\0"));
    }
}
