use std::ops::Range;

use crate::code::Code;
use crate::dialect::Dialect;
use crate::error::DsnError;
use crate::grammar::is_identifier;
use crate::keys;

/// What the beginning of a text says about the rest.
pub(crate) struct Recognised {
    pub(crate) dialect: Dialect,
    /// What follows the scheme and its colon, or everything.
    pub(crate) body: Range<usize>,
    /// The scheme of a dialect that asks for TLS with it.
    pub(crate) tls_scheme: Option<Range<usize>>,
}

const SCHEMES: [&str; 5] = ["ecto", "pgsql", "postgis", "postgres", "postgresql"];

const FOREIGN: [&str; 9] = [
    "file", "mariadb", "mongodb", "mysql", "oci", "odbc", "redis", "sqlite", "sqlsrv",
];

/// Decides which dialect `text[span]` is.
pub(crate) fn recognise(text: &str, span: Range<usize>) -> Result<Recognised, DsnError> {
    let inner = text.get(span.clone()).unwrap_or_default();
    if let Some(result) = by_scheme(inner, &span) {
        return result;
    }
    let dialect = by_first_key(inner).ok_or_else(|| nothing_known(inner, span.start))?;
    Ok(Recognised {
        dialect,
        body: span,
        tls_scheme: None,
    })
}

/// As [`recognise`], for a caller who knows which dialect it must be.
pub(crate) fn expect(
    dialect: Dialect,
    text: &str,
    span: Range<usize>,
) -> Result<Recognised, DsnError> {
    let inner = text.get(span.clone()).unwrap_or_default();
    match by_scheme(inner, &span) {
        Some(found) => {
            let found = found?;
            if found.dialect == dialect {
                Ok(found)
            } else {
                Err(other_dialect(dialect, span.start))
            }
        }
        None if dialect.is_uri() || dialect == Dialect::Pdo => {
            Err(other_dialect(dialect, span.start))
        }
        None => Ok(Recognised {
            dialect,
            body: span,
            tls_scheme: None,
        }),
    }
}

fn by_scheme(inner: &str, span: &Range<usize>) -> Option<Result<Recognised, DsnError>> {
    let (scheme, rest) = inner.split_once(':')?;
    if !is_scheme(scheme) {
        return None;
    }
    let body_after = |rest: &str| span.end - rest.len()..span.end;
    let scheme_span = span.start..span.start + scheme.len();
    let found = |dialect, rest| {
        Ok(Recognised {
            dialect,
            body: body_after(rest),
            tls_scheme: None,
        })
    };
    let lower = scheme.to_ascii_lowercase();
    Some(match lower.as_str() {
        "jdbc" => match after_name(rest, &["postgresql"]) {
            Some(rest) => found(Dialect::Jdbc, rest),
            None => Err(unknown_scheme(scheme_span, rest)),
        },
        "r2dbc" | "r2dbcs" => {
            let rest = after_name(rest, &["pool"]).unwrap_or(rest);
            match after_name(rest, &["postgresql", "postgres"]) {
                Some(rest) => Ok(Recognised {
                    dialect: Dialect::R2dbc,
                    body: body_after(after_name(rest, &["failover"]).unwrap_or(rest)),
                    tls_scheme: (lower == "r2dbcs").then_some(scheme_span),
                }),
                None => Err(unknown_scheme(scheme_span, rest)),
            }
        }
        "pgsql" if !rest.starts_with("//") => found(Dialect::Pdo, rest),
        scheme if SCHEMES.contains(&scheme.split('+').next().unwrap_or(scheme)) => {
            found(Dialect::Uri, rest)
        }
        scheme if rest.starts_with("//") || FOREIGN.contains(&scheme) => {
            Err(unknown_scheme(scheme_span, scheme))
        }
        _ => return None,
    })
}

fn is_scheme(scheme: &str) -> bool {
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.len() <= 64
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-._".contains(c))
}

fn after_name<'a>(rest: &'a str, names: &[&str]) -> Option<&'a str> {
    let (name, rest) = rest.split_once(':')?;
    names
        .iter()
        .any(|wanted| name.eq_ignore_ascii_case(wanted))
        .then_some(rest)
}

