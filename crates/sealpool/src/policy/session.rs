use std::time::Duration;

use crate::config::{ConfigError, Written};

/// What was written about the session.
pub(super) struct Settings {
    pub(super) options: Option<Written<String>>,
    pub(super) search_path: Option<Written<String>>,
    pub(super) time_zone: Option<Written<String>>,
    pub(super) statement_timeout: Option<Written<Duration>>,
    pub(super) lock_timeout: Option<Written<Duration>>,
    pub(super) idle_in_transaction_timeout: Option<Written<Duration>>,
}

/// The start-up parameter `options`: what is set there costs no round trip, and a reset of the session returns to it.
pub(super) fn options(settings: Settings) -> Result<Option<String>, ConfigError> {
    let Settings {
        options,
        search_path,
        time_zone,
        statement_timeout,
        lock_timeout,
        idle_in_transaction_timeout,
    } = settings;
    let mut all: Vec<String> = options.into_iter().map(|written| written.value).collect();
    let mut set = |name: &str, value: &str| all.push(format!("-c {name}={}", escaped(value)));
    if let Some(Written { value, place }) = search_path {
        check("session.search_path", &value, &place)?;
        set("search_path", &value);
    }
    if let Some(Written { value, place }) = time_zone {
        check("session.time_zone", &value, &place)?;
        set("TimeZone", &value);
    }
    let timeouts = [
        (
            "session.statement_timeout",
            "statement_timeout",
            statement_timeout,
        ),
        ("session.lock_timeout", "lock_timeout", lock_timeout),
        (
            "session.idle_in_transaction_timeout",
            "idle_in_transaction_session_timeout",
            idle_in_transaction_timeout,
        ),
    ];
    for (key, name, written) in timeouts {
        if let Some(Written { value, place }) = written {
            let millis = i32::try_from(value.as_millis()).ok();
            let millis = millis.filter(|millis| value.is_zero() || *millis > 0);
            let millis = millis.ok_or_else(|| {
                place.refuse(
                    key,
                    ConfigError::new(
                        "invalid_value",
                        "the server cannot keep this time",
                        "write 0s, or a time from 1ms to 2147483647ms",
                    ),
                )
            })?;
            set(name, &millis.to_string());
        }
    }
    Ok((!all.is_empty()).then(|| all.join(" ")))
}

/// How many statements a session keeps prepared; as many as pgx does by default.
pub(super) fn statement_cache(written: Option<Written<u32>>) -> usize {
    let most = written.map_or(512, |written| written.value);
    usize::try_from(most).unwrap_or(usize::MAX)
}

fn check(key: &str, value: &str, place: &crate::config::Place) -> Result<(), ConfigError> {
    if value.contains('\0') {
        return Err(place.refuse(
            key,
            ConfigError::new("invalid_value", "a NUL byte cannot be sent", "remove it"),
        ));
    }
    Ok(())
}

/// The server splits `options` at blanks that no backslash precedes.
fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for character in value.chars() {
        if character == '\\' || character.is_ascii_whitespace() {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}
