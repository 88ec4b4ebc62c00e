use super::traces::Traces;

/// Longer than every word that is looked for.
const ROOM: usize = 64;

/// Looks in SQL, as it is sent, for words that betray what a command tag does not: temporary objects, and functions that
/// change the session.
///
/// A word is taken wherever it stands, also in a comment or a string: a reset too many does no harm.
#[derive(Debug)]
pub(super) struct Words {
    word: [u8; ROOM],
    len: usize,
}

impl Default for Words {
    fn default() -> Self {
        Self {
            word: [0; ROOM],
            len: 0,
        }
    }
}

impl Words {
    /// What the words that end in this piece say.
    pub(super) fn read(&mut self, piece: &[u8]) -> Traces {
        let mut found = Traces::default();
        for byte in piece {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..) {
                if let Some(place) = self.word.get_mut(self.len) {
                    *place = byte.to_ascii_lowercase();
                }
                self.len = self.len.saturating_add(1);
            } else if self.len > 0 {
                found = found.and(self.end());
            }
        }
        found
    }

    pub(super) fn end(&mut self) -> Traces {
        let len = std::mem::take(&mut self.len);
        Traces::of_word(self.word.get(..len.min(ROOM)).unwrap_or_default())
    }
}

/// Whether a text holds a word that betrays something, wherever it stands.
pub(crate) fn betrays(text: &str) -> bool {
    let mut words = Words::default();
    let found = words.read(text.as_bytes());
    !found.and(words.end()).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, size: usize) -> Traces {
        let mut words = Words::default();
        let found = text
            .as_bytes()
            .chunks(size)
            .fold(Traces::default(), |found, piece| {
                found.and(words.read(piece))
            });
        found.and(words.end())
    }

    #[test]
    fn words_are_found_in_pieces_of_every_size() {
        for (text, expected) in [
            ("create TEMP table t ()", Traces::RESET),
            ("create/**/Temporary view v as select 1", Traces::RESET),
            ("create table pg_temp.t ()", Traces::RESET),
            ("drop table pg_temp_3.t", Traces::RESET),
            ("select pg_try_advisory_lock_shared(1)", Traces::RESET),
            (
                "select pg_catalog.set_config('a.b', '', false)",
                Traces::RESET,
            ),
            ("select \"set_config\"('a.b', '', false)", Traces::RESET),
            ("update pg_settings set setting = 1", Traces::RESET),
            ("select setseed(0)", Traces::RUIN),
            ("select setseed", Traces::RUIN),
            (
                "select temperature, attempt, template from t",
                Traces::default(),
            ),
            ("select pg_advisory_xact_lock(1)", Traces::default()),
            (
                &format!("select {}temp", "a".repeat(100)),
                Traces::default(),
            ),
        ] {
            for size in 1..=text.len() {
                assert_eq!(read(text, size), expected, "{text} in pieces of {size}");
            }
        }
    }
}