fn by_first_key(inner: &str) -> Option<Dialect> {
    let (key, rest) = inner.split_once('=')?;
    let key = key.trim();
    if !is_identifier(key) {
        return None;
    }
    if keys::is_libpq(key) && !ends_with_semicolon(inner, rest) {
        return Some(Dialect::KeyValue);
    }
    if !keys::is_ado(key) {
        return None;
    }
    Some(if names_a_driver(inner) {
        Dialect::Odbc
    } else {
        Dialect::Ado
    })
}

/// Whether the first value ends at a `;` that separates, rather than at a blank.
fn ends_with_semicolon(inner: &str, rest: &str) -> bool {
    let value = rest.trim_start();
    let behind = match value.strip_prefix('\'') {
        Some(quoted) => after_quote(quoted),
        None if value.starts_with('"') => return value.contains(';'),
        None => value,
    };
    let before_the_next = behind.split('=').next().unwrap_or_default();
    let Some((end, _)) = before_the_next.split_once(';') else {
        return false;
    };
    let next = behind.get(end.len() + 1..).unwrap_or_default();
    if glued_to_the_only_host(inner, end, next) {
        return false;
    }
    match next.split_once('=') {
        Some((key, _)) => {
            let last = key
                .trim()
                .rsplit(char::is_whitespace)
                .next()
                .unwrap_or_default();
            keys::is_known(key)
                || !key.trim().contains(char::is_whitespace)
                || !keys::is_libpq(last)
        }
        None => true,
    }
}

fn after_quote(quoted: &str) -> &str {
    let mut escaped = false;
    let end = quoted.find(|c| {
        let closes = c == '\'' && !escaped;
        escaped = c == '\\' && !escaped;
        closes
    });
    end.and_then(|end| quoted.get(end + 1..))
        .unwrap_or_default()
}

/// `host=a; dbname=b user=c`, which Azure's portal prints: the one `;` of the text, behind the host and before a blank,
/// and blanks between pairs from there on.
fn glued_to_the_only_host(inner: &str, host: &str, next: &str) -> bool {
    let first_key = inner.split('=').next().unwrap_or_default();
    let pairs = next
        .split_whitespace()
        .filter(|word| word.contains('='))
        .count();
    keys::is_host(first_key)
        && !host.contains(char::is_whitespace)
        && next.starts_with(|c: char| c.is_whitespace())
        && !next.contains(';')
        && pairs > 1
}

fn names_a_driver(inner: &str) -> bool {
    inner
        .split(';')
        .filter_map(|pair| pair.split_once('='))
        .any(|(key, _)| {
            let key = key.trim();
            key.eq_ignore_ascii_case("driver") || key.eq_ignore_ascii_case("dsn")
        })
}

fn unknown_scheme(span: Range<usize>, scheme: &str) -> DsnError {
    let distance = |known: &&str| strsim::levenshtein(known, scheme);
    let close = SCHEMES
        .iter()
        .filter(|known| scheme.len() <= 32 && !FOREIGN.contains(&scheme) && distance(known) <= 2)
        .min_by_key(|known| distance(known));
    let help = match close {
        Some(known) => format!("did you mean `{known}://`?"),
        None => "write `postgresql://user@host/database`".to_owned(),
    };
    DsnError::new(
        Code::UnknownScheme,
        span,
        "the scheme is not one of PostgreSQL",
        help,
    )
}

fn other_dialect(dialect: Dialect, at: usize) -> DsnError {
    DsnError::new(
        Code::Malformed,
        at..at,
        format!("this is no {dialect} string"),
        "name the dialect that it is, or let the beginning of the string decide",
    )
}

fn nothing_known(inner: &str, at: usize) -> DsnError {
    let (message, help) = if inner.is_empty() {
        (
            "the connection string is empty",
            "write `postgresql://user@host/database`",
        )
    } else if inner.contains("://") {
        (
            "something stands in front of the connection string",
            "pass the string inside, from its scheme to its end, without the code round it",
        )
    } else if inner.contains('=') {
        (
            "it does not begin with a key of any dialect",
            "if there is code round the connection string, pass the string inside; otherwise begin with `host=` or \
             `postgresql://`",
        )
    } else {
        (
            "this is no connection string",
            "write `postgresql://user@host/database`",
        )
    };
    DsnError::new(Code::Malformed, at..at, message, help)
}
