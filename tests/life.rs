use std::{collections::BTreeSet, future::Future, sync::Arc, time::Duration};

use sealpool::{Client, Pool};
use tokio::task::JoinSet;

use crate::rig::{Rig, eventually, filled, on_both};

on_both! {
    on_shared() => the_minimum_is_kept_warm;
    on_shared() => the_minimum_never_exceeds_the_size;
    on_shared() => a_lifetime_ends_while_nobody_uses_the_connection;
    on_shared() => a_replacement_comes_before_the_retirement;
    on_shared() => a_connection_in_use_outlives_its_lifetime;
    on_shared() => idle_connections_end_down_to_the_minimum;
    on_shared() => so_many_uses;
    on_shared() => the_connection_used_last_is_lent_next;
    on_shared() => a_connection_that_has_rested_is_checked;
    on_own(|builder| builder) => a_connection_that_does_not_answer_is_replaced;
    on_shared() => a_smaller_pool;
    on_shared() => a_larger_pool;
    on_shared() => all_are_evicted;
    on_shared() => holders_and_a_leak;
    on_shared() => a_connection_string_says_how_long;
}

const HOUR: Duration = Duration::from_secs(60 * 60);

pub(crate) async fn pid(client: &Client) -> i32 {
    let row = client.query_one("select pg_backend_pid()", &[]).await;
    row.unwrap().get(0)
}

pub(crate) fn closed(rig: &Rig, reason: &str) -> usize {
    *rig.record.counts().closed.get(reason).unwrap_or(&0)
}

/// That time passes is what is waited for.
async fn rests(for_so_long: Duration) {
    tokio::time::sleep(for_so_long).await;
}

async fn the_minimum_is_kept_warm(rig: Arc<Rig>) {
    let pool = rig.pool(rig.retrying().pool_min_idle(2).pool_max_size(4));
    let first = pool.acquire().await.unwrap();
    eventually("two are idle", async || pool.status().idle == 2).await;
    let more = filled(&pool, 2).await;
    eventually("one more, as there is room", async || {
        pool.status().idle == 1
    })
    .await;
    assert_eq!(pool.status().used, 3);
    let last = filled(&pool, 1).await;
    assert!(rig.record.counts().opened <= 4);
    drop((first, more, last));
    assert_eq!(pool.status().idle, 4);
}

/// Those who fill it up, and those who acquire at the same time, keep to one size.
async fn the_minimum_never_exceeds_the_size(rig: Arc<Rig>) {
    let pool = rig.pool(rig.retrying().pool_min_idle(4).pool_max_size(4));
    let mut tasks = JoinSet::new();
    for number in 0..24 {
        let pool = pool.clone();
        tasks.spawn(async move {
            if number % 3 == 0 {
                pool.ready().await.unwrap();
            } else {
                pid(&pool.acquire().await.unwrap()).await;
            }
        });
    }
    while !tasks.is_empty() {
        while let Some(done) = tasks.try_join_next() {
            done.unwrap();
        }
        let counts = rig.record.counts();
        let open = counts.opened - counts.closed.values().sum::<usize>();
        assert!(open <= 4, "{open} connections");
        tokio::task::yield_now().await;
    }
    eventually("all are idle", async || pool.status().idle == 4).await;
    assert_eq!(rig.record.counts().opened, 4);
}

async fn a_lifetime_ends_while_nobody_uses_the_connection(rig: Arc<Rig>) {
    let lifetime = Duration::from_secs(5);
    let pool = rig.pool(rig.retrying().pool_max_lifetime(lifetime));
    let started = tokio::time::Instant::now();
    drop(filled(&pool, 10).await);
    let mut levels = BTreeSet::new();
    eventually("all are retired", async || {
        levels.insert(pool.status().idle);
        closed(&rig, "max_lifetime") == 10
    })
    .await;
    assert!(started.elapsed() >= lifetime.mul_f64(0.9));
    assert!(levels.len() > 3, "not all at once: {levels:?}");
}

