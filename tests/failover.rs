use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use sealpool::{Class, Client, Config, Error, HandshakeFailure, Pool, Readiness, tokio_postgres};
use sealpool_testkit::{Cluster, Leaf, Scripted, Shutdown, Step, Tap};
use tokio::task::JoinSet;

use crate::rig::{Rig, SLACK, chain, eventually, on_both};

on_both! {
    on_own(|builder| builder) => the_first_refused_write_leaves_a_server_that_takes_none;
    on_shared() => what_a_borrower_makes_read_only_costs_nobody_a_connection;
    on_own(|builder| builder) => a_promoted_standby_is_left_by_those_who_want_one;
    on_own(|builder| builder) => a_switchover_under_load;
    on_own(|builder| builder) => every_host_says_why_it_will_not_do;
    on_own(|builder| builder) => a_standby_is_preferred_and_not_needed;
    on_shared() => the_first_addresses_are_dead;
    on_shared() => a_name_moves_to_another_address;
    on_own(|builder| builder) => each_host_is_verified_under_its_own_name;
}

/// Another server beside the rig's, with a tap of its own in front.
struct Other {
    cluster: Cluster,
    tap: Tap,
}

impl Other {
    async fn standby(rig: &Rig) -> Self {
        let cluster = rig.cluster.standby().await.unwrap();
        let tap = tap(rig, cluster.addr());
        Self { cluster, tap }
    }
}

fn tap(rig: &Rig, upstream: SocketAddr) -> Tap {
    let tap = Tap::start(upstream).unwrap();
    tap.forbid(rig.cluster.password());
    tap.forbid(rig.cluster.superuser_password());
    tap
}

/// The right configuration for several servers, whichever of them has the role.
fn over<const N: usize>(rig: &Rig, taps: [&Tap; N], wanted: &str) -> Config {
    rig.retrying()
        .host(["localhost"; N])
        .hostaddr(["127.0.0.1"; N])
        .port(taps.map(Tap::port))
        .connect_target_session_attrs(wanted)
        // Servers take their time to change places on a busy machine.
        .pool_acquire_timeout(Duration::from_secs(30) + SLACK)
        // Upkeep looks at fractions of it.
        .pool_idle_timeout(Duration::from_secs(60))
}

/// The right configuration for names that a resolver knows.
fn named<const N: usize>(rig: &Rig, names: [&str; N]) -> Config {
    Config::new()
        .host(names)
        .database(rig.cluster.database())
        .user(rig.cluster.user())
        .password(rig.cluster.password())
        .tls_root(rig.cluster.root_file())
}

fn resolved(rig: &Rig, config: Config, names: Names) -> Pool {
    Pool::builder(config)
        .observer(rig.record.clone())
        .resolver(move |name, _| {
            let answer = names.answer(&name);
            async move { answer }
        })
        .build()
        .unwrap()
}

/// Where each name leads to, and how often that was asked.
#[derive(Clone, Default)]
struct Names {
    addresses: Arc<Mutex<BTreeMap<String, Vec<SocketAddr>>>>,
    asked: Arc<AtomicUsize>,
}

impl Names {
    fn lead(&self, name: &str, addresses: impl Into<Vec<SocketAddr>>) {
        let mut all = self.addresses.lock().unwrap();
        all.insert(name.to_owned(), addresses.into());
    }

    fn forget(&self) {
        self.addresses.lock().unwrap().clear();
    }

    fn answer(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        let all = self.addresses.lock().unwrap();
        self.asked.fetch_add(1, Ordering::SeqCst);
        all.get(name)
            .cloned()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Waits for so many more lookups.
    async fn asked(&self, more: usize) {
        let before = self.asked.load(Ordering::SeqCst);
        eventually("the name is looked up", async || {
            self.asked.load(Ordering::SeqCst) >= before + more
        })
        .await;
    }
}

async fn write(client: &Client) -> Result<(), tokio_postgres::Error> {
    client
        .batch_execute("create table written (); drop table written")
        .await
}

/// The port of the server itself, behind the tap.
async fn server(client: &Client) -> u16 {
    let row = client.query_one("show port", &[]).await.unwrap();
    row.get::<_, &str>(0).parse().unwrap()
}

fn closed(rig: &Rig) -> BTreeMap<&'static str, usize> {
    rig.record.counts().closed
}

fn refuses_writes(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| code.code() == "25006")
}

