use std::{sync::Arc, time::Duration};

use sealpool::{Class, Error, Stage};
use sealpool_testkit::ClusterBuilder;

use crate::rig::{Rig, SLACK, chain, on_both};

on_both! {
    on_shared() => a_wrong_password;
    on_shared() => a_missing_database;
    on_shared() => settings_that_the_server_does_not_take;
    on_own(cleartext) => a_request_for_the_password_itself;
    on_own(full) => a_full_server;
    on_own(reject) => a_role_that_pg_hba_rejects;
    on_own(slow) => a_login_that_stalls;
}

async fn refused(rig: &Rig, config: sealpool::Config) -> Error {
    rig.pool(config).acquire().await.unwrap_err()
}

fn text(rig: &Rig, rest: &str) -> String {
    let (port, address) = (rig.tap.port(), rig.tap.addr());
    format!("cannot connect to localhost:{port} at {address}: {rest}")
}

async fn a_wrong_password(rig: Arc<Rig>) {
    let error = refused(&rig, rig.config().password("wrong-0d41")).await;
    assert_eq!((error.class(), error.is_transient()), (Class::Auth, false));
    assert_eq!(
        chain(&error),
        text(
            &rig,
            "auth: the server refused the password; correct user or password: db error: \
             FATAL: password authentication failed for user \"app\""
        )
    );
    assert_eq!(rig.record.counts().sealed, 1, "TLS itself was fine");
}

async fn a_missing_database(rig: Arc<Rig>) {
    let error = refused(&rig, rig.config().database("nowhere")).await;
    assert_eq!((error.class(), error.is_transient()), (Class::Auth, false));
    assert_eq!(
        chain(&error),
        text(
            &rig,
            "auth: the database does not exist; correct database: db error: \
             FATAL: database \"nowhere\" does not exist"
        )
    );
}

async fn settings_that_the_server_does_not_take(rig: Arc<Rig>) {
    for (options, reason) in [
        (
            "-c no_such_setting=1",
            "unrecognized configuration parameter \"no_such_setting\"",
        ),
        (
            "-c work_mem=much",
            "invalid value for parameter \"work_mem\": \"much\"",
        ),
    ] {
        let error = refused(&rig, rig.retrying().options(options)).await;
        assert_eq!(
            (error.class(), error.is_transient()),
            (Class::Server, false)
        );
        assert_eq!(
            chain(&error),
            text(
                &rig,
                &format!(
                    "startup: the server does not take one of the settings of the session; correct options and \
                     session.*, or, if it is a PgBouncer, remove them and give them to the role (alter role .. set \
                     ..): db error: FATAL: {reason}"
                )
            )
        );
    }
}

fn cleartext(builder: ClusterBuilder) -> ClusterBuilder {
    builder.hba("hostssl all app 127.0.0.1/32 password\nhostssl all postgres all scram-sha-256\n")
}

async fn a_request_for_the_password_itself(rig: Arc<Rig>) {
    let error = refused(&rig, rig.config()).await;
    assert_eq!((error.class(), error.is_transient()), (Class::Auth, false));
    assert_eq!(
        chain(&error),
        text(
            &rig,
            "auth: the server asks for the password in clear text, which was not sent; use scram-sha-256 in \
             pg_hba.conf: error communicating with the server: the server asked for the password in clear text, \
             which was not sent"
        )
    );
}

fn full(builder: ClusterBuilder) -> ClusterBuilder {
    builder
        .setting("max_connections", "2")
        .setting("superuser_reserved_connections", "1")
        .setting("max_wal_senders", "0")
}

async fn a_full_server(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config());
    let only = pool.acquire().await.unwrap();
    let error = pool.acquire().await.unwrap_err();
    assert_eq!((error.class(), error.is_transient()), (Class::Server, true));
    assert!(
        error
            .to_string()
            .contains("startup: the server has no connection left"),
        "{error}"
    );
    drop(only);
    pool.acquire().await.expect("the connection that came back");
}

fn reject(builder: ClusterBuilder) -> ClusterBuilder {
    builder.hba("hostssl all app all reject\nhostssl all postgres all scram-sha-256\n")
}

async fn a_role_that_pg_hba_rejects(rig: Arc<Rig>) {
    let error = refused(&rig, rig.config()).await;
    assert_eq!((error.class(), error.is_transient()), (Class::Auth, false));
    let Error::Connect(connect) = &error else {
        panic!("{error}")
    };
    let [attempt] = connect.attempts() else {
        panic!("{error}")
    };
    assert_eq!(attempt.stage(), Stage::Auth);
    assert_eq!(attempt.sql_state().map(|state| state.code()), Some("28000"));
}

fn slow(builder: ClusterBuilder) -> ClusterBuilder {
    builder.setting("post_auth_delay", "30")
}

async fn a_login_that_stalls(rig: Arc<Rig>) {
    let limit = Duration::from_millis(500);
    let started = std::time::Instant::now();
    let error = refused(&rig, rig.config().connect_startup_timeout(limit)).await;
    let taken = started.elapsed();
    assert!(taken < limit + SLACK, "{taken:?}");
    assert_eq!((error.class(), error.is_transient()), (Class::Server, true));
    assert!(
        error
            .to_string()
            .contains("the login did not end within 500ms"),
        "{error}"
    );
}
