use std::{
    sync::Arc,
    task::{Context, Waker},
    thread,
    time::{Duration, Instant},
};

use sealpool::{Error, Pool};
use tokio::{
    runtime::{Builder, Runtime},
    sync::mpsc,
    task::{JoinHandle, JoinSet},
};

use crate::{
    deadline::waits as waits_for,
    rig::{Rig, SLACK, filled, on_both},
};

on_both! {
    on_shared() => two_runtimes_at_once;
    on_shared() => a_runtime_that_stands_still_holds_up_no_limit;
    on_own(|builder| builder) => a_runtime_takes_its_connections_along;
    on_own(|builder| builder) => a_runtime_that_ends_in_the_middle_of_everything;
    on_shared() => a_pool_dropped_outside_of_any_runtime;
}

fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

/// What cannot be done inside of another runtime.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

async fn crowd(pool: Pool) {
    let mut tasks = JoinSet::new();
    for task in 0..8_i32 {
        let pool = pool.clone();
        tasks.spawn(async move {
            for round in 0..40 {
                let client = pool.acquire().await.unwrap();
                let sum = client
                    .query_one("select $1::int + $2", &[&task, &round])
                    .await;
                assert_eq!(sum.unwrap().get::<_, i32>(0), task + round);
                if round % 7 == 0 {
                    client.batch_execute("begin").await.unwrap();
                }
            }
        });
    }
    tasks.join_all().await;
}

async fn two_runtimes_at_once(rig: Arc<Rig>) {
    let pool = rig.pool(rig.retrying().pool_max_size(3));
    let (here, there) = (pool.clone(), pool.clone());
    let there = apart(move || {
        let runtime = runtime();
        let crowd = runtime.spawn(crowd(there));
        (runtime, crowd)
    });
    let (runtime, there) = there.await;
    crowd(here).await;
    there.await.unwrap();
    // Its connections end with it, and not while somebody here uses them.
    apart(move || drop(runtime)).await;
    assert_eq!(pool.status().used, 0);
    crowd(pool).await;
}

/// Whoever waits there, and keeps the time for nobody.
async fn a_runtime_that_stands_still_holds_up_no_limit(rig: Arc<Rig>) {
    let pool = rig.pool(rig.retrying().pool_max_size(1));
    let held = pool.acquire().await.unwrap();
    let limit = Duration::from_millis(100);
    let there = pool.clone();
    let (runtime, mut waits) = apart(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let mut waits = Box::pin(async move { there.acquire_timeout(limit).await });
        runtime.block_on(async {
            let mut cx = Context::from_waker(Waker::noop());
            assert!(waits.as_mut().poll(&mut cx).is_pending());
        });
        (runtime, waits)
    })
    .await;
    waits_for(&pool, 1).await;
    let started = Instant::now();
    let error = pool.acquire_timeout(limit).await.unwrap_err();
    assert!(matches!(error, Error::Timeout(_)), "{error}");
    assert!(started.elapsed() >= limit);
    apart(move || drop(runtime)).await;
    let error = waits.as_mut().await.unwrap_err();
    assert!(matches!(error, Error::Timeout(_)), "{error}");
    assert_eq!(pool.status().waiting, 0);
    drop(held);
}

async fn a_runtime_takes_its_connections_along(rig: Arc<Rig>) {
    let pool = rig.pool(rig.retrying().pool_max_size(4));
    let there = pool.clone();
    let held = apart(move || {
        let runtime = runtime();
        let mut clients = runtime.block_on(filled(&there, 4));
        clients.truncate(2);
        clients
    });
    let held = held.await;
    for client in &held {
        let error = client.query_one("select 1", &[]).await.unwrap_err();
        assert!(error.is_closed(), "{error}");
    }
    assert!(pool.try_acquire().is_none());
    drop(filled(&pool, 2).await);
    drop(held);
    rig.recovered(&pool).await;
    assert_eq!(rig.record.counts().closed["broken"], 4);
}

/// The runtime ends while its tasks connect, wait, query, hold and mend.
async fn a_runtime_that_ends_in_the_middle_of_everything(rig: Arc<Rig>) {
    let pool = rig.pool(rig.retrying().pool_max_size(3).pool_min_idle(1));
    for round in 0..12 {
        let (there, patience) = (pool.clone(), Duration::from_millis(round * 4));
        let started = Instant::now();
        apart(move || {
            let runtime = runtime();
            let tasks: Vec<JoinHandle<()>> = (0..8)
                .map(|_| runtime.spawn(endless(there.clone())))
                .collect();
            thread::sleep(patience);
            runtime.shutdown_timeout(Duration::from_secs(60));
            let ended = runtime_of_one().block_on(async {
                let mut ended = Vec::new();
                for task in tasks {
                    ended.push(task.await.unwrap_err());
                }
                ended
            });
            assert!(ended.iter().all(|error| error.is_cancelled()), "{ended:?}");
        })
        .await;
        assert!(started.elapsed() < patience + SLACK, "round {round}");
        let client = pool.acquire().await.expect("the pool works here");
        client.query_one("select 1", &[]).await.unwrap();
    }
    rig.recovered(&pool).await;
}

fn runtime_of_one() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

async fn endless(pool: Pool) {
    let _listener = pool.listen(["runtimes"]).await.unwrap();
    loop {
        let client = pool.acquire().await.unwrap();
        client
            .batch_execute("begin; select pg_sleep(0.002)")
            .await
            .unwrap();
    }
}

/// With borrowers, with one who connects, and with a listener.
async fn a_pool_dropped_outside_of_any_runtime(rig: Arc<Rig>) {
    let pool = rig.pool(rig.retrying().pool_max_size(4).pool_min_idle(2));
    pool.ready().await.unwrap();
    let mut listener = pool.listen(["runtimes"]).await.unwrap();
    let clients = filled(&pool, 2).await;
    clients[0].batch_execute("begin").await.unwrap();
    let (begun, mut begins) = mpsc::unbounded_channel();
    let connecting = tokio::spawn({
        let pool = pool.clone();
        async move {
            begun.send(()).unwrap();
            pool.acquire().await.map(drop)
        }
    });
    begins.recv().await.unwrap();
    connecting.abort();
    let _ = connecting.await;
    thread::spawn(move || drop(pool)).join().unwrap();
    assert!(listener.recv().await.is_none());
    for client in &clients {
        client.query_one("select 1", &[]).await.expect("still lent");
    }
    thread::spawn(move || drop(clients)).join().unwrap();
}
