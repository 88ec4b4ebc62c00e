use std::ops::Range;

use super::cursor::{Cursor, malformed};
use super::swallowed::{is_identifier, swallowed_parameter};
use crate::error::DsnError;
use crate::pair::{Pair, Pairs};

/// How a value with a `;` in it is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quoting {
    /// `{…}`, with `}}` for a brace.
    Braces,
    /// `"…"` or `'…'`, with the quote doubled.
    Quotes,
}

/// `Key=value;Other Key=value`.
pub(crate) fn semicolon_list(
    text: &str,
    span: Range<usize>,
    quoting: Quoting,
) -> Result<Pairs, DsnError> {
    let mut cursor = Cursor::new(text, &span);
    let mut pairs = Pairs::default();
    loop {
        cursor.take_while(|c| c.is_whitespace() || c == ';');
        let key_start = cursor.at();
        let key = cursor.take_while(|c| c != '=' && c != ';').trim_end();
        let key_span = key_start..key_start + key.len();
        if key.is_empty() && cursor.peek().is_none() {
            return Ok(pairs);
        }
        if !is_identifier(key) || !cursor.eat('=') {
            return Err(malformed(
                key_span,
                "neither a key=value pair nor a connection string of another dialect",
                match quoting {
                    Quoting::Braces => {
                        "write Key=value pairs with `;` between them, and a value with a `;` as {a;b}"
                    }
                    Quoting::Quotes => {
                        "write Key=value pairs with `;` between them, and a value with a `;` as \"a;b\""
                    }
                },
            ));
        }
        cursor.take_while(char::is_whitespace);
        let start = cursor.at();
        let (value, end) = match (cursor.peek(), quoting) {
            (Some('{'), Quoting::Braces) => (enclosed(&mut cursor, '}')?, cursor.at()),
            (Some(quote @ ('"' | '\'')), Quoting::Quotes) => {
                (enclosed(&mut cursor, quote)?, cursor.at())
            }
            _ => {
                let raw = cursor.take_while(|c| c != ';').trim_end();
                check_bare(key, raw, start)?;
                (raw.to_owned(), start + raw.len())
            }
        };
        pairs.list.push(Pair {
            key: key.to_owned(),
            key_span,
            value: Some(value),
            span: start..end,
            key_is_showable: true,
        });
    }
}

fn check_bare(key: &str, raw: &str, start: usize) -> Result<(), DsnError> {
    let lost = swallowed_parameter(key, raw, &[' ', '\t', '\n', '\r', '&'])
        .or_else(|| raw.find(['\n', '\r']));
    match lost {
        Some(at) => Err(malformed(
            start + at..start + at + 1,
            "a separator of another dialect, which would hide the parameter behind it",
            "separate Key=value pairs by `;`, or quote the value",
        )),
        None => Ok(()),
    }
}

fn enclosed(cursor: &mut Cursor<'_>, close: char) -> Result<String, DsnError> {
    let open = cursor.at();
    cursor.next();
    let mut value = String::new();
    loop {
        match cursor.next() {
            None => {
                return Err(malformed(
                    open..open + 1,
                    "a quote or brace that is never closed",
                    "close it, and double the closing character where the value itself contains it",
                ));
            }
            Some(c) if c == close && !cursor.eat(close) => break,
            Some(c) => value.push(c),
        }
    }
    let at = cursor.at();
    let behind = cursor.take_while(|c| c != ';');
    if behind.trim().is_empty() {
        return Ok(value);
    }
    Err(malformed(
        at - 1..at,
        "a closing quote or brace in the middle of a value",
        "double the closing character where the value itself contains it",
    ))
}
