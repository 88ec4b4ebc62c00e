use std::ops::Range;

use super::cursor::{malformed, template};
use super::percent::decode;
use crate::code::Code;
use crate::dialect::Dialect;
use crate::error::DsnError;
use crate::pair::{Pair, Pairs};
use crate::placeholder::is_placeholder;
use crate::warning::{Warning, WarningCode};

/// Reads `user:password@host:port,host:port`, which begins at byte `start` of the text.
pub(crate) fn authority(
    raw: &str,
    start: usize,
    dialect: Dialect,
    pairs: &mut Pairs,
) -> Result<(), DsnError> {
    let hosts = match raw.rsplit_once('@') {
        None => raw,
        Some((userinfo, hosts)) => {
            if let Some(at) = userinfo.find('@') {
                pairs.warnings.push(Warning {
                    code: WarningCode::RawAt,
                    message: "an `@` in front of the last one was taken as part of user or password; write it as %40"
                        .to_owned(),
                    span: start + at..start + at + 1,
                });
            }
            let (user, password) = userinfo
                .split_once(':')
                .map_or((userinfo, None), |(user, pw)| (user, Some(pw)));
            push(
                pairs,
                "user",
                decode(user, start, false)?,
                start..start + user.len(),
            );
            if let Some(password) = password {
                let at = start + user.len() + 1;
                push(
                    pairs,
                    "password",
                    decode(password, at, false)?,
                    at..at + password.len(),
                );
            }
            hosts
        }
    };
    host_list(hosts, start + raw.len() - hosts.len(), dialect, pairs)
}

fn host_list(raw: &str, start: usize, dialect: Dialect, pairs: &mut Pairs) -> Result<(), DsnError> {
    let span = start..start + raw.len();
    if raw.is_empty() {
        if dialect == Dialect::Jdbc {
            push(pairs, "host", "localhost".to_owned(), start..start);
        }
        return Ok(());
    }
    let (mut names, mut ports, mut at) = (Vec::new(), Vec::new(), start);
    for item in raw.split(',') {
        let (name, port) = name_and_port(item, at)?;
        match name {
            "" if dialect == Dialect::Jdbc => names.push("localhost".to_owned()),
            "" => return Err(no_name_in_list(at)),
            _ => names.push(decode(name, at, false)?),
        }
        ports.push(port);
        at += item.len() + 1;
    }
    if names.iter().any(|name| name.contains(',')) {
        return Err(malformed(
            span,
            "an escaped comma in a host",
            "write the hosts of a list with plain commas",
        ));
    }
    push(pairs, "host", names.join(","), span.clone());
    if ports.iter().any(|port| !port.is_empty()) {
        push(pairs, "port", ports.join(","), span);
    }
    Ok(())
}

fn name_and_port(item: &str, at: usize) -> Result<(&str, &str), DsnError> {
    let (name, port) = if let Some(rest) = item.strip_prefix('[') {
        let Some((name, tail)) = rest.split_once(']') else {
            return Err(malformed(
                at..at + 1,
                "a `[` that is never closed",
                "write an IPv6 address as [2001:db8::7]",
            ));
        };
        match tail.strip_prefix(':') {
            Some(port) => (item.get(..name.len() + 2).unwrap_or(item), port),
            None if tail.is_empty() => (item, ""),
            None => return Err(bad_port(at + item.len() - tail.len()..at + item.len())),
        }
    } else {
        item.split_once(':').unwrap_or((item, ""))
    };
    if port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok((name, port));
    }
    if is_placeholder(port) {
        let at = at + item.len() - port.len();
        return Err(template(at..at + port.len(), "a port"));
    }
    Err(bad_port(at + item.len() - port.len()..at + item.len()))
}

fn bad_port(span: Range<usize>) -> DsnError {
    malformed(
        span,
        "no port number where one belongs",
        "a password needs an `@` behind it, and /, ?, # and : inside it written as %2F, %3F, %23 and %3A; \
         an IPv6 address needs brackets",
    )
}

fn no_name_in_list(at: usize) -> DsnError {
    DsnError::new(
        Code::NoHost,
        at..at,
        "no host where one belongs",
        "name every host of the list",
    )
}

fn push(pairs: &mut Pairs, key: &str, value: String, span: Range<usize>) {
    pairs.list.push(Pair {
        key: key.to_owned(),
        key_span: span.start..span.start,
        value: Some(value),
        span,
        key_is_showable: true,
    });
}
