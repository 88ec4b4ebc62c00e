use super::recording::Recording;

/// What a tap has seen, all of it in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    cleartext: Vec<usize>,
    tls: usize,
}

impl Summary {
    /// How many clients connected.
    pub fn connections(&self) -> usize {
        self.cleartext.len()
    }

    /// How many bytes each client sent before TLS: 8 or 0, or less than 8 if it left early.
    pub fn cleartext_bytes(&self) -> &[usize] {
        &self.cleartext
    }

    /// How many bytes all clients sent as TLS records.
    pub fn tls_bytes(&self) -> usize {
        self.tls
    }
}

/// What a client must not send, and did.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("connection {connection}, byte {offset}: {what}")]
pub struct Violation {
    connection: usize,
    offset: usize,
    what: String,
}

impl Violation {
    /// Which connection, counted from 0.
    pub fn connection(&self) -> usize {
        self.connection
    }

    /// Where in what the client sent.
    pub fn offset(&self) -> usize {
        self.offset
    }
}

pub(crate) fn judge(recordings: &[Recording], canaries: &[Vec<u8>]) -> Result<Summary, Violation> {
    let mut summary = Summary {
        cleartext: Vec::new(),
        tls: 0,
    };
    for (connection, recording) in recordings.iter().enumerate() {
        let found = canary(recording.bytes(), canaries).or_else(|| not_tls(recording));
        if let Some((offset, what)) = found {
            return Err(Violation {
                connection,
                offset,
                what,
            });
        }
        let cleartext = recording.cleartext_len();
        summary.cleartext.push(cleartext);
        summary.tls += recording.bytes().len() - cleartext;
    }
    Ok(summary)
}

/// A canary is secret, so it is named by its number.
fn canary(bytes: &[u8], canaries: &[Vec<u8>]) -> Option<(usize, String)> {
    canaries.iter().enumerate().find_map(|(number, canary)| {
        let offset = bytes
            .windows(canary.len())
            .position(|window| window == canary)?;
        Some((
            offset,
            format!("canary {number} ({} bytes) in clear", canary.len()),
        ))
    })
}

fn not_tls(recording: &Recording) -> Option<(usize, String)> {
    let bytes = recording.bytes();
    let cut_short = Recording::SSL_REQUEST.starts_with(bytes);
    if recording.mode().is_none() && !cut_short {
        let start = bytes.get(..8).unwrap_or(bytes);
        return Some((
            0,
            format!(
                "neither an SSLRequest nor a TLS handshake but {}",
                hex(start)
            ),
        ));
    }
    let mut offset = recording.cleartext_len();
    loop {
        let rest = bytes.get(offset..).unwrap_or_default();
        if let Some(what) = not_a_record(rest) {
            return Some((offset, what));
        }
        let &[_, _, _, high, low, ..] = rest else {
            return None;
        };
        offset += HEADER + usize::from(u16::from_be_bytes([high, low]));
    }
}

const HEADER: usize = 5;
/// RFC 8446, 5.2 allows 256 bytes more than the 2^14 of plaintext; TLS 1.2 suites in use stay below that too.
const LONGEST: u16 = (1 << 14) + 256;

/// Judges as much of a header as is there.
fn not_a_record(rest: &[u8]) -> Option<String> {
    let fits = match *rest {
        [] => true,
        [kind] => (20..=23).contains(&kind),
        [kind, 3] => (20..=23).contains(&kind),
        [kind, 3, 1..=4] => (20..=23).contains(&kind),
        [kind, 3, 1..=4, high] => (20..=23).contains(&kind) && u16::from(high) <= LONGEST >> 8,
        [kind, 3, 1..=4, high, low, ..] => {
            (20..=23).contains(&kind) && u16::from_be_bytes([high, low]) <= LONGEST
        }
        _ => false,
    };
    let start = rest.get(..HEADER).unwrap_or(rest);
    (!fits).then(|| format!("no TLS record begins with {}", hex(start)))
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::recording::Direction;
    use super::*;

    fn judged(parts: &[&[u8]]) -> Result<Summary, Violation> {
        let mut recording = Recording::default();
        recording.add(Direction::FromClient(&parts.concat()));
        judge(&[recording], &[b"s3cret".to_vec()])
    }

    const REQUEST: &[u8] = &Recording::SSL_REQUEST;

    #[test]
    fn what_a_sealed_client_sends_is_in_order() {
        for (case, parts, cleartext, tls) in [
            ("nothing", &[b"" as &[u8]] as &[&[u8]], 0, 0),
            ("left after half the request", &[&[0, 0, 0, 8]], 4, 0),
            ("left after the request", &[REQUEST], 8, 0),
            ("one record", &[REQUEST, &[22, 3, 1, 0, 2, 9, 9]], 8, 7),
            ("direct", &[&[22, 3, 1, 0, 1, 9, 23, 3, 3, 0, 0]], 0, 11),
            ("record cut short", &[REQUEST, &[22, 3, 1, 0, 9, 9]], 8, 6),
            ("header cut short", &[REQUEST, &[22, 3]], 8, 2),
            (
                "longest record, cut short",
                &[REQUEST, &[23, 3, 3, 0x41, 0]],
                8,
                5,
            ),
        ] {
            assert_eq!(
                judged(parts),
                Ok(Summary {
                    cleartext: vec![cleartext],
                    tls
                }),
                "{case}"
            );
        }
    }

    #[test]
    fn what_is_not_sealed_is_a_violation() {
        for (case, parts, expected) in [
            (
                "a StartupMessage",
                &[b"\0\0\0\x10\0\x03\0\0user\0x\0\0" as &[u8]] as &[&[u8]],
                "connection 0, byte 0: neither an SSLRequest nor a TLS handshake but 00 00 00 10 00 03 00 00",
            ),
            (
                "half a StartupMessage",
                &[b"\0\0\0\x08\0\x03"],
                "connection 0, byte 0: neither an SSLRequest nor a TLS handshake but 00 00 00 08 00 03",
            ),
            (
                "a GSSENCRequest",
                &[&[0, 0, 0, 8, 4, 210, 22, 48]],
                "connection 0, byte 0: neither an SSLRequest nor a TLS handshake but 00 00 00 08 04 d2 16 30",
            ),
            (
                "plaintext after the answer",
                &[REQUEST, b"Q\0\0\0\x0dselect 1\0"],
                "connection 0, byte 8: no TLS record begins with 51 00 00 00 0d",
            ),
            (
                "plaintext after a record",
                &[REQUEST, &[22, 3, 1, 0, 0], b"Q"],
                "connection 0, byte 13: no TLS record begins with 51",
            ),
            (
                "a record of SSL 3.0",
                &[REQUEST, &[22, 3, 0]],
                "connection 0, byte 8: no TLS record begins with 16 03 00",
            ),
            (
                "a record too long",
                &[REQUEST, &[23, 3, 3, 0x41, 1]],
                "connection 0, byte 8: no TLS record begins with 17 03 03 41 01",
            ),
            (
                "a canary inside a record",
                &[REQUEST, &[23, 3, 3, 0, 6], b"s3cret"],
                "connection 0, byte 13: canary 0 (6 bytes) in clear",
            ),
        ] {
            assert_eq!(judged(parts).unwrap_err().to_string(), expected, "{case}");
        }
    }

    #[test]
    fn the_violation_names_its_connection() {
        let violation = judge(
            &[Recording::default(), {
                let mut second = Recording::default();
                second.add(Direction::FromClient(b"hello"));
                second
            }],
            &[],
        )
        .unwrap_err();
        assert_eq!((violation.connection(), violation.offset()), (1, 0));
    }
}
