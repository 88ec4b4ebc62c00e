use std::{collections::BTreeSet, fs, time::Duration};

use sealpool::{Config, Error, Key, Pool};
use sealpool_testkit::{Pki, Scripted, Step};

/// The settings that may be 0, which then means: none, at once, or for ever.
const MAY_BE_ZERO: &[&str] = &[
    "connect.tcp_user_timeout",
    "lane.max_size",
    "lane.statement_timeout",
    "pool.keepalive_interval",
    "pool.max_waiting",
    "pool.min_idle",
    "session.idle_in_transaction_timeout",
    "session.lock_timeout",
    "session.statement_cache",
    "session.statement_timeout",
];

/// Numbers that a setting of the example's kind may be given; `None` for other kinds.
fn extremes(example: &str) -> Option<&'static [&'static str]> {
    let text = example.trim_matches('"');
    let is_number = example.parse::<u64>().is_ok();
    let is_time = text.starts_with(|first: char| first.is_ascii_digit())
        && text.ends_with(['s', 'm', 'h'])
        && text != example;
    if is_number {
        Some(&[
            "0",
            "1",
            "4294967295",
            "4294967296",
            "-1",
            "9223372036854775807",
        ])
    } else if is_time {
        Some(&[
            "\"0s\"",
            "\"1ns\"",
            "\"24h\"",
            "\"24h 1ns\"",
            "\"580000000000years\"",
            "\"18446744073709551615s\"",
            "\"18446744073709551616s\"",
        ])
    } else {
        None
    }
}

/// Each either makes a pool that works or is refused with its name.
#[tokio::test]
async fn sizes_and_times_at_their_ends() {
    let server = Scripted::start([Step::ReadExactly(8), Step::Send(b"N".to_vec())]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root.pem");
    fs::write(&root, Pki::new().root_pem()).unwrap();
    let file = folder.path().join("app.toml");
    let built = |key: &str, value: &str| {
        let base = format!(
            "host = \"127.0.0.1\"\nuser = \"app\"\npassword = \"Zr4\"\nport = {}\ntls.root = \"{}\"\n",
            server.port(),
            root.display()
        );
        fs::write(&file, format!("{base}{key} = {value}\n")).unwrap();
        let config = Config::from_toml(&file, "").map_err(Error::from)?;
        Pool::builder(config).build()
    };
    let mut zero = BTreeSet::new();
    let mut tried = 0;
    for Key { name, example, .. } in Config::KEYS {
        let Some(values) = extremes(example).filter(|_| *name != "port") else {
            continue;
        };
        tried += 1;
        let mut refused = 0;
        for value in values {
            match built(name, value) {
                Ok(pool) => {
                    if matches!(*value, "0" | "\"0s\"") {
                        zero.insert(*name);
                    }
                    let error = pool.acquire().await.unwrap_err();
                    assert!(
                        error.to_string().contains("server_refused_tls"),
                        "{name} = {value}: {error}"
                    );
                    pool.shutdown(Duration::MAX).await;
                }
                Err(error) => {
                    assert!(
                        matches!(error, Error::Config(_)),
                        "{name} = {value}: {error}"
                    );
                    assert!(
                        error.to_string().contains(name),
                        "{name} = {value}: {error}"
                    );
                    refused += 1;
                }
            }
        }
        assert!(refused > 0, "{name} takes whatever is written");
    }
    assert!(tried > 20, "{tried} settings");
    assert_eq!(zero.into_iter().collect::<Vec<_>>(), MAY_BE_ZERO);
    let pool = built("pool.max_size", "1").unwrap();
    let error = pool.acquire_timeout(Duration::MAX).await.unwrap_err();
    assert!(matches!(error, Error::Connect(_)), "{error}");
    let error = pool.acquire_timeout(Duration::ZERO).await.unwrap_err();
    assert!(
        matches!(error, Error::Timeout(_) | Error::Connect(_)),
        "{error}"
    );
}