async fn the_first_refused_write_leaves_a_server_that_takes_none(rig: Arc<Rig>) {
    let other = Other::standby(&rig).await;
    let pool = rig.pool(over(&rig, [&rig.tap, &other.tap], "read-write").pool_max_size(4));
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(pool.acquire().await.unwrap());
    }
    let held = clients.pop().unwrap();
    drop(clients);

    rig.cluster
        .set("default_transaction_read_only", "on")
        .unwrap();
    other.cluster.promote().await.unwrap();
    let client = pool.acquire().await.unwrap();
    let error = write(&client).await.unwrap_err();
    assert!(refuses_writes(&error), "{error}");
    drop(client);

    let client = pool.acquire().await.unwrap();
    write(&client).await.unwrap();
    assert_eq!(server(&client).await, other.cluster.port());
    assert_eq!(server(&held).await, rig.cluster.port());
    drop((held, client));
    all_left(&rig, 4).await;
    rig.recovered(&pool).await;
    assert_eq!(rig.tap.connections().len(), 4 + failed_tries(&rig));

    // And back, with nobody who acquires.
    other
        .cluster
        .set("default_transaction_read_only", "on")
        .unwrap();
    rig.cluster
        .set("default_transaction_read_only", "off")
        .unwrap();
    let client = pool.acquire().await.unwrap();
    assert!(refuses_writes(&write(&client).await.unwrap_err()));
    drop(client);
    all_left(&rig, rig.record.counts().opened).await;
    let client = pool.acquire().await.unwrap();
    assert_eq!(server(&client).await, rig.cluster.port());
    drop(client);
    rig.recovered(&pool).await;
}

/// Waits until so many connections have been closed: for their server's role, unless a check over one of them was late,
/// as it may be on a busy machine.
async fn all_left(rig: &Rig, count: usize) {
    eventually("all have been retired", async || {
        closed(rig).values().sum::<usize>() >= count
    })
    .await;
    let reasons = closed(rig);
    let known = ["check_failed", "pool_closed", "role_changed"];
    assert!(
        reasons.keys().all(|reason| known.contains(reason)),
        "{reasons:?}"
    );
    assert!(reasons.contains_key("role_changed"), "{reasons:?}");
}

/// Connections that were opened to a server which then said that it has another role.
fn failed_tries(rig: &Rig) -> usize {
    let counts = rig.record.counts();
    counts.sealed - counts.opened
}

async fn what_a_borrower_makes_read_only_costs_nobody_a_connection(rig: Arc<Rig>) {
    let config = rig.retrying().connect_target_session_attrs("read-write");
    let pool = rig.pool(config.pool_max_size(1));
    for made_read_only in [
        "begin read only",
        "set default_transaction_read_only = on",
        "set session characteristics as transaction read only",
    ] {
        let client = pool.acquire().await.unwrap();
        client.batch_execute(made_read_only).await.unwrap();
        let error = write(&client).await.unwrap_err();
        assert!(refuses_writes(&error), "{error}");
        drop(client);
        write(&pool.acquire().await.unwrap()).await.unwrap();
    }
    let counts = rig.record.counts();
    assert_eq!((counts.opened, counts.closed), (1, BTreeMap::new()));
}

async fn a_promoted_standby_is_left_by_those_who_want_one(rig: Arc<Rig>) {
    for wanted in ["standby", "read-only"] {
        let before = rig.record.counts().opened;
        let (first, second) = (Other::standby(&rig).await, Other::standby(&rig).await);
        let pool = rig.pool(over(&rig, [&first.tap, &second.tap], wanted));
        let (held, idle) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
        assert_eq!(server(&idle).await, first.cluster.port());
        drop(idle);
        first.cluster.promote().await.unwrap();
        // It says so with the answer to whatever comes next.
        held.batch_execute("select 1").await.unwrap();
        let client = pool.acquire().await.unwrap();
        assert_eq!(server(&client).await, second.cluster.port(), "{wanted}");
        drop((held, client));
        all_left(&rig, before + 2).await;
        rig.recovered(&pool).await;
        drop(pool);
    }
}

