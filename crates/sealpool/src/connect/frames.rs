/// Walks over the frames of one direction, whatever pieces they come in; a body is handed on as it comes, and never kept.
#[derive(Debug, Default)]
pub(super) struct Frames {
    head: [u8; 5],
    have: usize,
    left: usize,
}

/// Who reads the frames: each has one beginning, any number of pieces, and one end.
pub(super) trait Reader {
    /// Whether frames of this type tell it nothing, so that they may be skipped.
    fn ignores(_: u8) -> bool {
        false
    }

    fn begin(&mut self, kind: u8);
    fn body(&mut self, kind: u8, piece: &[u8]);
    fn end(&mut self, kind: u8);
}

impl Frames {
    pub(super) fn read(&mut self, mut bytes: &[u8], reader: &mut impl Reader) {
        loop {
            if self.have == 0 {
                bytes = read_whole(bytes, reader);
            }
            let Some((&byte, rest)) = bytes.split_first() else {
                return;
            };
            if let Some(place) = self.head.get_mut(self.have) {
                *place = byte;
                self.have += 1;
                bytes = rest;
                if self.have < self.head.len() {
                    continue;
                }
                self.left = body_len(self.head);
                reader.begin(self.kind());
            } else {
                let (piece, rest) = bytes.split_at(self.left.min(bytes.len()));
                self.left -= piece.len();
                bytes = rest;
                reader.body(self.kind(), piece);
            }
            if self.left == 0 {
                self.have = 0;
                reader.end(self.kind());
            }
        }
    }

    /// The type of the frame that has begun and not ended.
    pub(super) fn under_way(&self) -> Option<u8> {
        (self.have > 0).then(|| self.kind())
    }

    const fn kind(&self) -> u8 {
        let [kind, ..] = self.head;
        kind
    }
}

/// Reads the frames that are whole, as most are, and gives back the rest.
fn read_whole<'a, R: Reader>(mut bytes: &'a [u8], reader: &mut R) -> &'a [u8] {
    while let Some((&head, rest)) = bytes.split_first_chunk() {
        let Some((body, rest)) = rest.split_at_checked(body_len(head)) else {
            break;
        };
        bytes = rest;
        let [kind, ..] = head;
        if R::ignores(kind) {
            continue;
        }
        reader.begin(kind);
        if !body.is_empty() {
            reader.body(kind, body);
        }
        reader.end(kind);
    }
    bytes
}

/// The length counts itself, but not the type.
const fn body_len([_, a, b, c, d]: [u8; 5]) -> usize {
    (u32::from_be_bytes([a, b, c, d]) as usize).saturating_sub(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, Eq)]
    struct Log(Vec<(u8, Vec<u8>, bool)>);

    impl Reader for Log {
        fn ignores(kind: u8) -> bool {
            kind == b'D'
        }

        fn begin(&mut self, kind: u8) {
            self.0.push((kind, Vec::new(), false));
        }

        fn body(&mut self, kind: u8, piece: &[u8]) {
            let last = self.0.last_mut().unwrap();
            assert_eq!(last.0, kind);
            last.1.extend_from_slice(piece);
        }

        fn end(&mut self, kind: u8) {
            let last = self.0.last_mut().unwrap();
            assert_eq!(last.0, kind);
            last.2 = true;
        }
    }

    #[test]
    fn frames_are_the_same_in_pieces_of_every_size() {
        let bytes = b"Q\0\0\0\x0dselect 1\0D\0\0\0\x06xxS\0\0\0\x04Z\0\0\0\x05I";
        for size in 1..=bytes.len() {
            let (mut frames, mut log) = (Frames::default(), Log::default());
            for piece in bytes.chunks(size) {
                frames.read(piece, &mut log);
            }
            // Skipped where it comes whole.
            log.0.retain(|(kind, ..)| *kind != b'D');
            let expected = [
                (b'Q', b"select 1\0".to_vec(), true),
                (b'S', Vec::new(), true),
                (b'Z', b"I".to_vec(), true),
            ];
            assert_eq!(log.0, expected, "pieces of {size}");
            assert_eq!(frames.under_way(), None);
        }
    }

    #[test]
    fn a_length_that_cannot_be_does_not_panic() {
        let (mut frames, mut log) = (Frames::default(), Log::default());
        frames.read(b"Z\0\0\0\0C\xff\xff\xff\xffabc", &mut log);
        assert_eq!(
            log.0,
            [(b'Z', vec![], true), (b'C', b"abc".to_vec(), false)]
        );
        assert_eq!(frames.under_way(), Some(b'C'));
    }
}
