/// What a borrower may have left in a session, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traces(u8);

impl Traces {
    /// Something that a reset removes.
    pub(super) const RESET: Self = Self(1);
    /// A prepared statement that may leave something behind each time it is executed, and its text is not sent again.
    pub(super) const LASTING: Self = Self(2);
    /// Something that no reset removes.
    pub(super) const RUIN: Self = Self(4);
    /// Statements are gone that our side still counts on, also those by which it looks up types.
    pub(super) const LOST: Self = Self(8);

    pub(super) const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    pub(super) const fn bits(self) -> u8 {
        self.0
    }

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) const fn is_ruin(self) -> bool {
        self.0 & (Self::RUIN.0 | Self::LOST.0) != 0
    }

    pub(crate) const fn is_lost(self) -> bool {
        self.0 & Self::LOST.0 != 0
    }

    /// What the tag of a command that has been executed says. Tags that are not known are suspect, and so are `DO` and
    /// `CALL`, which hide what they do. `SET LOCAL` has the tag of `SET`, and a cursor's tag does not say `WITH HOLD`:
    /// both are taken for the worse.
    pub(super) fn of_tag(tag: &[u8]) -> Self {
        match tag {
            b"PREPARE TRANSACTION" | b"UNLISTEN" => return Self::default(),
            b"DISCARD ALL" | b"DEALLOCATE ALL" => return Self::LOST,
            b"LOAD" => return Self::RUIN,
            _ => {}
        }
        let word = tag.split(|byte| *byte == b' ').next().unwrap_or_default();
        match word {
            // Temporary objects have these tags too: the text gives them away.
            b"ALTER" | b"COMMENT" | b"CREATE" | b"DROP" | b"GRANT" | b"IMPORT" | b"REASSIGN"
            | b"REVOKE" | b"SECURITY" => Self::default(),
            b"ANALYZE" | b"BEGIN" | b"CHECKPOINT" | b"CLOSE" | b"CLUSTER" | b"COMMIT" | b"COPY"
            | b"DELETE" | b"EXPLAIN" | b"FETCH" | b"INSERT" | b"LOCK" | b"MERGE" | b"MOVE"
            | b"NOTIFY" | b"REFRESH" | b"REINDEX" | b"RELEASE" | b"ROLLBACK" | b"SAVEPOINT"
            | b"SELECT" | b"SHOW" | b"START" | b"TRUNCATE" | b"UPDATE" | b"VACUUM" => {
                Self::default()
            }
            _ => Self::RESET,
        }
    }

    /// What a word of a text may come to once it is executed, whatever the tag will be.
    pub(super) fn of_word(word: &[u8]) -> Self {
        let holds = |piece: &[u8]| word.windows(piece.len()).any(|part| part == piece);
        match word {
            b"setseed" | b"dblink_connect" | b"dblink_connect_u" => Self::RUIN,
            // To update that view is to set.
            b"temp" | b"temporary" | b"set_config" | b"pg_settings" => Self::RESET,
            _ if word.starts_with(b"pg_temp") || holds(b"advisory_lock") => Self::RESET,
            _ => Self::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_that_leave_nothing_are_known() {
        for tag in [
            "SELECT 1",
            "INSERT 0 1",
            "BEGIN",
            "START TRANSACTION",
            "COMMIT",
            "CREATE TABLE",
            "CLOSE CURSOR ALL",
            "PREPARE TRANSACTION",
        ] {
            assert!(Traces::of_tag(tag.as_bytes()).is_empty(), "{tag}");
        }
        for tag in [
            "SET",
            "RESET",
            "LISTEN",
            "DECLARE CURSOR",
            "PREPARE",
            "DO",
            "CALL",
            "DISCARD TEMP",
            "A TAG OF TOMORROW",
            "",
        ] {
            assert_eq!(Traces::of_tag(tag.as_bytes()), Traces::RESET, "{tag}");
        }
        for tag in ["DISCARD ALL", "DEALLOCATE ALL", "LOAD"] {
            assert!(Traces::of_tag(tag.as_bytes()).is_ruin(), "{tag}");
        }
    }
}
