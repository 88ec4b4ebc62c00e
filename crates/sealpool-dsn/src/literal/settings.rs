use super::bytes::{is_one_of, is_plain, may_be_template, number, same};
use super::refusal::Refusal;

#[derive(Clone, Copy)]
pub(super) enum Kind {
    Host,
    Number,
    Path,
    Port,
    Secret,
    Ssl,
    SslMode,
    /// Names and lists.
    Text,
    Word(&'static [&'static str]),
}

/// The keys of libpq that a literal may have, in small letters as libpq has them.
const KEYS: &[(&str, Kind)] = &[
    ("host", Kind::Host),
    ("port", Kind::Port),
    ("user", Kind::Text),
    ("dbname", Kind::Text),
    ("password", Kind::Secret),
    ("sslpassword", Kind::Secret),
    ("sslmode", Kind::SslMode),
    ("ssl", Kind::Ssl),
    ("sslrootcert", Kind::Path),
    ("sslcert", Kind::Path),
    ("sslkey", Kind::Path),
    ("sslcrl", Kind::Path),
    ("sslnegotiation", Kind::Word(&["postgres", "direct"])),
    ("sslsni", Kind::Word(&["1"])),
    (
        "ssl_min_protocol_version",
        Kind::Word(&["TLSv1.2", "TLSv1.3"]),
    ),
    ("gssencmode", Kind::Word(&["disable", "prefer"])),
    (
        "channel_binding",
        Kind::Word(&["disable", "prefer", "require"]),
    ),
    ("require_auth", Kind::Word(&["scram-sha-256", "none"])),
    (
        "target_session_attrs",
        Kind::Word(&[
            "any",
            "read-write",
            "read-only",
            "primary",
            "standby",
            "prefer-standby",
        ]),
    ),
    ("load_balance_hosts", Kind::Word(&["disable", "random"])),
    ("application_name", Kind::Text),
    ("fallback_application_name", Kind::Text),
    ("client_encoding", Kind::Word(&["UTF8", "auto"])),
    ("connect_timeout", Kind::Number),
    ("keepalives", Kind::Word(&["0", "1"])),
    ("keepalives_idle", Kind::Number),
    ("keepalives_interval", Kind::Number),
    ("keepalives_count", Kind::Number),
    ("tcp_user_timeout", Kind::Number),
    ("statement_timeout", Kind::Number),
    ("search_path", Kind::Text),
];

pub(super) const HOST: u64 = 1;
pub(super) const PORT: u64 = 1 << 1;
pub(super) const USER: u64 = 1 << 2;
pub(super) const DATABASE: u64 = 1 << 3;

/// The bit and the kind of a key.
pub(super) const fn find(key: &[u8]) -> Result<(u64, Kind), Refusal> {
    let mut keys = KEYS;
    let mut bit = 1;
    while let [(name, kind), rest @ ..] = keys {
        if same(key, name.as_bytes()) {
            return Ok((bit, *kind));
        }
        bit <<= 1;
        keys = rest;
    }
    Err(Refusal::Key)
}

/// Checks a value of any kind but [`Kind::Host`].
pub(super) const fn check_value(kind: Kind, value: &[u8]) -> Result<(), Refusal> {
    match kind {
        Kind::Secret => return Err(Refusal::Password),
        Kind::SslMode => return ssl_mode(value),
        Kind::Ssl if is_one_of(value, &["true", "1", "on", "yes"]) => return Ok(()),
        Kind::Ssl => return ssl_mode(value),
        Kind::Number if number(value).is_some() => return Ok(()),
        Kind::Port if matches!(number(value), Some(1..=65535)) => return Ok(()),
        Kind::Word(words) if is_one_of(value, words) => return Ok(()),
        Kind::Number | Kind::Port | Kind::Word(_) => return Err(Refusal::Value),
        Kind::Host | Kind::Path | Kind::Text => {}
    }
    if may_be_template(value) {
        return Err(Refusal::Template);
    }
    let extra: &[u8] = if matches!(kind, Kind::Path) {
        b"._-/"
    } else {
        b"._-,"
    };
    if is_plain(value, extra) {
        Ok(())
    } else {
        Err(Refusal::Grammar)
    }
}

const fn ssl_mode(value: &[u8]) -> Result<(), Refusal> {
    if is_one_of(value, &["require", "verify-ca", "verify-full"]) {
        return Ok(());
    }
    if is_one_of(
        value,
        &["disable", "allow", "prefer", "false", "0", "off", "no"],
    ) {
        return Err(Refusal::Plaintext);
    }
    Err(if is_one_of(value, &["no-verify"]) {
        Refusal::Unverified
    } else {
        Refusal::Value
    })
}
