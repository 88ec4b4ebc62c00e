use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI32, Ordering},
    },
    time::{Duration, Instant},
};

use sealpool::{Class, Lane, LaneError, Outcome, Pool};
use tokio::task::JoinSet;

use super::{laned, refused, running};
use crate::{
    outcome::table,
    rig::{Rig, SLACK, eventually, on_both},
};

on_both! {
    on_shared() => nothing_is_lost_while_connections_are_replaced;
    on_shared() => a_pool_that_shuts_down_answers_what_is_under_way;
    on_shared() => a_shutdown_that_does_not_wait;
    on_shared() => a_suspended_pool_sends_nothing;
    on_shared() => a_lane_on_two_runtimes;
    on_shared() => tables_that_change_are_healed;
    on_shared() => hooks_see_its_connections_too;
    on_shared() => a_server_that_is_not_there;
}

/// Tasks that insert rows, and what they were told.
struct Traffic {
    tasks: JoinSet<Result<usize, LaneError>>,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicI32>,
}

impl Traffic {
    fn begin(lane: &Lane, table: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let done = Arc::new(AtomicI32::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..8 {
            let (lane, stop, done) = (lane.clone(), Arc::clone(&stop), Arc::clone(&done));
            let insert = format!("insert into {table} values ($1)");
            tasks.spawn(async move {
                let mut count = 0;
                while !stop.load(Ordering::SeqCst) {
                    let id = done.fetch_add(1, Ordering::SeqCst);
                    match lane.execute(&insert, &[&id]).await {
                        Ok(_) => count += 1,
                        Err(error) if matches!(error.class(), Class::Closed) => {
                            assert_eq!(error.outcome(), Outcome::NotSent);
                            return Ok(count);
                        }
                        Err(error) => return Err(error),
                    }
                }
                Ok(count)
            });
        }
        Self { tasks, stop, done }
    }

    async fn goes_on(&self) {
        let before = self.done.load(Ordering::SeqCst);
        eventually("statements are answered", async || {
            self.done.load(Ordering::SeqCst) > before + 50
        })
        .await;
    }

    /// How many statements were answered.
    async fn end(mut self) -> usize {
        self.stop.store(true, Ordering::SeqCst);
        let mut all = 0;
        while let Some(done) = self.tasks.join_next().await {
            all += done
                .unwrap()
                .unwrap_or_else(|error| panic!("{error} ({})", error.outcome()));
        }
        all
    }
}

async fn count(pool: &Pool, table: &str) -> usize {
    let client = pool.acquire().await.unwrap();
    let count = format!("select count(*) from {table}");
    let row = client.query_one(&count, &[]).await.unwrap();
    usize::try_from(row.get::<_, i64>(0)).unwrap()
}

async fn nothing_is_lost_while_connections_are_replaced(rig: Arc<Rig>) {
    let base = laned(&rig, 2)
        .lane_max_depth(4_u32)
        .tls_rotate_within(Duration::from_millis(1));
    let named = base.clone().application_name("another");
    let silent = named.clone().tls_sni(false);
    let longer = silent
        .clone()
        .lane_statement_timeout(Duration::from_secs(9));
    let smaller = longer.clone().lane_max_size(1_u32);
    let shorter = smaller.clone().pool_max_lifetime(Duration::from_millis(50));
    let pool = rig.pool(base.clone());
    let table = {
        let admin = pool.acquire().await.unwrap();
        table(&admin, "replaced").await
    };
    let traffic = Traffic::begin(&pool.lane(), &table);
    traffic.goes_on().await;
    for (config, reason) in [
        (named, "evicted"),
        (silent, "tls_rotated"),
        (longer, "evicted"),
        (smaller, "resized"),
    ] {
        eventually("there are two", async || {
            let status = pool.status();
            (status.lane_connections, status.stale) == (2, 0)
        })
        .await;
        let before = rig.record.counts().closed.get(reason).copied();
        pool.reconfigure(config).await.unwrap();
        eventually(reason, async || {
            rig.record.counts().closed.get(reason).copied() > before
        })
        .await;
        traffic.goes_on().await;
    }
    pool.reconfigure(shorter).await.unwrap();
    eventually("they get old", async || {
        rig.record.counts().closed.contains_key("max_lifetime")
    })
    .await;
    pool.reconfigure(base).await.unwrap();
    let opened = rig.record.counts().opened;
    pool.evict_all();
    eventually("they are replaced", async || {
        rig.record.counts().opened > opened
    })
    .await;
    pool.suspend();
    // What is under way comes to its end, and what comes next has to wait.
    tokio::time::sleep(Duration::from_millis(50)).await;
    pool.resume();
    traffic.goes_on().await;
    let answered = traffic.end().await;
    assert_eq!(answered, count(&pool, &table).await);
}

async fn a_pool_that_shuts_down_answers_what_is_under_way(rig: Arc<Rig>) {
    let pool = rig.pool(laned(&rig, 2).lane_max_depth(4_u32));
    let other = rig.pool(rig.config());
    let table = table(&other.acquire().await.unwrap(), "shut").await;
    let traffic = Traffic::begin(&pool.lane(), &table);
    traffic.goes_on().await;
    let sleep = format!("select pg_sleep(0.4) as s{}", fastrand::u64(..));
    let slow = {
        let (lane, sleep) = (pool.lane(), sleep.clone());
        tokio::spawn(async move { lane.query(&sleep, &[]).await.map(|rows| rows.len()) })
    };
    running(&other.acquire().await.unwrap(), &sleep, 1).await;
    pool.shutdown(Duration::from_secs(20)).await;
    assert_eq!(slow.await.unwrap().unwrap(), 1, "it had its time");
    let error = pool.lane().query("select 1", &[]).await.unwrap_err();
    assert_eq!(refused(&error), (Outcome::NotSent, Class::Closed));
    let answered = traffic.end().await;
    assert_eq!(answered, count(&other, &table).await);
    assert_eq!(pool.status().lane_connections, 0);
}

async fn a_shutdown_that_does_not_wait(rig: Arc<Rig>) {
    let pool = rig.pool(laned(&rig, 1).lane_statement_timeout(Duration::from_secs(60)));
    let other = rig.pool(rig.config());
    let sleep = format!("select pg_sleep(50) as s{}", fastrand::u64(..));
    let slow = {
        let (lane, sleep) = (pool.lane(), sleep.clone());
        tokio::spawn(async move { lane.query(&sleep, &[]).await.map(|rows| rows.len()) })
    };
    let admin = other.acquire().await.unwrap();
    running(&admin, &sleep, 1).await;
    let started = Instant::now();
    pool.shutdown(Duration::from_millis(100)).await;
    let error = slow.await.unwrap().unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(5) + SLACK);
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    running(&admin, &sleep, 0).await;
}

