use std::{
    fs,
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use sealpool::{Client, Config, Error, Event, Observer, Pool, Readiness};
use sealpool_testkit::{ClusterBuilder, Scripted, Shutdown, Step};
use tokio::task::JoinSet;

use crate::rig::{Record, Rig, SLACK, chain, eventually, filled, on_both};

on_both! {
    on_own(|builder| builder) => only_calls_in_flight_fail_when_the_server_goes_away;
    on_own(|builder| builder) => idle_connections_of_a_dead_server_cost_callers_nothing;
    on_own(|builder| builder) => idle_connections_that_do_not_answer_cost_callers_nothing;
    on_own(|builder| builder) => one_killed_backend_leaves_the_others_alone;
    on_own(impatient) => no_borrower_sees_that_the_server_ended_what_was_idle;
    on_own(full) => a_full_server_is_asked_again_and_good_connections_are_kept;
    on_own(|builder| builder) => a_server_that_is_starting_is_asked_by_one;
    on_shared() => the_first_connections_are_opened_few_at_once;
    on_shared() => a_dead_first_host_is_tried_last;
    on_shared() => dead_hosts_are_tried_all_the_same;
}

const MINUTE: Duration = Duration::from_secs(60);

async fn pid(client: &Client) -> i32 {
    let row = client.query_one("select pg_backend_pid()", &[]).await;
    row.unwrap().get(0)
}

fn signal(name: &str, pid: i32) {
    let kill = Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .status();
    assert!(kill.unwrap().success());
}

fn checks(rig: &Rig, outcome: &str) -> usize {
    *rig.record.counts().checks.get(outcome).unwrap_or(&0)
}

fn is_failing(pool: &Pool) -> bool {
    matches!(pool.readiness(), Readiness::Failing(_))
}

/// Watches how many connections are opened at once, beside the record.
#[derive(Clone, Debug)]
struct Openings {
    record: Record,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    now: usize,
    most: usize,
    /// The most that there ever were beyond one, and one more for each that had been opened since the last failure.
    excess: usize,
    /// The most at once before one had been opened.
    probers: usize,
    opened: usize,
}

impl Openings {
    fn of(rig: &Rig) -> Self {
        Self {
            record: rig.record.clone(),
            counts: Arc::default(),
        }
    }

    fn pool(&self, config: Config) -> Pool {
        let builder = Pool::builder(config).observer(self.clone());
        builder.build().unwrap()
    }

    /// Begins to watch, once the last connect has failed.
    fn begin(&self) {
        let mut counts = self.counts.lock().unwrap();
        let now = counts.now;
        *counts = Counts {
            now,
            ..Counts::default()
        };
    }

    fn with<T>(&self, look: impl FnOnce(&Counts) -> T) -> T {
        look(&self.counts.lock().unwrap())
    }
}

impl Observer for Openings {
    fn on_event(&self, event: &Event<'_>) {
        self.record.on_event(event);
        let mut counts = self.counts.lock().unwrap();
        match event {
            Event::HandshakeStarted { .. } => {
                counts.now += 1;
                counts.most = counts.most.max(counts.now);
                let excess = counts.now.saturating_sub(counts.opened + 1);
                counts.excess = counts.excess.max(excess);
                if counts.opened == 0 {
                    counts.probers = counts.probers.max(counts.now);
                }
            }
            Event::HandshakeSealed { .. } | Event::HandshakeFailed { .. } => counts.now -= 1,
            Event::ConnectionOpened { .. } => counts.opened += 1,
            _ => {}
        }
    }
}

const TASKS: usize = 64;
const SIZE: u8 = 8;

/// Tasks that acquire and call without end, and what became of their calls.
#[derive(Debug)]
struct Load {
    in_flight: AtomicUsize,
    failed: AtomicUsize,
    done: [AtomicUsize; TASKS],
    over: AtomicBool,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            in_flight: AtomicUsize::new(0),
            failed: AtomicUsize::new(0),
            done: [const { AtomicUsize::new(0) }; TASKS],
            over: AtomicBool::new(false),
        }
    }
}

