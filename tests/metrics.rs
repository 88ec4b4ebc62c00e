#[path = "../crates/sealpool-metrics/tests/metrics/scrape.rs"]
mod scrape;

use std::{
    future::{Future, poll_fn},
    io::Write as _,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::{Duration, SystemTime},
};

use sealpool::{Config, Error, Pool, Reload};
use tokio::task::JoinSet;

use crate::rig::{Rig, SQL_CANARY, eventually, on_both};
use scrape::{Exported, Scrape};

on_both! {
    on_shared() => acquires_of_every_outcome;
    on_shared() => connects_that_fail;
    on_shared() => levels_while_a_client_is_held;
    on_shared() => a_pool_that_is_dropped_before_its_client;
    on_shared() => a_rotation;
    on_shared() => used_and_idle_are_never_more_than_there_may_be;
}

const CATALOGUE: &str = include_str!("../crates/sealpool-metrics/tests/catalogue.txt");

fn pool(rig: &Rig, exported: &Exported, config: Config) -> Pool {
    Pool::builder(config)
        .observer(rig.record.clone())
        .observer(exported.metrics.observer("orders"))
        .build()
        .unwrap()
}

/// A series of the pool `orders`.
fn value(scrape: &Scrape, name: &str) -> f64 {
    scrape.value("orders", name, None)
}

fn labelled(scrape: &Scrape, name: &str, label: &str, of: &str) -> f64 {
    scrape.value("orders", name, Some((label, of)))
}

fn acquires(scrape: &Scrape, outcome: &str) -> f64 {
    labelled(scrape, "sealpool_acquires_total", "outcome", outcome)
}

/// Runs a future until it waits, and drops it.
async fn given_up(future: impl Future) {
    let mut future = pin!(future);
    poll_fn(|cx| {
        assert!(future.as_mut().poll(cx).is_pending(), "it has to wait");
        Poll::Ready(())
    })
    .await;
}

async fn acquires_of_every_outcome(rig: Arc<Rig>) {
    let exported = Exported::new();
    let config = rig.retrying().pool_max_size(1).pool_max_waiting(1_u32);
    let pool = pool(&rig, &exported, config);
    drop(pool.acquire().await.unwrap());
    let held = pool.acquire().await.unwrap();
    held.query_one("select 1", &[]).await.unwrap();
    held.query_one(&format!("select '{SQL_CANARY}'"), &[])
        .await
        .unwrap();
    let late = pool.acquire_timeout(Duration::from_millis(50)).await;
    assert!(matches!(late, Err(Error::Timeout(_))));
    given_up(pool.acquire()).await;

    let waiter = tokio::spawn({
        let pool = pool.clone();
        async move { pool.acquire().await }
    });
    eventually("one waits", async || pool.status().waiting == 1).await;
    let refused = pool.acquire().await;
    assert!(matches!(refused, Err(Error::QueueFull(1))));
    eventually("its wait can be seen", async || {
        value(&exported.scrape(), "sealpool_oldest_waiter_age_seconds") > 0.0
    })
    .await;
    let waiting = exported.scrape();
    assert_eq!(
        value(&waiting, "db_client_connection_pending_requests"),
        1.0
    );
    drop(held);
    drop(waiter.await.unwrap().unwrap());
    eventually("one is lent", async || pool.try_acquire().is_some()).await;
    pool.shutdown(Duration::from_secs(5)).await;
    assert!(matches!(pool.acquire().await, Err(Error::Closed)));

    let scrape = exported.scrape();
    for (outcome, count) in [
        ("cancelled", 1.0),
        ("closed", 1.0),
        ("connect_failed", 0.0),
        ("direct", 2.0),
        ("queue_full", 1.0),
        ("timeout", 1.0),
        ("waited", 2.0),
    ] {
        assert_eq!(acquires(&scrape, outcome), count, "{outcome}");
    }
    assert_eq!(value(&scrape, "db_client_connection_timeouts_total"), 1.0);
    for (name, count) in [("wait", 4.0), ("use", 4.0), ("create", 1.0)] {
        let name = format!("db_client_connection_{name}_time_seconds_count");
        assert_eq!(value(&scrape, &name), count, "{name}");
    }
    assert_eq!(labelled(&scrape, "sealpool_state", "state", "closed"), 1.0);
    let closed = "sealpool_connections_closed_total";
    assert_eq!(labelled(&scrape, closed, "reason", "pool_closed"), 1.0);
    assert_eq!(value(&scrape, "sealpool_oldest_waiter_age_seconds"), 0.0);
    tells_no_secret(&rig, &exported.text());
}

