/// The words of a text of SQL: names and key words, in quotes or not, but nothing in a string or a comment.
#[derive(Debug)]
pub(super) struct Words<'a> {
    rest: &'a str,
    doubtful: bool,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word<'a> {
    pub(super) text: &'a str,
    pub(super) quoted: bool,
}

impl<'a> Words<'a> {
    pub(super) const fn of(text: &'a str) -> Self {
        Self {
            rest: text,
            doubtful: false,
        }
    }

    /// Whether a string may end elsewhere, since a server may be told that backslashes count in plain ones.
    pub(super) const fn is_doubtful(&self) -> bool {
        self.doubtful
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    /// Goes on behind the next such piece, or at the end.
    fn skip_behind(&mut self, piece: &str) {
        let end = self.rest.find(piece).map(|place| place + piece.len());
        self.skip(end.unwrap_or(self.rest.len()));
    }

    /// Comments may hold others.
    fn skip_comment(&mut self) {
        let mut depth = 0_usize;
        loop {
            if self.rest.starts_with("/*") {
                depth += 1;
                self.skip(2);
            } else if self.rest.starts_with("*/") {
                depth -= 1;
                self.skip(2);
                if depth == 0 {
                    return;
                }
            } else {
                let next = self.rest.chars().next();
                let Some(next) = next else { return };
                self.skip(next.len_utf8());
            }
        }
    }

    /// A string, from its first quote on; `escaped` is what begins with E.
    fn skip_string(&mut self, escaped: bool) {
        self.skip(1);
        loop {
            let Some(place) = self.rest.find(['\'', '\\']) else {
                return self.skip(self.rest.len());
            };
            self.skip(place);
            match self.rest.as_bytes() {
                [b'\\', b'\'', ..] if !escaped => {
                    self.doubtful = true;
                    self.skip(1);
                }
                [b'\\', ..] if escaped => {
                    self.skip(1);
                    let next = self.rest.chars().next().map_or(0, char::len_utf8);
                    self.skip(next);
                }
                [b'\'', b'\'', ..] => self.skip(2),
                [b'\'', ..] => return self.skip(1),
                _ => self.skip(1),
            }
        }
    }

    /// A string between two equal tags, if there is one here.
    fn skip_dollars(&mut self) {
        let tag = self.rest.get(1..).unwrap_or_default();
        let len = tag.bytes().take_while(|byte| goes_on(*byte)).count();
        let starts_well = !tag.starts_with(|first: char| first.is_ascii_digit());
        match self.rest.get(..len + 2) {
            Some(tag) if tag.ends_with('$') && starts_well => {
                self.skip(tag.len());
                self.skip_behind(tag);
            }
            _ => self.skip(1),
        }
    }

    fn quoted(&mut self) -> Word<'a> {
        self.skip(1);
        let text = self.rest;
        self.skip_behind("\"");
        let len = text.len() - self.rest.len();
        let text = text.get(..len).unwrap_or_default();
        Word {
            text: text.strip_suffix('"').unwrap_or(text),
            quoted: true,
        }
    }

    fn bare(&mut self) -> Word<'a> {
        let text = self.rest;
        let ends = |byte: &u8| !(goes_on(*byte) || *byte == b'$');
        let len = text.bytes().take_while(|byte| !ends(byte)).count();
        self.skip(len);
        Word {
            text: text.get(..len).unwrap_or_default(),
            quoted: false,
        }
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = Word<'a>;

    fn next(&mut self) -> Option<Word<'a>> {
        loop {
            match self.rest.as_bytes() {
                [] => return None,
                [b'-', b'-', ..] => {
                    let end = self.rest.find(['\n', '\r']);
                    self.skip(end.unwrap_or(self.rest.len()));
                }
                [b'/', b'*', ..] => self.skip_comment(),
                [b'\'', ..] => self.skip_string(false),
                [b'e' | b'E', b'\'', ..] => {
                    self.skip(1);
                    self.skip_string(true);
                }
                [b'"', ..] => return Some(self.quoted()),
                [b'$', ..] => self.skip_dollars(),
                [b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.., ..] => return Some(self.bare()),
                [b'0'..=b'9', ..] => {
                    self.bare();
                }
                _ => self.skip(1),
            }
        }
    }
}

const fn goes_on(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}
