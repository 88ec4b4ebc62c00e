use std::time::Duration;

use crate::keys::Unit;
use crate::session::{
    AuthMethod, ChannelBinding, ClientCertMode, Limit, LoadBalanceHosts, RequireAuth,
    SslNegotiation, TargetSessionAttrs,
};

/// Why a value is none: what would be one.
pub(crate) type Expected = &'static str;

/// A word as it is compared: small letters, without blanks, `-` and `_`.
pub(crate) fn normal(word: &str) -> String {
    // A sign is no hyphen: -1 is not 1.
    if word.contains(|c: char| c.is_ascii_alphabetic()) {
        crate::keys::normal(word)
    } else {
        word.trim().to_owned()
    }
}

pub(crate) fn boolean(word: &str) -> Result<bool, Expected> {
    match normal(word).as_str() {
        "1" | "on" | "true" | "yes" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err("true or false"),
    }
}

pub(crate) fn number(text: &str) -> Result<u32, Expected> {
    let text = text.trim();
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    plain
        .then(|| text.parse().ok())
        .flatten()
        .ok_or("a whole number from 0 to 4294967295")
}

pub(crate) fn at_least_one(text: &str) -> Result<u32, Expected> {
    match number(text) {
        Ok(0) | Err(_) => Err("a whole number from 1 on"),
        Ok(number) => Ok(number),
    }
}

pub(crate) fn seconds(text: &str) -> Result<Duration, Expected> {
    number(text)
        .map(|number| Duration::from_secs(number.into()))
        .map_err(|_| "a whole number of seconds")
}

/// A limit in the unit of its key; zero means none, as it does in libpq and all its kin.
pub(crate) fn limit(text: &str, unit: Unit) -> Result<Limit, Expected> {
    let text = text.trim();
    let duration = match unit {
        Unit::Seconds if text == "-1" => Some(Duration::ZERO),
        Unit::Seconds => seconds(text).ok(),
        Unit::Millis => number(text)
            .ok()
            .map(|number| Duration::from_millis(number.into())),
        Unit::Go => sum_of_units(
            text,
            &[("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)],
        ),
        Unit::Iso => iso(text),
        Unit::Server => server(text),
    };
    match duration {
        Some(Duration::ZERO) => Ok(Limit::Unlimited),
        Some(duration) => Ok(Limit::After(duration)),
        None => Err(match unit {
            Unit::Seconds => "a whole number of seconds",
            Unit::Millis => "a whole number of milliseconds",
            Unit::Go => "a duration like 1h30m",
            Unit::Iso => "a duration like PT30S",
            Unit::Server => "milliseconds, or a number with a unit like 5s",
        }),
    }
}

fn server(text: &str) -> Option<Duration> {
    if let Ok(millis) = number(text) {
        return Some(Duration::from_millis(millis.into()));
    }
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit) = text.split_at_checked(split)?;
    let factor = match unit.trim_start() {
        "d" => 86_400_000,
        "h" => 3_600_000,
        "min" => 60_000,
        "ms" => 1,
        "s" => 1000,
        _ => return None,
    };
    Some(Duration::from_millis(
        u64::from(number(digits).ok()?) * factor,
    ))
}

fn iso(text: &str) -> Option<Duration> {
    let text = text.to_ascii_uppercase();
    let text = text.strip_prefix('P')?;
    let (days, time) = text
        .split_once('T')
        .map_or((text, None), |(days, time)| (days, Some(time)));
    let mut sum = Duration::ZERO;
    if !days.is_empty() {
        sum += sum_of_units(days, &[("D", 86_400_000)])?;
    }
    if let Some(time) = time {
        sum += sum_of_units(time, &[("H", 3_600_000), ("M", 60_000), ("S", 1000)])?;
    }
    (text != "T" && !text.is_empty()).then_some(sum)
}

/// `1h30m`: numbers, each with one of `units`, whose factors are milliseconds.
fn sum_of_units(mut text: &str, units: &[(&str, u64)]) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut sum = Duration::ZERO;
    let mut any = false;
    while !text.is_empty() {
        let (digits, rest) = text.split_at_checked(text.find(|c: char| !c.is_ascii_digit())?)?;
        let (unit, rest) = rest.split_at_checked(
            rest.find(|c: char| c.is_ascii_digit())
                .unwrap_or(rest.len()),
        )?;
        let factor = units.iter().find(|(name, _)| *name == unit)?.1;
        sum = sum.checked_add(Duration::from_millis(
            u64::from(number(digits).ok()?) * factor,
        ))?;
        text = rest;
        any = true;
    }
    any.then_some(sum)
}

