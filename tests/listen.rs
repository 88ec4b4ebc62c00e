use std::{
    collections::BTreeMap,
    fs,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::Stream as _;
use sealpool::{Class, Error, Heard, Listener, Pool, Readiness, Reload};
use sealpool_testkit::{Pki, Shutdown};

use crate::rig::{Rig, SLACK, chain, eventually, on_both};

on_both! {
    on_shared() => names_and_payloads_of_every_kind;
    on_shared() => names_that_are_none;
    on_shared() => channels_come_and_go;
    on_shared() => outside_of_the_size;
    on_own(|builder| builder) => a_connection_that_was_lost_is_replaced_and_told;
    on_own(|builder| builder) => the_listener_and_the_pool_end_with_a_goodbye;
    on_shared() => a_listener_ends_with_its_runtime;
    on_shared() => a_rotation_replaces_the_connection;
    on_own(|builder| builder) => a_password_that_is_wrong_is_told_once;
    on_own(|builder| builder) => a_server_that_is_away;
    on_shared() => a_burst_loses_nothing;
    on_own(|builder| builder) => a_listener_that_hangs_holds_nobody_up;
}

const MINUTE: Duration = Duration::from_secs(60);

/// What is heard next; the wait would have no end.
async fn next(listener: &mut Listener) -> Heard {
    let heard = tokio::time::timeout(MINUTE, listener.recv()).await;
    heard.expect("in time").expect("no end").expect("no error")
}

async fn notified(listener: &mut Listener) -> (String, String) {
    match next(listener).await {
        Heard::Notification(heard) => (heard.channel().to_owned(), heard.payload().to_owned()),
        other => panic!("{other:?}"),
    }
}

async fn reconnected(listener: &mut Listener) {
    let heard = next(listener).await;
    assert!(matches!(heard, Heard::Reconnected), "{heard:?}");
}

async fn notify(pool: &Pool, channel: &str, payload: &str) {
    let client = pool.acquire().await.unwrap();
    let notify = "select pg_notify($1, $2)";
    client.query(notify, &[&channel, &payload]).await.unwrap();
}

async fn count(rig: &Rig, condition: &str) -> String {
    let query =
        format!("select count(*) from pg_stat_activity where usename = 'app' and {condition}");
    let rows = rig.cluster.sql(&query).await.unwrap();
    rows[0][0].clone().unwrap()
}

async fn names_and_payloads_of_every_kind(rig: Arc<Rig>) {
    let longest = "ä".repeat(31) + "x";
    let names = [
        "listen plain",
        "listen Wei\"rd\"; drop table \"",
        "listen 'quoted' \\ %s $1",
        &longest,
    ];
    let pool = rig.pool(rig.config());
    let mut listener = pool.listen(names).await.unwrap();
    let full = "'\"\\;".repeat(1999) + "end";
    assert_eq!(full.len(), 7_999);
    for name in names {
        for payload in ["", "it's \"quoted\"", &full] {
            notify(&pool, "listen to nobody", payload).await;
            notify(&pool, name, payload).await;
            let heard = notified(&mut listener).await;
            assert_eq!(heard, (name.to_owned(), payload.to_owned()));
        }
    }
    let client = pool.acquire().await.unwrap();
    let pid = client.query_one("select pg_backend_pid()", &[]).await;
    let pid: i32 = pid.unwrap().get(0);
    client
        .batch_execute("notify \"listen plain\"")
        .await
        .unwrap();
    let heard = poll_fn(|cx| Pin::new(&mut listener).poll_next(cx)).await;
    let Some(Ok(Heard::Notification(heard))) = heard else {
        panic!("{heard:?}");
    };
    assert_eq!((heard.process_id(), heard.payload()), (pid, ""));
}

async fn names_that_are_none(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config());
    let listener = pool.listen(["listen to one"]).await.unwrap();
    for name in ["", "a\0b", &"x".repeat(64)] {
        let error = pool.listen([name]).await.unwrap_err();
        assert_eq!(error.class(), Class::Config, "{error}");
        let error = listener.listen(name).await.unwrap_err().to_string();
        assert!(error.contains("1 to 63 bytes"), "{error}");
    }
    assert_eq!(rig.tap.connections().len(), 1);
}

