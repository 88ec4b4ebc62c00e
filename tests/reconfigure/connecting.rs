//! Another server, login, session or TLS.

use super::*;

on_both! {
    on_own(|builder| builder) => another_session_and_another_login;
    on_shared() => another_server;
    on_own(|builder| builder) => another_tls;
    on_shared() => another_way_to_rotate;
}

async fn another_session_and_another_login(rig: Arc<Rig>) {
    const OTHER: &str = "other-password-5d10";
    rig.tap.forbid(OTHER);
    let role = format!("create role other login password '{OTHER}'");
    rig.cluster.sql(&role).await.unwrap();
    let app = App::new(&rig);
    let pool = rig.pool(app.config());
    let kept = pool.acquire().await.unwrap();
    drop(pool.acquire().await.unwrap());
    let setting = |name: &str| format!("current_setting('{name}')");
    let other = format!("user = \"other\"\npassword = \"{OTHER}\"");
    let rows = [
        (
            "application_name = \"orders\"",
            setting("application_name"),
            "orders",
        ),
        ("options = \"-c geqo=off\"", setting("geqo"), "off"),
        (
            "session.search_path = \"shop\"",
            setting("search_path"),
            "shop",
        ),
        (
            "session.time_zone = \"Europe/Paris\"",
            setting("TimeZone"),
            "Europe/Paris",
        ),
        (
            "session.statement_timeout = \"7s\"",
            setting("statement_timeout"),
            "7s",
        ),
        (
            "session.lock_timeout = \"7s\"",
            setting("lock_timeout"),
            "7s",
        ),
        (
            "session.idle_in_transaction_timeout = \"7s\"",
            setting("idle_in_transaction_session_timeout"),
            "7s",
        ),
        (
            "database = \"postgres\"",
            "current_database()".to_owned(),
            "postgres",
        ),
        (other.as_str(), "current_user".to_owned(), "other"),
        ("", setting("application_name"), ""),
    ];
    let count = rows.len();
    for (line, query, expected) in rows {
        let report = app.change(&pool, line).await;
        assert!(report.retiring > 0, "{report}");
        eventually("all but the one in use are retired", async || {
            pool.status().stale == 1
        })
        .await;
        let client = pool.acquire().await.unwrap();
        assert_eq!(ask(&client, &query).await, expected, "{line}");
    }
    assert_eq!(closed(&rig, "evicted"), count);
    assert_eq!(
        ask(&kept, "current_database()").await,
        rig.cluster.database()
    );
    drop(kept);
    assert_eq!(closed(&rig, "evicted"), count + 1);

    let first = pool.acquire().await.unwrap();
    let login = |result: Result<Client, Error>| {
        result.map_or_else(|error| chain(&error), |_| "ok".to_owned())
    };
    let right = rig.cluster.password();
    let line = format!("*:*:*:*:{right}");
    let rows = [
        ("password = \"wrong\"".to_owned(), "28P01"),
        (
            format!(
                "password = none\npassword_file = \"{}\"",
                app.file("right", right)
            ),
            "ok",
        ),
        (
            format!(
                "password = none\npassword_file = \"{}\"",
                app.file("wrong", "wrong")
            ),
            "28P01",
        ),
        (
            format!(
                "password = none\npassfile = \"{}\"",
                app.file("passfile", &line)
            ),
            "ok",
        ),
    ];
    for (lines, expected) in rows {
        let report = app.change(&pool, &lines).await;
        assert_eq!(report.retiring, 0, "{report}");
        let result = pool.acquire().await;
        let state = match &result {
            Err(Error::Connect(error)) => error.attempts()[0]
                .sql_state()
                .map(|state| state.code().to_owned()),
            _ => None,
        };
        assert_eq!(state.unwrap_or_else(|| login(result)), expected, "{lines}");
        pool.evict_all();
    }
    ask(&first, "1").await;
    app.change(&pool, "require_auth = \"md5\"").await;
    let refused = login(pool.acquire().await);
    assert!(refused.contains("require_auth"), "{refused}");
    drop(first);
    app.change(&pool, "").await;
    rig.recovered(&pool).await;
}

