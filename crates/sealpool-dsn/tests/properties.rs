//! What holds for every string: no panic, no secret in what is printed, and `dsn!` is at least as strict as the parser.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;
use sealpool_dsn::{CheckedDsn, Dialect, Dsn};

mod cases;
use cases::config;

const CANARY: &str = "Qz7Winter";

/// A string of each dialect, with its password in the place of `@PW@`.
const TEMPLATES: [&str; 12] = [
    "postgresql://app:@PW@@db.example.net:5432/shop?sslmode=require&application_name=orders",
    "postgres://boss%40shop:@PW@@a.example.net,b.example.net/shop?ssl=true",
    "postgresql:///shop?host=db.example.net&user=app&password=@PW@&sslmode=verify-full",
    "jdbc:postgresql://db.example.net:5432/shop?user=app&password=@PW@&ssl=true&loginTimeout=5",
    "r2dbcs:postgresql://app:@PW@@db.example.net/shop?connectTimeout=PT3S",
    "host=db.example.net dbname=shop user=app password=@PW@ sslmode=require connect_timeout=5",
    "host=db.example.net password='@PW@' dbname=shop sslmode=verify-full sslrootcert=system",
    "Server=db.example.net;Database=shop;User Id=app;Password=@PW@;Ssl Mode=Require;Timeout=5",
    "Host=db.example.net;Password=\"@PW@\";Username=app;SSL Mode=VerifyFull;Maximum Pool Size=5",
    "Driver={PostgreSQL Unicode};Server=db.example.net;Uid=app;Pwd={@PW@};SSLmode=require",
    "pgsql:host=db.example.net;dbname=shop;user=app;password=@PW@;sslmode=require",
    "psql \"host=db.example.net sslpassword=@PW@ sslmode=require sslkey=k.pem sslcert=c.pem\"",
];

const MARKS: &str = "@:/?#&=%+;'\"{}[]<>\\ ,-_.$*!\n\tab0é";

