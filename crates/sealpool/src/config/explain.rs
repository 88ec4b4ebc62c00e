use std::fmt;

use sealpool_dsn::Verification;

use super::{Config, Key, Origin, settings::Written, value::Setting};

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
    /// What is verified: `verify-full`, `verify-ca` or, where a pin stands alone, `pinned`.
    pub verification: &'static str,
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
            verification: self.verification(),
            dialects,
            values: self.effective(),
            words,
            warnings,
        }
    }

    fn verification(&self) -> &'static str {
        let is_verify_ca = |mode: &Written<String>| {
            Verification::of_word(&mode.value) == Ok(Verification::VerifyCa)
        };
        if self.tls_pin.is_some() && self.tls_root.is_none() {
            "pinned"
        } else if self.tls_mode.as_ref().is_some_and(is_verify_ca) {
            "verify-ca"
        } else {
            "verify-full"
        }
    }
}

impl Explanation {
    /// The same configuration as a table of TOML, for those who move to it: what was written, without the secrets.
    #[must_use]
    pub fn to_toml(&self, table: &str) -> String {
        let mut text = format!("[{table}]\n");
        let written = self.values.iter().filter(|v| v.origin != Origin::Default);
        for (value, key) in written.filter_map(|v| Some((v, v.key()?))) {
            let Effective {
                name,
                value,
                origin: _,
            } = value;
            let line = if key.secret {
                format!(
                    "# {name} was given: name a file that holds it, or leave it to the environment"
                )
            } else if key.is_bare(value) {
                format!("{name} = {value}")
            } else {
                format!("{name} = {}", serde_json::Value::from(value.as_str()))
            };
            text.push_str(&line);
            text.push('\n');
        }
        text
    }
}

impl Effective {
    fn key(&self) -> Option<&'static Key> {
        Config::KEYS.iter().find(|key| key.name == self.name)
    }
}

impl Key {
    /// Whether TOML has the value without quotes.
    fn is_bare(&self, value: &str) -> bool {
        let is_number = self.expects.starts_with("a whole number");
        is_number && value.parse::<u64>().is_ok() || self.expects == <bool as Setting>::EXPECTS
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            verification: _,
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
