use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sealpool::{Class, Client, Config, Error, LaneError, Outcome};
use tokio::task::JoinSet;

use crate::{
    outcome::table,
    rig::{Rig, SLACK, chain, eventually, on_both},
};

mod faults;
mod life;
mod smuggled;

on_both! {
    on_shared() => a_lane_gives_what_a_client_gives;
    on_shared() => there_is_none_unless_it_is_asked_for;
    on_shared() => statements_are_sent_behind_each_other;
    on_shared() => what_a_lane_does_not_take_is_not_sent;
    on_shared() => what_the_server_refuses;
    on_shared() => a_slow_statement_holds_nobody_up;
    on_shared() => the_limit_hits_one_statement_alone;
    on_shared() => connections_come_with_the_load_and_go_without;
    on_shared() => calls_that_are_dropped_disturb_nobody;
    on_shared() => those_who_wait_are_served_in_order_or_refused;
}

/// A pool with a lane of so many connections.
fn laned(rig: &Rig, size: u32) -> Config {
    rig.retrying().pool_max_size(2).lane_max_size(size)
}

fn refused(error: &LaneError) -> (Outcome, Class) {
    (error.outcome(), error.class())
}

async fn a_lane_gives_what_a_client_gives(rig: Arc<Rig>) {
    let pool = rig.pool(laned(&rig, 2));
    let client = pool.acquire().await.unwrap();
    let table = table(&client, "results").await;
    let lane = pool.lane();
    let insert = format!("insert into {table} values ($1)");
    let mut tasks = JoinSet::new();
    for id in 0..200_i32 {
        let (lane, insert) = (lane.clone(), insert.clone());
        tasks.spawn(async move {
            assert_eq!(lane.execute(&insert, &[&id]).await.unwrap(), 1);
            let double = "select $1::int * 2, $2::text";
            let row = lane.query_one(double, &[&id, &"ä"]).await.unwrap();
            assert_eq!((row.get(0), row.get(1)), (id * 2, "ä"));
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let all = format!("select id from {table} order by id");
    let [one, other] = [
        lane.query(&all, &[]).await.unwrap(),
        client.query(&all, &[]).await.unwrap(),
    ];
    let ids = |rows: Vec<sealpool::tokio_postgres::Row>| -> Vec<i32> {
        rows.iter().map(|row| row.get(0)).collect()
    };
    assert_eq!(ids(one), (0..200).collect::<Vec<_>>());
    assert_eq!(ids(other), (0..200).collect::<Vec<_>>());
    let none = format!("select id from {table} where id < 0");
    assert!(lane.query_opt(&none, &[]).await.unwrap().is_none());
    assert!(lane.query_opt("select 1", &[]).await.unwrap().is_some());
    for error in [
        lane.query_one(&none, &[]).await.unwrap_err(),
        lane.query_one(&all, &[]).await.unwrap_err(),
        lane.query_opt(&all, &[]).await.unwrap_err(),
    ] {
        assert_eq!(
            refused(&error),
            (Outcome::Answered, Class::Statement),
            "{error}"
        );
    }
    let delete = format!("delete from {table}");
    assert_eq!(lane.execute(&delete, &[]).await.unwrap(), 200);
    // Types that the driver has to ask for.
    let kind = format!("kind_{}", fastrand::u64(..));
    let create = format!("create type {kind} as enum ('a', 'b')");
    lane.execute(&create, &[]).await.unwrap();
    let typed = format!("select 'b'::{kind}, array['a'::{kind}]");
    for _ in 0..3 {
        let row = lane.query_one(&typed, &[]).await.unwrap();
        assert_eq!(row.columns()[0].type_().name(), kind);
        assert_eq!(
            lane.query_one("select 1", &[])
                .await
                .unwrap()
                .get::<_, i32>(0),
            1
        );
    }
}

async fn there_is_none_unless_it_is_asked_for(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config());
    let error = pool.lane().query("select 1", &[]).await.unwrap_err();
    assert_eq!(refused(&error), (Outcome::NotSent, Class::Config));
    assert_eq!(
        error.to_string(),
        "there is no lane; set lane.max_size to how many connections it may have"
    );
    assert_eq!(rig.record.counts().opened, 0);
    // And while the pool runs.
    let lane = pool.lane();
    pool.reconfigure(rig.config().lane_max_size(1))
        .await
        .unwrap();
    lane.query("select 1", &[]).await.unwrap();
    pool.reconfigure(rig.config()).await.unwrap();
    let error = lane.query("select 1", &[]).await.unwrap_err();
    assert_eq!(refused(&error), (Outcome::NotSent, Class::Config));
    eventually("its connection is closed", async || {
        rig.record.counts().closed.get("resized") == Some(&1)
    })
    .await;
    assert_eq!(pool.status().lane_connections, 0);
}

/// Waits until the server runs a statement of this text.
async fn running(admin: &Client, text: &str, count: i64) {
    let sql = "select count(*) from pg_stat_activity where state = 'active' and query = $1";
    eventually("the server runs it", async || {
        let row = admin.query_one(sql, &[&text]).await.unwrap();
        row.get::<_, i64>(0) == count
    })
    .await;
}

async fn statements_are_sent_behind_each_other(rig: Arc<Rig>) {
    let pool = rig.pool(laned(&rig, 1).lane_max_depth(10_u32));
    let admin = pool.acquire().await.unwrap();
    let lane = pool.lane();
    lane.query("select 1", &[]).await.unwrap();
    let sleep = format!("select pg_sleep(0.3) as s{}", fastrand::u64(..));
    lane.query(&sleep, &[]).await.unwrap();
    let mut tasks = JoinSet::new();
    for _ in 0..15 {
        let lane = lane.clone();
        let sleep = sleep.clone();
        tasks.spawn(async move { lane.query(&sleep, &[]).await.unwrap() });
    }
    let mut most = 0;
    eventually("as many are under way as may be", async || {
        most = most.max(pool.status().lane_outstanding);
        most == 10
    })
    .await;
    running(&admin, &sleep, 1).await;
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
        most = most.max(pool.status().lane_outstanding);
    }
    assert_eq!(most, 10, "and never more");
    let status = pool.status();
    assert_eq!((status.lane_connections, status.lane_outstanding), (1, 0));
    assert_eq!((status.used, status.idle), (1, 0), "they are counted apart");
    let laned = pool
        .connections()
        .iter()
        .filter(|info| info.in_lane)
        .count();
    assert_eq!((laned, pool.connections().len()), (1, 2));
}

async fn what_a_lane_does_not_take_is_not_sent(rig: Arc<Rig>) {
    let pool = rig.pool(laned(&rig, 1));
    let lane = pool.lane();
    for (text, word) in [
        ("begin", "BEGIN"),
        ("/* select */ Start transaction", "START"),
        ("set search_path = 'a'", "SET"),
        ("copy t from stdin", "COPY"),
        ("declare c cursor for select 1", "DECLARE"),
        ("select set_config('a.b', '1', false)", "set_config"),
        ("select pg_advisory_lock(1)", "pg_advisory_lock"),
        ("create temp table t ()", "temp"),
    ] {
        let error = lane.execute(text, &[]).await.unwrap_err();
        assert_eq!(
            refused(&error),
            (Outcome::NotSent, Class::Statement),
            "{text}"
        );
        let said = error.to_string();
        assert!(
            said.contains(word) && said.contains("Pool::acquire"),
            "{said}"
        );
    }
    let error = lane.execute(" -- nothing", &[]).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "a lane takes one statement, and there is none"
    );
    assert!(rig.record.counts().evicted.is_empty());
    lane.query("select 1", &[]).await.unwrap();
    assert_eq!(rig.record.counts().opened, 1);
}

