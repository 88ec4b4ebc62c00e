use std::fmt;

use super::{Origin, origin::Excerpt};

/// A configuration that was refused: what, where, and what to write instead.
///
/// It never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(Box<Refusal>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Refusal {
    code: &'static str,
    key: Option<String>,
    origin: Option<Origin>,
    problem: String,
    fix: String,
    excerpt: Option<Excerpt>,
}

impl ConfigError {
    pub(crate) fn new(
        code: &'static str,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self(Box::new(Refusal {
            code,
            key: None,
            origin: None,
            problem: problem.into(),
            fix: fix.into(),
            excerpt: None,
        }))
    }

    pub(crate) fn at(mut self, key: &str, origin: &Origin) -> Self {
        self.0.key = Some(key.to_owned());
        self.0.origin = Some(origin.clone());
        self
    }

    /// Names the setting alone, when nothing was written for it.
    pub(crate) fn about(mut self, key: &str) -> Self {
        self.0.key = Some(key.to_owned());
        self
    }

    pub(crate) fn at_origin(mut self, origin: &Origin) -> Self {
        self.0.origin = Some(origin.clone());
        self
    }

    pub(crate) fn with_excerpt(mut self, excerpt: Option<Excerpt>) -> Self {
        self.0.excerpt = excerpt;
        self
    }

    /// A word for programs, such as `plaintext` or `unknown_key`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.0.code
    }

    /// The setting, such as `pool.max_size`, when one is at fault.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.0.key.as_deref()
    }

    /// Where the value was written, when one is at fault.
    #[must_use]
    pub fn origin(&self) -> Option<&Origin> {
        self.0.origin.as_ref()
    }

    /// What is wrong.
    #[must_use]
    pub fn problem(&self) -> &str {
        &self.0.problem
    }

    /// What to write instead.
    #[must_use]
    pub fn fix(&self) -> &str {
        &self.0.fix
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refusal {
            code: _,
            key,
            origin,
            problem,
            fix,
            excerpt,
        } = &*self.0;
        if let Some(origin) = origin {
            write!(f, "{origin}: ")?;
        }
        if let Some(key) = key {
            write!(f, "{key}: ")?;
        }
        write!(f, "{problem}; {fix}")?;
        let Some(Excerpt {
            line,
            text,
            caret,
            width,
        }) = excerpt
        else {
            return Ok(());
        };
        let margin = line.to_string().len();
        write!(
            f,
            "\n{:margin$} |\n{line} | {text}\n{:margin$} | {:caret$}{}",
            "",
            "",
            "",
            "^".repeat((*width).max(1)),
        )
    }
}

impl std::error::Error for ConfigError {}