async fn another_server(rig: Arc<Rig>) {
    let second = Tap::start(rig.cluster.addr()).unwrap();
    let silent = sealpool_testkit::Scripted::start(vec![sealpool_testkit::Step::Silence]).unwrap();
    let app = App::new(&rig);
    let pool = rig.pool(app.config());
    let kept = pool.acquire().await.unwrap();
    let port = |port: u16| format!("port = {port}");
    let slow = format!("port = {}\nconnect.tls_timeout = \"77ms\"", silent.port());
    let rows = [
        ("host = \"127.0.0.1\"", "127.0.0.1"),
        ("hostaddr = \"127.0.0.2\"", "at 127.0.0.2"),
        (&port(second.port()), "localhost"),
        (&slow, "77ms"),
        (
            "connect.target_session_attrs = \"standby\"",
            "wants standby",
        ),
        ("connect.target_session_attrs = \"primary\"", "localhost"),
        ("", "localhost"),
    ];
    for (lines, expected) in rows {
        let report = app.change(&pool, lines).await;
        assert!(!report.changes.is_empty(), "{lines}");
        eventually("all but the one in use are retired", async || {
            pool.status().stale == 1
        })
        .await;
        let outcome = match pool.acquire().await {
            Ok(client) => client.tls().server_name().to_owned(),
            Err(error) => chain(&error),
        };
        assert!(outcome.contains(expected), "{lines}: {outcome}");
    }
    ask(&kept, "1").await;
    assert_eq!(second.connections().len(), 1);
    second.verify().unwrap();

    let both = "host = [\"localhost\", \"127.0.0.1\"]\nhostaddr = [\"127.0.0.1\", \"127.0.0.1\"]\npool.max_size = 25";
    app.change(&pool, both).await;
    let servers = async || {
        let mut clients = Vec::new();
        for _ in 0..24 {
            clients.push(pool.acquire().await.unwrap());
        }
        let names = clients
            .iter()
            .map(|client| client.tls().server_name().to_owned());
        names.collect::<BTreeSet<_>>().len()
    };
    eventually("all but the one in use are retired", async || {
        pool.status().stale == 1
    })
    .await;
    assert_eq!(servers().await, 1);
    let report = app
        .change(
            &pool,
            &format!("{both}\nconnect.load_balance_hosts = \"random\""),
        )
        .await;
    assert_eq!(
        (names(&report), report.retiring),
        (vec!["connect.load_balance_hosts"], 0)
    );
    pool.evict_all();
    assert_eq!(
        servers().await,
        2,
        "24 draws miss one of two once in 2^23 runs"
    );
}