/// Neither secrets, nor what would make a series of each query, address or certificate.
fn tells_no_secret(rig: &Rig, text: &str) {
    let cluster = &rig.cluster;
    for secret in [
        cluster.password(),
        cluster.superuser_password(),
        SQL_CANARY,
        "127.0.0.1",
        "CN=",
    ] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

async fn connects_that_fail(rig: Arc<Rig>) {
    let exported = Exported::new();
    let stranger = sealpool_testkit::Pki::new();
    let root = tempfile::NamedTempFile::new().unwrap();
    root.as_file()
        .write_all(stranger.root_pem().as_bytes())
        .unwrap();
    let untrusted = pool(&rig, &exported, rig.without_root().tls_root(root.path()));
    assert!(matches!(untrusted.acquire().await, Err(Error::Connect(_))));
    drop(untrusted);
    let denied = pool(&rig, &exported, rig.without_password().password("wrong"));
    assert!(matches!(denied.acquire().await, Err(Error::Connect(_))));

    let scrape = exported.scrape();
    assert_eq!(acquires(&scrape, "connect_failed"), 2.0);
    let failures = "sealpool_connect_failures_total";
    assert_eq!(labelled(&scrape, failures, "stage", "tls"), 1.0);
    assert_eq!(labelled(&scrape, failures, "stage", "auth"), 1.0);
    let handshakes = "sealpool_tls_handshake_failures_total";
    let reason = "certificate_unknown_issuer";
    assert_eq!(labelled(&scrape, handshakes, "error_type", reason), 1.0);
    assert_eq!(scrape.sum("orders", handshakes), 1.0);
    assert_eq!(scrape.sum("orders", "sealpool_tls_connections_total"), 1.0);
    assert_eq!(value(&scrape, "sealpool_tls_handshake_attempts_total"), 2.0);
    assert_eq!(value(&scrape, "sealpool_tls_handshakes_active"), 0.0);
    let counts = rig.record.counts();
    assert_eq!(
        counts.not_connected[&"auth"] + counts.not_connected[&"tls"],
        2
    );
    tells_no_secret(&rig, &exported.text());
}

async fn levels_while_a_client_is_held(rig: Arc<Rig>) {
    let exported = Exported::new();
    let config = rig.retrying().pool_max_size(3).pool_min_idle(1_u32);
    let threshold = Duration::from_millis(100);
    let pool = pool(&rig, &exported, config.pool_leak_threshold(threshold));
    let held = pool.acquire().await.unwrap();
    let count = |scrape: &Scrape, state| {
        let label = "db_client_connection_state";
        labelled(scrape, "db_client_connection_count", label, state)
    };
    let suspected = "sealpool_leaks_suspected";
    eventually(
        "a leak is suspected, and one connection kept ready",
        async || {
            let scrape = exported.scrape();
            value(&scrape, suspected) == 1.0 && count(&scrape, "idle") == 1.0
        },
    )
    .await;
    let scrape = exported.scrape();
    assert_eq!(count(&scrape, "used"), 1.0);
    assert_eq!(value(&scrape, "db_client_connection_max"), 3.0);
    assert_eq!(value(&scrape, "db_client_connection_idle_max"), 3.0);
    assert_eq!(value(&scrape, "db_client_connection_idle_min"), 1.0);
    assert_eq!(value(&scrape, "sealpool_leaks_suspected_total"), 1.0);
    assert_eq!(labelled(&scrape, "sealpool_state", "state", "running"), 1.0);
    let version = held.tls().protocol_version().as_str();
    let versions = "sealpool_tls_connections_total";
    assert_eq!(
        labelled(&scrape, versions, "tls_protocol_version", version),
        scrape.sum("orders", versions)
    );
    let ends = held.tls().chain().iter().map(|shown| shown.not_after());
    let first = ends.min().unwrap();
    let first = first.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let expiry = "sealpool_tls_server_certificate_expiry_timestamp_seconds";
    assert_eq!(
        labelled(&scrape, expiry, "server_address", "localhost"),
        first.as_secs_f64()
    );
    for (name, (kind, help)) in &scrape.families {
        let labels = scrape.labels(name).join(",");
        let lines = CATALOGUE.lines();
        let known = lines.filter(|line| {
            let columns: Vec<_> = line.split(" | ").collect();
            (columns[0], columns[1], columns[3], columns[4]) == (name, kind, &labels, help)
        });
        assert_eq!(known.count(), 1, "{name} | {kind} | {labels} | {help}");
    }
    drop(held);
    assert_eq!(value(&exported.scrape(), suspected), 0.0);
}

async fn a_pool_that_is_dropped_before_its_client(rig: Arc<Rig>) {
    let exported = Exported::new();
    let pool = pool(&rig, &exported, rig.config().pool_max_size(2));
    let held = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    drop(held.1);
    let expiry = "sealpool_tls_server_certificate_expiry_timestamp_seconds";
    let end = |scrape: &Scrape| labelled(scrape, expiry, "server_address", "localhost");
    assert!(!end(&exported.scrape()).is_nan());
    drop(pool);
    let used = |scrape: &Scrape| {
        let label = "db_client_connection_state";
        labelled(scrape, "db_client_connection_count", label, "used")
    };
    let closing = exported.scrape();
    assert_eq!(used(&closing), 1.0);
    assert_eq!(
        labelled(&closing, "sealpool_state", "state", "closing"),
        1.0
    );
    drop(held.0);
    eventually("its last connection is closed", async || {
        used(&exported.scrape()) == 0.0
    })
    .await;
    let closed = exported.scrape();
    assert_eq!(labelled(&closed, "sealpool_state", "state", "closed"), 1.0);
    assert_eq!(
        closed.sum("orders", "sealpool_connections_closed_total"),
        2.0
    );
    assert_eq!(
        value(&closed, "db_client_connection_use_time_seconds_count"),
        2.0
    );
    assert!(end(&closed).is_nan());
}

async fn a_rotation(rig: Arc<Rig>) {
    let exported = Exported::new();
    let mut root = tempfile::NamedTempFile::new().unwrap();
    let ours = std::fs::read(rig.cluster.root_file()).unwrap();
    root.write_all(&ours).unwrap();
    let config = rig.without_root().tls_root(root.path());
    let config = config.tls_reload_interval(Duration::from_secs(60 * 60));
    let pool = pool(&rig, &exported, config);
    let held = pool.acquire().await.unwrap();
    let before = exported.scrape();
    let reloaded = "sealpool_tls_last_reload_success_timestamp_seconds";
    let reloads = "sealpool_tls_reloads_total";
    let stale = "sealpool_tls_stale_connections";
    assert_eq!(value(&before, stale), 0.0);
    assert!(value(&before, "sealpool_tls_ca_expiry_timestamp_seconds") > value(&before, reloaded));

    root.write_all(b"-----BEGIN CERTIFICATE-----\n").unwrap();
    assert!(pool.reload().await.is_err());
    let failed = exported.scrape();
    assert_eq!(labelled(&failed, reloads, "outcome", "failed"), 1.0);
    assert_eq!(value(&failed, reloaded), value(&before, reloaded));

    let other = sealpool_testkit::Pki::new();
    let both = [&ours[..], other.root_pem().as_bytes()].concat();
    std::fs::write(root.path(), both).unwrap();
    assert_eq!(pool.reload().await, Ok(Reload::Swapped));
    assert_eq!(pool.reload().await, Ok(Reload::Unchanged));
    let after = exported.scrape();
    assert_eq!(labelled(&after, reloads, "outcome", "ok"), 1.0);
    assert_eq!(labelled(&after, reloads, "outcome", "unchanged"), 1.0);
    assert!(value(&after, reloaded) > value(&before, reloaded));
    assert_eq!(value(&after, stale), 1.0);
    drop(held);
}

async fn used_and_idle_are_never_more_than_there_may_be(rig: Arc<Rig>) {
    const SIZE: u32 = 4;
    let exported = Exported::new();
    let config = rig.retrying().pool_max_size(SIZE);
    let pool = pool(&rig, &exported, config.pool_max_uses(5_u32));
    let mut tasks = JoinSet::new();
    for _ in 0..32 {
        let pool = pool.clone();
        tasks.spawn(async move {
            for _ in 0..10 {
                let client = pool.acquire().await.unwrap();
                client.query_one("select 1", &[]).await.unwrap();
            }
        });
    }
    while !tasks.is_empty() {
        while let Some(done) = tasks.try_join_next() {
            done.unwrap();
        }
        let status = pool.status();
        assert!(status.used + status.idle <= SIZE as usize, "{status}");
        let open = exported
            .scrape()
            .sum("orders", "db_client_connection_count");
        assert!(open <= f64::from(SIZE), "{open}");
        tokio::task::yield_now().await;
    }
    let scrape = exported.scrape();
    let given = acquires(&scrape, "direct") + acquires(&scrape, "waited");
    assert_eq!(given, 320.0);
    let timed = value(&scrape, "db_client_connection_wait_time_seconds_count");
    assert_eq!(timed, given);
    let opened = value(&scrape, "sealpool_connections_opened_total");
    assert!(opened >= 320.0 / 5.0, "{opened}");
}
