//! What is said of one pair that cannot be taken.

use std::ops::Range;
use std::path::PathBuf;

use crate::code::Code;
use crate::dialect::Dialect;
use crate::error::DsnError;
use crate::keys;
use crate::located::Located;
use crate::pair::Pair;
use crate::value::normal;

pub(crate) fn bare(pair: &Pair) -> DsnError {
    DsnError::new(
        Code::Malformed,
        pair.key_span.clone(),
        format!("`{}` has no value", pair.key),
        "write it as name=value or remove it",
    )
    .of_key(&pair.key)
}

pub(crate) fn template(pair: &Pair) -> DsnError {
    DsnError::new(
        Code::Placeholder,
        pair.span.clone(),
        format!("`{}` is a template that nobody filled in", pair.key),
        "put the real value in its place",
    )
    .of_key(&pair.key)
}

pub(crate) fn invalid(pair: &Pair, wanted: &str) -> DsnError {
    DsnError::new(
        Code::InvalidValue,
        pair.span.clone(),
        format!("`{}` has a value that it cannot have", pair.key),
        format!("write {wanted}"),
    )
    .of_key(&pair.key)
}

pub(crate) fn unknown_word(pair: &Pair, help: &str) -> DsnError {
    let message = of_unknown_word(pair, pair.key_is_showable);
    DsnError::new(Code::UnknownTlsWord, pair.span.clone(), message, help).of_key(&pair.key)
}

pub(crate) fn unsupported_word(pair: &Pair, help: &str) -> DsnError {
    DsnError::new(
        Code::UnsupportedWord,
        pair.span.clone(),
        format!("`{}` has a value that cannot be honoured", pair.key),
        help,
    )
    .of_key(&pair.key)
}

pub(crate) fn not_utf8(pair: &Pair) -> DsnError {
    DsnError::new(
        Code::UnsupportedWord,
        pair.span.clone(),
        format!(
            "`{}` is an encoding other than UTF-8, the only one of Rust's strings",
            pair.key
        ),
        "write UTF8 or remove it; the server converts",
    )
    .of_key(&pair.key)
}

pub(crate) fn weak(pair: &Pair) -> DsnError {
    DsnError::new(
        Code::WeakProtocol,
        pair.span.clone(),
        format!("`{}` permits a protocol older than TLS 1.2", pair.key),
        "write TLSv1.2 or TLSv1.3, or remove it",
    )
    .of_key(&pair.key)
}

pub(crate) fn duplicate(pair: &Pair) -> DsnError {
    DsnError::new(
        Code::Duplicate,
        pair.span.clone(),
        format!("`{}` is said twice with different values", pair.key),
        "keep one of them; none wins because it comes last",
    )
    .of_key(&pair.key)
}

pub(crate) fn refused(pair: &Pair, why: &str, fix: &str) -> DsnError {
    DsnError::new(
        Code::UnsupportedKey,
        pair.key_span.clone(),
        format!("`{}` cannot be honoured: {why}", pair.key),
        fix,
    )
    .of_key(&pair.key)
}

/// A key that this dialect does not know. Its name is shown only if it is close to one that is known: any other text may
/// be a piece of a password that was cut.
pub(crate) fn strange(pair: &Pair, dialect: Dialect, foreign: bool, showable: bool) -> DsnError {
    if foreign {
        return DsnError::new(
            Code::UnsupportedKey,
            pair.key_span.clone(),
            format!("`{}` is a key of another dialect", pair.key),
            "remove it, or set what it stands for in the configuration",
        )
        .of_key(&pair.key);
    }
    let plain = normal(&pair.key);
    let about_tls = ["ssl", "tls", "cert", "gss"]
        .iter()
        .any(|word| plain.contains(word));
    let code = if about_tls {
        Code::UnknownTlsKey
    } else {
        Code::UnknownKey
    };
    let span = pair.key_span.clone();
    let Some(known) = keys::suggestion(dialect, &pair.key) else {
        return DsnError::new(
            code,
            span,
            "a key that no driver has",
            "remove it, or set what it stands for in the configuration; if a password was cut here, encode or quote its \
             special characters",
        );
    };
    let help = format!("did you mean `{known}`?");
    if !showable {
        return DsnError::new(code, span, "a key that no driver has", help);
    }
    DsnError::new(
        code,
        span,
        format!("no driver has a key `{}`", pair.key),
        help,
    )
    .of_key(&pair.key)
}

/// Prisma calls the root what libpq calls the client certificate.
pub(crate) fn two_meanings(cert: &Located<PathBuf>, prisma: &str) -> DsnError {
    DsnError::new(
        Code::Conflict,
        cert.span.clone(),
        format!("`{}` is the root to Prisma, whose key `{prisma}` is, and the client certificate to libpq", cert.key),
        "name the root as `sslrootcert`, or a client certificate together with `sslkey`",
    )
    .of_key(&cert.key)
}

pub(crate) fn upside_down(key: &str, span: Range<usize>, other: &str, code: Code) -> DsnError {
    DsnError::new(
        code,
        span,
        format!("`{key}` is below `{other}`"),
        "swap or remove one of them",
    )
    .of_key(key)
}

/// That a key has a word it cannot have. The word is printed only if it is a plain one and no piece of a password.
pub(crate) fn of_unknown_word(pair: &Pair, may_be_shown: bool) -> String {
    let word = pair.value.as_deref().unwrap_or_default();
    let plain = word.len() <= 32
        && word
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    match word {
        "" => format!("`{}` has no word", pair.key),
        _ if plain && may_be_shown => {
            format!("`{}` has the word `{word}`, which nobody defines", pair.key)
        }
        _ => format!("`{}` has a word that nobody defines", pair.key),
    }
}

/// libpq's programs read one string inside another; its parts, the password among them, must not become a name.
pub(crate) fn string_in_a_string(pair: &Pair) -> DsnError {
    DsnError::new(
        Code::Malformed,
        pair.span.clone(),
        format!("`{}` is a connection string inside another", pair.key),
        "pass the inner one alone",
    )
    .of_key(&pair.key)
}
