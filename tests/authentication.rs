use std::sync::Arc;

use sealpool::{AuthMethod, ChannelBinding, Class};
use sealpool_testkit::ClusterBuilder;

use crate::rig::{Rig, chain, on_both};

on_both! {
    on_own(md5_role) => every_method_meets_every_list;
    on_shared() => options_reach_the_server;
    on_shared() => a_password_from_a_file;
}

/// A role whose password is kept in both ways is two roles.
fn md5_role(builder: ClusterBuilder) -> ClusterBuilder {
    builder.setting("password_encryption", "md5")
}

/// What pg_hba.conf asks for, what `require_auth` and the binding allow, and the method that is used or words of the
/// refusal.
type Row = (
    &'static str,
    &'static [&'static str],
    &'static str,
    Result<AuthMethod, &'static str>,
);

const ROWS: &[Row] = &[
    ("md5", &[], "prefer", Ok(AuthMethod::Md5)),
    ("md5", &["md5"], "prefer", Ok(AuthMethod::Md5)),
    ("md5", &["!none"], "prefer", Ok(AuthMethod::Md5)),
    (
        "md5",
        &["scram-sha-256"],
        "prefer",
        Err(
            "the server asks for the method md5, which require_auth = scram-sha-256 does not allow; nothing was sent",
        ),
    ),
    (
        "md5",
        &["!md5"],
        "prefer",
        Err("require_auth = !md5 does not allow"),
    ),
    (
        "md5",
        &[],
        "require",
        Err(
            "the server asks for the method md5, and tls.channel_binding = require allows none but scram-sha-256",
        ),
    ),
    ("trust", &[], "prefer", Ok(AuthMethod::None)),
    ("trust", &["none"], "prefer", Ok(AuthMethod::None)),
    (
        "trust",
        &["none", "scram-sha-256"],
        "prefer",
        Ok(AuthMethod::None),
    ),
    (
        "trust",
        &["scram-sha-256"],
        "prefer",
        Err(
            "the server asks for no proof at all (method none), which require_auth = scram-sha-256 does not allow",
        ),
    ),
    (
        "trust",
        &["!none"],
        "prefer",
        Err("require_auth = !none does not allow"),
    ),
    (
        "trust",
        &[],
        "require",
        Err("tls.channel_binding = require allows none but scram-sha-256"),
    ),
    (
        "password",
        &[],
        "prefer",
        Err("the server asks for the password in clear text, which was not sent"),
    ),
    (
        "password",
        &["!md5"],
        "prefer",
        Err("asks for the method password, which require_auth = !md5 does not allow"),
    ),
    (
        "password",
        &["scram-sha-256"],
        "prefer",
        Err("require_auth = scram-sha-256 does not allow"),
    ),
    (
        "password",
        &["password"],
        "prefer",
        Ok(AuthMethod::Password),
    ),
    (
        "password",
        &["password", "scram-sha-256"],
        "prefer",
        Ok(AuthMethod::Password),
    ),
    (
        "password",
        &["password"],
        "require",
        Err("allows none but scram-sha-256"),
    ),
];

async fn every_method_meets_every_list(rig: Arc<Rig>) {
    let password = rig.cluster.password();
    let statement = format!("alter role app password '{password}'");
    rig.cluster.sql(&statement).await.unwrap();
    let mut weak = 0;
    for (asked, allowed, binding, expected) in ROWS {
        let row = format!("{asked}, {allowed:?}, {binding}");
        rig.cluster
            .hba(&format!("hostssl all app all {asked}\n"))
            .unwrap();
        let mut config = rig.config().tls_channel_binding(*binding);
        if !allowed.is_empty() {
            config = config.require_auth(allowed.to_vec());
        }
        match (expected, rig.pool(config).acquire().await) {
            (Ok(method), Ok(client)) => {
                weak += usize::from(*method == AuthMethod::Md5);
                assert_eq!(
                    client.tls().channel_binding(),
                    ChannelBinding::NotUsed,
                    "{row}"
                );
            }
            (Err(words), Err(error)) => {
                assert_eq!(
                    (error.class(), error.is_transient()),
                    (Class::Auth, false),
                    "{row}"
                );
                assert!(
                    error.to_string().contains(words),
                    "{row}: {}",
                    chain(&error)
                );
            }
            (_, result) => panic!("{row}: {result:?}"),
        }
    }
    assert_eq!(rig.record.counts().weak, vec![AuthMethod::Md5; weak]);

    rig.cluster
        .set("password_encryption", "scram-sha-256")
        .unwrap();
    rig.cluster.sql(&statement).await.unwrap();
    rig.cluster
        .hba("hostssl all app all scram-sha-256\n")
        .unwrap();
    let config = rig.config().tls_channel_binding("require");
    let pool = rig.pool(config.clone().require_auth("scram-sha-256"));
    let client = pool.acquire().await.unwrap();
    assert_eq!(client.tls().channel_binding(), ChannelBinding::Bound);
    let error = rig
        .pool(config.clone().require_auth("none"))
        .acquire()
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("asks for the method scram-sha-256"),
        "{error}"
    );
    rig.pool(config.require_auth("!none"))
        .acquire()
        .await
        .unwrap();
}

async fn options_reach_the_server(rig: Arc<Rig>) {
    let options = "-c geqo=off -c statement_timeout=1234ms";
    let pool = rig.pool(rig.config().options(options));
    let client = pool.acquire().await.unwrap();
    let row = client
        .query_one(
            "select current_setting('geqo'), current_setting('statement_timeout')",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(
        (row.get::<_, &str>(0), row.get::<_, &str>(1)),
        ("off", "1234ms")
    );
}

async fn a_password_from_a_file(rig: Arc<Rig>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, format!("{}\n", rig.cluster.password())).unwrap();
    let pool = rig.pool(rig.without_password().password_file(file.as_path()));
    pool.acquire()
        .await
        .unwrap()
        .query_one("select 1", &[])
        .await
        .unwrap();
}
