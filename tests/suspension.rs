use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use sealpool::{Client, Error, Pool, PoolState, Readiness};
use tokio::task::JoinHandle;

use crate::{
    deadline::waits,
    rig::{Rig, SLACK, eventually, on_both},
};

on_both! {
    on_shared() => acquires_wait_and_go_on_in_order;
    on_shared() => what_is_lent_and_what_is_idle_stays;
    on_shared() => a_wait_ends_at_its_limit_and_says_why;
    on_shared() => who_has_waited_for_a_connection_waits_on;
    on_shared() => a_dropped_wait_loses_no_permit;
    on_shared() => a_suspended_pool_is_shut_down;
}

const MINUTE: Duration = Duration::from_secs(60);

fn acquires(pool: &Pool) -> JoinHandle<Result<Client, Error>> {
    let pool = pool.clone();
    tokio::spawn(async move { pool.acquire().await })
}

async fn acquires_wait_and_go_on_in_order(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config().pool_max_size(1));
    pool.suspend();
    let suspended = pool.clone();
    let served = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for number in 0..16 {
        let (pool, served) = (pool.clone(), Arc::clone(&served));
        tasks.push(tokio::spawn(async move {
            let client = pool.acquire().await.unwrap();
            served.lock().unwrap().push(number);
            client.batch_execute("select 1").await.unwrap();
        }));
        waits(&suspended, number + 1).await;
    }
    assert_eq!(rig.record.counts().started, 0, "nothing is opened for them");
    pool.resume();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*served.lock().unwrap(), (0..16).collect::<Vec<_>>());
    pool.resume();
    drop(pool.acquire().await.unwrap());
}

async fn what_is_lent_and_what_is_idle_stays(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config().pool_max_size(3));
    assert_eq!(pool.status().state, PoolState::Running);
    let (lent, idle) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    drop(idle);
    pool.suspend();
    pool.suspend();
    assert_eq!(pool.status().state, PoolState::Suspended);
    assert!(matches!(pool.readiness(), Readiness::Suspended));
    assert!(!pool.readiness().is_ready());
    assert!(pool.try_acquire().is_none(), "although one is idle");
    lent.batch_execute("select 1").await.unwrap();
    drop(lent);
    assert_eq!(pool.status().idle, 2);
    let waiters: Vec<_> = (0..3).map(|_| acquires(&pool)).collect();
    waits(&pool, 3).await;
    pool.resume();
    assert_eq!(pool.status().state, PoolState::Running);
    for waiter in waiters {
        waiter.await.unwrap().unwrap();
    }
    eventually("one is lent", async || pool.try_acquire().is_some()).await;
    assert!(rig.record.counts().opened <= 3);
    assert!(rig.record.counts().closed.is_empty());
}

async fn a_wait_ends_at_its_limit_and_says_why(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config());
    drop(pool.acquire().await.unwrap());
    pool.suspend();
    let limit = Duration::from_millis(200);
    let started = Instant::now();
    let error = pool.acquire_timeout(limit).await.unwrap_err();
    let taken = started.elapsed();
    assert!(taken >= limit && taken < limit + SLACK, "{taken:?}");
    assert_eq!(
        error.to_string(),
        "no client within 200ms: 0 used, 1 idle, 0 opening, 1 waiting of at most 10; the pool is suspended: resume it \
         (Pool::resume)"
    );
    pool.resume();
    drop(pool.acquire().await.unwrap());
}

/// Who was first in the queue before is first afterwards.
async fn who_has_waited_for_a_connection_waits_on(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config().pool_max_size(1));
    let lent = pool.acquire().await.unwrap();
    let first = acquires(&pool);
    waits(&pool, 1).await;
    pool.suspend();
    let second = acquires(&pool);
    waits(&pool, 2).await;
    drop(lent);
    let error = pool.acquire_timeout(Duration::from_millis(100)).await;
    assert!(matches!(error, Err(Error::Timeout(_))));
    assert!(!first.is_finished());
    pool.resume();
    let client = first.await.unwrap().unwrap();
    assert!(!second.is_finished());
    drop(client);
    second.await.unwrap().unwrap();
    assert_eq!(rig.record.counts().opened, 1);
}

async fn a_dropped_wait_loses_no_permit(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config().pool_max_size(2));
    for _ in 0..20 {
        pool.suspend();
        let waiters: Vec<_> = (0..4).map(|_| acquires(&pool)).collect();
        waits(&pool, 4).await;
        for waiter in &waiters {
            waiter.abort();
        }
        waits(&pool, 0).await;
        pool.resume();
        let both = tokio::join!(pool.acquire(), pool.acquire());
        assert!(both.0.is_ok() && both.1.is_ok());
    }
}

async fn a_suspended_pool_is_shut_down(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config().pool_max_size(2));
    drop(pool.acquire().await.unwrap());
    let lent = pool.acquire().await.unwrap();
    pool.suspend();
    let waiters: Vec<_> = (0..4).map(|_| acquires(&pool)).collect();
    waits(&pool, 4).await;
    let closing = tokio::spawn({
        let pool = pool.clone();
        async move { pool.shutdown(MINUTE).await }
    });
    for waiter in waiters {
        assert!(matches!(waiter.await.unwrap(), Err(Error::Closed)));
    }
    assert_eq!(pool.status().state, PoolState::Closing);
    drop(lent);
    closing.await.unwrap();
    assert_eq!(pool.status().state, PoolState::Closed);
    assert!(matches!(pool.readiness(), Readiness::Closed));
    assert!(matches!(pool.acquire().await, Err(Error::Closed)));
    pool.resume();
    assert!(matches!(pool.acquire().await, Err(Error::Closed)));
    assert_eq!(rig.record.counts().closed.get("pool_closed"), Some(&1));
}