/// The primary goes away, its standby takes over, and then it comes back as the standby of that.
async fn a_switchover_under_load(rig: Arc<Rig>) {
    let other = Other::standby(&rig).await;
    let pool = rig.pool(over(&rig, [&rig.tap, &other.tap], "read-write").pool_max_size(4));
    let over = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for _ in 0..16 {
        let (pool, over) = (pool.clone(), Arc::clone(&over));
        tasks.spawn(async move {
            while !over.load(Ordering::SeqCst) {
                let client = pool.acquire().await.expect("acquires outlast it");
                if let Err(error) = write_a_number(&client).await {
                    // Only what a server that goes away does to the calls it has not answered.
                    let code = error.code().map(|code| code.code());
                    assert!(error.is_closed() || code == Some("57P01"), "{error:?}");
                }
            }
        });
    }
    eventually("all are at work", async || pool.status().used == 4).await;
    rig.cluster.stop(Shutdown::Fast).unwrap();
    other.cluster.promote().await.unwrap();
    rig.cluster.follow(&other.cluster).unwrap();
    eventually("the new primary is at work", async || {
        match pool.acquire().await {
            Ok(client) => write(&client).await.is_ok(),
            Err(_) => false,
        }
    })
    .await;
    over.store(true, Ordering::SeqCst);
    tasks.join_all().await;
    let client = pool.acquire().await.unwrap();
    assert_eq!(server(&client).await, other.cluster.port());
    drop(client);
    rig.recovered(&pool).await;
}

/// Takes what only a primary gives.
async fn write_a_number(client: &Client) -> Result<(), tokio_postgres::Error> {
    client.batch_execute("select txid_current()").await
}

async fn every_host_says_why_it_will_not_do(rig: Arc<Rig>) {
    let other = Other::standby(&rig).await;
    rig.cluster
        .set("default_transaction_read_only", "on")
        .unwrap();
    let taps = [&rig.tap, &other.tap];
    let config = over(&rig, taps, "read-write");
    let error = rig.pool(config.clone().connect_retry(false));
    let error = error.acquire().await.unwrap_err();
    let [first, second] = taps.map(|tap| format!("localhost:{}", tap.port()));
    let [at_first, at_second] = taps.map(|tap| tap.addr());
    assert_eq!(
        error.to_string(),
        format!(
            "cannot connect to {first} at {at_first}: startup: the server takes no writes, and \
             connect.target_session_attrs wants read-write; cannot connect to {second} at {at_second}: startup: the \
             server takes no writes, and connect.target_session_attrs wants read-write"
        )
    );
    assert_eq!(error.class(), Class::Server);
    assert!(error.is_transient());

    // An acquire goes on trying, since a primary may appear.
    let pool = rig.pool(config);
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { server(&pool.acquire().await.unwrap()).await }
    });
    eventually("both have been tried", async || match pool.readiness() {
        Readiness::Failing(error) => error.attempts().len() == 2,
        _ => false,
    })
    .await;
    other.cluster.promote().await.unwrap();
    assert_eq!(waiting.await.unwrap(), other.cluster.port());
}

async fn a_standby_is_preferred_and_not_needed(rig: Arc<Rig>) {
    let other = Other::standby(&rig).await;
    let pool = rig.pool(over(&rig, [&rig.tap, &other.tap], "prefer-standby"));
    let client = pool.acquire().await.unwrap();
    assert_eq!(server(&client).await, other.cluster.port());
    drop(client);
    other.cluster.stop(Shutdown::Fast).unwrap();
    let client = loop {
        let client = pool.acquire().await.unwrap();
        if client.simple_query("").await.is_ok() {
            break client;
        }
    };
    assert_eq!(server(&client).await, rig.cluster.port());
    drop(client);
    rig.recovered(&pool).await;
}

async fn the_first_addresses_are_dead(rig: Arc<Rig>) {
    let closes = Scripted::start(vec![Step::Close]).unwrap();
    let names = Names::default();
    // Port 1 is nobody's.
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    let config = named(&rig, ["localhost"]).connect_retry(false);

    names.lead("localhost", [nobody, closes.addr(), rig.tap.addr()]);
    let pool = resolved(&rig, config.clone(), names.clone());
    write_nothing(&pool.acquire().await.unwrap()).await;
    let counts = rig.record.counts();
    assert_eq!((counts.started, counts.sealed), (2, 1), "both are counted");
    assert_eq!(
        counts.failed,
        BTreeMap::from([(HandshakeFailure::ConnectionClosed, 1)])
    );

    names.lead("localhost", [nobody, closes.addr()]);
    let error = resolved(&rig, config, names).acquire().await.unwrap_err();
    let Error::Connect(error) = &error else {
        panic!("{error}")
    };
    let addresses: Vec<_> = error.attempts().iter().map(|a| a.address()).collect();
    assert_eq!(addresses, [Some(nobody), Some(closes.addr())]);
}

async fn write_nothing(client: &Client) {
    client.simple_query("").await.unwrap();
}

