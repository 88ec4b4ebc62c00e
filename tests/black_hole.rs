use std::{
    env, fs,
    future::Future,
    io::{self, Write as _},
    process::{Command, Output},
    sync::Arc,
    time::Duration,
};

use sealpool::{Client, Pool};
use tokio::time::Instant;

use crate::rig::{Rig, SLACK, eventually, on_own, rest};

/// Makes tests that have a network of their own, in which they can lose packets.
macro_rules! alone {
    ($($test:ident;)+) => {$(
        mod $test {
            #[test]
            fn on_postgresql_15() {
                super::alone(15, concat!(module_path!(), "::on_postgresql_15"), super::$test);
            }

            #[test]
            fn on_postgresql_18() {
                super::alone(18, concat!(module_path!(), "::on_postgresql_18"), super::$test);
            }
        }
    )+};
}

alone! {
    a_dead_peer_is_noticed_in_every_state;
    an_acquire_although_all_idle_connections_are_dead;
}

/// Set in the process that has a network of its own.
const ALONE: &str = "SEALPOOL_TEST_HAS_ITS_OWN_NETWORK";

/// What is local is looked up first of all unless this is changed; rules of ours have to come before.
const NETWORK: &str =
    "ip link set lo up && ip rule add pref 200 lookup local && ip rule del pref 0";

/// Runs the test in a process of its own, in a network namespace that goes when it goes; where the machine does not allow
/// that, says so past the capture of the test's output, for `scripts/check` to count.
fn alone<F: Future<Output = ()>>(major: u32, name: &str, test: impl FnOnce(Arc<Rig>) -> F) {
    if env::var_os(ALONE).is_some() {
        return on_own(major, |builder| builder, test);
    }
    let name = name.split_once("::").expect("a path in a crate").1;
    let probe = format!("{NETWORK} && {}", black_hole(1, 1));
    let probed = in_own_network(&probe, &[]);
    if !probed.as_ref().is_ok_and(|probed| probed.status.success()) {
        let reason = probed.map_or_else(|error| error.to_string(), |probed| said(&probed.stderr));
        let line = format!("\nskipped: {name}: no network namespace can be had here: {reason}\n");
        io::stderr()
            .write_all(line.as_bytes())
            .expect("standard error");
        return;
    }
    let this = env::current_exe().expect("this program");
    let this = this.to_str().expect("a path in UTF-8");
    let arguments = [this, "--exact", name, "--nocapture"];
    let Output {
        status,
        stdout,
        stderr,
    } = in_own_network(&format!("{NETWORK} && exec \"$@\""), &arguments)
        .expect("the probe ran too");
    let said = format!("{}\n{}", said(&stdout), said(&stderr));
    assert!(status.success() && said.contains("1 passed"), "{said}");
}

fn in_own_network(script: &str, arguments: &[&str]) -> io::Result<Output> {
    Command::new("unshare")
        .args(["--net", "sh", "-c", script, "sh"])
        .args(arguments)
        .env(ALONE, "yes")
        .output()
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

/// What comes back to the client is lost, acknowledgements included: that is all a client can see of a black hole.
fn black_hole(server: u16, client: u16) -> String {
    format!("ip rule add pref 50 ipproto tcp sport {server} dport {client} blackhole")
}

/// Loses the packets of every connection to the tap that there is now.
fn lose_all(rig: &Rig) {
    let server = rig.tap.port();
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let established = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let port = |field: &str| u16::from_str_radix(field.rsplit(':').next()?, 16).ok();
        (fields[3] == "01" && port(fields[2]) == Some(server)).then(|| port(fields[1]).unwrap())
    });
    let rules: Vec<_> = established
        .map(|client| black_hole(server, client))
        .collect();
    assert!(!rules.is_empty(), "{table}");
    let added = Command::new("sh").args(["-ec", &rules.join("\n")]).status();
    assert!(added.unwrap().success());
}

async fn pid(client: &Client) -> i32 {
    let row = client.query_one("select pg_backend_pid()", &[]).await;
    row.unwrap().get(0)
}