async fn another_tls(rig: Arc<Rig>) {
    let root = rig.cluster.root_file().to_str().unwrap();
    rig.cluster.set("ssl_ca_file", root).unwrap();
    let app = App::new(&rig);
    let stranger = Pki::new();
    let ours = rig
        .cluster
        .pki()
        .leaf()
        .client_auth()
        .common_name("service")
        .issue();
    let certificate = app.file("client.pem", ours.chain_pem());
    let key = app.file("client.key", ours.key_pem());
    let encrypted = app
        .folder
        .path()
        .join("encrypted.key")
        .display()
        .to_string();
    let arguments = [
        "pkcs8",
        "-topk8",
        "-in",
        &key,
        "-out",
        &encrypted,
        "-v2",
        "aes-256-cbc",
        "-passout",
        "pass:let-me-in",
    ];
    assert!(
        Command::new("openssl")
            .args(arguments)
            .status()
            .unwrap()
            .success()
    );
    fs::set_permissions(&encrypted, fs::Permissions::from_mode(0o600)).unwrap();
    let pair =
        |key: &str| format!("tls.client_cert = \"{certificate}\"\ntls.client_key = \"{key}\"");
    let plain = "1.3 bound - localhost";
    let direct = match rig.cluster.major() {
        15 => "connection_closed",
        _ => plain,
    };
    let rows = [
        (
            "tls.max_version = \"1.2\"".to_owned(),
            "1.2 bound - localhost",
        ),
        (
            "tls.channel_binding = \"disable\"".to_owned(),
            "1.3 not_used - localhost",
        ),
        ("tls.sni = false".to_owned(), "1.3 bound - "),
        ("tls.negotiation = \"direct\"".to_owned(), direct),
        (
            format!(
                "tls.root = \"{}\"",
                app.file("stranger.pem", stranger.root_pem())
            ),
            "certificate_unknown_issuer",
        ),
        (
            "tls.pin = \"sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\"".to_owned(),
            "certificate_pin_mismatch",
        ),
        (
            format!(
                "tls.crl = \"{}\"",
                app.file("lists.pem", &stranger.revocation().issue().pem())
            ),
            "certificate_revocation_unknown",
        ),
        (
            "tls.server_name = \"db.example.org\"".to_owned(),
            "certificate_hostname_mismatch",
        ),
        (
            "tls.server_name = \"db.example.org\"\ntls.mode = \"verify-ca\"".to_owned(),
            "1.3 bound - db.example.org",
        ),
        (pair(&key), "1.3 bound /CN=service localhost"),
        (
            format!(
                "{}\ntls.client_key_password = \"let-me-in\"",
                pair(&encrypted)
            ),
            "1.3 bound /CN=service localhost",
        ),
        (String::new(), plain),
    ];
    let pool = rig.pool(app.config());
    drop(pool.acquire().await.unwrap());
    for (lines, expected) in rows {
        let open = pool.status().idle;
        let report = app.change(&pool, &lines).await;
        assert_eq!(report.retiring, open, "{report}");
        retired(&pool).await;
        let hello = rig.tap.connections().len();
        let outcome = match pool.acquire().await {
            Ok(client) => {
                let recording = rig.tap.connections()[hello].clone();
                let named = |name: &&str| {
                    recording
                        .bytes()
                        .windows(name.len())
                        .any(|bytes| bytes == name.as_bytes())
                };
                let subject = client.server_tls().await.unwrap().unwrap().client_subject;
                format!(
                    "{} {} {} {}",
                    client.tls().protocol_version(),
                    client.tls().channel_binding(),
                    subject.unwrap_or_else(|| "-".to_owned()),
                    ["localhost", "db.example.org"]
                        .into_iter()
                        .find(named)
                        .unwrap_or_default(),
                )
            }
            Err(error) => error.to_string(),
        };
        assert!(
            outcome == expected || outcome.contains(expected) && !expected.contains("bound"),
            "{lines}: {outcome}"
        );
    }
    assert_eq!(
        rig.record.counts().closed.into_keys().collect::<Vec<_>>(),
        ["tls_rotated"]
    );
    rig.cluster
        .set("ssl_max_protocol_version", "TLSv1.2")
        .unwrap();
    app.change(&pool, "tls.min_version = \"1.3\"").await;
    retired(&pool).await;
    let error = pool.acquire().await.unwrap_err().to_string();
    assert!(error.contains("protocol_version"), "{error}");
    app.change(&pool, "").await;
    rig.recovered(&pool).await;
}

async fn another_way_to_rotate(rig: Arc<Rig>) {
    let mut app = App::new(&rig);
    let root = fs::read_to_string(rig.cluster.root_file()).unwrap();
    let file = app.file("root.pem", &root);
    app.set(&format!(
        "tls.root = \"{file}\"\ntls.rotate_within = \"24h\"\ntls.reload_interval = \"24h\""
    ));
    let pool = rig.pool(app.config());
    let clients = [pool.acquire().await.unwrap(), pool.acquire().await.unwrap()];
    drop(clients);
    let report = app.change(&pool, "application_name = \"orders\"").await;
    assert_eq!(report.retiring, 2);
    assert!(pool.status().stale > 0, "they have a day");
    app.set("application_name = \"orders\"\ntls.rotate_within = \"1ms\"");
    let report = pool.reload_config().await.unwrap();
    assert_eq!(
        (names(&report), report.retiring),
        (vec!["tls.rotate_within"], 0)
    );
    retired(&pool).await;
    drop(pool.acquire().await.unwrap());

    fs::write(&file, format!("{root}{}", Pki::new().root_pem())).unwrap();
    app.set("tls.reload_interval = \"1s\"");
    let report = pool.reload_config().await.unwrap();
    assert_eq!(names(&report), ["tls.reload_interval"]);
    retired(&pool).await;
    fs::write(&file, format!("{root}{}", Pki::new().root_pem())).unwrap();
    eventually("the pool has found the new root", async || {
        rig.record.counts().reloads.get("ok") == Some(&1)
    })
    .await;
    retired(&pool).await;
    assert_eq!(closed(&rig, "evicted"), 2);
    assert_eq!(
        closed(&rig, "tls_rotated"),
        1,
        "a reconfiguration reads the files too"
    );
}
