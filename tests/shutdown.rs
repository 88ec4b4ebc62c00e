use std::{collections::BTreeMap, sync::Arc, time::Duration};

use sealpool::{Error, Readiness};
use sealpool_testkit::Recording;
use tokio::{task::JoinSet, time::Instant};

use crate::rig::{Rig, SLACK, eventually, filled, on_both};

on_both! {
    on_own(|builder| builder) => fifty_waiters_and_ten_borrowers;
    on_shared() => what_is_in_use_at_the_limit_is_cut;
    on_shared() => what_is_cut_is_cancelled_at_the_server;
    on_own(|builder| builder) => a_server_that_answers_no_request_holds_up_no_shutdown;
    on_shared() => the_last_words_are_terminate_and_close_notify;
    on_shared() => who_connects_is_a_waiter_too;
    on_shared() => a_pool_that_is_dropped;
    on_shared() => ready_fills_the_minimum;
    on_shared() => ready_fails_with_the_cause;
    on_shared() => readiness_without_a_query;
}

const MINUTE: Duration = Duration::from_secs(60);

async fn fifty_waiters_and_ten_borrowers(rig: Arc<Rig>) {
    let pool = rig.pool(rig.retrying().pool_max_size(12));
    let mut clients = filled(&pool, 12).await;
    drop(clients.split_off(10));
    let idle = pool.status().idle;
    assert_eq!(idle, 2);
    let mut held = clients;
    held.extend(filled(&pool, 2).await);
    let mut waiters = JoinSet::new();
    for _ in 0..50 {
        let pool = pool.clone();
        waiters.spawn(async move { pool.acquire().await.map(drop) });
    }
    eventually("they wait", async || pool.status().waiting == 50).await;
    let closing = tokio::spawn({
        let pool = pool.clone();
        async move { pool.shutdown(MINUTE).await }
    });
    for waiter in waiters.join_all().await {
        assert!(matches!(waiter, Err(Error::Closed)), "{waiter:?}");
    }
    assert!(matches!(pool.acquire().await, Err(Error::Closed)));
    assert!(pool.try_acquire().is_none());
    for client in &held {
        let finished = client.query_one("select 1", &[]).await;
        finished.expect("a borrower may finish");
    }
    assert!(!closing.is_finished());
    drop(held);
    closing.await.unwrap();
    assert_eq!(
        rig.record.counts().closed,
        BTreeMap::from([("pool_closed", 12)])
    );
    eventually("the server has no session of ours", async || {
        let left = "select count(*) from pg_stat_activity where usename = 'app'";
        rig.cluster.sql(left).await.unwrap() == [[Some("0".to_owned())]]
    })
    .await;
    let log = rig.cluster.log();
    for rude in ["unexpected EOF", "reset by peer"] {
        assert!(!log.contains(rude), "no goodbye: {log}");
    }
}

async fn what_is_in_use_at_the_limit_is_cut(rig: Arc<Rig>) {
    let pool = rig.pool(rig.retrying().pool_max_size(3));
    let mut clients = filled(&pool, 3).await;
    let idle = clients.pop();
    let unused = clients.pop().unwrap();
    let busy = clients.pop().unwrap();
    drop(idle);
    let query = tokio::spawn(async move {
        let failed = busy.query_one("select pg_sleep(60)", &[]).await;
        failed.expect_err("it was under way")
    });
    let limit = Duration::from_millis(300);
    let started = Instant::now();
    pool.shutdown(limit).await;
    let taken = started.elapsed();
    assert!(taken >= limit && taken < limit + SLACK, "{taken:?}");
    assert!(query.await.unwrap().is_closed());
    assert!(unused.is_closed());
    drop(unused);
    assert_eq!(
        rig.record.counts().closed,
        BTreeMap::from([("pool_closed", 3)])
    );
    pool.shutdown(limit).await;
}

async fn running(rig: &Rig, seconds: u32) -> usize {
    let query = format!(
        "select count(*) from pg_stat_activity \
         where state = 'active' and query like '%pg_sleep({seconds})%' and pid <> pg_backend_pid()"
    );
    let rows = rig.cluster.sql(&query).await.unwrap();
    rows[0][0].as_ref().unwrap().parse().unwrap()
}

/// More than are cancelled at once; and one that its borrower has left, which is about to be mended.
async fn what_is_cut_is_cancelled_at_the_server(rig: Arc<Rig>) {
    let grace = MINUTE;
    let config = rig.retrying().pool_mend_timeout(grace * 2);
    let pool = rig.pool(config.pool_max_size(9).pool_cancel_grace(grace));
    let mut clients = filled(&pool, 9).await;
    let idle = clients.pop();
    let left = clients.pop().unwrap();
    let mut queries = JoinSet::new();
    for client in clients {
        queries.spawn(async move { client.batch_execute("select pg_sleep(305)").await });
    }
    let sleep = left.batch_execute("select pg_sleep(305)");
    let asleep = eventually("all sleep", async || running(&rig, 305).await == 8);
    tokio::select! {
        biased;
        _ = sleep => panic!("it ended"),
        () = asleep => {}
    }
    drop(left);
    pool.shutdown(Duration::from_millis(50)).await;
    for query in queries.join_all().await {
        assert!(query.unwrap_err().is_closed());
    }
    eventually("the server has stopped too", async || {
        running(&rig, 305).await == 0
    })
    .await;
    assert_eq!(rig.record.counts().closed["pool_closed"], 8);
    drop(idle);
}