#[derive(Clone, Debug)]
enum Change {
    Insert(char),
    Remove,
    Cut,
    Word(&'static str),
}

fn change() -> impl Strategy<Value = Change> {
    let marks: Vec<char> = MARKS.chars().collect();
    prop_oneof![
        4 => proptest::sample::select(marks).prop_map(Change::Insert),
        2 => Just(Change::Remove),
        1 => Just(Change::Cut),
        2 => proptest::sample::select(vec![
            "sslmode=disable", "&sslmode=prefer", ";SSL Mode=no-verify", " ssl=", "?foo=", "&foo=", ";Foo=", "host=/tmp", "//",
            "%40", "%", "postgres://", "jdbc:", "''", "\\'", "port=x", "hostaddr=1.2.3.4", "service=", "sslrootcert=",
        ])
        .prop_map(Change::Word),
    ]
}

fn around() -> impl Strategy<Value = String> {
    let marks: Vec<char> = MARKS.chars().collect();
    proptest::collection::vec(proptest::sample::select(marks), 0..4)
        .prop_map(|marks| marks.into_iter().collect())
}

/// Applies changes anywhere but inside the canary, so that it stays findable.
fn mutated(
    template: &str,
    before: &str,
    behind: &str,
    changes: &[(prop::sample::Index, Change)],
) -> String {
    const HOLE: char = '\u{1}';
    let mut text: Vec<char> = template
        .replace("@PW@", &format!("{before}{HOLE}{behind}"))
        .chars()
        .collect();
    for (index, change) in changes {
        if text.is_empty() {
            break;
        }
        let at = index.index(text.len());
        match change {
            Change::Insert(mark) => text.insert(at, *mark),
            Change::Remove if text[at] != HOLE => {
                text.remove(at);
            }
            Change::Cut if !text[at..].contains(&HOLE) => text.truncate(at.max(1)),
            Change::Word(word) => {
                text.splice(at..at, word.chars());
            }
            Change::Remove | Change::Cut => {}
        }
    }
    text.into_iter()
        .map(|c| {
            if c == HOLE {
                CANARY.to_owned()
            } else {
                c.to_string()
            }
        })
        .collect()
}

proptest! {
    #![proptest_config(config(100_000))]

    #[test]
    fn no_message_holds_the_password(
        template in 0..TEMPLATES.len(),
        before in around(),
        behind in around(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), change()), 0..4),
    ) {
        let text = mutated(TEMPLATES[template], &before, &behind, &changes);
        match Dsn::parse(&text) {
            Err(error) => {
                let printed = format!("{error} {error:?} {:?}", error.key());
                prop_assert!(!printed.contains(CANARY), "{text:?} -> {printed}");
            }
            Ok(dsn) => {
                let warnings: String = dsn.warnings.iter().map(|warning| format!("{warning} {warning:?}")).collect();
                prop_assert!(!warnings.contains(CANARY), "{text:?} -> {warnings}");
                let secrets = [&dsn.password, &dsn.client_key_password];
                if secrets.iter().any(|secret| secret.as_ref().is_some_and(|s| s.value.expose().contains(CANARY))) {
                    let printed = format!("{dsn} {dsn:?} {dsn:#?}");
                    prop_assert!(!printed.contains(CANARY), "{text:?} -> {printed}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(config(20_000))]

    #[test]
    fn nothing_panics(text in "\\PC{0,60}", dialect in 0..Dialect::ALL.len()) {
        let _ = Dsn::parse(&text);
        let _ = Dsn::parse_as(Dialect::ALL[dialect], &text);
    }

    #[test]
    fn spans_lie_in_the_text(
        template in 0..TEMPLATES.len(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), change()), 0..6),
    ) {
        let text = mutated(TEMPLATES[template], "é", "", &changes);
        match Dsn::parse(&text) {
            Err(error) => prop_assert!(text.get(error.span()).is_some(), "{text:?} {error:?}"),
            Ok(dsn) => {
                let words = dsn.tls_words.iter().map(|word| word.span.clone());
                let hosts = dsn.hosts.iter().map(|host| host.span.clone());
                let warnings = dsn.warnings.iter().map(|warning| warning.span.clone());
                for span in words.chain(hosts).chain(warnings) {
                    prop_assert!(text.get(span.clone()).is_some(), "{text:?} {span:?}");
                }
            }
        }
    }
}

const PIECES: &[&str] = &[
    "postgresql://",
    "postgres://",
    "app@",
    "app:pw@",
    "db.example.net",
    "db",
    "203.0.113.9",
    "203.0.113",
    "/tmp",
    ":5432",
    ":0",
    ",",
    "/shop",
    "/",
    "?",
    "&",
    "=",
    " ",
    ";",
    "sslmode=require",
    "sslmode=verify-ca",
    "sslmode=verify-full",
    "sslmode=disable",
    "ssl=true",
    "ssl=require",
    "ssl=verify-full",
    "sslrootcert=ca.pem",
    "sslrootcert=system",
    "sslrootcert=SYSTEM",
    "host=db.example.net",
    "host=a,b.c",
    "host=",
    "port=5432",
    "port=1,2",
    "user=app",
    "user=",
    "dbname=shop",
    "application_name=x",
    "application_name=...",
    "connect_timeout=5",
    "sslnegotiation=direct",
    "gssencmode=disable",
    "gssencmode=require",
    "require_auth=none",
    "hostaddr=1.2.3.4",
    "target_session_attrs=any",
    "keepalives=1",
    "search_path=a,b",
    "statement_timeout=5",
    "sslsni=1",
    "channel_binding=require",
    "ssl_min_protocol_version=TLSv1.3",
    "client_encoding=UTF8",
    "xxxx",
    "your_name",
    "name_here",
    "%2F",
    "%40",
    "é",
    "'",
    "\"",
    "psql ",
    "sslcert=c",
    "sslkey=k",
    "load_balance_hosts=random",
    "password=x",
    "service=x",
    "-",
    "_",
    ".",
    "1",
    "x",
    "\n",
];

proptest! {
    #![proptest_config(config(60_000))]

    #[test]
    fn what_the_compiler_accepts_the_parser_accepts(
        head in proptest::sample::select(vec!["postgresql://", "postgres://", "host=db.example.net", "postgresql://app@db.example.net/shop?", ""]),
        pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..8),
        joint in proptest::sample::select(vec!["", "&", " "]),
    ) {
        let separator = if head.ends_with('?') || head.is_empty() { "" } else { joint };
        accepted_by_both(format!("{head}{separator}{}", pieces.join(joint)))?;
    }

    #[test]
    fn what_the_compiler_accepts_of_changed_literals_the_parser_accepts(
        text in proptest::sample::select(vec![
            "postgresql://app@db.example.net:5432,b.example.net/shop?sslmode=verify-ca&sslrootcert=/ca.pem&connect_timeout=5",
            "host=db.example.net port=5432 user=app dbname=shop sslmode=verify-full application_name=orders",
        ]),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), change()), 0..4),
    ) {
        accepted_by_both(mutated(text, "", "", &changes))?;
    }
}

fn accepted_by_both(text: String) -> Result<(), TestCaseError> {
    let text: &'static str = Box::leak(text.into_boxed_str());
    if CheckedDsn::try_new(text).is_some() {
        let parsed = Dsn::parse(text);
        prop_assert!(
            parsed.is_ok(),
            "{text:?} compiles, yet {}",
            parsed.unwrap_err()
        );
    }
    Ok(())
}

#[test]
fn long_texts_are_refused_or_read_in_no_time() {
    let started = std::time::Instant::now();
    let long = |piece: &str| {
        format!(
            "postgresql://app@db.example.net/shop?{}",
            piece.repeat(60_000 / piece.len())
        )
    };
    for piece in [
        "a=1&",
        "sslmode=require&",
        "application_name=x&",
        "%41=1&",
        "a",
        "&",
        "a@",
        "=",
        ";x=",
        "?ssl=",
        "<a ",
    ] {
        let _ = Dsn::parse(&long(piece));
        let _ = Dsn::parse(&piece.repeat(60_000 / piece.len()));
    }
    for piece in [
        "host=a ",
        "host=a;",
        "Host=a;",
        "password='",
        "password=\"\";",
        "Pwd={}};",
        "a,",
        "host=a, ",
        "host=a;b ",
    ] {
        let _ = Dsn::parse(&piece.repeat(60_000 / piece.len()));
        let _ = Dsn::parse(&format!("host={}", piece.repeat(60_000 / piece.len())));
        let _ = Dsn::parse(&format!("Server={}", piece.repeat(60_000 / piece.len())));
    }
    assert!(Dsn::parse(&"a".repeat(Dsn::MAX_LEN + 1)).is_err());
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
}
