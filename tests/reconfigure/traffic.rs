//! While the pool is at work, or at its end.

use super::*;

on_both! {
    on_own(|builder| builder) => a_client_of_the_old_server_can_still_be_cancelled;
    on_shared() => two_at_once_are_one_after_the_other;
    on_shared() => a_pool_that_is_closed;
    on_own(|builder| builder) => two_hundred_under_load;
}

async fn a_client_of_the_old_server_can_still_be_cancelled(rig: Arc<Rig>) {
    let app = App::new(&rig);
    let pool = rig.pool(app.config());
    let client = pool.acquire().await.unwrap();
    let handle = client.cancel_handle();
    let report = app.change(&pool, "host = \"127.0.0.1\"").await;
    assert_eq!(report.retiring, 1);
    let asleep = tokio::spawn(async move {
        let slept = client.batch_execute("select pg_sleep(600)").await;
        (client, slept)
    });
    let sleeps = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'";
    eventually("the server sleeps", async || {
        rig.cluster.sql(sleeps).await.unwrap() == [[Some("1".to_owned())]]
    })
    .await;
    handle.cancel().await.expect("the server is known still");
    let (client, slept) = asleep.await.unwrap();
    assert_eq!(slept.unwrap_err().code().unwrap().code(), "57014");
    ask(&client, "1").await;
    drop(client);
    assert_eq!((pool.status().stale, closed(&rig, "evicted")), (0, 1));
    assert_eq!(
        pool.acquire().await.unwrap().tls().server_name(),
        "127.0.0.1"
    );
    rig.recovered(&pool).await;
}

async fn two_at_once_are_one_after_the_other(rig: Arc<Rig>) {
    let app = App::new(&rig);
    let pool = rig.pool(app.config());
    for _ in 0..30 {
        let both = [(3, "a"), (7, "b")].map(|(size, name)| {
            let config = app.config().pool_max_size(size).application_name(name);
            let pool = pool.clone();
            tokio::spawn(async move { pool.reconfigure(config).await })
        });
        let reload = pool.reload();
        let [first, second] = both;
        let (first, second, reload) = tokio::join!(first, second, reload);
        let reports = [first.unwrap().unwrap(), second.unwrap().unwrap()];
        reload.unwrap();
        for report in reports {
            assert!(matches!(report.changes.len(), 0 | 2), "{report}");
        }
        retired(&pool).await;
        let name = ask(
            &pool.acquire().await.unwrap(),
            "current_setting('application_name')",
        )
        .await;
        let size = pool.status().max_size;
        assert!(
            matches!((size, name.as_str()), (3, "a") | (7, "b")),
            "{size} {name}"
        );
    }
}

async fn a_pool_that_is_closed(rig: Arc<Rig>) {
    let app = App::new(&rig);
    for _ in 0..10 {
        let pool = rig.pool(app.config());
        let client = pool.acquire().await.unwrap();
        let config = app.config().application_name("other").pool_max_size(3);
        let changed = pool.reconfigure(config.clone());
        let (changed, ()) = tokio::join!(changed, pool.shutdown(Duration::from_millis(1)));
        assert!(
            matches!(changed, Ok(_) | Err(ReloadError::Closed)),
            "{changed:?}"
        );
        assert_eq!(pool.reconfigure(config).await, Err(ReloadError::Closed));
        assert_eq!(pool.reload_config().await, Err(ReloadError::Closed));
        assert!(matches!(pool.acquire().await, Err(Error::Closed)));
        drop(client);
    }
}

async fn two_hundred_under_load(rig: Arc<Rig>) {
    let mut app = App::new(&rig);
    app.set("connect.retry = true\npool.max_size = 4");
    let pool = rig.pool(app.config());
    let load = Load::start(&pool, 6);
    load.more().await;
    let kinds = [
        "application_name = \"orders\"",
        "pool.max_size = 2",
        "pool.max_size = 6\npool.reset = \"always\"",
        "host = \"127.0.0.1\"\npool.min_idle = 2",
        "tls.channel_binding = \"disable\"\npool.max_uses = 50",
        "session.statement_timeout = \"1m\"\ntls.max_version = \"1.2\"",
        "pool.max_lifetime = \"5s\"\nconnect.tls_timeout = \"4s\"",
        "pool.cancel_grace = \"1s\"\npool.acquire_timeout = \"1m\"",
    ];
    for lines in kinds.into_iter().cycle().take(200) {
        let report = app.change(&pool, lines).await;
        assert!(!report.changes.is_empty(), "{report}");
    }
    app.change(&pool, "").await;
    load.more().await;
    load.end().await;
    retired(&pool).await;
    assert_eq!(
        rig.record.counts().reconfigured,
        BTreeMap::from([("ok", 201)])
    );
    assert_eq!(pool.status().max_size, 4);
    pool.evict_all();
    rig.recovered(&pool).await;
}
