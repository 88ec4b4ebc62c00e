use std::{collections::BTreeMap, fs, process::Command, sync::Arc, time::Duration};

use sealpool::{Client, Error, HandshakeFailure, Pool, Stage};
use tokio::time::Instant;

use crate::rig::{Rig, SLACK, eventually, on_both, rest};

on_both! {
    on_own(|builder| builder) => thirty_frozen_connections_cost_an_acquire_no_more_than_two;
    on_own(|builder| builder) => a_frozen_connection_costs_no_other;
    on_own(|builder| builder) => a_backend_that_is_stopped_while_it_works;
    on_own(|builder| builder) => a_postmaster_that_is_stopped;
    on_own(|builder| builder) => a_server_that_is_stopped_altogether;
    on_own(|builder| builder.setting("pre_auth_delay", "30")) => a_server_that_stalls_before_tls;
}

/// How long a check may take.
const CHECK: Duration = Duration::from_millis(500);

/// Processes that are stopped: they answer nothing, and the kernel keeps their TCP connections for them.
struct Stopped(Vec<u32>);

impl Stopped {
    fn new(pids: impl Into<Vec<u32>>) -> Self {
        let stopped = Self(pids.into());
        stopped.signal("-STOP");
        stopped
    }

    fn signal(&self, name: &str) {
        let pids = self.0.iter().map(u32::to_string);
        let kill = Command::new("kill").arg(name).args(pids).status();
        assert!(kill.unwrap().success());
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.signal("-CONT");
    }
}

fn postmaster(rig: &Rig) -> u32 {
    let file = fs::read_to_string(rig.cluster.data_dir().join("postmaster.pid")).unwrap();
    file.lines().next().unwrap().parse().unwrap()
}

fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap();
    let pids = processes.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let is_child = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The name before it, in brackets, may be of any kind.
        let after_name = stat.rsplit(") ").next();
        after_name.and_then(|rest| rest.split(' ').nth(1)) == Some(&*parent.to_string())
    };
    pids.filter(is_child).collect()
}

async fn pid(client: &Client) -> u32 {
    let row = client.query_one("select pg_backend_pid()", &[]).await;
    u32::try_from(row.unwrap().get::<_, i32>(0)).unwrap()
}

/// So many idle connections that are due for a check; the last of them is lent first.
async fn rested(pool: &Pool, count: usize) -> Vec<u32> {
    let mut clients = Vec::new();
    let mut pids = Vec::new();
    for _ in 0..count {
        let client = pool.acquire().await.unwrap();
        pids.push(pid(&client).await);
        clients.push(client);
    }
    drop(clients);
    rest().await;
    pids
}

fn checks(rig: &Rig) -> (usize, usize) {
    let checks = rig.record.counts().checks;
    let of = |outcome| checks.get(outcome).copied().unwrap_or(0);
    (of("ok"), of("failed"))
}

async fn ends_at(limit: Duration, pool: &Pool) -> sealpool::AcquireTimeout {
    let started = Instant::now();
    let error = pool.acquire_timeout(limit).await.unwrap_err();
    let taken = started.elapsed();
    assert!(taken >= limit && taken < limit + SLACK, "{taken:?}");
    match error {
        Error::Timeout(late) => late,
        other => panic!("{other}"),
    }
}

/// Checked one after the other, they would take fifteen seconds.
async fn thirty_frozen_connections_cost_an_acquire_no_more_than_two(rig: Arc<Rig>) {
    let pool = rig.pool(rig.retrying().pool_max_size(30));
    let frozen = Stopped::new(rested(&pool, 30).await);
    let started = Instant::now();
    let client = pool.acquire().await.expect("the server takes new ones");
    let taken = started.elapsed();
    assert!(taken >= CHECK && taken < 2 * CHECK + SLACK, "{taken:?}");
    assert!(!frozen.0.contains(&pid(&client).await));
    eventually("none of them is left", async || {
        rig.record.counts().closed.get("check_failed") == Some(&30)
    })
    .await;
    assert_eq!(checks(&rig), (0, 30));
    let counts = rig.record.counts();
    assert_eq!((counts.opened, counts.most_open), (31, 30));
    drop((client, frozen));
    rig.recovered(&pool).await;
}

