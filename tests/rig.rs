use std::{
    collections::BTreeMap,
    error::Error as StdError,
    fs::OpenOptions,
    future::Future,
    io::Write as _,
    net::SocketAddr,
    sync::{Arc, LazyLock, Mutex},
    time::{Duration, Instant},
};

use sealpool::{
    AuthMethod, Client, Config, Event, HandshakeFailure, Observer, Pool, ReloadOutcome,
};
use sealpool_testkit::{Cluster, ClusterBuilder, Installation, Proxy, Tap};

/// A statement with this text must never be seen on the wire.
pub(crate) const SQL_CANARY: &str = "canary-9f2b7c1e-of-sql";

/// What a busy machine may add to a limit; without the limit, the waits of these tests would not end at all.
pub(crate) const SLACK: Duration = Duration::from_secs(10);

/// One test on one server: the tap in front of it and the record of what happened.
pub(crate) struct Rig {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) tap: Tap,
    pub(crate) record: Record,
}

impl Rig {
    fn new(cluster: Arc<Cluster>, upstream: SocketAddr) -> Self {
        crate::log::lines();
        let tap = Tap::start(upstream).expect("a tap");
        tap.forbid(cluster.password());
        tap.forbid(cluster.superuser_password());
        tap.forbid(SQL_CANARY);
        Self {
            cluster,
            tap,
            record: Record::default(),
        }
    }

    /// A configuration that is right in everything.
    pub(crate) fn config(&self) -> Config {
        self.without_root().tls_root(self.cluster.root_file())
    }

    /// The same, with nothing said of whom to trust.
    pub(crate) fn without_root(&self) -> Config {
        self.bare().password(self.cluster.password())
    }

    /// The right configuration, with no password.
    pub(crate) fn without_password(&self) -> Config {
        self.bare().tls_root(self.cluster.root_file())
    }

    /// The right configuration, with which an acquire tries again what may pass, as it does by default.
    pub(crate) fn retrying(&self) -> Config {
        self.config().connect_retry(true)
    }

    /// Most tests look at the first failure.
    fn bare(&self) -> Config {
        Config::new()
            .connect_retry(false)
            .host("localhost")
            .hostaddr("127.0.0.1")
            .port(self.tap.port())
            .database(self.cluster.database())
            .user(self.cluster.user())
    }

    pub(crate) fn pool(&self, config: Config) -> Pool {
        Pool::builder(config)
            .observer(self.record.clone())
            .build()
            .expect("a pool")
    }

    /// What holds after every fault, once nobody holds a client, on a server of the test's own: as many clients as the pool
    /// is large can be had at once, and then the server is at rest and has no other connection of ours than those.
    pub(crate) async fn recovered(&self, pool: &Pool) {
        let size = pool.status().max_size;
        let mut clients = Vec::new();
        for _ in 0..size {
            clients.push(pool.acquire().await.expect("the pool works again"));
        }
        let alone = clients.pop().expect("a pool of one or more");
        drop(clients);
        let activity = "select count(*) filter (where state <> 'idle'), count(*) from pg_stat_activity \
                        where usename = current_user and pid <> pg_backend_pid()";
        eventually("only idle connections of ours", async || {
            let row = alone.query_one(activity, &[]).await.expect("an answer");
            (row.get::<_, i64>(0), row.get::<_, i64>(1)) == (0, size as i64 - 1)
        })
        .await;
        assert_eq!(pool.status().used, 1);
    }

    /// What holds after every test.
    fn settle(self) {
        let Self {
            cluster,
            tap,
            record,
        } = self;
        let logged = crate::log::lines();
        // What a test itself tells the server, by a driver that logs its statements.
        let ours = logged
            .lines()
            .filter(|line| !line.contains("alter role app password"));
        for line in ours {
            assert!(
                !line.contains(cluster.password()),
                "a password in the log: {line}"
            );
        }
        tap.verify()
            .expect("only the request for TLS and TLS itself leave the client");
        record.check();
    }
}

