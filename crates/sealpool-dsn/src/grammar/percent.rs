use std::ops::Range;

use crate::code::Code;
use crate::error::DsnError;

/// Percent-decodes `raw`, which begins at byte `start` of the text.
pub(crate) fn decode(raw: &str, start: usize, plus_is_blank: bool) -> Result<String, DsnError> {
    let span = start..start + raw.len();
    if !raw.contains(['%', '+']) {
        return Ok(raw.to_owned());
    }
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes().enumerate();
    while let Some((at, byte)) = rest.next() {
        match byte {
            b'%' => {
                let high = rest.next().and_then(|(_, digit)| hex(digit));
                let low = rest.next().and_then(|(_, digit)| hex(digit));
                let (Some(high), Some(low)) = (high, low) else {
                    return Err(bad_escape(start + at..start + at + 1));
                };
                match high << 4 | low {
                    0 => return Err(nul(start + at..start + at + 3)),
                    byte => bytes.push(byte),
                }
            }
            b'+' if plus_is_blank => bytes.push(b' '),
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).map_err(|_| not_utf8(span))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

fn bad_escape(span: Range<usize>) -> DsnError {
    DsnError::new(
        Code::Malformed,
        span,
        "a `%` that two hexadecimal digits do not follow",
        "write a percent sign of the value itself as %25",
    )
}

fn nul(span: Range<usize>) -> DsnError {
    DsnError::new(
        Code::Malformed,
        span,
        "%00, a byte that PostgreSQL takes in no value",
        "remove it",
    )
}

fn not_utf8(span: Range<usize>) -> DsnError {
    DsnError::new(
        Code::Malformed,
        span,
        "percent escapes that are not UTF-8",
        "encode the UTF-8 bytes of each character",
    )
}