async fn a_replacement_comes_before_the_retirement(rig: Arc<Rig>) {
    let config = rig.retrying().pool_min_idle(2).pool_max_size(4);
    let pool = rig.pool(config.pool_max_lifetime(Duration::from_millis(400)));
    pool.ready().await.unwrap();
    let mut least = usize::MAX;
    eventually("six have been replaced", async || {
        least = least.min(pool.status().idle);
        closed(&rig, "max_lifetime") >= 6
    })
    .await;
    assert!(least >= 2, "{least} idle");
}

async fn a_connection_in_use_outlives_its_lifetime(rig: Arc<Rig>) {
    let config = rig.retrying().pool_max_size(1);
    let pool = rig.pool(config.pool_max_lifetime(Duration::from_millis(100)));
    let client = pool.acquire().await.unwrap();
    client.query_one("select pg_sleep(0.5)", &[]).await.unwrap();
    let first = pid(&client).await;
    assert_eq!(closed(&rig, "max_lifetime"), 0);
    drop(client);
    assert_eq!(closed(&rig, "max_lifetime"), 1, "at once when it is back");
    assert_ne!(pid(&pool.acquire().await.unwrap()).await, first);
}

async fn idle_connections_end_down_to_the_minimum(rig: Arc<Rig>) {
    let config = rig.retrying().pool_min_idle(1);
    let pool = rig.pool(config.pool_idle_timeout(Duration::from_millis(300)));
    let clients = filled(&pool, 5).await;
    let opened = rig.record.counts().opened;
    drop(clients);
    eventually("one is left", async || {
        closed(&rig, "idle_timeout") + 1 == rig.record.counts().opened
    })
    .await;
    assert!(opened >= 5);
    assert_eq!(pool.status().idle, 1);
}

async fn so_many_uses(rig: Arc<Rig>) {
    let pool = rig.pool(rig.retrying().pool_max_size(1).pool_max_uses(3_u32));
    let mut pids = Vec::new();
    for _ in 0..6 {
        pids.push(pid(&pool.acquire().await.unwrap()).await);
    }
    assert_eq!(pids[..3], [pids[0]; 3]);
    assert_eq!(pids[3..], [pids[3]; 3]);
    assert_ne!(pids[0], pids[3]);
    assert_eq!(closed(&rig, "max_uses"), 2);
}

async fn the_connection_used_last_is_lent_next(rig: Arc<Rig>) {
    let pool = rig.pool(rig.retrying().pool_max_size(3));
    let mut clients = filled(&pool, 3).await;
    let last = clients.pop().unwrap();
    let expected = pid(&last).await;
    drop(clients);
    drop(last);
    for _ in 0..3 {
        assert_eq!(pid(&pool.acquire().await.unwrap()).await, expected);
    }
}

async fn a_connection_that_has_rested_is_checked(rig: Arc<Rig>) {
    let pool = rig.pool(rig.retrying().pool_max_size(1));
    let checked = || rig.record.counts().checks.get("ok").copied();
    eventually("it has been checked after a rest", async || {
        let before = pid(&pool.acquire().await.unwrap()).await;
        let checks = checked();
        rests(Duration::from_millis(1_100)).await;
        let after = pid(&pool.acquire().await.unwrap()).await;
        let kept = checked() > checks;
        assert!(!kept || before == after);
        kept
    })
    .await;
}

async fn a_connection_that_does_not_answer_is_replaced(rig: Arc<Rig>) {
    let pool = rig.pool(rig.retrying().pool_max_size(1));
    let first = pid(&pool.acquire().await.unwrap()).await;
    signal("STOP", first);
    rests(Duration::from_millis(1_100)).await;
    let client = pool.acquire().await.unwrap();
    assert_ne!(pid(&client).await, first);
    signal("CONT", first);
    assert_eq!(closed(&rig, "check_failed"), 1);
    assert_eq!(rig.record.counts().checks.get("failed"), Some(&1));
}

/// A backend that is stopped answers nothing, and its TCP connection stays.
pub(crate) fn signal(name: &str, pid: i32) {
    let kill = std::process::Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .status();
    assert!(kill.unwrap().success());
}

