//! What is refused, and what is not told.

use super::*;

on_both! {
    on_shared() => what_is_refused_changes_nothing;
    on_shared() => secrets_are_not_in_the_report;
}

async fn what_is_refused_changes_nothing(rig: Arc<Rig>) {
    let app = App::new(&rig);
    let pool = rig.pool(app.config());
    let client = pool.acquire().await.unwrap();
    drop(pool.acquire().await.unwrap());
    let in_force = || {
        let shown = shown(&pool);
        let (policy, _) = shown.split_once(", credentials: ").unwrap();
        format!("{policy} {}", pool.status())
    };
    let before = in_force();
    let refused = async || match pool.reload_config().await.unwrap_err() {
        ReloadError::Refused(error) => error,
        error => panic!("{error}"),
    };
    let rows = [
        (
            "tls.rotate_within = \"1\"",
            "invalid_value",
            "this value cannot be used",
        ),
        (
            "tls.mode = \"disable\"",
            "plaintext",
            "this permits plaintext",
        ),
        (
            "tls.mode = \"no-verify\"",
            "unverified",
            "this leaves the server unverified",
        ),
        (
            "url = \"postgres://db/?sslmode=disable\"",
            "plaintext",
            "plaintext",
        ),
        (
            "pool.max_sise = 3",
            "unknown_key",
            "did you mean `pool.max_size`?",
        ),
        (
            "pool.max_size = \"many\"",
            "invalid_value",
            "this value cannot be used",
        ),
        (
            "pool.max_size = 0",
            "invalid_value",
            "a pool of 0 connections is not possible",
        ),
        (
            "pool.min_idle = 11",
            "conflict",
            "11 idle connections do not fit",
        ),
        (
            "tls.root = \"no-such-root.pem\"",
            "root_missing",
            "no-such-root.pem",
        ),
        (
            "tls.client_key = \"no-such.key\"",
            "incomplete",
            "tls.client_cert",
        ),
    ];
    let count = rows.len();
    for (wrong, code, expected) in rows {
        // What is right beside it is not taken either.
        let right = "application_name = \"other\"\npassword = \"other\"\npool.max_waiting = 3";
        app.write(&format!("{right}\n{wrong}"));
        let error = refused().await;
        let message = error.to_string();
        assert!(message.contains(expected), "{message}");
        assert_eq!(error.code(), code, "{message}");
        let text = fs::read_to_string(&app.path).unwrap();
        let line = 1 + text.lines().position(|line| line == wrong).unwrap();
        let place = format!("{}:{line}:", app.path.display());
        assert!(
            message.starts_with(&place) && message.contains('^'),
            "{message}"
        );
        assert!(!message.contains("other"), "{message}");
        assert_eq!(in_force(), before, "{message}");
        ask(&pool.acquire().await.unwrap(), "1").await;
    }
    app.write("");
    let good = fs::read_to_string(&app.path).unwrap();
    let cut = good.find("\nport").unwrap() - 2;
    fs::write(&app.path, &good[..cut]).unwrap();
    assert_eq!(refused().await.code(), "malformed");
    fs::remove_file(&app.path).unwrap();
    assert_eq!(refused().await.code(), "unreadable");
    let error = pool
        .reconfigure(Config::new())
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(error, "host: no server is named; set host");
    fs::write(&app.path, &good).unwrap();
    assert!(pool.reload_config().await.unwrap().changes.is_empty());
    assert_eq!(in_force(), before);
    ask(&client, "1").await;
    assert_eq!(
        rig.record.counts().reconfigured,
        BTreeMap::from([("failed", count + 3), ("unchanged", 1)])
    );
    assert!(rig.record.counts().closed.is_empty());
}

async fn secrets_are_not_in_the_report(rig: Arc<Rig>) {
    const OTHER: &str = "another-password-77c1";
    rig.tap.forbid(OTHER);
    let app = App::new(&rig);
    let pool = rig.pool(app.config());
    let report = app.change(&pool, &format!("password = \"{OTHER}\"")).await;
    assert_eq!(report.changes[0].old, "_");
    assert_eq!(report.changes[0].new, "_");
    let text = format!("{report} {report:?} {pool:?} {}", crate::log::lines());
    assert!(
        report.to_string().starts_with("password: _ -> _ ("),
        "{report}"
    );
    assert!(!text.contains(OTHER));
    assert!(!format!("{report} {report:?} {pool:?}").contains(rig.cluster.password()));
    let long = "x".repeat(100);
    let report = app
        .change(&pool, &format!("application_name = \"{long}\\nforged\""))
        .await;
    assert!(!report.to_string().contains('\n'), "{report}");
}
