use std::{
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
    time::{Duration, Instant},
};

use sealpool::{Class, Client, Lane, Outcome, Pool};
use sealpool_testkit::{Direction, Proxy, Tap, Treatment};

use super::{laned, refused};
use crate::{
    outcome::{Cutter, TO_CLIENT, TO_SERVER, UNCUT, rows, table},
    rig::{Rig, SLACK, eventually, on_both},
};

on_both! {
    on_shared() => a_lane_cut_off_after_every_byte;
    through_proxy() => a_server_that_keeps_silent;
    through_proxy() => a_connection_that_died_while_nobody_used_it;
    on_own(|builder| builder) => a_server_that_ends_connections;
}

/// What the server still takes for connections, though they have ended in the black hole.
async fn forget(rig: &Rig, proxy: &Proxy) {
    for link in proxy.links() {
        link.treat(Direction::ToServer, Treatment::Reset);
    }
    let admin = rig.pool(rig.retrying()).acquire().await.unwrap();
    admin.query(KILL, &[]).await.unwrap();
}

const KILL: &str = "select pg_terminate_backend(pid) from pg_stat_activity \
                    where usename = current_user and pid <> pg_backend_pid()";

async fn recovered(rig: &Rig, pool: &Pool) {
    pool.lane()
        .retry_reads()
        .query("select 1", &[])
        .await
        .unwrap();
    pool.reconfigure(laned(rig, 0)).await.unwrap();
    rig.recovered(pool).await;
}

struct Cut {
    cutter: Cutter,
    pool: Pool,
    admin: Client,
    insert: String,
    table: String,
    id: AtomicI32,
}

impl Cut {
    /// Inserts three rows at once while the line is cut after so many bytes; of each, how often it is there, and what its
    /// caller was told.
    async fn inserted(&self, lane: &Lane, direction: usize, bytes: usize) -> Vec<(i64, Outcome)> {
        let ids = self.id.fetch_add(3, Ordering::SeqCst);
        let insert = async |id: i32| lane.execute(&self.insert, &[&id]).await;
        self.cutter.cut_once_after(direction, bytes);
        let (one, two, three) = tokio::join!(insert(ids), insert(ids + 1), insert(ids + 2));
        self.cutter.cut_after(direction, UNCUT);
        let mut all = Vec::new();
        for (id, told) in (ids..).zip([one, two, three]) {
            let outcome = told.map_or_else(|error| error.outcome(), |_| Outcome::Answered);
            all.push((rows(&self.admin, &self.table, id).await, outcome));
        }
        all
    }

    /// How many bytes that takes when nothing is cut.
    async fn bytes(&self, lane: &Lane) -> [usize; 2] {
        self.cutter.cut_after(TO_SERVER, UNCUT);
        self.inserted(lane, TO_CLIENT, UNCUT).await;
        [TO_SERVER, TO_CLIENT].map(|direction| self.cutter.passed(direction).clamp(150, 600))
    }
}

/// Whatever the number of bytes: what was answered was done once, what was not sent is not there, and of nothing that may
/// have been done is it said that it was not.
async fn a_lane_cut_off_after_every_byte(rig: Arc<Rig>) {
    let admin = rig.pool(rig.config()).acquire().await.unwrap();
    let table = table(&admin, "cut_lane").await;
    let cutter = Cutter::start(rig.cluster.addr()).await;
    let tap = Tap::start(cutter.addr).unwrap();
    tap.forbid(rig.cluster.password());
    let cut = Cut {
        pool: rig.pool(laned(&rig, 1).port(tap.port())),
        cutter,
        admin,
        insert: format!("insert into {table} select $1::int where $1 > 0"),
        table,
        id: AtomicI32::new(1),
    };
    let lane = cut.pool.lane();
    lane.execute(&cut.insert, &[&0]).await.unwrap();
    let lengths = cut.bytes(&lane).await;
    let mut told = std::collections::BTreeMap::<_, usize>::new();
    for direction in [TO_SERVER, TO_CLIENT] {
        for bytes in (0..lengths[direction]).step_by(3) {
            // Prepared, or not yet: then the cut is in the middle of that.
            if bytes % 2 == 0 {
                lane.execute(&cut.insert, &[&0]).await.unwrap();
            }
            for (done, outcome) in cut.inserted(&lane, direction, bytes).await {
                let place = format!("{outcome} after {bytes} bytes in direction {direction}");
                match outcome {
                    Outcome::Answered => assert_eq!(done, 1, "{place}"),
                    Outcome::NotSent | Outcome::Refused => assert_eq!(done, 0, "{place}"),
                    _ => assert!(done <= 1, "{place}"),
                }
                *told.entry(outcome.as_str()).or_default() += 1;
            }
        }
    }
    assert!(told["answered"] > 100 && told["unknown"] > 20, "{told:?}");
    assert_eq!(told.len(), 2, "what had not left was sent again: {told:?}");

    // Whoever vouches for his statements hears of none of it.
    let vouched = lane.retry_reads();
    for direction in [TO_SERVER, TO_CLIENT] {
        for bytes in (0..lengths[direction]).step_by(10) {
            vouched.execute(&cut.insert, &[&0]).await.unwrap();
            for (done, outcome) in cut.inserted(&vouched, direction, bytes).await {
                assert_eq!(outcome, Outcome::Answered);
                assert!((1..=2).contains(&done), "{done} after {bytes} bytes");
            }
        }
    }
    let Cut { pool, .. } = cut;
    drop((lane, vouched, pool));
    tap.verify().unwrap();
}