/// Runs a test on the server of that version which all tests share, and which none may change.
pub(crate) fn on_shared<F: Future<Output = ()>>(major: u32, test: impl FnOnce(Arc<Rig>) -> F) {
    static SHARED: LazyLock<Mutex<BTreeMap<u32, Arc<Cluster>>>> = LazyLock::new(Mutex::default);
    let cluster = {
        let mut shared = SHARED
            .lock()
            .expect("no test panics while starting a server");
        let cluster = shared
            .entry(major)
            .or_insert_with(|| start(major, |builder| builder));
        Arc::clone(cluster)
    };
    run(cluster.addr(), cluster, test);
}

/// Runs a test on a server of its own.
pub(crate) fn on_own<F: Future<Output = ()>>(
    major: u32,
    with: impl FnOnce(ClusterBuilder) -> ClusterBuilder,
    test: impl FnOnce(Arc<Rig>) -> F,
) {
    let cluster = start(major, with);
    run(cluster.addr(), cluster, test);
}

/// Runs a test on a server of its own, behind a proxy that does what the test says: client, tap, proxy, server.
pub(crate) fn through_proxy<F: Future<Output = ()>>(
    major: u32,
    test: impl FnOnce(Arc<Rig>, Arc<Proxy>) -> F,
) {
    let cluster = start(major, |builder| builder);
    let proxy = Arc::new(Proxy::start(cluster.addr()).expect("a proxy"));
    run(proxy.addr(), cluster, |rig| test(rig, Arc::clone(&proxy)));
}

fn start(major: u32, with: impl FnOnce(ClusterBuilder) -> ClusterBuilder) -> Arc<Cluster> {
    let installation = Installation::find(major).unwrap_or_else(|error| panic!("{error}"));
    let version = installation.version().to_owned();
    let cluster = with(Cluster::builder().installation(installation)).start();
    let cluster = cluster.unwrap_or_else(|error| panic!("{error}"));
    if let Some(file) = std::env::var_os("SEALPOOL_TESTED_VERSIONS") {
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(file)
            .expect("the list");
        writeln!(file, "{version}").expect("the list of versions can be written");
    }
    Arc::new(cluster)
}

fn run<F: Future<Output = ()>>(
    upstream: SocketAddr,
    cluster: Arc<Cluster>,
    test: impl FnOnce(Arc<Rig>) -> F,
) {
    let rig = Arc::new(Rig::new(cluster, upstream));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(test(Arc::clone(&rig)));
    // Connections say goodbye on the runtime.
    runtime.shutdown_timeout(Duration::from_secs(5));
    Arc::into_inner(rig)
        .expect("the test has let go of its rig")
        .settle();
}

