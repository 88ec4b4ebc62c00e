use std::{error::Error as _, sync::Arc, time::Duration};

use sealpool::{Class, Error, Pool, Readiness};
use sealpool_testkit::{ClusterBuilder, Shutdown};
use tokio::{task::JoinSet, time::Instant};

use crate::rig::{Rig, SLACK, eventually, on_both};

on_both! {
    on_shared() => a_limit_of_one_call;
    on_shared() => an_idle_connection_or_nothing;
    on_shared() => a_queue_that_is_full;
    on_shared() => those_who_wait_are_served_in_order;
    on_own(|builder| builder) => a_server_that_comes_back_within_the_limit;
    on_own(|builder| builder) => a_failure_that_may_pass_is_told_at_the_limit;
    on_shared() => a_wrong_password_ends_every_wait_with_two_connects;
    on_own(full) => a_connection_that_comes_back_serves_who_could_open_none;
    on_shared() => few_handshakes_at_once;
}

const MINUTE: Duration = Duration::from_secs(60);

pub(crate) async fn waits(pool: &Pool, count: usize) {
    eventually("they wait", async || pool.status().waiting == count).await;
}

async fn a_limit_of_one_call(rig: Arc<Rig>) {
    let pool = rig.pool(rig.retrying().pool_max_size(1));
    let _held = pool.acquire().await.unwrap();
    let limit = Duration::from_millis(50);
    let error = pool.acquire_timeout(limit).await.unwrap_err();
    let text = error.to_string();
    let levels = "no client within 50ms: 1 used, 0 idle, 0 opening, 1 waiting of at most 1; ";
    assert!(text.starts_with(levels), "{text}");
    assert_eq!(pool.status().waiting, 0);
}

async fn an_idle_connection_or_nothing(rig: Arc<Rig>) {
    let pool = rig.pool(rig.retrying().pool_max_size(2));
    assert!(pool.try_acquire().is_none(), "nothing is opened");
    let first = pool.acquire().await.unwrap();
    assert!(pool.try_acquire().is_none(), "nobody is waited for");
    drop(first);
    let deadline = Instant::now() + SLACK;
    for _ in 0..100 {
        let again = loop {
            if let Some(client) = pool.try_acquire() {
                break client;
            }
            assert!(Instant::now() < deadline, "the idle one is never lent");
            tokio::task::yield_now().await;
        };
        again.query_one("select 1", &[]).await.unwrap();
    }
    assert_eq!(
        rig.record.counts().opened,
        1,
        "none is lost when it comes too early"
    );
    assert!(rig.record.counts().closed.is_empty());
}

async fn a_queue_that_is_full(rig: Arc<Rig>) {
    let pool = rig.pool(rig.retrying().pool_max_size(1).pool_max_waiting(2_u32));
    let held = pool.acquire().await.expect("who opens one is not queued");
    let mut waiters = JoinSet::new();
    for count in 1..=2 {
        let waiting = pool.clone();
        waiters.spawn(async move { waiting.acquire().await.map(drop) });
        waits(&pool, count).await;
    }
    let error = pool.acquire().await.unwrap_err();
    assert!(matches!(error, Error::QueueFull(2)), "{error}");
    assert_eq!(
        (error.class(), error.is_transient()),
        (Class::Timeout, true)
    );
    assert_eq!(
        error.to_string(),
        "2 acquires are waiting already (pool.max_waiting); give clients back sooner, or raise pool.max_size"
    );
    drop(held);
    for served in waiters.join_all().await {
        served.expect("those who were in the queue");
    }
}

async fn those_who_wait_are_served_in_order(rig: Arc<Rig>) {
    let pool = rig.pool(rig.retrying().pool_max_size(1));
    let held = pool.acquire().await.unwrap();
    let (served, mut order) = tokio::sync::mpsc::unbounded_channel();
    let mut waiters = JoinSet::new();
    for number in 1..=5 {
        let (waiting, served) = (pool.clone(), served.clone());
        waiters.spawn(async move {
            let _client = waiting.acquire().await.unwrap();
            served.send(number).unwrap();
        });
        waits(&pool, number).await;
    }
    drop((held, served));
    for number in 1..=5 {
        assert_eq!(order.recv().await, Some(number));
    }
    waiters.join_all().await;
}

