use std::fmt;

use super::{Config, Origin};

/// What was understood besides the values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes {
    pub(crate) dialects: Vec<(Origin, String)>,
    pub(crate) words: Vec<Word>,
    pub(crate) warnings: Vec<Warning>,
}

impl Notes {
    pub(super) fn extend(&mut self, more: Self) {
        let Self {
            dialects,
            words,
            warnings,
        } = more;
        self.dialects.extend(dialects);
        self.words.extend(words);
        self.warnings.extend(warnings);
    }
}

/// A configuration as the pool understood it: every effective value with its origin, every word about TLS with what it
/// was taken to mean. It prints as a table and holds no secret.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// The dialect of each connection string, and where that string stood.
    pub dialects: Vec<(Origin, String)>,
    /// Every setting, those not written with their default.
    pub values: Vec<Effective>,
    /// The words about TLS in connection strings.
    pub words: Vec<Word>,
    /// What was understood and deserves a look.
    pub warnings: Vec<Warning>,
}

/// A setting's effective value.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Effective {
    /// The setting.
    pub name: &'static str,
    /// The value; `_` for a secret.
    pub value: String,
    /// Where it was written.
    pub origin: Origin,
}

/// A word about TLS and what it was taken to mean.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Word {
    /// Where it stands.
    pub origin: Origin,
    /// The word as written.
    pub word: String,
    /// What it was taken to mean.
    pub meaning: String,
}

/// Something that was understood and deserves a look.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Warning {
    /// Where it stands.
    pub origin: Origin,
    /// A word for programs.
    pub code: &'static str,
    /// One sentence.
    pub message: String,
}

impl Config {
    /// What was understood, with the origin of every value.
    #[must_use]
    pub fn explain(&self) -> Explanation {
        let Notes {
            dialects,
            words,
            warnings,
        } = self.notes.clone();
        Explanation {
            dialects,
            values: self.effective(),
            words,
            warnings,
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            dialects,
            values,
            words,
            warnings,
        } = self;
        for (origin, dialect) in dialects {
            writeln!(f, "{origin}: read as {dialect}")?;
        }
        let width = |of: &dyn Fn(&Effective) -> usize| values.iter().map(of).max().unwrap_or(0);
        let (name, value) = (
            width(&|v| v.name.len()),
            width(&|v| v.value.chars().count()).min(40),
        );
        for Effective {
            name: setting,
            value: shown,
            origin,
        } in values
        {
            writeln!(f, "{setting:name$}  {shown:value$}  {origin}")?;
        }
        for Word {
            origin,
            word,
            meaning,
        } in words
        {
            writeln!(f, "{origin}: {word} {meaning}")?;
        }
        for Warning {
            origin,
            code,
            message,
        } in warnings
        {
            writeln!(f, "warning ({code}) {origin}: {message}")?;
        }
        Ok(())
    }
}
