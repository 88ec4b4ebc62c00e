//! Where a configuration comes from.

use super::*;

on_both! {
    on_shared() => the_file_is_noticed;
    on_shared() => what_the_program_has_set_counts_over_the_file;
    on_shared() => a_size_from_resize_holds_until_another_is_written;
}

/// Also when it is half written and valid all the same: the line of the database comes later.
async fn the_file_is_noticed(rig: Arc<Rig>) {
    let mut app = App::new(&rig);
    app.set("pool.reload_interval = \"1s\"");
    let pool = rig.pool(app.config());
    drop(pool.acquire().await.unwrap());
    let outcomes = || rig.record.counts().reconfigured;

    fs::write(&app.path, "host = ").unwrap();
    eventually("the failure is told", async || {
        outcomes().contains_key("failed")
    })
    .await;
    assert_eq!(
        ask(&pool.acquire().await.unwrap(), "current_database()").await,
        rig.cluster.database()
    );

    // Each of these is valid, and none is there for as long as it takes to be seen twice.
    let (mut longest, mut last) = (Duration::ZERO, Instant::now());
    for size in 11..60 {
        app.write(&format!("pool.max_size = {size}"));
        longest = longest.max(last.elapsed());
        last = Instant::now();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    longest = longest.max(last.elapsed());
    let steady = longest < Duration::from_millis(900);
    let taken = outcomes().contains_key("ok");
    assert!(!(steady && taken), "taken at once: {longest:?}");

    app.write("pool.max_size = 7\napplication_name = \"orders\"");
    eventually("it is in force", async || pool.status().max_size == 7).await;
    retired(&pool).await;
    let client = pool.acquire().await.unwrap();
    assert_eq!(
        ask(&client, "current_setting('application_name')").await,
        "orders"
    );
    let taken = outcomes()["ok"];
    app.set("pool.reload_interval = none");
    eventually("that is taken too", async || outcomes()["ok"] > taken).await;
}

async fn what_the_program_has_set_counts_over_the_file(rig: Arc<Rig>) {
    let app = App::new(&rig);
    let second = app.folder.path().join("second.toml");
    fs::write(&second, "pool.max_size = 5\n").unwrap();
    let layers = [Layer::toml(&app.path, ""), Layer::toml(&second, "")];
    let config = Config::layered(layers)
        .unwrap()
        .application_name("of the program");
    let pool = rig.pool(config);
    let report = app
        .change(
            &pool,
            "pool.max_size = 7\napplication_name = \"of the file\"",
        )
        .await;
    assert!(report.changes.is_empty(), "{report}");
    assert_eq!(pool.status().max_size, 5);
    fs::write(&second, "pool.max_size = 6\n").unwrap();
    let report = pool.reload_config().await.unwrap();
    assert_eq!(names(&report), ["pool.max_size"]);
    assert_eq!(pool.status().max_size, 6);
    let client = pool.acquire().await.unwrap();
    assert_eq!(
        ask(&client, "current_setting('application_name')").await,
        "of the program"
    );

    let report = pool.reconfigure(app.config()).await.unwrap();
    assert_eq!(names(&report), ["application_name", "pool.max_size"]);
    fs::write(&second, "pool.max_size = 8\n").unwrap();
    let report = pool.reload_config().await.unwrap();
    assert!(
        report.changes.is_empty(),
        "another file is its source now: {report}"
    );
    assert_eq!(pool.status().max_size, 7);
}

async fn a_size_from_resize_holds_until_another_is_written(rig: Arc<Rig>) {
    let app = App::new(&rig);
    let pool = rig.pool(app.config());
    pool.resize(20).unwrap();
    app.change(&pool, "application_name = \"orders\"").await;
    assert_eq!(pool.status().max_size, 20);
    app.change(&pool, "pool.max_size = 3").await;
    assert_eq!(pool.status().max_size, 3);
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(pool.acquire().await.unwrap());
    }
    let fourth = pool.acquire_timeout(Duration::from_millis(50)).await;
    assert!(matches!(fourth, Err(Error::Timeout(_))));
}
