use std::{collections::BTreeSet, sync::Arc, time::Duration};

use sealpool::Client;
use tokio::task::JoinSet;

use crate::{
    life::{closed, pid, signal},
    rig::{Rig, eventually, filled, on_both},
};

on_both! {
    on_shared() => idle_connections_are_asked;
    on_own(|builder| builder) => a_dead_connection_leaves_before_anybody_meets_it;
    on_own(|builder| builder) => the_minimum_is_made_good;
    on_shared() => nobody_is_disturbed;
    on_shared() => a_connection_in_use_is_not_asked;
    on_shared() => what_came_back_unread_is_asked_too;
    on_shared() => a_suspended_pool_is_asked_too;
    on_shared() => asking_ends_with_the_pool;
}

const SOON: Duration = Duration::from_millis(100);

async fn pids(clients: &[Client]) -> BTreeSet<i32> {
    let mut pids = BTreeSet::new();
    for client in clients {
        pids.insert(pid(client).await);
    }
    pids
}

fn checks(rig: &Rig, outcome: &str) -> usize {
    *rig.record.counts().checks.get(outcome).unwrap_or(&0)
}

/// What was opened is there, but for those that a busy machine did not let answer in time.
fn nothing_else_was_closed(rig: &Rig, there: usize) {
    let counts = rig.record.counts();
    let late = closed(rig, "check_failed");
    assert_eq!(counts.closed.values().sum::<usize>(), late);
    assert!(counts.opened <= there + late);
}

async fn idle_connections_are_asked(rig: Arc<Rig>) {
    let config = rig.retrying().pool_max_size(3).pool_min_idle(3);
    let pool = rig.pool(config.pool_keepalive_interval(SOON));
    drop(filled(&pool, 3).await);
    eventually("each has been asked four times", async || {
        checks(&rig, "ok") >= 12
    })
    .await;
    let clients = filled(&pool, 3).await;
    assert_eq!(pids(&clients).await.len(), 3);
    nothing_else_was_closed(&rig, 3);
}

async fn a_dead_connection_leaves_before_anybody_meets_it(rig: Arc<Rig>) {
    let config = rig.retrying().pool_max_size(4);
    let pool = rig.pool(config.pool_keepalive_interval(SOON));
    let mut clients = filled(&pool, 4).await;
    let dead = pids(&clients[..3]).await;
    // Before they are idle, so that nobody can have taken them for well.
    dead.iter().for_each(|pid| signal("STOP", *pid));
    let last = clients.pop();
    drop(clients);
    drop(last);
    eventually("three have gone", async || {
        closed(&rig, "check_failed") >= 3
    })
    .await;
    assert!(checks(&rig, "failed") >= 3);
    assert!(pool.status().idle <= 1);
    let next = pid(&pool.acquire().await.unwrap()).await;
    dead.iter().for_each(|pid| signal("CONT", *pid));
    assert!(!dead.contains(&next));
    rig.recovered(&pool).await;
}

async fn the_minimum_is_made_good(rig: Arc<Rig>) {
    let config = rig.retrying().pool_max_size(4).pool_min_idle(2);
    let pool = rig.pool(config.pool_keepalive_interval(SOON));
    let clients = filled(&pool, 2).await;
    let dead = pids(&clients).await;
    dead.iter().for_each(|pid| signal("STOP", *pid));
    drop(clients);
    eventually("two have gone and two have come", async || {
        closed(&rig, "check_failed") >= 2 && pool.status().idle >= 2
    })
    .await;
    dead.iter().for_each(|pid| signal("CONT", *pid));
    rig.recovered(&pool).await;
}

async fn nobody_is_disturbed(rig: Arc<Rig>) {
    let shortest = Duration::from_millis(1);
    let config = rig
        .config()
        .pool_max_size(2)
        .pool_keepalive_interval(shortest);
    let pool = rig.pool(config);
    let mut tasks = JoinSet::new();
    for _ in 0..4 {
        let pool = pool.clone();
        tasks.spawn(async move {
            for number in 0..100_u64 {
                let client = pool.acquire().await.unwrap();
                pid(&client).await;
                drop(client);
                // So that there is something to be asked.
                tokio::time::sleep(Duration::from_millis(number % 7)).await;
            }
        });
    }
    while !tasks.is_empty() {
        while let Some(done) = tasks.try_join_next() {
            done.unwrap();
        }
        let counts = rig.record.counts();
        let open = counts.opened - counts.closed.values().sum::<usize>();
        assert!(open <= 2, "{open} connections");
        tokio::task::yield_now().await;
    }
    eventually("it was asked meanwhile or afterwards", async || {
        checks(&rig, "ok") > 0
    })
    .await;
    assert_eq!(filled(&pool, 2).await.len(), 2);
    let counts = rig.record.counts();
    assert!(counts.opened <= 2 + closed(&rig, "check_failed"));
}

async fn a_connection_in_use_is_not_asked(rig: Arc<Rig>) {
    let config = rig.retrying().pool_max_size(2).pool_min_idle(1);
    let pool = rig.pool(config.pool_keepalive_interval(SOON));
    let (lent, idle) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    drop(idle);
    lent.batch_execute("begin; select set_config('keepalive.held', '1', true)")
        .await
        .unwrap();
    eventually("the other one has been asked", async || {
        checks(&rig, "ok") >= 3
    })
    .await;
    let row = lent
        .query_one("select current_setting('keepalive.held')", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, &str>(0), "1");
    lent.batch_execute("commit").await.unwrap();
}

/// The closing of a statement may be under way as a client comes back, and then it rests.
async fn what_came_back_unread_is_asked_too(rig: Arc<Rig>) {
    let config = rig.retrying().pool_max_size(1).pool_min_idle(1);
    let pool = rig.pool(config.pool_keepalive_interval(SOON));
    for _ in 0..3 {
        let client = pool.acquire().await.unwrap();
        let statement = client.prepare("select 1").await.unwrap();
        client.query_one(&statement, &[]).await.unwrap();
        drop((statement, client));
        let before = checks(&rig, "ok");
        eventually("it has been asked", async || checks(&rig, "ok") > before).await;
    }
    nothing_else_was_closed(&rig, 1);
}

async fn a_suspended_pool_is_asked_too(rig: Arc<Rig>) {
    let config = rig.retrying().pool_max_size(2).pool_min_idle(2);
    let pool = rig.pool(config.pool_keepalive_interval(SOON));
    drop(filled(&pool, 2).await);
    pool.suspend();
    let before = checks(&rig, "ok");
    eventually("both have been asked", async || {
        checks(&rig, "ok") >= before + 4
    })
    .await;
    pool.resume();
    assert_eq!(filled(&pool, 2).await.len(), 2);
    nothing_else_was_closed(&rig, 2);
}

async fn asking_ends_with_the_pool(rig: Arc<Rig>) {
    for number in 0..20 {
        let shortest = Duration::from_millis(1);
        let config = rig
            .config()
            .pool_max_size(2)
            .pool_keepalive_interval(shortest);
        let pool = rig.pool(config);
        drop(filled(&pool, 2).await);
        // The end meets the asking at another place each time.
        tokio::time::sleep(Duration::from_millis(number)).await;
        pool.shutdown(Duration::from_secs(60)).await;
        assert_eq!(pool.status().idle, 0);
    }
    let ended = closed(&rig, "pool_closed") + closed(&rig, "check_failed");
    assert_eq!(ended, rig.record.counts().opened);
}