async fn what_the_server_refuses(rig: Arc<Rig>) {
    let pool = rig.pool(laned(&rig, 1));
    let lane = pool.lane();
    for (text, state) in [
        ("select 1 / 0", "22012"),
        ("select nonsense", "42703"),
        ("select 1; select 2", "42601"),
    ] {
        for _ in 0..2 {
            let error = lane.query(text, &[]).await.unwrap_err();
            assert_eq!(
                refused(&error),
                (Outcome::Refused, Class::Statement),
                "{text}"
            );
            assert_eq!(error.as_db_error().unwrap().code().code(), state);
        }
    }
    let error = lane.query("select $1::int", &[&"text"]).await.unwrap_err();
    assert_eq!(
        refused(&error),
        (Outcome::NotSent, Class::Statement),
        "{}",
        chain(&error)
    );
    let error = lane.query("select $1::int", &[]).await.unwrap_err();
    assert_eq!(
        refused(&error),
        (Outcome::NotSent, Class::Statement),
        "{}",
        chain(&error)
    );
    // And the count of what was sent has not suffered.
    for _ in 0..3 {
        lane.query("select $1::int", &[&1_i32]).await.unwrap();
    }
    assert_eq!(pool.status().lane_outstanding, 0);
    assert_eq!(rig.record.counts().opened, 1);
}