async fn a_server_that_answers_no_request_holds_up_no_shutdown(rig: Arc<Rig>) {
    let pool = rig.pool(rig.retrying().connect_cancel_timeout(MINUTE));
    let client = pool.acquire().await.unwrap();
    let query = tokio::spawn(async move { client.batch_execute("select pg_sleep(306)").await });
    eventually("it sleeps", async || running(&rig, 306).await == 1).await;
    rig.cluster.set("pre_auth_delay", "59s").unwrap();
    let limit = Duration::from_millis(50);
    let started = Instant::now();
    pool.shutdown(limit).await;
    let taken = started.elapsed();
    assert!(taken >= limit && taken < limit + SLACK, "{taken:?}");
    assert!(query.await.unwrap().unwrap_err().is_closed());
}

/// The lengths of TLS 1.3's records: what is in it, one byte for its kind and 16 for the seal.
async fn the_last_words_are_terminate_and_close_notify(rig: Arc<Rig>) {
    const TERMINATE: usize = 5 + 17;
    const ALERT: usize = 2 + 17;
    let pool = rig.pool(rig.retrying().pool_max_size(4));
    drop(filled(&pool, 4).await);
    pool.shutdown(MINUTE).await;
    let said = |connection: &Recording| {
        let mut rest = &connection.bytes()[connection.cleartext_len()..];
        let mut lengths = Vec::new();
        while let [_, _, _, high, low, more @ ..] = rest {
            let length = usize::from(*high) * 256 + usize::from(*low);
            lengths.push(length);
            rest = more.get(length..).unwrap_or_default();
        }
        lengths.ends_with(&[TERMINATE, ALERT])
    };
    eventually("all have said so", async || {
        let connections = rig.tap.connections();
        connections.len() == 4 && connections.iter().all(said)
    })
    .await;
}

async fn who_connects_is_a_waiter_too(rig: Arc<Rig>) {
    let nowhere = rig.retrying().port(1).pool_acquire_timeout(MINUTE);
    let pool = rig.pool(nowhere);
    let waiter = tokio::spawn({
        let pool = pool.clone();
        async move { pool.acquire().await.map(drop) }
    });
    eventually("a connect has failed", async || {
        matches!(pool.readiness(), Readiness::Failing(_))
    })
    .await;
    pool.shutdown(MINUTE).await;
    assert!(matches!(waiter.await.unwrap(), Err(Error::Closed)));
}

async fn a_pool_that_is_dropped(rig: Arc<Rig>) {
    let pool = rig.pool(rig.retrying().pool_min_idle(2));
    pool.ready().await.unwrap();
    let client = pool.acquire().await.unwrap();
    drop(pool);
    client.query_one("select 1", &[]).await.expect("still lent");
    drop(client);
    eventually("all are closed", async || {
        let counts = rig.record.counts();
        counts.opened == counts.closed.values().sum::<usize>()
    })
    .await;
}

async fn ready_fills_the_minimum(rig: Arc<Rig>) {
    let pool = rig.pool(rig.retrying().pool_min_idle(3));
    assert!(matches!(pool.readiness(), Readiness::Untried));
    pool.ready().await.unwrap();
    let status = pool.status();
    assert!(status.idle >= 3 && status.used == 0, "{status}");
    assert!(pool.readiness().is_ready());
    let _three = filled(&pool, 3).await;

    let none = rig.pool(rig.retrying());
    none.ready().await.expect("one is opened in any case");
    assert_eq!(none.status().idle, 1);
}

async fn ready_fails_with_the_cause(rig: Arc<Rig>) {
    for config in [rig.retrying().password("wrong-5d"), rig.retrying().port(1)] {
        let pool = rig.pool(config.pool_acquire_timeout(MINUTE));
        let started = Instant::now();
        let error = pool.ready().await.unwrap_err();
        assert!(matches!(error, Error::Connect(_)), "{error}");
        assert!(started.elapsed() < MINUTE);
        assert!(matches!(pool.readiness(), Readiness::Failing(_)));
    }
}

async fn readiness_without_a_query(rig: Arc<Rig>) {
    let pool = rig.pool(rig.retrying().pool_max_size(1));
    let client = pool.acquire().await.unwrap();
    assert!(pool.readiness().is_ready(), "although it is lent");
    drop(client);
    let sent = |rig: &Rig| {
        rig.tap
            .connections()
            .iter()
            .map(|c| c.bytes().len())
            .sum::<usize>()
    };
    let before = sent(&rig);
    for _ in 0..100 {
        assert!(pool.readiness().is_ready());
    }
    assert_eq!(sent(&rig), before);
    pool.shutdown(MINUTE).await;
    assert!(matches!(pool.readiness(), Readiness::Closed));
}
