mod refusals;
use refusals::{
    conflict, gss, plaintext, root_required, tunnel, unknown_factory, unknown_word, unverified,
};

use crate::code::Code;
use crate::dialect::Dialect;
use crate::error::DsnError;
use crate::keys::{self, Vote};
use crate::pair::Pair;
use crate::placeholder::is_placeholder;
use crate::refusals::template;
use crate::value::{boolean, normal};
use crate::verification::{Meaning, Root, TlsWord, Verification};

/// What one word says, before it meets the others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stand {
    Floor(Meaning),
    /// It permits plaintext, at once or, with `fallback`, when TLS fails.
    Hole {
        fallback: bool,
    },
    /// It reads `sslmode=require` as libpq does: without verification.
    Lenient,
    /// It asks for TLS without verification.
    Waiver,
}

/// All words about TLS, in the order of the text.
#[derive(Default)]
pub(crate) struct Votes {
    cast: Vec<(TlsWord, Stand)>,
}

impl Votes {
    /// Reads a word of a key that only says how TLS is meant.
    pub(crate) fn cast(
        &mut self,
        vote: Vote,
        name: &str,
        pair: &Pair,
        dialect: Dialect,
    ) -> Result<(), DsnError> {
        let word = pair.value.as_deref().unwrap_or_default();
        if is_placeholder(word) {
            return Err(template(pair));
        }
        let plain = normal(word);
        let unknown = || unknown_word(pair, dialect);
        let stand = match vote {
            Vote::Mode => match (plain.as_str(), &pair.value) {
                ("", None) if matches!(name, "ssl" | "tls") => Stand::Floor(Meaning::Tls),
                ("tunnel", _) => return Err(tunnel(pair, dialect)),
                (word, _) => mode(word).ok_or_else(unknown)?,
            },
            Vote::Accept => match plain.as_str() {
                "strict" => Stand::Floor(Meaning::VerifyFull),
                "acceptinvalidcerts" => Stand::Waiver,
                _ => return Err(unknown()),
            },
            Vote::Factory => factory(word).ok_or_else(|| unknown_factory(pair, dialect))?,
            Vote::Gss => match plain.as_str() {
                "disable" | "prefer" => Stand::Floor(Meaning::Neutral),
                "allow" if dialect == Dialect::Jdbc => Stand::Floor(Meaning::Neutral),
                "require" => return Err(gss(pair)),
                _ => return Err(unknown()),
            },
            Vote::LibpqCompat => match boolean(word) {
                Ok(true) => Stand::Lenient,
                Ok(false) => Stand::Floor(Meaning::Neutral),
                Err(_) => return Err(unknown()),
            },
            Vote::Trust | Vote::Verify => match boolean(word) {
                Ok(value) if value == (vote == Vote::Trust) => Stand::Waiver,
                Ok(_) => Stand::Floor(Meaning::Neutral),
                Err(_) => return Err(unknown()),
            },
        };
        self.push(pair.key.clone(), word, pair.span.clone(), stand);
        Ok(())
    }

    /// Notes a word that is carried in a field as well.
    pub(crate) fn note(&mut self, pair: &Pair, meaning: Meaning) {
        self.push(
            pair.key.clone(),
            pair.value.as_deref().unwrap_or_default(),
            pair.span.clone(),
            Stand::Floor(meaning),
        );
    }

    /// Notes a scheme that asks for TLS.
    pub(crate) fn note_scheme(&mut self, scheme: &str, span: std::ops::Range<usize>) {
        self.push(
            scheme.to_owned(),
            scheme,
            span,
            Stand::Floor(Meaning::VerifyFull),
        );
    }

    fn push(&mut self, key: String, word: &str, span: std::ops::Range<usize>, stand: Stand) {
        let meaning = match stand {
            Stand::Floor(meaning) => meaning,
            Stand::Hole { .. } | Stand::Lenient | Stand::Waiver => Meaning::Neutral,
        };
        self.cast.push((
            TlsWord {
                key,
                word: word.to_owned(),
                span,
                meaning,
            },
            stand,
        ));
    }