async fn a_frozen_connection_costs_no_other(rig: Arc<Rig>) {
    let pool = rig.pool(rig.retrying().pool_max_size(5));
    let mut pids = rested(&pool, 5).await;
    let frozen = Stopped::new([pids.pop().unwrap()]);
    let mut clients = Vec::new();
    let mut lent = Vec::new();
    for _ in 0..4 {
        let client = pool.acquire().await.unwrap();
        lent.push(pid(&client).await);
        clients.push(client);
    }
    assert!(!lent.contains(&frozen.0[0]));
    // At most one was opened meanwhile, in the place of the frozen one: all the others can be had, too.
    clients.push(pool.acquire().await.unwrap());
    lent.push(pid(&clients[4]).await);
    assert!(
        pids.iter().all(|pid| lent.contains(pid)),
        "{pids:?} and {lent:?}"
    );
    let counts = rig.record.counts();
    assert_eq!(checks(&rig), (4, 1), "each was asked once");
    assert_eq!(counts.closed, BTreeMap::from([("check_failed", 1)]));
    assert_eq!((counts.opened, counts.most_open), (6, 5));
    drop((clients, frozen));
    rig.recovered(&pool).await;
}

/// TCP goes on acknowledging for it: only limits of our own end the wait.
async fn a_backend_that_is_stopped_while_it_works(rig: Arc<Rig>) {
    let pool = rig.pool(rig.retrying().pool_max_size(1));
    let client = pool.acquire().await.unwrap();
    let frozen = Stopped::new([pid(&client).await]);
    let query = tokio::spawn(async move { client.query_one("select 1", &[]).await.map(drop) });
    let late = ends_at(Duration::from_millis(300), &pool).await;
    assert!(late.to_string().contains("1 used, 0 idle"), "{late}");
    assert!(!query.is_finished());
    drop(frozen);
    query.await.unwrap().expect("it was only late");
    rig.recovered(&pool).await;
}

/// The kernel accepts connections for it, and nobody answers them.
async fn a_postmaster_that_is_stopped(rig: Arc<Rig>) {
    let config = rig.retrying().pool_max_size(2);
    let pool = rig.pool(config.connect_tls_timeout(Duration::from_millis(300)));
    let client = pool.acquire().await.unwrap();
    let frozen = Stopped::new([postmaster(&rig)]);
    let waiting = pool.clone();
    let waiter = tokio::spawn(async move { ends_at(Duration::from_secs(3), &waiting).await });
    client
        .query_one("select 1", &[])
        .await
        .expect("no concern of its own");
    let late = waiter.await.unwrap();
    let last = late.last_failure().expect("a connect has failed meanwhile");
    let [attempt] = last.attempts() else {
        panic!("{last}")
    };
    assert_eq!(attempt.stage(), Stage::Tls);
    assert_eq!(attempt.handshake_failure(), Some(HandshakeFailure::Timeout));
    drop((client, frozen));
    rig.recovered(&pool).await;
}

async fn a_server_that_is_stopped_altogether(rig: Arc<Rig>) {
    let pool = rig.pool(rig.retrying().pool_max_size(3));
    rested(&pool, 3).await;
    let postmaster = postmaster(&rig);
    let mut pids = children(postmaster);
    pids.push(postmaster);
    assert!(pids.len() > 4, "{pids:?}");
    let frozen = Stopped::new(pids);
    ends_at(3 * CHECK, &pool).await;
    ends_at(CHECK, &pool).await;
    drop(frozen);
    rig.recovered(&pool).await;
}

async fn a_server_that_stalls_before_tls(rig: Arc<Rig>) {
    let limit = Duration::from_millis(300);
    let pool = rig.pool(rig.config().connect_tls_timeout(limit));
    let started = Instant::now();
    let error = pool.acquire().await.unwrap_err();
    let taken = started.elapsed();
    assert!(taken >= limit && taken < limit + SLACK, "{taken:?}");
    assert!(error.is_transient());
    let failed = rig.record.counts().failed;
    assert_eq!(
        failed.into_iter().collect::<Vec<_>>(),
        [(HandshakeFailure::Timeout, 1)]
    );
}
