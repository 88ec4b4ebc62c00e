//! The whole message of every code, as a user reads it.
#![allow(clippy::unwrap_used)]

use sealpool_dsn::{Code, Dsn};

#[test]
fn every_code_has_its_sentence() {
    let mut seen = Vec::new();
    for block in include_str!("messages.txt")
        .split("\n\n")
        .filter(|block| !block.trim().is_empty())
    {
        let (text, wanted) = block.trim_end().split_once('\n').unwrap();
        let error = Dsn::parse(&text.replace('⏎', "\n")).unwrap_err();
        assert_eq!(error.to_string(), wanted, "for {text}");
        assert!(
            error.to_string().contains(error.message()) && error.to_string().contains(error.help())
        );
        seen.push(error.code());
    }
    for code in Code::ALL {
        assert!(seen.contains(&code), "messages.txt shows no {code}");
    }
}

#[test]
fn positions_count_lines_and_characters() {
    let error = Dsn::parse("host=dé.example.net\n  dbname='é' sslmode=disable").unwrap_err();
    assert_eq!(
        (error.line(), error.column(), error.span()),
        (2, 22, 43..50)
    );
    let error = Dsn::parse("\u{feff} 'host=db.example.net sslmode=disable'").unwrap_err();
    assert_eq!((error.line(), error.column()), (1, 32));
}

#[test]
fn warnings_say_what_was_done() {
    let dsn = Dsn::parse("Host=db.example.net;Enlist=true;Command Timeout=30").unwrap();
    let said: Vec<String> = dsn.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "`Enlist` is ignored: there are no ambient transactions in Rust",
            "`Command Timeout` is applied as the server's statement_timeout",
        ]
    );
}