/// The server ends no statement, for it hears of none.
async fn a_server_that_keeps_silent(rig: Arc<Rig>, proxy: Arc<Proxy>) {
    let limit = Duration::from_millis(300);
    let pool = rig.pool(laned(&rig, 1).lane_statement_timeout(limit));
    let lane = pool.lane();
    lane.query("select 1", &[]).await.unwrap();
    proxy.black_hole();
    let started = Instant::now();
    let error = lane.query("select 1", &[]).await.unwrap_err();
    let taken = started.elapsed();
    assert_eq!(
        refused(&error),
        (Outcome::Unknown, Class::Server),
        "{error}"
    );
    assert!(
        error.to_string().contains("300ms (lane.statement_timeout)"),
        "{error}"
    );
    assert!(taken >= limit && taken < 3 * limit + SLACK, "{taken:?}");
    lane.query("select 1", &[])
        .await
        .expect("new connections pass");
    proxy.black_hole();
    let row = lane.retry_reads().query_one("select 1", &[]).await;
    assert_eq!(
        row.unwrap_err().outcome(),
        Outcome::Unknown,
        "its time is over"
    );
    forget(&rig, &proxy).await;
    recovered(&rig, &pool).await;
}

async fn a_connection_that_died_while_nobody_used_it(rig: Arc<Rig>, proxy: Arc<Proxy>) {
    let pool = rig.pool(laned(&rig, 1));
    let lane = pool.lane();
    lane.query("select 1", &[]).await.unwrap();
    crate::rig::rest().await;
    // Whoever looks after the lane does so every 250 ms, and has to have seen that it rested.
    tokio::time::sleep(Duration::from_millis(500)).await;
    proxy.black_hole();
    lane.query("select 1", &[])
        .await
        .expect("it was asked first");
    let counts = rig.record.counts();
    assert_eq!(counts.checks.get("failed"), Some(&1), "{counts:?}");
    forget(&rig, &proxy).await;
    recovered(&rig, &pool).await;
}

async fn a_server_that_ends_connections(rig: Arc<Rig>) {
    let pool = rig.pool(laned(&rig, 2).lane_max_depth(4_u32));
    let lane = pool.lane();
    let table = {
        let admin = pool.acquire().await.unwrap();
        table(&admin, "ended").await
    };
    let insert = format!("insert into {table} values ($1)");
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let calls = Arc::new(AtomicI32::new(0));
    let mut tasks = Vec::new();
    for task in 0..8 {
        let (lane, insert) = (lane.clone(), insert.clone());
        let (stop, calls) = (Arc::clone(&stop), Arc::clone(&calls));
        tasks.push(tokio::spawn(async move {
            let mut told = Vec::new();
            for count in 0.. {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                let id = count * 8 + task;
                let result = lane.execute(&insert, &[&id]).await;
                let outcome = result.map_or_else(|error| error.outcome(), |_| Outcome::Answered);
                told.push((id, outcome));
                calls.fetch_add(1, Ordering::SeqCst);
            }
            told
        }));
    }
    let admin = pool.acquire().await.unwrap();
    for _ in 0..10 {
        let before = calls.load(Ordering::SeqCst);
        eventually("statements are answered", async || {
            calls.load(Ordering::SeqCst) > before + 30
        })
        .await;
        admin.query(KILL, &[]).await.unwrap();
    }
    stop.store(true, Ordering::SeqCst);
    let mut answered = 0;
    for task in tasks {
        for (id, outcome) in task.await.unwrap() {
            let done = rows(&admin, &table, id).await;
            match outcome {
                Outcome::Answered => {
                    answered += 1;
                    assert_eq!(done, 1);
                }
                Outcome::Unknown => assert!(done <= 1),
                _ => panic!("{outcome} of {id}"),
            }
            if answered > 500 {
                break;
            }
        }
    }
    assert!(answered > 100, "{answered}");
    drop(admin);
    recovered(&rig, &pool).await;
}