async fn a_slow_statement_holds_nobody_up(rig: Arc<Rig>) {
    let pool = rig.pool(laned(&rig, 2));
    let admin = pool.acquire().await.unwrap();
    let lane = pool.lane();
    let sleep = format!("select pg_sleep(4) as s{}", fastrand::u64(..));
    let slow = {
        let (lane, sleep) = (lane.clone(), sleep.clone());
        tokio::spawn(async move { lane.query(&sleep, &[]).await })
    };
    running(&admin, &sleep, 1).await;
    // After 75 ms it counts as slow, and that has to have been seen.
    tokio::time::sleep(Duration::from_millis(200)).await;
    for _ in 0..20 {
        lane.query("select 1", &[]).await.unwrap();
    }
    assert!(!slow.is_finished(), "they went past it");
    slow.await.unwrap().unwrap();
}

async fn the_limit_hits_one_statement_alone(rig: Arc<Rig>) {
    let limit = Duration::from_millis(500);
    for session in [None, Some(Duration::from_secs(60)), Some(limit)] {
        let mut config = laned(&rig, 1).lane_statement_timeout(limit);
        if let Some(session) = session {
            config = config.session_statement_timeout(session);
        }
        if session == Some(limit) {
            config = config.lane_statement_timeout(Duration::ZERO);
        }
        let pool = rig.pool(config);
        let lane = pool.lane();
        lane.query("select 1", &[]).await.unwrap();
        let started = Instant::now();
        let late = lane.query("select pg_sleep(30)", &[]);
        let behind = async {
            let mut all = Vec::new();
            for _ in 0..5 {
                all.push(lane.query("select 1", &[]).await);
            }
            all
        };
        let (late, behind) = tokio::join!(late, behind);
        let error = late.unwrap_err();
        assert_eq!(refused(&error), (Outcome::Refused, Class::Statement));
        assert_eq!(error.as_db_error().unwrap().code().code(), "57014");
        assert!(started.elapsed() < limit + SLACK);
        assert!(behind.iter().all(Result::is_ok));
    }
    assert_eq!(rig.record.counts().closed.get("check_failed"), None);
}

async fn connections_come_with_the_load_and_go_without(rig: Arc<Rig>) {
    let config = laned(&rig, 3).lane_max_depth(2_u32);
    let pool = rig.pool(config.pool_idle_timeout(Duration::from_millis(300)));
    let lane = pool.lane();
    lane.query("select 1", &[]).await.unwrap();
    assert_eq!(pool.status().lane_connections, 1);
    let mut tasks = JoinSet::new();
    for _ in 0..12 {
        let lane = lane.clone();
        tasks.spawn(async move { lane.query("select pg_sleep(0.2)", &[]).await.unwrap() });
    }
    eventually("there are as many as may be", async || {
        pool.status().lane_connections == 3
    })
    .await;
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    eventually("nobody needs them", async || {
        pool.status().lane_connections == 0
    })
    .await;
    assert_eq!(rig.record.counts().closed.get("idle_timeout"), Some(&3));
    lane.query("select 1", &[]).await.unwrap();
}