async fn a_smaller_pool(rig: Arc<Rig>) {
    let pool = rig.pool(rig.retrying().pool_max_size(10));
    let mut clients = filled(&pool, 8).await;
    drop(clients.split_off(4));
    pool.resize(2).unwrap();
    assert_eq!(closed(&rig, "resized"), 4, "those that were idle");
    assert_eq!((pool.status().used, pool.status().max_size), (4, 2));
    drop(clients.split_off(2));
    assert_eq!(closed(&rig, "resized"), 6, "those that came back");
    assert!(refused(pool.acquire_timeout(Duration::from_millis(50))).await);
    clients.pop();
    clients.push(pool.acquire().await.unwrap());
    assert!(refused(pool.acquire_timeout(Duration::from_millis(50))).await);
    assert_eq!(closed(&rig, "resized"), 6);
    assert!(pool.resize(0).is_err());
}

async fn refused(acquire: impl Future<Output = Result<Client, sealpool::Error>>) -> bool {
    matches!(acquire.await, Err(sealpool::Error::Timeout(_)))
}

/// Ten, two, ten: deadpool's own resize makes eighteen of it.
async fn a_larger_pool(rig: Arc<Rig>) {
    let pool = rig.pool(rig.retrying().pool_max_size(2));
    for size in [10, 2, 10, 12] {
        pool.resize(size).unwrap();
        let clients = filled(&pool, size).await;
        assert!(refused(pool.acquire_timeout(Duration::from_millis(50))).await);
        drop(clients);
        assert_eq!(pool.status().idle, size);
    }
}

async fn all_are_evicted(rig: Arc<Rig>) {
    let pool = rig.pool(rig.retrying().pool_max_size(3));
    let mut clients = filled(&pool, 3).await;
    clients.pop();
    pool.evict_all();
    assert_eq!(closed(&rig, "evicted"), 1);
    for client in &clients {
        pid(client).await;
    }
    drop(clients);
    assert_eq!(closed(&rig, "evicted"), 3);
    drop(pool.acquire().await.unwrap());
    assert_eq!(pool.status().idle, 1);
}

async fn holders_and_a_leak(rig: Arc<Rig>) {
    let threshold = Duration::from_millis(200);
    let pool = rig.pool(rig.retrying().pool_leak_threshold(threshold));
    let before = line!();
    let kept = pool.acquire().await.unwrap();
    let holders = pool.holders();
    let [holder] = holders[..] else {
        panic!("{holders:?}")
    };
    assert_eq!(
        (holder.place.file(), holder.place.line()),
        (file!(), before + 1)
    );
    eventually("the leak is reported", async || {
        rig.record.counts().leaks.len() == 1
    })
    .await;
    rests(2 * threshold).await;
    let leaks = rig.record.counts().leaks;
    assert_eq!(leaks.len(), 1, "once: {leaks:?}");
    assert!(leaks[0].starts_with(file!()), "{leaks:?}");
    assert!(pool.holders()[0].held >= threshold);
    drop(kept);
    assert!(pool.holders().is_empty());
}

async fn a_connection_string_says_how_long(rig: Arc<Rig>) {
    let text = "host=db.example.net user=app pool_min_conns=2 pool_max_conn_lifetime=1h pool_max_conn_idle_time=90s";
    let config = sealpool::Config::from_dsn(text).unwrap();
    let shown = format!("{config:?}");
    for expected in [
        "\"pool.min_idle\": 2",
        "\"pool.max_lifetime\": 1h",
        "\"pool.idle_timeout\": 1m 30s",
    ] {
        assert!(shown.contains(expected), "{shown}");
    }
    let error = rig.retrying().pool_min_idle(11_u32);
    let error = Pool::builder(error).build().unwrap_err().to_string();
    assert!(
        error.contains("11 idle connections do not fit into a pool of 10"),
        "{error}"
    );
    assert!(
        Pool::builder(rig.retrying().pool_max_uses(0_u32))
            .build()
            .is_err()
    );
    assert!(
        Pool::builder(rig.retrying().pool_max_lifetime(HOUR))
            .build()
            .is_ok()
    );
}