impl Load {
    fn put_on(self: &Arc<Self>, pool: &Pool) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        for task in 0..TASKS {
            let (load, pool) = (Arc::clone(self), pool.clone());
            tasks.spawn(async move {
                while !load.over.load(Ordering::SeqCst) {
                    let client = pool.acquire().await.expect("acquires wait");
                    load.in_flight.fetch_add(1, Ordering::SeqCst);
                    let called = client.query_one("select pg_sleep(0.002)", &[]).await;
                    load.in_flight.fetch_sub(1, Ordering::SeqCst);
                    let count = match called {
                        Ok(_) => &load.done[task],
                        Err(_) => &load.failed,
                    };
                    count.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        tasks
    }

    /// Until each task has called once more.
    async fn goes_on(&self, what: &str) {
        let count = |done: &AtomicUsize| done.load(Ordering::SeqCst);
        let before: Vec<_> = self.done.iter().map(count).collect();
        let called = async {
            while self
                .done
                .iter()
                .zip(&before)
                .any(|(done, before)| count(done) <= *before)
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let called = tokio::time::timeout(MINUTE, called).await;
        called.unwrap_or_else(|_| panic!("{what}: not in {MINUTE:?}"));
    }
}

#[derive(Clone, Copy, Debug)]
enum Going {
    Fast,
    Immediate,
    Killed,
}

impl Going {
    /// Returns when no process of the server is left.
    fn stop(self, rig: &Rig) {
        match self {
            Self::Fast => rig.cluster.stop(Shutdown::Fast),
            Self::Immediate => rig.cluster.stop(Shutdown::Immediate),
            Self::Killed => {
                let file = rig.cluster.data_dir().join("postmaster.pid");
                let text = fs::read_to_string(file).unwrap();
                signal("KILL", text.lines().next().unwrap().parse().unwrap());
                rig.cluster.stop(Shutdown::Immediate)
            }
        }
        .unwrap();
    }
}

/// Each connection can lose one call, and no acquire fails.
async fn only_calls_in_flight_fail_when_the_server_goes_away(rig: Arc<Rig>) {
    let openings = Openings::of(&rig);
    let config = rig.retrying().pool_max_size(u32::from(SIZE));
    let pool = openings.pool(config.pool_acquire_timeout(MINUTE));
    let load = Arc::new(Load::default());
    let mut tasks = load.put_on(&pool);
    for going in [Going::Fast, Going::Immediate, Going::Killed] {
        load.goes_on("the load runs").await;
        eventually("all connections are in use", async || {
            load.in_flight.load(Ordering::SeqCst) == usize::from(SIZE)
        })
        .await;
        let failed = load.failed.load(Ordering::SeqCst);
        let in_flight = usize::from(SIZE);
        going.stop(&rig);
        eventually("a connect has failed", async || is_failing(&pool)).await;
        openings.begin();
        rig.cluster.start_again().unwrap();
        load.goes_on("healed").await;
        let failed = load.failed.load(Ordering::SeqCst) - failed;
        println!("{going:?}: {in_flight} calls in flight, {failed} failed");
        assert!(failed <= in_flight, "{going:?}: {failed} calls failed");
        let (most, excess) = openings.with(|counts| (counts.most, counts.excess));
        assert!(most <= 4, "{going:?}: {most} handshakes at once");
        assert_eq!(excess, 0, "{going:?}: slow start");
    }
    load.over.store(true, Ordering::SeqCst);
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    rig.recovered(&pool).await;
}

async fn idle_connections_of_a_dead_server_cost_callers_nothing(rig: Arc<Rig>) {
    let pool = rig.pool(rig.retrying().pool_max_size(u32::from(SIZE)));
    drop(filled(&pool, SIZE.into()).await);
    for how in [Shutdown::Fast, Shutdown::Immediate] {
        rig.cluster.restart(how).unwrap();
        eventually("they are closed before anybody asks", async || {
            pool.status().idle == 0
        })
        .await;
        let clients = filled(&pool, SIZE.into()).await;
        for client in &clients {
            client.query_one("select 1", &[]).await.unwrap();
        }
    }
    rig.recovered(&pool).await;
}

/// One is killed, and the others are stopped: nothing but their silence tells that they are lost.
async fn idle_connections_that_do_not_answer_cost_callers_nothing(rig: Arc<Rig>) {
    let pool = rig.pool(rig.retrying().pool_max_size(u32::from(SIZE)));
    let clients = filled(&pool, SIZE.into()).await;
    let mut pids = Vec::new();
    for client in &clients {
        pids.push(pid(client).await);
    }
    drop(clients);
    let (killed, stopped) = pids.split_last().unwrap();
    for pid in stopped {
        signal("STOP", *pid);
    }
    let kill = format!("select pg_terminate_backend({killed})");
    rig.cluster.sql(&kill).await.unwrap();
    eventually("all are closed before anybody asks", async || {
        pool.status().idle == 0
    })
    .await;
    let closed = rig.record.counts().closed;
    assert_eq!(
        closed.get("check_failed"),
        Some(&stopped.len()),
        "{closed:?}"
    );
    for client in filled(&pool, SIZE.into()).await {
        assert!(!pids.contains(&pid(&client).await));
    }
    for pid in stopped {
        signal("CONT", *pid);
    }
    rig.recovered(&pool).await;
}

async fn one_killed_backend_leaves_the_others_alone(rig: Arc<Rig>) {
    let pool = rig.pool(rig.retrying().pool_max_size(4));
    let mut clients = filled(&pool, 4).await;
    let mut pids = Vec::new();
    for client in &clients {
        pids.push(pid(client).await);
    }
    // One stays lent, three are idle, and one of these is killed.
    clients.truncate(1);
    let killed = pids.pop().unwrap();
    let kill = format!("select pg_terminate_backend({killed})");
    rig.cluster.sql(&kill).await.unwrap();
    eventually("it is closed, and the others have answered", async || {
        let closed = rig.record.counts().closed;
        closed.values().sum::<usize>() == 1 && checks(&rig, "ok") >= 2
    })
    .await;
    assert_eq!(pid(&clients[0]).await, pids[0]);
    clients.extend(filled(&pool, 2).await);
    let mut left = Vec::new();
    for client in &clients {
        left.push(pid(client).await);
    }
    left.sort_unstable();
    pids.sort_unstable();
    assert_eq!(left, pids);
    drop(clients);
    rig.recovered(&pool).await;
}

fn impatient(builder: ClusterBuilder) -> ClusterBuilder {
    builder.setting("idle_session_timeout", "2500")
}

/// The pauses are around the server's limit, so that the two sides meet halfway again and again.
async fn no_borrower_sees_that_the_server_ended_what_was_idle(rig: Arc<Rig>) {
    let pool = rig.pool(rig.retrying().pool_max_size(4));
    let mut ended = 0;
    for round in 0..5 {
        let before = rig.record.counts().opened;
        let mut clients = Vec::new();
        for _ in 0..4 {
            let client = pool.acquire().await.unwrap();
            client.query_one("select 1", &[]).await.expect("no 57P05");
            clients.push(client);
        }
        drop(clients);
        ended += usize::from(rig.record.counts().opened > before && round > 0);
        tokio::time::sleep(Duration::from_millis(2_480 + 20 * round)).await;
    }
    eventually("the server has ended some", async || {
        rig.cluster.log().contains("idle-session timeout")
    })
    .await;
    assert!(ended > 0, "some were replaced");
    rig.cluster.set("idle_session_timeout", "0").unwrap();
    rig.recovered(&pool).await;
}

fn full(builder: ClusterBuilder) -> ClusterBuilder {
    builder
        .setting("max_connections", "5")
        .setting("superuser_reserved_connections", "1")
        .setting("max_wal_senders", "0")
}

async fn a_full_server_is_asked_again_and_good_connections_are_kept(rig: Arc<Rig>) {
    let config = rig.retrying().pool_acquire_timeout(MINUTE);
    let pool = rig.pool(config.pool_max_size(4));
    let others = rig.pool(rig.retrying().pool_max_size(2));
    let ours = filled(&pool, 2).await;
    let mut pids = Vec::new();
    for client in &ours {
        pids.push(pid(client).await);
    }
    let theirs = filled(&others, 2).await;
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { pool.acquire().await.unwrap() }
    });
    let asked = || rig.record.counts().started;
    let before = asked();
    eventually("it is asked again", async || asked() >= before + 3).await;
    let before = asked();
    let limit = Duration::from_millis(1_500);
    let error = pool.acquire_timeout(limit).await.unwrap_err();
    let times = asked() - before;
    assert!(times < 60, "asked {times} times in {limit:?}");
    let Error::Timeout(late) = &error else {
        panic!("{error}")
    };
    let attempt = late.last_failure().unwrap().attempts().last().unwrap();
    assert_eq!(attempt.sql_state().unwrap().code(), "53300");
    assert!(
        chain(&error).contains("startup: the server has no connection left"),
        "{}",
        chain(&error)
    );
    drop(ours);
    let mut clients = vec![waiting.await.unwrap()];
    clients.extend(filled(&pool, 1).await);
    for client in &clients {
        assert!(pids.contains(&pid(client).await), "the good ones are kept");
    }
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { filled(&pool, 2).await }
    });
    eventually("it waits", async || pool.status().waiting == 1).await;
    drop(theirs);
    others.shutdown(SLACK).await;
    clients.extend(waiting.await.unwrap());
    drop(clients);
    rig.recovered(&pool).await;
}

