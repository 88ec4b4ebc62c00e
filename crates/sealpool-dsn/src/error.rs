use std::fmt;
use std::ops::Range;

use crate::code::Code;

/// A connection string that is refused: what, where, and what to write instead.
///
/// It never holds a piece of the string that could be a secret: values appear only when they are plain words of a key
/// that is known to be none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DsnError {
    code: Code,
    key: Option<String>,
    span: Range<usize>,
    line: usize,
    column: usize,
    message: String,
    help: String,
}

impl DsnError {
    pub(crate) fn new(
        code: Code,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self {
            code,
            key: None,
            span,
            line: 1,
            column: 1,
            message: message.into(),
            help: help.into(),
        }
    }

    pub(crate) fn of_key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    pub(crate) fn placed_in(mut self, text: &str) -> Self {
        let before = text.get(..self.span.start).unwrap_or(text);
        self.line = before.matches('\n').count() + 1;
        self.column = before
            .rsplit('\n')
            .next()
            .map_or(0, |line| line.chars().count())
            + 1;
        self
    }

    /// Why, as a word of a closed set.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// The key it is about, as the string spells it; `None` if there is none or if it might be a piece of a password.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// The bytes it is about, in the text that was given.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The line of `span().start`, counted from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line
    }

    /// The column of `span().start` in characters, counted from 1.
    #[must_use]
    pub fn column(&self) -> usize {
        self.column
    }

    /// What is wrong.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to write instead.
    #[must_use]
    pub fn help(&self) -> &str {
        &self.help
    }
}

impl fmt::Display for DsnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            code,
            key: _,
            span: _,
            line,
            column,
            message,
            help,
        } = self;
        write!(f, "connection string refused ({code}) at ")?;
        if *line > 1 {
            write!(f, "line {line}, ")?;
        }
        write!(f, "column {column}: {message}; {help}")
    }
}

impl std::error::Error for DsnError {}
