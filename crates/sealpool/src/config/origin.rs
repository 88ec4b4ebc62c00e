use std::{fmt, panic::Location, path::PathBuf, sync::Arc};

use super::ConfigError;

/// The part of a file that an error points at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Excerpt {
    pub(crate) line: usize,
    pub(crate) text: String,
    pub(crate) caret: usize,
    pub(crate) width: usize,
}

/// Where a value was written, and how that looks there.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) origin: Origin,
    pub(crate) excerpt: Option<Excerpt>,
}

impl Place {
    /// Points the error at this place.
    pub(crate) fn refuse(&self, key: &str, error: ConfigError) -> ConfigError {
        error
            .at(key, &self.origin)
            .with_excerpt(self.excerpt.clone())
    }
}

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// Nowhere: the default.
    Default,
    /// In the program.
    Code {
        /// The source file.
        file: &'static str,
        /// The line, from 1.
        line: u32,
        /// The column, from 1.
        column: u32,
    },
    /// Given to the program in the way named, such as `standard input`.
    Given(&'static str),
    /// In an environment variable.
    Variable(String),
    /// In a connection string.
    Within {
        /// Where the string was written.
        outer: Box<Self>,
        /// The key as the string spells it.
        key: String,
    },
    /// In a file.
    File {
        /// The file as it was named.
        path: Arc<PathBuf>,
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
    },
}

impl Origin {
    #[track_caller]
    pub(crate) fn caller() -> Self {
        let location = Location::caller();
        Self::Code {
            file: location.file(),
            line: location.line(),
            column: location.column(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Code { file, line, column } => write!(f, "{file}:{line}:{column}"),
            Self::Given(whence) => f.write_str(whence),
            Self::Variable(name) => f.write_str(name),
            Self::Within { outer, key } => write!(f, "{outer} ({key})"),
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
        }
    }
}
