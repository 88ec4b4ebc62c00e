use std::fmt;
use std::ops::Range;

/// Something that was understood and deserves a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What kind of thing.
    pub code: WarningCode,
    /// One sentence, free of values.
    pub message: String,
    /// The bytes it is about, in the text that was given.
    pub span: Range<usize>,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// The kinds of [`Warning`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WarningCode {
    /// A key is applied as something close to, not the same as, what its own driver does.
    Approximated,
    /// A `;` behind a host was dropped.
    GluedSemicolon,
    /// A key is left out because it changes nothing here.
    Ignored,
    /// A raw `@` in user or password was taken as part of it.
    RawAt,
}

impl WarningCode {
    /// The code as a word in snake case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approximated => "approximated",
            Self::GluedSemicolon => "glued_semicolon",
            Self::Ignored => "ignored",
            Self::RawAt => "raw_at",
        }
    }
}