async fn calls_that_are_dropped_disturb_nobody(rig: Arc<Rig>) {
    let pool = rig.pool(laned(&rig, 1).lane_max_depth(4_u32));
    let admin = pool.acquire().await.unwrap();
    let table = table(&admin, "dropped").await;
    let lane = pool.lane();
    let insert = format!("insert into {table} select $1 from pg_sleep(0.05)");
    for id in 0..20_i32 {
        let patience = Duration::from_millis(u64::try_from(id).unwrap() * 3);
        let _ = tokio::time::timeout(patience, lane.execute(&insert, &[&id])).await;
        assert!(pool.status().lane_outstanding <= 4);
    }
    assert_eq!(
        lane.query_one("select 7", &[])
            .await
            .unwrap()
            .get::<_, i32>(0),
        7
    );
    eventually("each place is free again", async || {
        pool.status().lane_outstanding == 0
    })
    .await;
    assert_eq!(rig.record.counts().opened, 2, "it is the same connection");
    let sum = rig.record.counts().lane.values().sum::<usize>();
    assert_eq!(sum, 21, "each call is told of once");
}

async fn those_who_wait_are_served_in_order_or_refused(rig: Arc<Rig>) {
    let limit = Duration::from_millis(400);
    let config = laned(&rig, 1).lane_max_depth(1_u32).pool_max_waiting(2_u32);
    let pool = rig.pool(config.clone());
    let lane = pool.lane();
    for text in ["select 1", "select pg_sleep(2)"] {
        lane.query(text, &[]).await.unwrap();
    }
    let config = config.pool_acquire_timeout(limit);
    pool.reconfigure(config).await.unwrap();
    let started = Instant::now();
    let (long, first, second, third) = tokio::join!(
        lane.query("select pg_sleep(2)", &[]),
        lane.query("select 1", &[]),
        lane.query("select 1", &[]),
        lane.query("select 1", &[]),
    );
    assert!(started.elapsed() < Duration::from_secs(2) + SLACK);
    long.unwrap();
    for late in [first.unwrap_err(), second.unwrap_err()] {
        assert_eq!(refused(&late), (Outcome::NotSent, Class::Timeout));
        assert!(matches!(late.as_pool_error(), Some(Error::Timeout(_))));
        let said = late.to_string();
        assert!(
            said.starts_with("no place on the lane within 400ms (pool.acquire_timeout)"),
            "{said}"
        );
    }
    let full = third.unwrap_err();
    assert_eq!(refused(&full), (Outcome::NotSent, Class::Timeout));
    assert!(matches!(full.as_pool_error(), Some(Error::QueueFull(2))));
    assert!(full.to_string().contains("pool.max_waiting"), "{full}");
    drop(pool);

    let pool = rig.pool(laned(&rig, 1).lane_max_depth(1_u32));
    let lane = pool.lane();
    lane.query("select pg_sleep(0.1)", &[]).await.unwrap();
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut calls = Vec::new();
    for number in 0..20 {
        let (lane, order) = (lane.clone(), Arc::clone(&order));
        calls.push(async move {
            lane.query("select pg_sleep(0.005)", &[]).await.unwrap();
            order.lock().unwrap().push(number);
        });
    }
    in_turn(calls).await;
    assert_eq!(*order.lock().unwrap(), (0..20).collect::<Vec<_>>());
}

/// Polls all of them, in their order.
async fn in_turn<F: Future<Output = ()>>(calls: Vec<F>) {
    let mut calls: Vec<_> = calls.into_iter().map(|call| Some(Box::pin(call))).collect();
    std::future::poll_fn(|cx| {
        for call in &mut calls {
            if let Some(running) = call
                && running.as_mut().poll(cx).is_ready()
            {
                *call = None;
            }
        }
        match calls.iter().all(Option::is_none) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
}