async fn a_name_moves_to_another_address(rig: Arc<Rig>) {
    let there = tap(&rig, rig.cluster.addr());
    let names = Names::default();
    names.lead("localhost", [rig.tap.addr()]);
    let config = named(&rig, ["localhost"])
        .connect_resolve_interval(Duration::from_millis(20))
        .pool_idle_timeout(Duration::from_secs(60));
    let pool = resolved(&rig, config, names.clone());
    let (held, idle) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    drop(idle);

    names.forget();
    names.asked(10).await;
    assert_eq!(
        closed(&rig),
        BTreeMap::new(),
        "a lookup that fails says nothing"
    );

    names.lead("localhost", [there.addr()]);
    eventually("the idle one is retired", async || {
        closed(&rig) == BTreeMap::from([("evicted", 1)])
    })
    .await;
    assert_eq!(
        (rig.tap.connections().len(), there.connections().len()),
        (2, 0)
    );
    let client = pool.acquire().await.unwrap();
    assert_eq!(
        (rig.tap.connections().len(), there.connections().len()),
        (2, 1)
    );

    let cancel = held.cancel_handle();
    let (slept, cancelled) = tokio::join!(held.simple_query("select pg_sleep(60)"), async {
        let sleeping = "select count(*) from pg_stat_activity where query = 'select pg_sleep(60)' and usename = current_user and state = 'active'";
        eventually("it sleeps", async || {
            let row = client.query_one(sleeping, &[]).await.unwrap();
            row.get::<_, i64>(0) == 1
        })
        .await;
        cancel.cancel().await
    });
    cancelled.unwrap();
    assert_eq!(slept.unwrap_err().code().unwrap().code(), "57014");
    assert_eq!(
        (rig.tap.connections().len(), there.connections().len()),
        (3, 1),
        "the request went to the session's own address"
    );
    drop(held);
    eventually(
        "the one that was in use is retired as it comes back",
        async || closed(&rig) == BTreeMap::from([("evicted", 2)]),
    )
    .await;
    names.asked(10).await;
    write_nothing(&client).await;
    drop((client, pool));
}

async fn each_host_is_verified_under_its_own_name(rig: Arc<Rig>) {
    let other = Other::standby(&rig).await;
    let leaf = |name: &str| -> Leaf { rig.cluster.pki().leaf().dns(name).issue() };
    rig.cluster
        .swap_certificate(&leaf("one.example.net"))
        .unwrap();
    other
        .cluster
        .swap_certificate(&leaf("two.example.net"))
        .unwrap();
    let names = Names::default();
    names.lead("one.example.net", [rig.tap.addr()]);
    names.lead("two.example.net", [other.tap.addr()]);
    let config = named(&rig, ["one.example.net", "two.example.net"]);
    let standby = config.clone().connect_target_session_attrs("standby");
    for (config, expected) in [(&config, "one.example.net"), (&standby, "two.example.net")] {
        let pool = resolved(&rig, config.clone(), names.clone());
        let client = pool.acquire().await.unwrap();
        assert_eq!(client.tls().server_name(), expected);
        assert_eq!(client.tls().certificate().names(), [expected]);
    }

    names.lead("one.example.net", [other.tap.addr()]);
    let pool = resolved(&rig, config, names);
    let client = pool.acquire().await.unwrap();
    assert_eq!(client.tls().server_name(), "two.example.net");
    assert_eq!(
        rig.record.counts().failed,
        BTreeMap::from([(HandshakeFailure::CertificateHostnameMismatch, 1)]),
        "a trusted server of the list is not trusted under another's name"
    );
}

#[tokio::test]
async fn a_resolver_that_hangs_or_knows_nothing() {
    let limit = Duration::from_millis(200);
    let config = Config::new()
        .host("db.example.net")
        .user("app")
        .connect_retry(false)
        .connect_resolve_timeout(limit);
    let builder = || Pool::builder(config.clone());
    let started = Instant::now();
    let hangs = builder().resolver(|_, _| std::future::pending()).build();
    let hung = hangs.unwrap().acquire().await.unwrap_err();
    assert!(started.elapsed() >= limit && started.elapsed() < limit + SLACK);
    let knows_nothing = builder().resolver(|_, _| async { Ok(Vec::new()) }).build();
    let unknown = knows_nothing.unwrap().acquire().await.unwrap_err();
    let problem = "cannot connect to db.example.net:5432: resolve: the name does not resolve; check host and the resolver";
    assert_eq!(chain(&hung), format!("{problem}: not done within 200ms"));
    assert_eq!(
        chain(&unknown),
        format!("{problem}: the name has no address")
    );
    assert_eq!(
        (hung.class(), unknown.class()),
        (Class::Network, Class::Network)
    );
}
