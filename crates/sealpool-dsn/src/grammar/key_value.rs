use std::ops::Range;

use super::cursor::{Cursor, malformed, template};
use super::swallowed::{is_identifier, starts_with_parameter, swallowed_parameter};
use crate::error::DsnError;
use crate::keys;
use crate::pair::{Pair, Pairs};
use crate::placeholder::begins_with_placeholder;
use crate::warning::{Warning, WarningCode};

/// libpq's `key=value key='va lue'`.
pub(crate) fn blank_list(text: &str, span: Range<usize>) -> Result<Pairs, DsnError> {
    list(text, span, false)
}

/// PDO's `key=value;key=value`, whose `;` PHP turns into blanks before libpq reads it.
pub(crate) fn semicolon_or_blank_list(text: &str, span: Range<usize>) -> Result<Pairs, DsnError> {
    list(text, span, true)
}

fn list(text: &str, span: Range<usize>, semicolons: bool) -> Result<Pairs, DsnError> {
    let separates = |c: char| c.is_whitespace() || semicolons && c == ';';
    let mut cursor = Cursor::new(text, &span);
    let mut pairs = Pairs::default();
    loop {
        cursor.take_while(separates);
        let key_start = cursor.at();
        let key = cursor.take_while(|c| c != '=' && !separates(c));
        let key_span = key_start..cursor.at();
        if key.is_empty() && cursor.peek().is_none() {
            return Ok(pairs);
        }
        cursor.take_while(char::is_whitespace);
        if !is_identifier(key) || !cursor.eat('=') {
            return Err(not_a_pair(key_span, key));
        }
        let gap = !cursor.take_while(char::is_whitespace).is_empty();
        let start = cursor.at();
        let value = match cursor.peek() {
            Some('\'') => quoted(&mut cursor, &separates)?,
            Some('{' | '<' | '[') if begins_with_placeholder(cursor.remaining()) => {
                return Err(template(start..start + 1, "a value"));
            }
            Some(c) if !separates(c) => {
                let (mut value, raw) = bare(&mut cursor, &separates)?;
                if gap && starts_with_parameter(raw) {
                    return Err(empty(start));
                }
                if let Some(at) = swallowed_parameter(key, raw, &[';', '&']) {
                    return Err(mixed(start + at));
                }
                if keys::is_host(key)
                    && value.ends_with(';')
                    && !value.ends_with(";;")
                    && !raw.ends_with("\\;")
                {
                    value.pop();
                    pairs.warnings.push(glued(cursor.at() - 1));
                }
                value
            }
            _ => return Err(empty(start)),
        };
        let span = start..cursor.at();
        pairs.list.push(Pair {
            key: key.to_owned(),
            key_span,
            value: Some(value),
            span,
            key_is_showable: true,
        });
    }
}

fn quoted(cursor: &mut Cursor<'_>, separates: &impl Fn(char) -> bool) -> Result<String, DsnError> {
    let open = cursor.at();
    cursor.next();
    let mut value = String::new();
    loop {
        let at = cursor.at();
        match cursor.next() {
            None => {
                return Err(malformed(
                    open..open + 1,
                    "a quote that is never closed",
                    "close it, and write a quote of the value itself as \\'",
                ));
            }
            Some('\\') => value.extend(cursor.next()),
            Some('\'') => match cursor.peek() {
                Some('\'') => {
                    return Err(malformed(
                        at..at + 2,
                        "two quotes in a row inside a quoted value",
                        "write a quote of the value itself as \\'",
                    ));
                }
                Some(next) if !separates(next) => {
                    return Err(malformed(
                        at..at + 1,
                        "a closing quote in the middle of a word",
                        "leave a blank behind it, or write a quote of the value itself as \\'",
                    ));
                }
                _ => return Ok(value),
            },
            Some(c) => value.push(c),
        }
    }
}

fn bare<'a>(
    cursor: &mut Cursor<'a>,
    separates: &impl Fn(char) -> bool,
) -> Result<(String, &'a str), DsnError> {
    let start = cursor.at();
    let whole = cursor.remaining();
    let mut value = String::new();
    while let Some(c) = cursor.peek() {
        if separates(c) {
            break;
        }
        let at = cursor.at();
        cursor.next();
        if c != '\\' {
            value.push(c);
            continue;
        }
        match cursor.next() {
            Some('\n' | '\r') | None => {
                return Err(malformed(
                    at..at + 1,
                    "a backslash at the end of a line",
                    "join the lines, and write a backslash of the value itself as \\\\",
                ));
            }
            Some(escaped) => value.push(escaped),
        }
    }
    let raw = whole.get(..cursor.at() - start).unwrap_or_default();
    Ok((value, raw))
}

fn not_a_pair(span: Range<usize>, key: &str) -> DsnError {
    if key == "\\" {
        return malformed(
            span,
            "a backslash that continues a line",
            "join the lines; a line break is a blank here",
        );
    }
    malformed(
        span,
        "neither a key=value pair nor a connection string of another dialect",
        "write key=value pairs with blanks between them, and quote a value with blanks as 'a b'",
    )
}

fn empty(at: usize) -> DsnError {
    malformed(
        at..at,
        "a key without a value",
        "remove the key, or write '' for an empty value",
    )
}

fn mixed(at: usize) -> DsnError {
    malformed(
        at..at + 1,
        "a separator of another dialect, which would hide the parameter behind it",
        "separate key=value pairs by blanks, or quote the value",
    )
}

fn glued(at: usize) -> Warning {
    Warning {
        code: WarningCode::GluedSemicolon,
        message: "the `;` behind the host was dropped; blanks separate key=value pairs".to_owned(),
        span: at..at + 1,
    }
}