/// A recovery goes on for as long as the command that fetches its log does.
fn hold_at_start(rig: &Rig) -> impl FnOnce() {
    rig.cluster.stop(Shutdown::Fast).unwrap();
    let wait = "while [ ! -e go ]; do sleep 0.05; done; false";
    rig.cluster.set("restore_command", wait).unwrap();
    rig.cluster.set("hot_standby", "off").unwrap();
    let folder = rig.cluster.data_dir().to_owned();
    touch(&folder.join("recovery.signal"));
    move || touch(&folder.join("go"))
}

fn touch(file: &Path) {
    fs::write(file, "").unwrap();
}

async fn a_server_that_is_starting_is_asked_by_one(rig: Arc<Rig>) {
    let openings = Openings::of(&rig);
    let config = rig.retrying().pool_max_size(u32::from(SIZE));
    let pool = openings.pool(config.pool_acquire_timeout(MINUTE));
    drop(filled(&pool, 1).await);
    let let_go = hold_at_start(&rig);
    let mut callers = JoinSet::new();
    for caller in 0..20 {
        if caller == 1 {
            eventually("a connect has failed", async || is_failing(&pool)).await;
            openings.begin();
        }
        let pool = pool.clone();
        callers.spawn(async move { pid(&pool.acquire().await.unwrap()).await });
    }
    let starting = tokio::task::spawn_blocking({
        let rig = Arc::clone(&rig);
        move || rig.cluster.start_again().unwrap()
    });
    eventually("the server has said so", async || {
        let failed = pool.acquire_timeout(Duration::from_millis(50)).await;
        let Error::Timeout(late) = failed.unwrap_err() else {
            return false;
        };
        late.last_failure().is_some_and(|last| {
            let attempt = last.attempts().last().unwrap();
            attempt
                .sql_state()
                .is_some_and(|state| state.code() == "57P03")
        })
    })
    .await;
    let limit = Duration::from_secs(2);
    let error = pool.acquire_timeout(limit).await.unwrap_err();
    let text = chain(&error);
    let (port, address) = (rig.tap.port(), rig.tap.addr());
    let expected = format!(
        "; the last connection failed: cannot connect to localhost:{port} at {address}: startup: the server is \
         starting, stopping or recovering; wait for it: db error: FATAL: the database system is starting up"
    );
    assert!(text.contains(&expected), "{text}");
    assert_eq!(openings.with(|counts| counts.most), 1, "one prober");
    let_go();
    starting.await.unwrap();
    while let Some(done) = callers.join_next().await {
        done.unwrap();
    }
    let (most, excess) = openings.with(|counts| (counts.most, counts.excess));
    assert!(most <= 4, "{most} handshakes at once");
    assert_eq!(excess, 0, "slow start");
    rig.recovered(&pool).await;
}

