use std::{
    collections::BTreeMap,
    future::{Future as _, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use sealpool::{Class, Error};
use tokio::{task::JoinSet, time::Instant};

use crate::rig::{Rig, SLACK, on_both};

on_both! {
    on_shared() => sixty_four_tasks_on_a_pool_of_eight;
    on_shared() => a_dropped_acquire_loses_no_permit;
    on_shared() => an_acquire_ends_at_its_deadline;
    on_own(|builder| builder) => a_lost_connection_is_replaced;
}

async fn sixty_four_tasks_on_a_pool_of_eight(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config().pool_max_size(8));
    let held = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for task in 0..64_i32 {
        let (pool, held) = (pool.clone(), Arc::clone(&held));
        tasks.spawn(async move {
            let mut most = 0;
            for round in 0..10 {
                let client = pool.acquire().await.unwrap();
                most = most.max(held.fetch_add(1, Ordering::SeqCst) + 1);
                let row = client
                    .query_one("select $1::int + $2", &[&task, &round])
                    .await
                    .unwrap();
                assert_eq!(row.get::<_, i32>(0), task + round);
                held.fetch_sub(1, Ordering::SeqCst);
            }
            most
        });
    }
    let most = tasks.join_all().await.into_iter().max();
    assert!(most <= Some(8), "{most:?} clients at once");
    // One that a busy server does not answer for in time is replaced, and then there are more in all.
    assert!(rig.record.counts().most_open <= 8);
    assert_eq!(pool.status().used, 0);
}

/// The tests of `dropped` meet every await point; this is the one in the queue.
async fn a_dropped_acquire_loses_no_permit(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config().pool_max_size(2));
    let both = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    for _ in 0..4 {
        let mut acquire = pin!(pool.acquire());
        let polled = poll_fn(|cx| Poll::Ready(acquire.as_mut().poll(cx))).await;
        assert!(polled.is_pending(), "the pool is exhausted");
    }
    drop(both);
    let _both = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
}

async fn an_acquire_ends_at_its_deadline(rig: Arc<Rig>) {
    let limit = Duration::from_millis(300);
    let pool = rig.pool(rig.config().pool_max_size(1).pool_acquire_timeout(limit));
    let held = pool.acquire_timeout(SLACK).await.unwrap();
    let line = line!() - 1;
    let started = Instant::now();
    let error = pool.acquire().await.unwrap_err();
    let taken = started.elapsed();
    assert!(taken >= limit && taken < limit + SLACK, "{taken:?}");
    assert_eq!(
        (error.class(), error.is_transient()),
        (Class::Timeout, true)
    );
    let text = error.to_string();
    let before = "no client within 300ms (pool.acquire_timeout): 1 used, 0 idle, 0 opening, 1 waiting of at most 1; \
                  one has been held for ";
    let behind = format!(
        ", acquired at tests/acquire.rs:{line}:21; give clients back sooner, or raise pool.max_size"
    );
    assert!(
        text.starts_with(before) && text.ends_with(&behind),
        "{text}"
    );
    let Error::Timeout(timeout) = error else {
        panic!("{error}")
    };
    let oldest = timeout.oldest_holder().unwrap();
    assert!(
        oldest.held >= limit && oldest.place.line() == line,
        "{oldest:?}"
    );
    drop(held);
    pool.acquire_timeout(SLACK)
        .await
        .expect("the connection that came back");
}

async fn a_lost_connection_is_replaced(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config().pool_max_size(1));
    let pid = |row: sealpool::tokio_postgres::Row| row.get::<_, i32>(0);
    let client = pool.acquire().await.unwrap();
    let first = pid(client
        .query_one("select pg_backend_pid()", &[])
        .await
        .unwrap());
    rig.cluster
        .sql(&format!("select pg_terminate_backend({first})"))
        .await
        .unwrap();
    let error = client.query_one("select 1", &[]).await.unwrap_err();
    assert!(error.is_closed() || error.code().is_some(), "{error}");
    while !client.is_closed() {
        tokio::task::yield_now().await;
    }
    drop(client);
    let client = pool.acquire().await.unwrap();
    let second = pid(client
        .query_one("select pg_backend_pid()", &[])
        .await
        .unwrap());
    assert_ne!(first, second);
    assert_eq!(rig.record.counts().closed, BTreeMap::from([("broken", 1)]));
}
