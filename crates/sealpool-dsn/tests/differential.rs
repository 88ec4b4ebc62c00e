//! Whatever tokio-postgres and this crate both accept names the same servers, database, user and password.
//!
//! Wanted differences:
//! - a raw `@` in the userinfo: the last one ends it here, the first one there;
//! - several hosts in the query of a URI, which are one there;
//! - an empty user, password or database is none here;
//! - a host, port or database that is said twice with one value is one here, and added up there;
//! - a port in the query, which replaces the default here and is added to it there;
//! - brackets round an IPv6 address outside a URI, which are taken off here;
//! - a `;` behind a host is dropped here with a warning, or makes the string one of ADO.NET;
//! - an `@` behind the first `?` is data here and ends the userinfo there;
//! - white space between key and value of different parameters cannot hide a parameter here.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use sealpool_dsn::{Dialect, Dsn, WarningCode};
use tokio_postgres::config::{Config, Host};

mod cases;
use cases::config;

const VALUES: &[&str] = &[
    "app",
    "a.example.net",
    "b.example.net",
    "a.example.net,b.example.net",
    "[2001:db8::7]",
    "2001:db8::7",
    "203.0.113.9",
    "%61pp",
    "a%40b",
    "a@b",
    "a:b",
    "a+b",
    "a%2Fb",
    "5432",
    "6432",
    "5432,6432",
    "",
    "'a b'",
    "a\\ b",
    "'a\\'b'",
    "a;",
    "a%20b",
    "é",
    "a=b",
    "a%3Db",
    "x-y_z",
];

fn value() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(VALUES)
}

fn key() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec![
        "host",
        "port",
        "user",
        "dbname",
        "password",
        "application_name",
        "connect_timeout",
    ])
}

fn pairs(separator: &'static str) -> impl Strategy<Value = String> {
    proptest::collection::vec((key(), value()), 0..5).prop_map(move |pairs| {
        let pairs: Vec<String> = pairs
            .into_iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        pairs.join(separator)
    })
}

proptest! {
    #![proptest_config(config(40_000))]

    #[test]
    fn keyword_value_strings_mean_the_same(head in value(), rest in pairs(" ")) {
        compare(&format!("host={head} {rest}"))?;
    }

    #[test]
    fn uris_mean_the_same(
        user in proptest::option::of(value()),
        password in proptest::option::of(value()),
        host in value(),
        port in proptest::option::of(value()),
        path in proptest::option::of(value()),
        query in proptest::option::of(pairs("&")),
    ) {
        let mut text = "postgresql://".to_owned();
        if let Some(user) = user {
            text += user;
            text += &password.map_or_else(String::new, |password| format!(":{password}"));
            text += "@";
        }
        text += host;
        text += &port.map_or_else(String::new, |port| format!(":{port}"));
        text += &path.map_or_else(String::new, |path| format!("/{path}"));
        text += &query.map_or_else(String::new, |query| format!("?{query}"));
        compare(&text)?;
    }
}

fn compare(text: &str) -> Result<(), TestCaseError> {
    let (Ok(ours), Ok(theirs)) = (Dsn::parse(text), text.parse::<Config>()) else {
        return Ok(());
    };
    if ours.warnings.iter().any(|warning| {
        matches!(
            warning.code,
            WarningCode::RawAt | WarningCode::GluedSemicolon
        )
    }) {
        return Ok(());
    }
    let userinfo_differs = text
        .split_once('?')
        .is_some_and(|(place, query)| query.contains('@') && !place.contains('@'));
    if !matches!(ours.dialect, Dialect::KeyValue | Dialect::Uri) || userinfo_differs {
        return Ok(());
    }
    let hosts: Vec<String> = theirs
        .get_hosts()
        .iter()
        .map(|host| match host {
            Host::Tcp(name) => name
                .trim_start_matches('[')
                .trim_end_matches(']')
                .to_owned(),
            #[allow(unreachable_patterns)]
            other => format!("{other:?}"),
        })
        .collect();
    let ports = theirs.get_ports().to_vec();
    let names: Vec<String> = ours.hosts.iter().map(|host| host.name.clone()).collect();
    let added_up = ports.len() > ours.hosts.len();
    let (names, hosts) = (names.join(","), hosts.join(","));
    let as_often = hosts.len() / names.len().max(1);
    prop_assert!(
        hosts == vec![names.as_str(); as_often.max(1)].join(","),
        "{text}: {names} and {hosts}"
    );
    for (index, host) in ours.hosts.iter().enumerate().filter(|_| !added_up) {
        let port = ports
            .get(index)
            .or_else(|| ports.first())
            .copied()
            .unwrap_or(5432);
        prop_assert_eq!(host.port, port, "{}", text);
    }
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    prop_assert_eq!(
        ours.user.map(|user| user.value),
        theirs.get_user().and_then(some),
        "{}",
        text
    );
    prop_assert_eq!(
        ours.database.map(|db| db.value),
        theirs.get_dbname().and_then(some),
        "{}",
        text
    );
    let password = theirs
        .get_password()
        .map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
    prop_assert_eq!(
        ours.password.map(|pw| pw.value.expose().to_owned()),
        password.as_deref().and_then(some),
        "{}",
        text
    );
    Ok(())
}

#[test]
fn enough_strings_are_accepted_by_both() {
    let both = [
        "host=a.example.net user=app dbname=x",
        "postgresql://app:pw@[2001:db8::7]:6432/x?application_name=y",
    ];
    for text in both {
        assert!(
            Dsn::parse(text).is_ok() && text.parse::<Config>().is_ok(),
            "{text}"
        );
        compare(text).unwrap();
    }
}
