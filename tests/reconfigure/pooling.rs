//! Other sizes, times and terms.

use super::*;

on_both! {
    on_shared() => what_tasks_and_hooks_go_by;
    on_shared() => other_sizes_and_times;
    on_shared() => connections_in_the_pool_are_kept_by_the_new_terms;
    on_shared() => the_lane;
}

async fn what_tasks_and_hooks_go_by(rig: Arc<Rig>) {
    let app = App::new(&rig);
    let lookups = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&lookups);
    let port = rig.tap.port();
    app.write("hostaddr = none");
    let pool = Pool::builder(app.config())
        .observer(rig.record.clone())
        .resolver(move |_, _| {
            counted.fetch_add(1, Ordering::SeqCst);
            async move { Ok(vec![([127, 0, 0, 1], port).into()]) }
        })
        .before_acquire(|client| {
            Box::pin(async move {
                client.batch_execute("select pg_sleep(0.3)").await?;
                Ok(true)
            })
        })
        .build()
        .unwrap();
    drop(pool.acquire().await.unwrap());

    app.change(&pool, "hostaddr = none\npool.hook_timeout = \"20ms\"")
        .await;
    let error = pool.acquire().await.unwrap_err().to_string();
    assert!(error.contains("20ms (pool.hook_timeout)"), "{error}");

    app.change(
        &pool,
        "hostaddr = none\nconnect.resolve_interval = \"20ms\"",
    )
    .await;
    let before = lookups.load(Ordering::SeqCst);
    let kept = pool.acquire().await.unwrap();
    eventually("the name is looked up", async || {
        lookups.load(Ordering::SeqCst) > before + 3
    })
    .await;
    drop(kept);

    app.change(&pool, "hostaddr = none\npool.keepalive_interval = \"50ms\"")
        .await;
    let before = rig.record.counts().checks;
    eventually("the idle connection is asked", async || {
        rig.record.counts().checks != before
    })
    .await;

    app.change(&pool, "hostaddr = none\nsession.statement_cache = 0")
        .await;
    pool.evict_all();
    let client = pool.acquire().await.unwrap();
    client.prepare_cached("select 1").await.unwrap();
    assert_eq!(client.statement_cache.size(), 0);
}

async fn other_sizes_and_times(rig: Arc<Rig>) {
    let app = App::new(&rig);
    let pool = rig.pool(app.config());
    let kept = pool.acquire().await.unwrap();

    let report = app.change(&pool, "pool.max_size = 1").await;
    let [
        Change {
            name,
            old,
            new,
            origin,
            ..
        },
    ] = &report.changes[..]
    else {
        panic!("{report}")
    };
    assert_eq!(
        (*name, old.as_str(), new.as_str(), report.retiring),
        ("pool.max_size", "10", "1", 0)
    );
    let lines = fs::read_to_string(&app.path).unwrap();
    let line = 1 + lines
        .lines()
        .position(|line| line.starts_with("pool.max_size"))
        .unwrap();
    assert_eq!(
        origin.to_string(),
        format!("{}:{line}:17", app.path.display())
    );
    assert_eq!(
        report.to_string(),
        format!("pool.max_size: 10 -> 1 ({origin})")
    );
    assert_eq!(pool.status().max_size, 1);

    app.change(&pool, "pool.max_size = 1\npool.acquire_timeout = \"60ms\"")
        .await;
    let error = pool.acquire().await.unwrap_err().to_string();
    assert!(error.contains("60ms (pool.acquire_timeout)"), "{error}");

    app.change(&pool, "pool.max_size = 1\npool.max_waiting = 0")
        .await;
    assert!(matches!(pool.acquire().await, Err(Error::QueueFull(0))));
    app.change(&pool, "pool.max_size = 2\npool.max_waiting = 0")
        .await;
    drop(pool.acquire().await.expect("there is room again"));

    app.change(&pool, "pool.min_idle = 4").await;
    eventually("four are idle", async || pool.status().idle == 4).await;

    app.change(&pool, "pool.leak_threshold = \"10ms\"").await;
    eventually("the leak is reported", async || {
        rig.record.counts().leaks.len() == 1
    })
    .await;

    app.change(
        &pool,
        "connect.retry = true\nport = 1\npool.acquire_timeout = \"200ms\"",
    )
    .await;
    pool.evict_all();
    let error = pool.acquire().await.unwrap_err();
    assert!(matches!(error, Error::Timeout(_)), "{error}");
    app.change(&pool, "port = 1").await;
    let error = pool.acquire().await.unwrap_err();
    assert!(matches!(error, Error::Connect(_)), "{error}");
    app.change(&pool, "").await;
    drop(kept);
    drop(pool.acquire().await.unwrap());
    assert_eq!(
        rig.record.counts().reconfigured,
        BTreeMap::from([("ok", 9)])
    );
}