/// Waits for what must come to pass; looking again and again is the only way to learn of it.
pub(crate) async fn eventually(what: &str, mut happened: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(15);
    while !happened().await {
        assert!(Instant::now() < deadline, "{what}: not in 15 s");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// So many clients, held.
pub(crate) async fn filled(pool: &Pool, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(pool.acquire().await.unwrap());
    }
    clients
}

/// Lets idle connections rest until they are checked before they are lent: one second, and that it passes is what is waited
/// for.
pub(crate) async fn rest() {
    tokio::time::sleep(Duration::from_millis(1_050)).await;
}

/// Makes a test for PostgreSQL 15 and one for 18 out of an `async fn`.
macro_rules! on_both {
    ($($runner:ident($($with:expr)?) => $test:ident;)+) => {$(
        mod $test {
            #[allow(unused_imports, reason = "not every runner takes a closure")]
            use super::*;

            #[test]
            fn on_postgresql_15() {
                $crate::rig::$runner(15, $($with,)? super::$test);
            }

            #[test]
            fn on_postgresql_18() {
                $crate::rig::$runner(18, $($with,)? super::$test);
            }
        }
    )+};
}
pub(crate) use on_both;

/// Counts what an observer is told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record(Arc<Mutex<Counts>>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) started: usize,
    pub(crate) sealed: usize,
    pub(crate) failed: BTreeMap<HandshakeFailure, usize>,
    pub(crate) weak: Vec<AuthMethod>,
    pub(crate) opened: usize,
    /// The most that were open at once.
    pub(crate) most_open: usize,
    pub(crate) closed: BTreeMap<&'static str, usize>,
    pub(crate) reloads: BTreeMap<&'static str, usize>,
    pub(crate) reconfigured: BTreeMap<&'static str, usize>,
    pub(crate) credentials: BTreeMap<&'static str, usize>,
    pub(crate) expiring: Vec<(&'static str, u64)>,
    pub(crate) checks: BTreeMap<&'static str, usize>,
    pub(crate) leaks: Vec<String>,
    pub(crate) acquires: BTreeMap<&'static str, usize>,
    pub(crate) returned: usize,
    pub(crate) not_connected: BTreeMap<&'static str, usize>,
    pub(crate) lane: BTreeMap<&'static str, usize>,
    pub(crate) evicted: Vec<String>,
}

impl Record {
    pub(crate) fn counts(&self) -> Counts {
        self.0.lock().expect("no observer panics").clone()
    }

    fn check(&self) {
        let Counts {
            started,
            sealed,
            failed,
            weak: _,
            opened,
            most_open: _,
            closed,
            reloads: _,
            reconfigured: _,
            credentials: _,
            expiring: _,
            checks: _,
            leaks: _,
            acquires,
            returned,
            not_connected: _,
            lane: _,
            evicted: _,
        } = self.counts();
        assert_eq!(
            started,
            sealed + failed.values().sum::<usize>(),
            "attempts = successes + failures"
        );
        assert!(opened <= sealed, "no connection without a seal");
        assert_eq!(
            opened,
            closed.values().sum::<usize>(),
            "every connection is closed"
        );
        let given = ["direct", "waited"].map(|outcome| acquires.get(outcome));
        assert_eq!(
            given.into_iter().flatten().sum::<usize>(),
            returned,
            "every client is given back"
        );
    }
}

impl Observer for Record {
    fn on_event(&self, event: &Event<'_>) {
        let mut counts = self.0.lock().expect("no observer panics");
        match event {
            Event::HandshakeStarted { .. } => counts.started += 1,
            Event::HandshakeSealed { .. } => counts.sealed += 1,
            Event::HandshakeFailed { failure, .. } => {
                *counts.failed.entry(*failure).or_default() += 1
            }
            Event::WeakAuthenticationUsed { method, .. } => counts.weak.push(*method),
            Event::ConnectionOpened { .. } => {
                counts.opened += 1;
                let open = counts.opened - counts.closed.values().sum::<usize>();
                counts.most_open = counts.most_open.max(open);
            }
            Event::ConnectionClosed { reason, .. } => {
                *counts.closed.entry(reason.as_str()).or_default() += 1;
            }
            Event::TlsReloaded { outcome, error, .. } => {
                assert_eq!(error.is_some(), *outcome == ReloadOutcome::Failed);
                *counts.reloads.entry(outcome.as_str()).or_default() += 1;
            }
            Event::PoolReconfigured {
                outcome,
                changes,
                error,
                ..
            } => {
                assert_eq!(error.is_some(), *outcome == ReloadOutcome::Failed);
                assert_eq!(!changes.is_empty(), *outcome == ReloadOutcome::Ok);
                *counts.reconfigured.entry(outcome.as_str()).or_default() += 1;
            }
            Event::CredentialRefreshed { outcome, .. } => {
                *counts.credentials.entry(outcome.as_str()).or_default() += 1;
            }
            Event::HealthChecked { outcome, .. } => {
                *counts.checks.entry(outcome.as_str()).or_default() += 1;
            }
            Event::LeakSuspected { place, .. } => counts.leaks.push(place.to_string()),
            Event::CertificateExpiring {
                which, days_left, ..
            } => counts.expiring.push((which.as_str(), *days_left)),
            Event::PoolBuilt { .. } => {}
            Event::AcquireEnded { outcome, .. } => {
                *counts.acquires.entry(outcome.as_str()).or_default() += 1;
            }
            Event::ClientReturned { .. } => counts.returned += 1,
            Event::ConnectFailed { stage, .. } => {
                *counts.not_connected.entry(stage.as_str()).or_default() += 1;
            }
            Event::LaneStatementEnded { outcome, .. } => {
                *counts.lane.entry(outcome.as_str()).or_default() += 1;
            }
            Event::LaneConnectionEvicted { place, .. } => {
                counts
                    .evicted
                    .push(place.map_or_else(String::new, ToString::to_string));
            }
            other => panic!("an event that the record does not know: {other:?}"),
        }
    }
}

/// An error as a user sees it who prints the whole chain.
pub(crate) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}