async fn channels_come_and_go(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config());
    let mut listener = pool.listen(<[&str; 0]>::default()).await.unwrap();
    for round in 0..5 {
        listener.listen("listen a").await.unwrap();
        listener.listen("listen a").await.unwrap();
        notify(&pool, "listen a", &round.to_string()).await;
        assert_eq!(notified(&mut listener).await.1, round.to_string());
        let both = tokio::join!(listener.listen("listen b"), listener.unlisten("listen a"));
        both.0.unwrap();
        both.1.unwrap();
        notify(&pool, "listen a", "unheard").await;
        notify(&pool, "listen b", "heard").await;
        assert_eq!(notified(&mut listener).await.1, "heard");
        listener.unlisten("listen b").await.unwrap();
        listener.unlisten("listen b").await.unwrap();
    }
    assert_eq!(rig.record.counts().opened, 2);
}

async fn outside_of_the_size(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config().pool_max_size(1));
    let client = pool.acquire().await.unwrap();
    let mut listeners = Vec::new();
    for _ in 0..3 {
        listeners.push(pool.listen(["listen outside"]).await.unwrap());
    }
    let status = pool.status();
    assert_eq!((status.used, status.idle, status.opening), (1, 0, 0));
    client
        .batch_execute("notify \"listen outside\"")
        .await
        .unwrap();
    for listener in &mut listeners {
        notified(listener).await;
    }
    assert_eq!(rig.record.counts().sealed, 4);
}

async fn a_connection_that_was_lost_is_replaced_and_told(rig: Arc<Rig>) {
    let pool = rig.pool(rig.retrying().pool_acquire_timeout(MINUTE));
    let mut listener = pool.listen(["listen"]).await.unwrap();
    listener.listen("more").await.unwrap();
    let kill = "select pg_terminate_backend(pid) from pg_stat_activity where query like 'LISTEN%'";
    for _ in 0..5 {
        let killed = rig.cluster.sql(kill).await.unwrap();
        assert_eq!(killed, [[Some("t".to_owned())]]);
        reconnected(&mut listener).await;
        for channel in ["listen", "more"] {
            notify(&pool, channel, "after").await;
            let heard = notified(&mut listener).await;
            assert_eq!(heard, (channel.to_owned(), "after".to_owned()));
        }
    }
    for how in [Shutdown::Fast, Shutdown::Immediate] {
        rig.cluster.restart(how).unwrap();
        reconnected(&mut listener).await;
        notify(&pool, "listen", "after a restart").await;
        assert_eq!(notified(&mut listener).await.1, "after a restart");
    }
    assert!(rig.record.counts().closed["broken"] >= 7);
    drop(listener);
    rig.recovered(&pool).await;
}

async fn the_listener_and_the_pool_end_with_a_goodbye(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config());
    let detached = || rig.record.counts().closed.get("detached").copied();
    for round in 1..=5 {
        let listener = pool.listen(["listen"]).await.unwrap();
        assert_eq!(count(&rig, "true").await, "1");
        drop(listener);
        eventually("it is closed", async || detached() == Some(round)).await;
        eventually("no backend is left", async || {
            count(&rig, "true").await == "0"
        })
        .await;
    }
    let mut listener = pool.listen(["listen"]).await.unwrap();
    let waits = tokio::spawn(async move { (listener.recv().await.is_none(), listener) });
    pool.shutdown(MINUTE).await;
    assert_eq!(
        count(&rig, "true").await,
        "0",
        "it has waited for the goodbye"
    );
    let (ended, listener) = waits.await.unwrap();
    assert!(ended);
    assert!(matches!(listener.listen("more").await, Err(Error::Closed)));
    assert!(matches!(pool.listen(["listen"]).await, Err(Error::Closed)));

    let pool = rig.pool(rig.config());
    let mut listener = pool.listen(["listen"]).await.unwrap();
    drop(pool);
    assert!(listener.recv().await.is_none());
    eventually("no backend is left", async || {
        count(&rig, "true").await == "0"
    })
    .await;
    assert_eq!(
        rig.record.counts().closed,
        BTreeMap::from([("detached", 5), ("pool_closed", 2)])
    );
    let log = rig.cluster.log();
    for rude in ["unexpected EOF", "reset by peer"] {
        assert!(!log.contains(rude), "no goodbye: {log}");
    }
}

