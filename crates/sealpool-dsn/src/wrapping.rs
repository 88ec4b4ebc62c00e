use std::ops::Range;

use crate::code::Code;
use crate::error::DsnError;

const BYTE_ORDER_MARK: char = '\u{feff}';

/// Takes off what people copy along: white space, a byte order mark, `psql`, one pair of quotes.
/// The answer is the byte range of the string itself.
pub(crate) fn unwrap(text: &str) -> Result<Range<usize>, DsnError> {
    let whole = trimmed(text, 0..text.len());
    let inner = slice(text, &whole);
    let Some(arguments) = psql_arguments(inner) else {
        return Ok(unquoted(text, whole));
    };
    let arguments = trimmed(text, whole.end - arguments.len()..whole.end);
    let argument = slice(text, &arguments);
    if let Some(content) = quoted(argument) {
        let span = arguments.start + 1..arguments.end - 1;
        if let Some(at) = shell_syntax(argument, content) {
            return Err(not_a_string(span.start + at..span.start + at + 1));
        }
        return Ok(trimmed(text, span));
    }
    if argument.is_empty()
        || argument.contains(|c: char| c.is_whitespace() || "\"'`$\\".contains(c))
    {
        return Err(not_a_string(arguments));
    }
    Ok(arguments)
}

fn psql_arguments(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("psql")?;
    let rest = rest.strip_prefix(|c: char| c.is_whitespace())?.trim_start();
    for flag in ["--dbname=", "--dbname ", "-d "] {
        if let Some(rest) = rest.strip_prefix(flag) {
            return Some(rest);
        }
    }
    Some(rest)
}

fn unquoted(text: &str, span: Range<usize>) -> Range<usize> {
    match quoted(slice(text, &span)) {
        Some(_) => trimmed(text, span.start + 1..span.end - 1),
        None => span,
    }
}

fn quoted(text: &str) -> Option<&str> {
    ['"', '\'']
        .into_iter()
        .find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
}

fn shell_syntax(argument: &str, content: &str) -> Option<usize> {
    if argument.starts_with('\'') {
        return content.find('\'');
    }
    let bytes = content.as_bytes();
    (0..bytes.len()).find(|&at| {
        let next = bytes.get(at + 1).copied().unwrap_or(b' ');
        match bytes.get(at) {
            Some(b'"' | b'`') => true,
            Some(b'$') => next.is_ascii_alphanumeric() || b"_{(".contains(&next),
            Some(b'\\') => b"\\\"$`\n".contains(&next),
            _ => false,
        }
    })
}

fn trimmed(text: &str, span: Range<usize>) -> Range<usize> {
    let blank = |c: char| c.is_whitespace() || c == BYTE_ORDER_MARK;
    let inner = slice(text, &span);
    let start = span.end - inner.trim_start_matches(blank).len();
    let end = start
        + slice(text, &(start..span.end))
            .trim_end_matches(blank)
            .len();
    start..end
}

fn slice<'a>(text: &'a str, span: &Range<usize>) -> &'a str {
    text.get(span.clone()).unwrap_or_default()
}

fn not_a_string(span: Range<usize>) -> DsnError {
    DsnError::new(
        Code::Malformed,
        span,
        "a command or code round the connection string",
        "pass the string inside it, as it is after the shell or the compiler has read it",
    )
}