    /// Counts the votes; no word wins because of its place.
    pub(crate) fn decide(
        self,
        root: Option<&Root>,
        dialect: Dialect,
    ) -> Result<(Verification, Vec<TlsWord>), DsnError> {
        let floor_of = |least: Meaning| {
            self.cast
                .iter()
                .find(|(_, stand)| matches!(stand, Stand::Floor(meaning) if *meaning >= least))
        };
        let hole = self.cast.iter().find_map(|(word, stand)| match stand {
            Stand::Hole { fallback } => Some((word, *fallback)),
            Stand::Floor(_) | Stand::Lenient | Stand::Waiver => None,
        });
        if let Some((word, fallback)) = hole {
            return Err(match floor_of(Meaning::Tls) {
                Some((other, _)) => {
                    conflict(word, "permits plaintext", other, "asks for TLS", dialect)
                }
                None => plaintext(word, fallback, dialect),
            });
        }
        let lenient = self.cast.iter().find(|(_, stand)| *stand == Stand::Lenient);
        let requires = |word: &TlsWord| {
            word.meaning == Meaning::Tls
                && (keys::normal(&word.key) == "sslmode"
                    || normal(&word.word).starts_with("require"))
        };
        let waiver = self
            .cast
            .iter()
            .find(|(_, stand)| *stand == Stand::Waiver)
            .or_else(|| lenient.filter(|_| self.cast.iter().any(|(word, _)| requires(word))));
        if let Some((word, _)) = waiver {
            return Err(match floor_of(Meaning::VerifyCa) {
                Some((other, _)) => {
                    conflict(word, "gives up verification", other, "asks for it", dialect)
                }
                None => unverified(word, dialect),
            });
        }
        let ca = self
            .cast
            .iter()
            .find(|(word, _)| word.meaning == Meaning::VerifyCa);
        let full = self
            .cast
            .iter()
            .any(|(word, _)| word.meaning == Meaning::VerifyFull && !names_root(word));
        let verification = match ca {
            Some((word, _)) if !full => match root {
                Some(Root::File(_)) => Verification::VerifyCa,
                Some(Root::System) | None => return Err(root_required(word, dialect)),
            },
            _ => Verification::VerifyFull,
        };
        Ok((
            verification,
            self.cast.into_iter().map(|(word, _)| word).collect(),
        ))
    }
}

fn names_root(word: &TlsWord) -> bool {
    word.word.eq_ignore_ascii_case("system")
}

impl Verification {
    /// What a word means where it stands alone, in a setting of its own.
    ///
    /// # Errors
    /// `plaintext`, `plaintext_fallback`, `unverified`, or `unknown_tls_word`.
    pub fn of_word(word: &str) -> Result<Self, Code> {
        match mode(&normal(word)) {
            Some(Stand::Floor(Meaning::VerifyCa)) => Ok(Self::VerifyCa),
            Some(Stand::Floor(_)) => Ok(Self::VerifyFull),
            Some(Stand::Hole { fallback: false }) => Err(Code::Plaintext),
            Some(Stand::Hole { fallback: true }) => Err(Code::PlaintextFallback),
            Some(Stand::Waiver | Stand::Lenient) => Err(Code::Unverified),
            None => Err(Code::UnknownTlsWord),
        }
    }
}

fn mode(word: &str) -> Option<Stand> {
    Some(match word {
        "0" | "disable" | "disabled" | "false" | "no" | "none" | "off" => {
            Stand::Hole { fallback: false }
        }
        "allow" | "prefer" | "preferred" => Stand::Hole { fallback: true },
        "noverify" => Stand::Waiver,
        "1" | "on" | "require" | "required" | "true" | "yes" => Stand::Floor(Meaning::Tls),
        "verifyca" => Stand::Floor(Meaning::VerifyCa),
        "verifyfull" | "verifyidentity" => Stand::Floor(Meaning::VerifyFull),
        _ => return None,
    })
}

fn factory(class: &str) -> Option<Stand> {
    match class.rsplit('.').next()? {
        "DefaultJavaSSLFactory" => Some(Stand::Floor(Meaning::VerifyFull)),
        "LibPQFactory" => Some(Stand::Floor(Meaning::Neutral)),
        "NonValidatingFactory" => Some(Stand::Waiver),
        _ => None,
    }
}