/// How many connections TCP itself has given up: with ETIMEDOUT, which no limit of ours can say.
fn given_up_by_tcp() -> usize {
    let lines = crate::log::lines();
    let lost = lines
        .lines()
        .filter(|line| line.contains("connection lost"));
    lost.filter(|line| line.contains("(os error 110)")).count()
}

async fn a_dead_peer_is_noticed_in_every_state(rig: Arc<Rig>) {
    const NOTICED: Duration = Duration::from_millis(8_500);
    let pool = rig.pool(rig.retrying());
    // A pool of its own: where another connection is lost, the pool asks, and that is not how TCP learns of it.
    let resting = rig.pool(rig.retrying());
    let careless = rig.retrying().connect_keepalives(false);
    let careless = rig.pool(careless.connect_tcp_user_timeout(Duration::ZERO));
    let forgotten = careless.acquire().await.unwrap();
    let lent = pool.acquire().await.unwrap();
    let waiting = pool.acquire().await.unwrap();
    let asking = pool.acquire().await.unwrap();
    let idle = resting.acquire().await.unwrap();
    let mut pids = Vec::new();
    for client in [&forgotten, &lent, &waiting, &asking, &idle] {
        pids.push(pid(client).await);
    }
    drop(idle);
    let answer = tokio::spawn(async move {
        let lost = waiting.query_one("select pg_sleep(300)", &[]).await;
        (lost.is_err_and(|error| error.is_closed()), Instant::now())
    });
    eventually("the request has been acknowledged", async || {
        let asleep = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'";
        rig.cluster.sql(asleep).await.unwrap() == [[Some("1".to_owned())]]
    })
    .await;

    let broken = || rig.record.counts().closed.get("broken").copied();
    assert_eq!(broken(), None);
    lose_all(&rig);
    let lost = Instant::now();
    let in_flight = tokio::spawn(async move {
        let lost = asking.query_one("select 1", &[]).await;
        (lost.is_err_and(|error| error.is_closed()), Instant::now())
    });
    eventually("an idle connection in the pool", async || {
        broken() >= Some(1)
    })
    .await;
    eventually("an idle connection that is lent", async || lent.is_closed()).await;
    let mut noticed = vec![lost.elapsed()];
    for query in [answer, in_flight] {
        let (has_ended, when) = query.await.unwrap();
        assert!(has_ended);
        noticed.push(when - lost);
    }
    for taken in noticed {
        // Keepalive begins after five seconds.
        assert!(
            taken >= Duration::from_secs(5) && taken < NOTICED + SLACK,
            "{taken:?}"
        );
    }
    assert!(given_up_by_tcp() >= 4, "{}", crate::log::lines());
    assert!(
        !forgotten.is_closed(),
        "without these settings nobody notices"
    );

    end(&rig, &pids).await;
    drop((lent, forgotten, careless, resting));
    rig.recovered(&pool).await;
}

async fn an_acquire_although_all_idle_connections_are_dead(rig: Arc<Rig>) {
    const SIZE: usize = 10;
    let check = Duration::from_millis(500);
    let pool = rig.pool(rig.retrying().pool_max_size(10));
    let pids = rested(&pool, SIZE).await;
    lose_all(&rig);
    let started = Instant::now();
    let client = pool.acquire().await.expect("new connections pass");
    let taken = started.elapsed();
    assert!(taken >= check && taken < 2 * check + SLACK, "{taken:?}");
    client.query_one("select 1", &[]).await.unwrap();
    eventually("none of them is left", async || {
        rig.record.counts().closed.get("check_failed") == Some(&SIZE)
    })
    .await;
    let counts = rig.record.counts();
    assert_eq!(counts.checks.get("failed"), Some(&SIZE));
    assert_eq!((counts.opened, counts.most_open), (SIZE + 1, SIZE));
    drop(client);
    end(&rig, &pids).await;
    rig.recovered(&pool).await;
}

/// Ends sessions of which the server does not know that nobody can hear them any more.
async fn end(rig: &Rig, pids: &[i32]) {
    let end = format!("select pg_terminate_backend(pid) from unnest(array{pids:?}) pid");
    rig.cluster.sql(&end).await.unwrap();
}

/// So many idle connections that are due for a check.
async fn rested(pool: &Pool, count: usize) -> Vec<i32> {
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