async fn a_server_that_comes_back_within_the_limit(rig: Arc<Rig>) {
    let pool = rig.pool(rig.retrying().pool_acquire_timeout(MINUTE));
    rig.cluster.stop(Shutdown::Immediate).unwrap();
    let waiter = tokio::spawn({
        let pool = pool.clone();
        async move { pool.acquire().await }
    });
    eventually("a connect has failed", async || {
        matches!(pool.readiness(), Readiness::Failing(_))
    })
    .await;
    rig.cluster.start_again().unwrap();
    let client = waiter.await.unwrap().expect("it has waited for the server");
    client.query_one("select 1", &[]).await.unwrap();
}

async fn a_failure_that_may_pass_is_told_at_the_limit(rig: Arc<Rig>) {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = gone.local_addr().unwrap().port();
    drop(gone);
    let pool = rig.pool(rig.retrying().port([port]));
    let limit = Duration::from_millis(700);
    let started = Instant::now();
    let error = pool.acquire_timeout(limit).await.unwrap_err();
    assert!(started.elapsed() >= limit);
    let Error::Timeout(late) = &error else {
        panic!("{error}")
    };
    let last = late.last_failure().expect("the last real failure");
    assert!(last.is_transient());
    assert!(late.source().unwrap().to_string().contains("tcp"), "{last}");
    assert!(
        error.to_string().ends_with("; the last connection failed"),
        "{error}"
    );
    assert!(matches!(pool.readiness(), Readiness::Failing(_)));

    let once = rig.pool(rig.retrying().port([port]).connect_retry(false));
    let error = once.acquire().await.unwrap_err();
    assert!(matches!(error, Error::Connect(_)), "{error}");
}

async fn a_wrong_password_ends_every_wait_with_two_connects(rig: Arc<Rig>) {
    let config = rig.retrying().password("wrong-8c1f").pool_max_size(10);
    let pool = rig.pool(config.pool_acquire_timeout(MINUTE));
    let started = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..50 {
        let pool = pool.clone();
        callers.spawn(async move { pool.acquire().await.unwrap_err() });
    }
    for error in callers.join_all().await {
        assert_eq!(error.class(), Class::Auth, "{error}");
    }
    while started.elapsed() < Duration::from_secs(2) {
        let error = pool.acquire().await.unwrap_err();
        assert_eq!(error.class(), Class::Auth, "{error}");
        tokio::task::yield_now().await;
    }
    let started_handshakes = rig.record.counts().started;
    if started.elapsed() < Duration::from_secs(5) {
        assert!(started_handshakes <= 2, "{started_handshakes} connects");
    }
}

fn full(builder: ClusterBuilder) -> ClusterBuilder {
    builder
        .setting("max_connections", "2")
        .setting("superuser_reserved_connections", "1")
        .setting("max_wal_senders", "0")
}

/// Several times, since it may come back while a connect is under way as well as between two of them.
async fn a_connection_that_comes_back_serves_who_could_open_none(rig: Arc<Rig>) {
    let pool = rig.pool(rig.retrying().pool_acquire_timeout(MINUTE));
    for _ in 0..8 {
        let only = pool.acquire().await.unwrap();
        let before = rig.record.counts().sealed;
        let waiter = tokio::spawn({
            let pool = pool.clone();
            async move { pool.acquire().await }
        });
        eventually("the server has been asked for one more", async || {
            rig.record.counts().sealed > before
        })
        .await;
        drop(only);
        let client = waiter
            .await
            .unwrap()
            .expect("the connection that came back");
        client.query_one("select 1", &[]).await.unwrap();
    }
}

async fn few_handshakes_at_once(rig: Arc<Rig>) {
    let pool = rig.pool(rig.retrying().pool_max_size(10));
    let mut callers = JoinSet::new();
    for _ in 0..200 {
        let pool = pool.clone();
        callers.spawn(async move {
            let client = pool.acquire().await.unwrap();
            client.query_one("select 1", &[]).await.unwrap();
        });
    }
    let mut most = 0;
    while !callers.is_empty() {
        most = most.max(pool.status().opening);
        while let Some(done) = callers.try_join_next() {
            done.unwrap();
        }
        tokio::task::yield_now().await;
    }
    assert!(most <= 4, "{most} connections opened at once");
    let counts = rig.record.counts();
    assert!(counts.opened <= 10, "{counts:?}");
    assert!(counts.failed.is_empty(), "{counts:?}");
}