/// Those that are open already, and not only those to come.
async fn connections_in_the_pool_are_kept_by_the_new_terms(rig: Arc<Rig>) {
    let mut app = App::new(&rig);
    app.set("pool.reset = \"transaction\"\npool.max_size = 1");
    let pool = rig.pool(app.config());
    let work_mem = "current_setting('work_mem')";
    let borrow = async |after: &str| {
        let client = pool.acquire().await.unwrap();
        client.batch_execute(after).await.unwrap();
        (pid(&client).await, ask(&client, work_mem).await)
    };
    let first = borrow("set work_mem = '7MB'").await;
    assert_eq!(borrow("").await, (first.0.clone(), "7MB".to_owned()));
    let kept = pool.acquire().await.unwrap();
    assert_eq!(app.change(&pool, "pool.reset = \"auto\"").await.retiring, 0);
    drop(kept);
    let (again, value) = borrow("").await;
    assert_eq!(again, first.0, "it stays");
    assert_ne!(value, "7MB", "it is reset from now on");

    let report = app
        .change(
            &pool,
            "pool.cancel_grace = \"20s\"\npool.mend_timeout = \"30s\"",
        )
        .await;
    assert_eq!(report.changes.len(), 3);
    let busy = pool.acquire().await.unwrap();
    app.change(&pool, "pool.cancel_grace = \"1ms\"").await;
    let asleep = busy.batch_execute("select pg_sleep(600)");
    assert!(
        tokio::time::timeout(Duration::from_millis(100), asleep)
            .await
            .is_err()
    );
    drop(busy);
    let next = pool.acquire().await.expect("its query was cancelled");
    assert_eq!(pid(&next).await, first.0);
    drop(next);

    app.change(&pool, "pool.max_uses = 1").await;
    eventually("it has been used more often", async || {
        closed(&rig, "max_uses") == 1
    })
    .await;
    for (line, reason) in [
        ("pool.max_lifetime = \"10ms\"", "max_lifetime"),
        ("pool.idle_timeout = \"10ms\"", "idle_timeout"),
    ] {
        app.change(&pool, "").await;
        drop(pool.acquire().await.unwrap());
        assert_eq!((pool.status().idle, closed(&rig, reason)), (1, 0));
        app.change(&pool, line).await;
        eventually(reason, async || closed(&rig, reason) == 1).await;
    }
    let counts = rig.record.counts().closed;
    assert_eq!(
        counts.into_keys().collect::<Vec<_>>(),
        ["idle_timeout", "max_lifetime", "max_uses"]
    );
}

async fn the_lane(rig: Arc<Rig>) {
    let app = App::new(&rig);
    let pool = rig.pool(app.config());
    let lane = pool.lane();
    let report = app.change(&pool, "lane.max_size = 1").await;
    assert_eq!(report.retiring, 0);
    let sleep = "select pg_sleep($1)";
    lane.query(sleep, &[&0.0]).await.unwrap();
    app.change(&pool, "lane.max_size = 1\nlane.max_depth = 1")
        .await;
    let most = AtomicUsize::new(0);
    let ask = async || {
        lane.query(sleep, &[&0.05]).await.unwrap();
        most.fetch_max(pool.status().lane_outstanding, Ordering::SeqCst);
    };
    tokio::join!(ask(), ask(), ask());
    assert!(most.into_inner() <= 1);
    app.change(
        &pool,
        "lane.max_size = 1\nlane.statement_timeout = \"100ms\"",
    )
    .await;
    eventually("another connection has the new limit", async || {
        let error = lane.query(sleep, &[&7.0]).await.err();
        error.is_some_and(|error| error.as_db_error().unwrap().code().code() == "57014")
    })
    .await;
}