pub(crate) fn is_utf8(word: &str) -> bool {
    matches!(
        normal(word.trim_matches(['"', '\''])).as_str(),
        "auto" | "unicode" | "utf8" | "utf8mb4"
    )
}

pub(crate) fn channel_binding(word: &str) -> Result<ChannelBinding, Expected> {
    of_words(word, ChannelBinding::ALL, ChannelBinding::as_str).ok_or("disable, prefer or require")
}

pub(crate) fn client_cert_mode(word: &str) -> Result<ClientCertMode, Expected> {
    of_words(word, ClientCertMode::ALL, ClientCertMode::as_str).ok_or("disable, allow or require")
}

pub(crate) fn ssl_negotiation(word: &str) -> Option<SslNegotiation> {
    of_words(word, SslNegotiation::ALL, SslNegotiation::as_str)
}

pub(crate) fn load_balance_hosts(word: &str) -> Result<LoadBalanceHosts, Expected> {
    of_words(word, LoadBalanceHosts::ALL, LoadBalanceHosts::as_str)
        .or_else(|| {
            boolean(word).ok().map(|on| {
                if on {
                    LoadBalanceHosts::Random
                } else {
                    LoadBalanceHosts::Disable
                }
            })
        })
        .ok_or("disable or random")
}

pub(crate) fn target_session_attrs(word: &str) -> Result<TargetSessionAttrs, Expected> {
    match normal(word).as_str() {
        "master" => return Ok(TargetSessionAttrs::Primary),
        "secondary" | "slave" => return Ok(TargetSessionAttrs::Standby),
        "prefersecondary" | "preferslave" => return Ok(TargetSessionAttrs::PreferStandby),
        _ => {}
    }
    of_words(word, TargetSessionAttrs::ALL, TargetSessionAttrs::as_str)
        .ok_or("any, read-write, read-only, primary, standby or prefer-standby")
}

/// Whether the word asks for a primary with a fallback, which no server-side attribute can say.
pub(crate) fn prefers_primary(word: &str) -> bool {
    matches!(normal(word).as_str(), "preferprimary" | "prefermaster")
}

pub(crate) fn require_auth(text: &str) -> Result<RequireAuth, Expected> {
    const EXPECTED: Expected = "a list of password, md5, gss, sspi, scram-sha-256, oauth and none, \
         each once and either all with `!` or none";
    let negated = text.trim_start().starts_with('!');
    let mut methods = Vec::new();
    for item in text.split(',') {
        let item = item.trim();
        let word = match item.strip_prefix('!') {
            Some(word) if negated => word,
            None if !negated => item,
            _ => return Err(EXPECTED),
        };
        let method = of_words(word, AuthMethod::ALL, AuthMethod::as_str).ok_or(EXPECTED)?;
        if methods.contains(&method) {
            return Err(EXPECTED);
        }
        methods.push(method);
    }
    Ok(if negated {
        RequireAuth::Not(methods)
    } else {
        RequireAuth::Any(methods)
    })
}

fn of_words<T: Copy>(word: &str, all: &[T], as_str: fn(T) -> &'static str) -> Option<T> {
    let word = normal(word);
    all.iter()
        .copied()
        .find(|&value| normal(as_str(value)) == word)
}
