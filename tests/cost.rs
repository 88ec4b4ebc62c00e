//! What an acquire and a release cost, in allocations and in instructions: neither depends on what else the machine does.
//! On their own, since the counting allocator is the whole program's.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    env,
    process::{Command, Stdio},
};

use sealpool::{Config, Pool};
use sealpool_metrics::{Metrics, Naming};
use sealpool_testkit::{Cluster, Tap};
use tokio::runtime::{Builder, Runtime};

/// Of one acquire and release in an unoptimised build, without observers.
const INSTRUCTIONS: u64 = 6_810;
/// As many more or fewer as another compiler may make of it.
const TOLERANCE: f64 = 0.15;

const CYCLES: &str = "SEALPOOL_CYCLES";
const SERVER: &str = "SEALPOOL_SERVER";

#[test]
fn an_acquire_and_a_release_allocate_nothing() {
    let (cluster, tap) = server();
    let metrics = Metrics::new(Naming::Prometheus);
    let config = config(
        tap.addr().port(),
        cluster.user(),
        cluster.password(),
        cluster.database(),
    )
    .tls_root(cluster.root_file());
    let builders = [
        Pool::builder(config.clone()),
        Pool::builder(config).observer(metrics.observer("cost")),
    ];
    for builder in builders {
        let (runtime, pool) = (runtime(), builder.build().unwrap());
        // The first one opens the connection; what grows on demand has its size after it.
        runtime.block_on(cycles(&pool, 10));
        let of_none = allocation_counter::measure(|| runtime.block_on(cycles(&pool, 0)));
        let of_many = allocation_counter::measure(|| runtime.block_on(cycles(&pool, 10_000)));
        assert_eq!(of_many.count_total, of_none.count_total, "{pool:?}");
    }
}

#[test]
fn an_acquire_and_a_release_take_so_many_instructions() {
    if let Ok(server) = env::var(SERVER) {
        return counted_here(&server);
    }
    let (cluster, tap) = server();
    let server = [
        &tap.addr().port().to_string(),
        cluster.user(),
        cluster.password(),
        cluster.database(),
        cluster.root_file().to_str().unwrap(),
    ];
    let [few, many] = [1_000, 11_000].map(|cycles| counted(&server.join(" "), cycles));
    let each = (many - few) / 10_000;
    println!("{each} instructions");
    let ratio = each as f64 / INSTRUCTIONS as f64;
    assert!(
        (1.0 - TOLERANCE..=1.0 + TOLERANCE).contains(&ratio),
        "{each} instructions instead of {INSTRUCTIONS}: if that is meant, it is the number to be written here"
    );
}

/// What is counted, in a process of its own.
fn counted_here(server: &str) {
    let [port, user, password, database, root] = server.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{server}");
    };
    let config = config(port.parse().unwrap(), user, password, database);
    let pool = Pool::builder(config.tls_root(root)).build().unwrap();
    let count = env::var(CYCLES).unwrap().parse().unwrap();
    runtime().block_on(cycles(&pool, count));
}

/// All instructions of a process that acquires and releases so often.
fn counted(server: &str, cycles: u64) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe().unwrap())
        .args([
            "--exact",
            "an_acquire_and_a_release_take_so_many_instructions",
        ])
        .env(SERVER, server)
        .env(CYCLES, cycles.to_string())
        .stdin(Stdio::null())
        .output()
        .expect("valgrind, which scripts/check installs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let line = text.lines().find_map(|line| line.split_once("Collected :"));
    line.expect("a count").1.trim().parse().unwrap()
}

async fn cycles(pool: &Pool, count: u32) {
    for _ in 0..count {
        drop(pool.acquire().await.unwrap());
    }
}

fn server() -> (Cluster, Tap) {
    let cluster = Cluster::start().unwrap();
    let tap = Tap::start(cluster.addr()).unwrap();
    (cluster, tap)
}

fn config(port: u16, user: &str, password: &str, database: &str) -> Config {
    Config::new()
        .host("localhost")
        .hostaddr("127.0.0.1")
        .port(port)
        .user(user)
        .password(password)
        .database(database)
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}