async fn the_first_connections_are_opened_few_at_once(rig: Arc<Rig>) {
    for (limit, config) in [
        (1, rig.retrying().connect_max_concurrent_handshakes(1_u32)),
        (4, rig.retrying()),
        (6, rig.retrying().connect_max_concurrent_handshakes(6_u32)),
    ] {
        let openings = Openings::of(&rig);
        let config = config.pool_max_size(12).pool_acquire_timeout(5 * MINUTE);
        let pool = openings.pool(config);
        let mut callers = JoinSet::new();
        for _ in 0..12 {
            let pool = pool.clone();
            callers.spawn(async move { pool.acquire().await.unwrap() });
        }
        let clients = callers.join_all().await;
        assert_eq!(clients.len(), 12);
        let (most, probers) = openings.with(|counts| (counts.most, counts.probers));
        assert_eq!(probers, 1, "one asks first");
        assert!(most <= limit, "{most} at once of at most {limit}");
        assert!(limit == 1 || most > 1, "never more than one of {limit}");
        drop(clients);
        pool.shutdown(SLACK).await;
    }
}

fn behind(rig: &Rig, first: u16) -> Config {
    rig.retrying()
        .host(["localhost", "localhost"])
        .hostaddr(["127.0.0.1", "127.0.0.1"])
        .port([first, rig.tap.port()])
        .connect_tls_timeout(Duration::from_secs(2))
}

async fn a_dead_first_host_is_tried_last(rig: Arc<Rig>) {
    let silent = Scripted::start(vec![Step::Silence]).unwrap();
    let pool = rig.pool(behind(&rig, silent.port()).pool_max_size(1));
    let started = std::time::Instant::now();
    for _ in 0..20 {
        let client = pool.acquire().await.unwrap();
        client.query_one("select 1", &[]).await.unwrap();
        drop(client);
        pool.evict_all();
    }
    let probes = started.elapsed().as_secs() / 10;
    let tried = silent.connections() as u64;
    assert!(tried >= 2, "it is first in the list");
    assert!(tried <= 2 + probes, "{tried} times");
}

async fn dead_hosts_are_tried_all_the_same(rig: Arc<Rig>) {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = gone.local_addr().unwrap().port();
    drop(gone);
    let config = rig.config().host(["localhost", "localhost"]);
    let config = config.hostaddr(["127.0.0.1", "127.0.0.1"]);
    let pool = rig.pool(config.port([port, port]));
    for _ in 0..5 {
        let error = pool.acquire().await.unwrap_err();
        let Error::Connect(connect) = &error else {
            panic!("{error}")
        };
        assert_eq!(connect.attempts().len(), 2, "{error}");
    }
}
