use std::{collections::BTreeMap, sync::Arc, time::Duration};

use sealpool::{Client, Error, Pool, Readiness};
use tokio::{task::JoinSet, time::Instant};

use crate::rig::{Rig, SLACK, eventually, on_both};

on_both! {
    on_own(|builder| builder) => fifty_waiters_and_ten_borrowers;
    on_shared() => what_is_in_use_at_the_limit_is_cut;
    on_shared() => who_connects_is_a_waiter_too;
    on_shared() => a_pool_that_is_dropped;
    on_shared() => ready_fills_the_minimum;
    on_shared() => ready_fails_with_the_cause;
    on_shared() => readiness_without_a_query;
}

const MINUTE: Duration = Duration::from_secs(60);

async fn filled(pool: &Pool, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(pool.acquire().await.unwrap());
    }
    clients
}

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
