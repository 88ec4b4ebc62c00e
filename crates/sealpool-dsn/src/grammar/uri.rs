use std::ops::Range;

use super::authority::authority;
use super::cursor::{malformed, template};
use super::percent::decode;
use super::swallowed::{is_identifier, swallowed_parameter};
use crate::dialect::Dialect;
use crate::error::DsnError;
use crate::pair::{Pair, Pairs};
use crate::placeholder::begins_with_placeholder;

/// Reads a URI whose scheme, colon included, ends where `span` begins.
pub(crate) fn uri(text: &str, span: Range<usize>, dialect: Dialect) -> Result<Pairs, DsnError> {
    let raw = text.get(span.clone()).unwrap_or_default();
    let mut pairs = Pairs::default();
    let (place, query) = raw
        .split_once('?')
        .map_or((raw, None), |(place, query)| (place, Some(query)));
    refuse_raw(place, span.start, false)?;
    refuse_raw(
        query.unwrap_or_default(),
        span.start + place.len() + 1,
        dialect == Dialect::Jdbc,
    )?;

    match place.strip_prefix("//") {
        Some(rest) => {
            let (hosts, path) = rest
                .split_at_checked(rest.find('/').unwrap_or(rest.len()))
                .unwrap_or((rest, ""));
            let start = span.start + 2;
            let path_start = start + hosts.len();
            check_path(path, path_start, hosts.contains('@'))?;
            authority(hosts, start, dialect, &mut pairs)?;
            database(
                path.strip_prefix('/').unwrap_or_default(),
                path_start + 1,
                &mut pairs,
            )?;
        }
        None if dialect == Dialect::Jdbc && !place.starts_with('/') => {
            check_path(place, span.start, false)?;
            authority("", span.start, dialect, &mut pairs)?;
            database(place, span.start, &mut pairs)?;
        }
        None => {
            return Err(malformed(
                span.start..span.start,
                "no `//` behind the scheme",
                "write the scheme, then //user@host:port/database",
            ));
        }
    }
    if let Some(query) = query {
        let showable = !query.contains('@') && !may_be_cut(place);
        parameters(
            query,
            span.start + place.len() + 1,
            dialect,
            showable,
            &mut pairs,
        )?;
    }
    Ok(pairs)
}

/// Whether what stands before the `?` may itself hold the beginning of a password, so that what follows is its tail.
fn may_be_cut(place: &str) -> bool {
    let place = place.trim_start_matches('/');
    let (hosts, path) = place.split_once('/').unwrap_or((place, ""));
    path.contains('@') || !hosts.contains('@') && hosts.contains(':') && !hosts.contains(']')
}

fn refuse_raw(raw: &str, start: usize, blanks: bool) -> Result<(), DsnError> {
    let Some((at, bad)) = raw
        .char_indices()
        .find(|&(_, c)| c == '#' || c.is_whitespace() && !(blanks && c == ' '))
    else {
        return Ok(());
    };
    let opened = raw
        .get(..at)
        .and_then(|before| before.rfind(['{', '<', '[']));
    if let Some(opened) =
        opened.filter(|&opened| raw.get(opened..).is_some_and(begins_with_placeholder))
    {
        return Err(template(
            start + opened..start + opened + 1,
            "a part of the URI",
        ));
    }
    let span = start + at..start + at + bad.len_utf8();
    Err(if bad == '#' {
        malformed(
            span,
            "a raw `#`",
            "write a `#` of the value itself as %23; there are no fragments here",
        )
    } else {
        malformed(
            span,
            "white space inside a URI",
            "write a blank of the value itself as %20",
        )
    })
}

fn check_path(path: &str, start: usize, has_userinfo: bool) -> Result<(), DsnError> {
    let inner = path.strip_prefix('/').unwrap_or(path);
    let inner_start = start + path.len() - inner.len();
    let second_slash = inner.find('/');
    if let Some(at) = inner.find('@')
        && (!has_userinfo || second_slash.is_some())
    {
        return Err(malformed(
            inner_start + at..inner_start + at + 1,
            "an `@` behind the first `/`, so that a piece of the password may have been read as host or database",
            "write / as %2F, ? as %3F, # as %23 and @ as %40 inside user and password",
        ));
    }
    if let Some(at) = second_slash {
        return Err(malformed(
            inner_start + at..inner_start + at + 1,
            "a second `/` in the path, which names one database",
            "write a `/` of the name itself as %2F",
        ));
    }
    match swallowed_parameter("dbname", inner, &['&', ';']) {
        Some(at) => Err(malformed(
            inner_start + at..inner_start + at + 1,
            "a parameter in the path",
            "begin the parameters with `?` and separate them by `&`",
        )),
        None => Ok(()),
    }
}

fn database(raw: &str, start: usize, pairs: &mut Pairs) -> Result<(), DsnError> {
    if raw.is_empty() {
        return Ok(());
    }
    let span = start..start + raw.len();
    let value = Some(decode(raw, start, false)?);
    pairs.list.push(Pair {
        key: "dbname".to_owned(),
        key_span: start..start,
        value,
        span,
        key_is_showable: true,
    });
    Ok(())
}

fn parameters(
    query: &str,
    start: usize,
    dialect: Dialect,
    key_is_showable: bool,
    pairs: &mut Pairs,
) -> Result<(), DsnError> {
    let plus_is_blank = matches!(dialect, Dialect::Jdbc | Dialect::R2dbc);
    let mut at = start;
    for item in query.split('&') {
        let (raw_key, raw_value) = item
            .split_once('=')
            .map_or((item, None), |(key, value)| (key, Some(value)));
        let key_span = at..at + raw_key.len();
        let span = (key_span.end + usize::from(raw_value.is_some()))..at + item.len();
        at += item.len() + 1;
        if item.is_empty() {
            continue;
        }
        let key = decode(raw_key, key_span.start, false)?;
        if !is_identifier(&key) {
            return Err(malformed(
                key_span,
                "a parameter whose name is no name",
                "write name=value, and & as %26, = as %3D and ? as %3F inside values, user and password",
            ));
        }
        if let Some(raw) = raw_value
            && let Some(at) = swallowed_parameter(&key, raw, &[';', '?'])
        {
            return Err(malformed(
                span.start + at..span.start + at + 1,
                "a separator of another dialect, which would hide the parameter behind it",
                "separate parameters by `&`",
            ));
        }
        let value = raw_value
            .map(|raw| decode(raw, span.start, plus_is_blank))
            .transpose()?;
        pairs.list.push(Pair {
            key,
            key_span,
            value,
            span,
            key_is_showable,
        });
    }
    Ok(())
}
