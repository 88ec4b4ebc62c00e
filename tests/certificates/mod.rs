//! A table: each certificate that a server may have, against each policy, and what comes of it.

mod defects;
mod names;
mod pins;
mod roots;
mod row;
mod workshop;

use std::{collections::BTreeMap, process::Command, sync::Arc, time::Duration};

use sealpool::{Class, Error, HandshakeFailure as Failure};
use sealpool_testkit::OffsetDateTime;

use crate::rig::{Rig, chain, on_both};
pub(crate) use pins::pin_of;
use row::Group;
use workshop::Workshop;

on_both! {
    on_own(|builder| builder) => every_certificate_meets_every_policy;
    on_own(|builder| builder) => a_certificate_that_expires_in_use;
    on_shared() => the_environment_does_not_choose_the_roots;
}

async fn every_certificate_meets_every_policy(rig: Arc<Rig>) {
    let shop = Workshop::new();
    let mut groups = vec![roots::roots(&shop), names::names(&shop), pins::pins(&shop)];
    for more in [
        names::odd_names,
        roots::chains,
        defects::dates,
        pins::self_signed,
        defects::usages,
        defects::revocation,
        defects::keys,
    ] {
        groups.extend(more(&shop));
    }
    let mut rows = 0;
    let mut expected = BTreeMap::new();
    for Group {
        server,
        leaf,
        rows: policies,
    } in &groups
    {
        rig.cluster.swap_certificate(leaf).unwrap();
        for (policy, write, outcome) in policies {
            rows += 1;
            let pool = rig.pool(write(&shop, rig.without_root()));
            let result = pool.acquire().await;
            let row = format!("{server} / {policy}");
            match (outcome, result) {
                (Ok(()), Ok(client)) => {
                    client.query_one("select 1", &[]).await.unwrap();
                }
                (Err((failure, words)), Err(error)) => {
                    judge(&row, &error, *failure, words);
                    *expected.entry(*failure).or_insert(0) += 1;
                }
                (Ok(()), Err(error)) => panic!("{row}: {}", chain(&error)),
                (Err((failure, _)), Ok(_)) => panic!("{row}: connects, and should fail: {failure}"),
            }
        }
    }
    assert!(rows >= 60, "{rows} rows");
    let counts = rig.record.counts();
    assert_eq!(
        counts.failed, expected,
        "the observer heard what the callers got"
    );
    assert_eq!(counts.started, rows);
}

fn judge(row: &str, error: &Error, expected: Failure, words: &[&str]) {
    assert_eq!(error.class(), Class::Tls, "{row}: {error}");
    let Error::Connect(connect) = error else {
        panic!("{row}: {error}")
    };
    let [attempt] = connect.attempts() else {
        panic!("{row}: {error}")
    };
    assert_eq!(
        attempt.handshake_failure(),
        Some(expected),
        "{row}: {}",
        chain(error)
    );
    for word in words {
        assert!(
            error.to_string().contains(word),
            "{row}: {word:?} is not in: {error}"
        );
    }
}

/// The session lives on, and the next connection fails.
async fn a_certificate_that_expires_in_use(rig: Arc<Rig>) {
    let life = Duration::from_secs(4);
    let leaf = rig.cluster.pki().leaf().dns("localhost");
    let leaf = leaf.not_after(OffsetDateTime::now_utc() + life).issue();
    rig.cluster.swap_certificate(&leaf).unwrap();
    let pool = rig.pool(rig.config());
    let client = pool.acquire().await.unwrap();
    // It is the passing of time that ends a certificate, in whole seconds.
    tokio::time::sleep(life + Duration::from_millis(1_100)).await;
    client.query_one("select 1", &[]).await.unwrap();
    let error = pool.acquire().await.unwrap_err();
    judge(
        "in use",
        &error,
        Failure::CertificateExpired,
        &["expired at"],
    );
    drop(client);
    pool.acquire().await.expect("the session of before");
}

/// `SSL_CERT_FILE` makes OpenSSL's programs, and others, trust what it names. Nobody pointed this pool to it.
async fn the_environment_does_not_choose_the_roots(rig: Arc<Rig>) {
    let mut service = Command::new(env!("CARGO_BIN_EXE_configured"));
    service
        .args(["env", "APP_DB"])
        .env("APP_DB_HOST", "localhost")
        .env("APP_DB_HOSTADDR", "127.0.0.1")
        .env("APP_DB_PORT", rig.tap.port().to_string())
        .env("APP_DB_USER", rig.cluster.user())
        .env("APP_DB_PASSWORD", rig.cluster.password())
        .env("SSL_CERT_FILE", rig.cluster.root_file())
        .env("SSL_CERT_DIR", rig.cluster.root_file().parent().unwrap())
        .env("SSLKEYLOGFILE", "/tmp/sealpool-must-not-exist.keys")
        .env("PGSSLMODE", "disable")
        .env("PGSSLROOTCERT", rig.cluster.root_file());
    let output = service.output().unwrap();
    let shown = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{output:?}");
    assert!(shown.contains("certificate_unknown_issuer"), "{shown}");

    service.env("APP_DB_TLS_ROOT", rig.cluster.root_file());
    assert!(service.output().unwrap().status.success());
    assert!(!std::path::Path::new("/tmp/sealpool-must-not-exist.keys").exists());
}
