use super::bytes::{
    is_one_of, is_plain, may_be_template, number, same, starts_with_ignoring_case, until,
};
use super::refusal::Refusal;
use super::settings::{DATABASE, HOST, Kind, PORT, USER, check_value, find};

/// What was seen on the way.
#[derive(Clone, Copy)]
struct Seen {
    keys: u64,
    verify_ca: bool,
    /// Whether some word asks for the name as well.
    verify_full: bool,
    own_root: bool,
}

/// The rules of `Dsn::parse`, over a smaller language; a property test holds the two together.
pub(super) const fn check(text: &str) -> Result<(), Refusal> {
    let bytes = text.as_bytes();
    let (scheme, rest) = until(bytes, b":");
    let uri = (same(scheme, b"postgresql") || same(scheme, b"postgres"))
        && starts_with_ignoring_case(rest, b"://");
    let seen = if uri {
        let (_, body) = rest.split_at(3);
        uri_body(body)
    } else {
        let (first_key, behind) = until(bytes, b"= ");
        if is_one_of(first_key, NO_BEGINNING)
            || !starts_with_ignoring_case(behind, b"=")
            || find(first_key).is_err() && !is_plain(first_key, b"_")
        {
            return Err(Refusal::Dialect);
        }
        let (_, after_semicolon) = until(bytes, b";");
        if !after_semicolon.is_empty() {
            return Err(Refusal::Dialect);
        }
        key_values(bytes)
    };
    match seen {
        Err(refusal) => Err(refusal),
        Ok(seen) if seen.keys & HOST == 0 => Err(Refusal::NoHost),
        Ok(seen) if seen.verify_ca && !seen.own_root && !seen.verify_full => {
            Err(Refusal::RootRequired)
        }
        Ok(_) => Ok(()),
    }
}

/// Keys that libpq does not know, so that a string may not begin with them.
const NO_BEGINNING: &[&str] = &["search_path", "statement_timeout"];

const NOTHING: Seen = Seen {
    keys: 0,
    verify_ca: false,
    verify_full: false,
    own_root: false,
};

const fn uri_body(body: &[u8]) -> Result<Seen, Refusal> {
    let (authority, rest) = until(body, b"/?");
    let (before, after) = until(authority, b"@");
    let mut seen = NOTHING;
    let hosts = if let [_, hosts @ ..] = after {
        let (user, password) = until(before, b":");
        if !password.is_empty() {
            return Err(Refusal::Password);
        }
        if let Err(refusal) = check_value(Kind::Text, user) {
            return Err(refusal);
        }
        seen.keys |= USER;
        hosts
    } else {
        before
    };
    if starts_with_ignoring_case(hosts, b"%2f") {
        return Err(Refusal::Socket);
    }
    if hosts.is_empty() {
        return Err(Refusal::NoHost);
    }
    match host_list(hosts) {
        Err(refusal) => return Err(refusal),
        Ok(true) => seen.keys |= HOST | PORT,
        Ok(false) => seen.keys |= HOST,
    }
    let (path, query) = until(rest, b"?");
    if let [_, database @ ..] = path
        && !database.is_empty()
    {
        if let Err(refusal) = check_value(Kind::Text, database) {
            return Err(refusal);
        }
        seen.keys |= DATABASE;
    }
    if let [_, query @ ..] = query {
        pairs(query, b"&", seen)
    } else {
        Ok(seen)
    }
}

const fn key_values(text: &[u8]) -> Result<Seen, Refusal> {
    pairs(text, b" ", NOTHING)
}

const fn pairs(mut rest: &[u8], separator: &[u8], mut seen: Seen) -> Result<Seen, Refusal> {
    while !rest.is_empty() {
        let (pair, behind) = until(rest, separator);
        rest = if let [_, behind @ ..] = behind {
            behind
        } else {
            behind
        };
        if pair.is_empty() {
            continue;
        }
        let (key, value) = until(pair, b"=");
        let [_, value @ ..] = value else {
            return Err(Refusal::Grammar);
        };
        let (bit, kind) = match find(key) {
            Ok(found) => found,
            Err(refusal) => return Err(refusal),
        };
        if seen.keys & bit != 0 {
            return Err(Refusal::Duplicate);
        }
        seen.keys |= bit;
        let checked = match kind {
            Kind::Host => match host_value(value) {
                Ok(()) => Ok(()),
                Err(refusal) => Err(refusal),
            },
            _ => check_value(kind, value),
        };
        if let Err(refusal) = checked {
            return Err(refusal);
        }
        seen = note(seen, key, kind, value);
    }
    Ok(seen)
}

const fn note(mut seen: Seen, key: &[u8], kind: Kind, value: &[u8]) -> Seen {
    if matches!(kind, Kind::SslMode | Kind::Ssl) {
        seen.verify_ca |= same(value, b"verify-ca");
        seen.verify_full |= same(value, b"verify-full");
    }
    if same(key, b"sslrootcert") {
        seen.own_root = !(value.len() == 6 && starts_with_ignoring_case(value, b"system"));
    }
    seen
}

/// A list of hosts without ports, as keyword/value strings have it.
const fn host_value(value: &[u8]) -> Result<(), Refusal> {
    if starts_with_ignoring_case(value, b"/") || starts_with_ignoring_case(value, b"@") {
        return Err(Refusal::Socket);
    }
    match host_list(value) {
        Ok(false) => Ok(()),
        Ok(true) => Err(Refusal::Host),
        Err(refusal) => Err(refusal),
    }
}

/// Checks `a,b:5432`; the answer is whether there was a port.
const fn host_list(mut rest: &[u8]) -> Result<bool, Refusal> {
    let mut any_port = false;
    loop {
        let (item, behind) = until(rest, b",");
        let (name, port) = until(item, b":");
        if starts_with_ignoring_case(name, b"/") || starts_with_ignoring_case(name, b"@") {
            return Err(Refusal::Socket);
        }
        if may_be_template(name) {
            return Err(Refusal::Template);
        }
        if !is_host_name(name) {
            return Err(Refusal::Host);
        }
        if let [_, port @ ..] = port {
            if !matches!(number(port), Some(1..=65535)) {
                return Err(Refusal::Host);
            }
            any_port = true;
        }
        match behind {
            [_, next @ ..] => rest = next,
            [] => return Ok(any_port),
        }
    }
}

/// Labels of letters, digits, `-` and `_`, the last one beginning with a letter; or an IPv4 address.
const fn is_host_name(name: &[u8]) -> bool {
    if name.len() > 253 {
        return false;
    }
    let mut rest = name;
    let mut labels = 0;
    let mut small_numbers = 0;
    loop {
        let (label, behind) = until(rest, b".");
        if label.len() > 63 || !is_plain(label, b"-_") {
            return false;
        }
        labels += 1;
        let leading_zero = label.len() > 1 && starts_with_ignoring_case(label, b"0");
        if matches!(number(label), Some(0..=255)) && !leading_zero {
            small_numbers += 1;
        }
        match behind {
            [_, next @ ..] => rest = next,
            [] => {
                let begins_with_letter =
                    matches!(label, [first, ..] if first.is_ascii_alphabetic());
                return begins_with_letter || labels == 4 && small_numbers == 4;
            }
        }
    }
}