async fn a_suspended_pool_sends_nothing(rig: Arc<Rig>) {
    let limit = Duration::from_millis(200);
    let pool = rig.pool(laned(&rig, 1));
    let lane = pool.lane();
    lane.query("select 1", &[]).await.unwrap();
    let config = laned(&rig, 1).pool_acquire_timeout(limit);
    pool.reconfigure(config).await.unwrap();
    pool.suspend();
    let error = lane.query("select 1", &[]).await.unwrap_err();
    assert_eq!(refused(&error), (Outcome::NotSent, Class::Timeout));
    assert!(error.to_string().contains("Pool::resume"), "{error}");
    pool.resume();
    lane.query("select 1", &[]).await.unwrap();
}

async fn a_lane_on_two_runtimes(rig: Arc<Rig>) {
    let pool = rig.pool(laned(&rig, 1));
    let lane = pool.lane();
    for _ in 0..2 {
        let lane = lane.clone();
        let elsewhere = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async { lane.query("select 1", &[]).await.map(|rows| rows.len()) })
        });
        let rows = tokio::task::spawn_blocking(|| elsewhere.join().unwrap()).await;
        assert_eq!(rows.unwrap().unwrap(), 1);
        // That runtime has ended, and its connection with it.
        lane_works(&pool).await;
    }
}

async fn lane_works(pool: &Pool) {
    let row = pool.lane().query_one("select 7", &[]).await.unwrap();
    assert_eq!(row.get::<_, i32>(0), 7);
}

async fn tables_that_change_are_healed(rig: Arc<Rig>) {
    let pool = rig.pool(laned(&rig, 1));
    let admin = pool.acquire().await.unwrap();
    let table = table(&admin, "changes").await;
    let lane = pool.lane();
    let all = format!("select * from {table}");
    lane.execute(&format!("insert into {table} values (1)"), &[])
        .await
        .unwrap();
    for columns in 1..4 {
        let row = lane.query_one(&all, &[]).await.unwrap();
        assert_eq!(row.len(), columns);
        let add = format!("alter table {table} add column c{columns} int");
        admin.batch_execute(&add).await.unwrap();
    }
    assert_eq!(rig.record.counts().lane.get("refused"), None);
}

async fn hooks_see_its_connections_too(rig: Arc<Rig>) {
    let pool = Pool::builder(laned(&rig, 1))
        .observer(rig.record.clone())
        .after_connect(|client| {
            Box::pin(async move { Ok(client.batch_execute("set work_mem = '3MB'").await?) })
        })
        .build()
        .unwrap();
    let row = pool.lane().query_one("show work_mem", &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), "3MB");
    let row = pool
        .lane()
        .query_one("show statement_timeout", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, &str>(0), "5s");
    assert!(rig.record.counts().evicted.is_empty());
}

async fn a_server_that_is_not_there(rig: Arc<Rig>) {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let limit = Duration::from_millis(300);
    let config = laned(&rig, 1).port(port).pool_acquire_timeout(limit);
    let pool = rig.pool(config.clone());
    let started = Instant::now();
    let error = pool.lane().query("select 1", &[]).await.unwrap_err();
    assert!(started.elapsed() >= limit && started.elapsed() < limit + SLACK);
    assert_eq!(
        refused(&error),
        (Outcome::NotSent, Class::Timeout),
        "{error}"
    );
    assert!(
        error.to_string().contains("the last connection failed"),
        "{error}"
    );
    let pool = rig.pool(config.connect_retry(false).pool_acquire_timeout(SLACK));
    let error = pool.lane().query("select 1", &[]).await.unwrap_err();
    assert_eq!(
        refused(&error),
        (Outcome::NotSent, Class::Network),
        "{error}"
    );
    // And a role that the server does not know.
    let pool = rig.pool(laned(&rig, 1).user("nobody-of-that-name"));
    let error = pool.lane().query("select 1", &[]).await.unwrap_err();
    assert_eq!(refused(&error), (Outcome::NotSent, Class::Auth), "{error}");
}