async fn a_listener_ends_with_its_runtime(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config());
    let there = pool.clone();
    let begun = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(there.listen(["listen there"])).unwrap()
    });
    let mut listener = begun.join().unwrap();
    assert!(listener.recv().await.is_none());
    let mut listener = pool.listen(["listen here"]).await.unwrap();
    notify(&pool, "listen here", "again").await;
    assert_eq!(notified(&mut listener).await.1, "again");
}

async fn a_rotation_replaces_the_connection(rig: Arc<Rig>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("root.pem");
    let good = rig.cluster.pki().root_pem();
    fs::write(&path, good).unwrap();
    let config = rig.config().tls_root(path.as_path());
    let pool = rig.pool(config.tls_rotate_within(Duration::from_millis(200)));
    let mut listener = pool.listen(["listen rotated"]).await.unwrap();
    fs::write(&path, format!("{good}{}", Pki::new().root_pem())).unwrap();
    assert_eq!(pool.reload().await, Ok(Reload::Swapped));
    reconnected(&mut listener).await;
    notify(&pool, "listen rotated", "after").await;
    assert_eq!(notified(&mut listener).await.1, "after");
    assert_eq!(pool.status().stale, 0);
    assert_eq!(
        rig.record.counts().closed,
        BTreeMap::from([("tls_rotated", 1)])
    );

    // While nothing can be opened, what is old is listened to.
    fs::write(&path, Pki::new().root_pem()).unwrap();
    assert_eq!(pool.reload().await, Ok(Reload::Swapped));
    let error = listener.recv().await.unwrap().unwrap_err();
    assert_eq!(error.class(), Class::Tls, "{error}");
    rig.cluster
        .sql("notify \"listen rotated\", 'old'")
        .await
        .unwrap();
    assert_eq!(notified(&mut listener).await.1, "old");
    fs::write(&path, good).unwrap();
    assert_eq!(pool.reload().await, Ok(Reload::Swapped));
    reconnected(&mut listener).await;
}

async fn a_password_that_is_wrong_is_told_once(rig: Arc<Rig>) {
    let wrong = rig.pool(rig.retrying().password("wrong-3f9a"));
    let started = Instant::now();
    let error = wrong.listen(["listen"]).await.unwrap_err();
    assert_eq!(error.class(), Class::Auth, "{}", chain(&error));
    assert!(started.elapsed() < SLACK);

    let pool = rig.pool(rig.retrying());
    let mut listener = pool.listen(["listen"]).await.unwrap();
    let alter = |password: &str| format!("alter role app password '{password}'");
    rig.cluster.sql(&alter("another-3f9a")).await.unwrap();
    let kill = "select pg_terminate_backend(pid) from pg_stat_activity where query like 'LISTEN%'";
    rig.cluster.sql(kill).await.unwrap();
    let error = listener.recv().await.unwrap().unwrap_err();
    assert_eq!(error.class(), Class::Auth, "{}", chain(&error));
    let error = listener.listen("more").await.unwrap_err();
    assert_eq!(error.class(), Class::Auth, "{}", chain(&error));
    let tries = rig.record.counts().sealed;
    eventually("it is tried again", async || {
        rig.record.counts().sealed > tries
    })
    .await;
    rig.cluster
        .sql(&alter(rig.cluster.password()))
        .await
        .unwrap();
    reconnected(&mut listener).await;
    notify(&pool, "more", "after").await;
    assert_eq!(notified(&mut listener).await.0, "more");
    drop(listener);
    rig.recovered(&pool).await;
}

