use super::{Stand, mode};
use crate::code::Code;
use crate::dialect::Dialect;
use crate::error::DsnError;
use crate::pair::Pair;
use crate::refusals::of_unknown_word;
use crate::value::normal;
use crate::verification::TlsWord;

const MODES: [&str; 12] = [
    "require",
    "required",
    "verify-ca",
    "verify-full",
    "verify-identity",
    "disable",
    "allow",
    "prefer",
    "true",
    "false",
    "no-verify",
    "preferred",
];

pub(super) fn unknown_word(pair: &Pair, dialect: Dialect) -> DsnError {
    let word = pair.value.as_deref().unwrap_or_default();
    let plain = normal(word);
    let close = MODES
        .iter()
        .filter(|_| plain.len() <= 32)
        .map(|known| (strsim::damerau_levenshtein(&normal(known), &plain), *known))
        .filter(|&(distance, known)| distance <= 3 && distance * 2 < known.len())
        .min_by_key(|&(distance, _)| distance);
    let good = dialect.spelling_of_verify_full();
    let help = match close {
        Some((_, known))
            if mode(&normal(known)).is_some_and(|stand| matches!(stand, Stand::Floor(_))) =>
        {
            format!("did you mean `{known}`?")
        }
        _ => format!("write `{good}`"),
    };
    let message = of_unknown_word(pair, pair.key_is_showable || close.is_some());
    DsnError::new(Code::UnknownTlsWord, pair.span.clone(), message, help).of_key(&pair.key)
}

pub(super) fn unknown_factory(pair: &Pair, dialect: Dialect) -> DsnError {
    DsnError::new(
        Code::UnsupportedKey,
        pair.span.clone(),
        format!(
            "`{}` names a Java class, and Java classes are not loaded",
            pair.key
        ),
        format!("name the root as `{}` instead", dialect.spelling_of_root()),
    )
    .of_key(&pair.key)
}

pub(super) fn tunnel(pair: &Pair, dialect: Dialect) -> DsnError {
    DsnError::new(
        Code::UnsupportedWord,
        pair.span.clone(),
        format!(
            "`{}` is `tunnel`, TLS of a proxy in front of PostgreSQL",
            pair.key
        ),
        format!(
            "write `{}` and sslNegotiation=direct if the proxy takes them",
            dialect.spelling_of_verify_full()
        ),
    )
    .of_key(&pair.key)
}

pub(super) fn gss(pair: &Pair) -> DsnError {
    DsnError::new(
        Code::Gss,
        pair.span.clone(),
        format!(
            "`{}` asks for GSSAPI encryption, which would replace TLS",
            pair.key
        ),
        "remove it, or write `disable`",
    )
    .of_key(&pair.key)
}

pub(super) fn conflict(
    word: &TlsWord,
    gives_up: &str,
    other: &TlsWord,
    asks: &str,
    dialect: Dialect,
) -> DsnError {
    DsnError::new(
        Code::Conflict,
        word.span.clone(),
        format!("`{}` {gives_up} and `{}` {asks}", word.key, other.key),
        format!(
            "keep one of them, best `{}`",
            dialect.spelling_of_verify_full()
        ),
    )
    .of_key(&word.key)
}

pub(super) fn plaintext(word: &TlsWord, fallback: bool, dialect: Dialect) -> DsnError {
    let (code, what) = if fallback {
        (
            Code::PlaintextFallback,
            "which permits plaintext when TLS fails",
        )
    } else {
        (Code::Plaintext, "which permits plaintext")
    };
    DsnError::new(
        code,
        word.span.clone(),
        format!("`{}` is `{}`, {what}", word.key, word.word),
        format!("remove it or write `{}`", dialect.spelling_of_verify_full()),
    )
    .of_key(&word.key)
}

pub(super) fn unverified(word: &TlsWord, dialect: Dialect) -> DsnError {
    DsnError::new(
        Code::Unverified,
        word.span.clone(),
        format!("`{}` asks for TLS without verifying the server", word.key),
        format!(
            "remove it, and name the root of the server's certificate as `{}`",
            dialect.spelling_of_root()
        ),
    )
    .of_key(&word.key)
}

pub(super) fn root_required(word: &TlsWord, dialect: Dialect) -> DsnError {
    DsnError::new(
        Code::RootRequired,
        word.span.clone(),
        format!(
            "`{}` asks for the chain alone, with which any public certificate would do",
            word.key
        ),
        format!(
            "name the root as `{}`, or write `{}`",
            dialect.spelling_of_root(),
            dialect.spelling_of_verify_full()
        ),
    )
    .of_key(&word.key)
}
