use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Instant;

use sealpool_testkit::{Cluster, Error, Installation, KeyType, Pki, Shutdown};

use crate::client::{Login, chain, value};

#[tokio::test]
async fn starts_on_an_old_and_a_new_version() {
    let installations = Installation::all();
    let majors: Vec<u32> = installations.iter().map(Installation::major).collect();
    assert!(
        majors.iter().any(|&major| major < 17),
        "run scripts/install-postgresql 15; there is only {majors:?}"
    );
    assert!(
        majors.contains(&18),
        "run scripts/install-postgresql 18; there is only {majors:?}"
    );
    for installation in installations {
        let version = installation.version().to_owned();
        let begun = Instant::now();
        let cluster = Cluster::builder()
            .installation(installation)
            .start()
            .unwrap();
        println!("PostgreSQL {version} ready after {:?}", begun.elapsed());
        for (statement, expected) in [
            (
                "select split_part(current_setting('server_version'), ' ', 1)",
                version.as_str(),
            ),
            ("show ssl", "on"),
            ("show unix_socket_directories", ""),
            (
                "select ssl from pg_stat_ssl where pid = pg_backend_pid()",
                "t",
            ),
            (
                "select current_user || '@' || current_database()",
                "postgres@app",
            ),
            (
                "select pg_get_userbyid(datdba) from pg_database where datname = 'app'",
                "app",
            ),
            ("select rolsuper from pg_roles where rolname = 'app'", "f"),
            (
                "select left(rolpassword, 13) from pg_authid where rolname = 'app'",
                "SCRAM-SHA-256",
            ),
            (
                "select count(*) from pg_hba_file_rules where type <> 'hostssl' or auth_method <> 'scram-sha-256'",
                "0",
            ),
        ] {
            assert_eq!(
                value(&cluster, statement).await,
                expected,
                "{statement} on {version}"
            );
        }
        let client = Login::to(&cluster).connect().await.unwrap();
        client
            .batch_execute("create table mine (id int)")
            .await
            .unwrap();
        let begun = Instant::now();
        let folder = cluster.data_dir().to_owned();
        assert_eq!(
            fs::metadata(&folder).unwrap().permissions().mode() & 0o777,
            0o700
        );
        drop(cluster);
        println!("PostgreSQL {version} gone after {:?}", begun.elapsed());
        assert!(!folder.parent().unwrap().exists());
    }
}

#[tokio::test]
async fn another_password_is_refused() {
    let cluster = Cluster::start().unwrap();
    let mut login = Login::to(&cluster);
    login.password = cluster.superuser_password().to_owned();
    let text = login.connect().await.unwrap_err();
    assert!(text.contains("password authentication failed"), "{text}");
}

#[tokio::test]
async fn every_kind_of_key_serves() {
    let pki = Arc::new(Pki::new());
    for key_type in [
        KeyType::P256,
        KeyType::P384,
        KeyType::Ed25519,
        KeyType::Rsa2048,
    ] {
        let leaf = pki.leaf().dns("localhost").key_type(key_type).issue();
        let cluster = Cluster::builder()
            .pki(Arc::clone(&pki))
            .certificate(leaf)
            .start()
            .unwrap();
        Login::to(&cluster).connect().await.unwrap();
        assert_eq!(value(&cluster, "select 1").await, "1", "{key_type:?}");
    }
}

#[tokio::test]
async fn rows_come_as_text_and_null_as_none() {
    let cluster = Cluster::start().unwrap();
    let rows = cluster
        .sql("select 1, null; create table t (); select 'a', 'b' union all select 'c', 'd'")
        .await
        .unwrap();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        rows,
        [
            [text("1"), None],
            [text("a"), text("b")],
            [text("c"), text("d")]
        ]
    );
    let error = cluster.sql("select nonsense").await.unwrap_err();
    let expected = format!(
        "PostgreSQL {} on port {}: select nonsense failed: db error",
        cluster.version(),
        cluster.port()
    );
    assert!(chain(error).starts_with(&expected));
}

#[tokio::test]
async fn settings_and_hba_hold_from_the_start() {
    let cluster = Cluster::builder()
        .setting("max_connections", "7")
        .hba("hostssl app app all reject")
        .start()
        .unwrap();
    assert_eq!(value(&cluster, "show max_connections").await, "7");
    let text = Login::to(&cluster).connect().await.unwrap_err();
    assert!(text.contains("pg_hba.conf rejects connection"), "{text}");
}

#[test]
fn a_server_that_does_not_start_says_why_and_leaves_nothing() {
    let error = Cluster::builder()
        .setting("max_connections", "many")
        .start()
        .unwrap_err();
    let text = error.to_string();
    assert!(text.contains("did not start"), "{text}");
    assert!(
        text.contains("invalid value for parameter \"max_connections\": \"many\""),
        "{text}"
    );
    let Error::Server { log, .. } = error else {
        panic!("{text}")
    };
    let folder = log
        .split(['"', '\''])
        .find(|part| part.ends_with("postgresql.conf"))
        .unwrap();
    assert!(
        !std::path::Path::new(folder).parent().unwrap().exists(),
        "{folder}"
    );
}

#[tokio::test]
async fn a_restart_keeps_port_data_and_log() {
    let cluster = Cluster::start().unwrap();
    cluster.sql("create table kept (id int)").await.unwrap();
    for how in [Shutdown::Fast, Shutdown::Immediate] {
        let before = value(&cluster, "select pg_postmaster_start_time()").await;
        cluster.restart(how).unwrap();
        assert_ne!(
            value(&cluster, "select pg_postmaster_start_time()").await,
            before,
            "{how:?}"
        );
    }
    assert_eq!(value(&cluster, "select count(*) from kept").await, "0");
    let log = cluster.log();
    assert_eq!(log.matches("received fast shutdown request").count(), 1);
    assert_eq!(
        log.matches("received immediate shutdown request").count(),
        1
    );
    assert_eq!(log.matches("ready to accept connections").count(), 3);
}

#[tokio::test]
async fn a_stopped_server_refuses_connections_until_it_starts_again() {
    let cluster = Cluster::start().unwrap();
    cluster.stop(Shutdown::Fast).unwrap();
    let refused = std::net::TcpStream::connect(cluster.addr()).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    cluster.stop(Shutdown::Immediate).unwrap();
    cluster.set("max_connections", "9").unwrap();
    cluster.start_again().unwrap();
    cluster.start_again().unwrap();
    assert_eq!(value(&cluster, "show max_connections").await, "9");
}
