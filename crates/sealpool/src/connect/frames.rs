/// Walks over the frames of one direction, whatever pieces they come in; a body is handed on as it comes, and never kept.
#[derive(Debug, Default)]
pub(super) struct Frames {
    head: [u8; 5],
    have: usize,
    left: usize,
}

/// Who reads the frames: each has one beginning, any number of pieces, and one end.
pub(super) trait Reader {
    fn begin(&mut self, kind: u8);
    fn body(&mut self, kind: u8, piece: &[u8]);
    fn end(&mut self, kind: u8);
}

impl Frames {
    pub(super) fn read(&mut self, mut bytes: &[u8], reader: &mut impl Reader) {
        while let Some((&byte, rest)) = bytes.split_first() {
            let kind = self.kind();
            if self.left > 0 {
                let (piece, rest) = bytes.split_at(self.left.min(bytes.len()));
                self.left -= piece.len();
                bytes = rest;
                reader.body(kind, piece);
                if self.left == 0 {
                    self.have = 0;
                    reader.end(kind);
                }
                continue;
            }
            // Most heads come whole.
            if self.have == 0
                && let Some((head, rest)) = bytes.split_first_chunk()
            {
                self.head = *head;
                self.have = self.head.len();
                bytes = rest;
            } else if let Some(place) = self.head.get_mut(self.have) {
                *place = byte;
                self.have += 1;
                bytes = rest;
            }
            if self.have == self.head.len() {
                let [kind, a, b, c, d] = self.head;
                self.left = (u32::from_be_bytes([a, b, c, d]) as usize).saturating_sub(4);
                reader.begin(kind);
                if self.left == 0 {
                    self.have = 0;
                    reader.end(kind);
                }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, Eq)]
    struct Log(Vec<(u8, Vec<u8>, bool)>);

    impl Reader for Log {
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
        let bytes = b"Q\0\0\0\x0dselect 1\0S\0\0\0\x04Z\0\0\0\x05I";
        for size in 1..=bytes.len() {
            let (mut frames, mut log) = (Frames::default(), Log::default());
            for piece in bytes.chunks(size) {
                frames.read(piece, &mut log);
            }
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