async fn a_server_that_is_away(rig: Arc<Rig>) {
    let limit = Duration::from_millis(500);
    let hasty = rig.pool(rig.retrying().pool_acquire_timeout(limit));
    let patient = rig.pool(rig.retrying().pool_acquire_timeout(MINUTE));
    rig.cluster.stop(Shutdown::Fast).unwrap();
    let started = Instant::now();
    let error = hasty.listen(["listen"]).await.unwrap_err();
    let taken = started.elapsed();
    assert!(taken >= limit && taken < limit + SLACK, "{taken:?}");
    assert!(error.is_transient(), "{}", chain(&error));
    let once = rig.pool(rig.config().pool_acquire_timeout(MINUTE));
    let error = once.listen(["listen"]).await.unwrap_err();
    assert!(matches!(error, Error::Connect(_)), "{}", chain(&error));
    let begun = tokio::spawn({
        let patient = patient.clone();
        async move { patient.listen(["listen"]).await }
    });
    eventually("a connect has failed", async || {
        matches!(patient.readiness(), Readiness::Failing(_))
    })
    .await;
    rig.cluster.start_again().unwrap();
    let mut listener = begun.await.unwrap().expect("it has waited for the server");
    notify(&patient, "listen", "after").await;
    assert_eq!(notified(&mut listener).await.1, "after");
    drop(listener);
    rig.recovered(&patient).await;
}

async fn a_burst_loses_nothing(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config());
    let mut listener = pool.listen(["listen to a burst"]).await.unwrap();
    let lender = pool.clone();
    let sender = tokio::spawn(async move {
        let client = lender.acquire().await.unwrap();
        let burst =
            "select pg_notify('listen to a burst', i::text) from generate_series(1, 5000) i";
        client.batch_execute(burst).await.unwrap();
    });
    for number in 1..=5_000 {
        assert_eq!(notified(&mut listener).await.1, number.to_string());
    }
    sender.await.unwrap();
}

/// Waits until the server has sent all that is to be heard.
async fn all_sent(rig: &Rig) {
    let deadline = Instant::now() + MINUTE;
    let usage = "select pg_notification_queue_usage() = 0";
    while rig.cluster.sql(usage).await.unwrap() != [[Some("t".to_owned())]] {
        assert!(Instant::now() < deadline, "the server's queue is held back");
        // The server tells of its queue only who asks.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Far more than fit into the queue and what lies between.
async fn a_listener_that_hangs_holds_nobody_up(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config());
    let mut listener = pool.listen(["listen"]).await.unwrap();
    let mut forgotten = pool.listen(["listen"]).await.unwrap();
    let burst =
        "select pg_notify('listen', i || repeat('x', 7900)) from generate_series(1, 4000) i";
    rig.cluster.sql(burst).await.unwrap();
    all_sent(&rig).await;
    let (mut heard, mut lagged) = (0, 0);
    while heard + lagged < 4_000 {
        match next(&mut listener).await {
            Heard::Notification(_) => heard += 1,
            Heard::Lagged(count) => lagged += count,
            other => panic!("{other:?}"),
        }
    }
    assert!(heard >= 1_024 && lagged > 0, "{heard} heard, {lagged} lost");
    assert_eq!(heard + lagged, 4_000);
    notify(&pool, "listen", "after").await;
    assert_eq!(notified(&mut listener).await.1, "after");

    // Neither one that is full nor one that is being filled holds up the end.
    rig.cluster.sql(burst).await.unwrap();
    let started = Instant::now();
    pool.shutdown(MINUTE).await;
    assert!(started.elapsed() < MINUTE);
    eventually("no backend is left", async || {
        count(&rig, "true").await == "0"
    })
    .await;
    (heard, lagged) = (0, 0);
    while let Some(left) = forgotten.recv().await {
        match left.unwrap() {
            Heard::Notification(_) => heard += 1,
            Heard::Lagged(count) => lagged += count,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(heard, 1_024, "what had come can be taken");
    assert!(lagged >= 4_001 - 1_024, "{lagged}");
}
