use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use metrics_util::MetricKindMask;
use sealpool::{Config, Error, Event, Pool};
use sealpool_metrics::{Metrics, Naming};

use crate::{
    events::Told,
    scrape::{Exported, Scrape, exporter},
};

fn tell_all(told: &Told) {
    for event in Event::samples() {
        told.tell(&event);
    }
}

const OPENED: &str = "sealpool_connections_opened_total";
const CREATE_TIMES: &str = "db_client_connection_create_time_seconds_count";

#[test]
fn a_recorder_that_comes_late_misses_nothing() {
    let metrics = Metrics::new(Naming::Prometheus);
    let told = Told::of(metrics.observer("orders")).unwrap();
    tell_all(&told);
    metrics.collect();
    // One after the other, as only tests have them.
    let recorders = [exporter().build_recorder(), exporter().build_recorder()];
    for (round, recorder) in (1..).zip(&recorders) {
        let guard = metrics::set_default_local_recorder(recorder);
        tell_all(&told);
        metrics.collect();
        let scrape = Scrape::read(&recorder.handle().render());
        assert_eq!(
            scrape.value("orders", OPENED, None),
            f64::from(round + 1_i32)
        );
        // What there was before any recorder is in the first.
        let times = if round == 1 { 2.0 } else { 1.0 };
        assert_eq!(scrape.value("orders", CREATE_TIMES, None), times);
        assert!(!scrape.families[OPENED].1.is_empty(), "it is described");
        drop(guard);
    }
}

#[test]
fn an_exporter_that_forgets_what_is_idle_is_told_again() {
    const IDLE: Duration = Duration::from_millis(50);
    let exported = Exported::with(Naming::Prometheus, |builder| {
        builder.idle_timeout(MetricKindMask::ALL, Some(IDLE))
    });
    let told = Told::new(&exported, "orders");
    tell_all(&told);
    let before = exported.scrape();
    assert_eq!(before.value("orders", OPENED, None), 1.0);
    for _ in 0..3 {
        // The exporter goes by its own clock.
        std::thread::sleep(3 * IDLE);
        // Drops what has not been written since.
        let _ = exported.scrape();
        tell_all(&told);
        let after = exported.scrape();
        assert_eq!(
            after.series.keys().collect::<Vec<_>>(),
            before.series.keys().collect::<Vec<_>>()
        );
        assert_eq!(after.value("orders", CREATE_TIMES, None), 1.0);
    }
    let last = exported.scrape();
    assert_eq!(last.value("orders", OPENED, None), 4.0);
}

#[test]
fn two_pools_are_told_apart() {
    let exported = Exported::new();
    let (orders, reports) = (
        Told::new(&exported, "orders"),
        Told::new(&exported, "reports"),
    );
    tell_all(&orders);
    tell_all(&orders);
    tell_all(&reports);
    let scrape = exported.scrape();
    assert_eq!(scrape.value("orders", OPENED, None), 2.0);
    assert_eq!(scrape.value("reports", OPENED, None), 1.0);
    assert_eq!(scrape.value("reports", CREATE_TIMES, None), 1.0);
}

#[test]
fn two_pools_of_one_name_are_refused() {
    let exported = Exported::new();
    let first = Told::new(&exported, "orders");
    let error = Told::of(exported.metrics.observer("orders")).err().unwrap();
    assert!(matches!(error, Error::Config(_)), "{error}");
    assert_eq!(
        error.to_string(),
        "a pool with the metrics of \"orders\" is running already; give each pool a name of its own"
    );
    tell_all(&first);
    assert_eq!(exported.scrape().value("orders", OPENED, None), 1.0);
}

#[test]
fn without_a_name_it_is_the_address() {
    let exported = Exported::new();
    let _told = Told::of(exported.metrics.observer_by_address()).unwrap();
    let name = "db.example.net:5432/shop";
    let running = Some(("state", "running"));
    assert_eq!(
        exported.scrape().value(name, "sealpool_state", running),
        1.0
    );
}

#[tokio::test]
async fn a_pool_that_is_gone_is_closed_and_another_goes_on_counting() {
    let exported = Exported::new();
    let first = Told::new(&exported, "orders");
    tell_all(&first);
    let running = exported.scrape();
    let state =
        |scrape: &Scrape, state| scrape.value("orders", "sealpool_state", Some(("state", state)));
    assert_eq!(state(&running, "running"), 1.0);
    assert_eq!(
        running.value("orders", "db_client_connection_max", None),
        10.0
    );

    first.pool.shutdown(Duration::ZERO).await;
    assert_eq!(state(&exported.scrape(), "closed"), 1.0);
    drop(first);
    for _ in 0..2 {
        let gone = exported.scrape();
        assert_eq!(
            (state(&gone, "closed"), state(&gone, "running")),
            (1.0, 0.0)
        );
        assert_eq!(gone.value("orders", "db_client_connection_max", None), 0.0);
        assert_eq!(gone.value("orders", OPENED, None), 1.0, "counters stay");
    }

    let second = Told::new(&exported, "orders");
    tell_all(&second);
    let again = exported.scrape();
    assert_eq!(state(&again, "running"), 1.0);
    assert_eq!(again.value("orders", OPENED, None), 2.0);
    assert_eq!(again.value("orders", CREATE_TIMES, None), 2.0);
}

#[test]
fn a_pool_that_is_gone_before_there_is_a_recorder_is_told_of_all_the_same() {
    let metrics = Metrics::new(Naming::Prometheus);
    let told = Told::of(metrics.observer("orders")).unwrap();
    tell_all(&told);
    drop(told);
    metrics.collect();
    let recorder = exporter().build_recorder();
    metrics::with_local_recorder(&recorder, || metrics.collect());
    let scrape = Scrape::read(&recorder.handle().render());
    assert_eq!(scrape.value("orders", OPENED, None), 1.0);
}

/// The end of a certificate of a pool that is gone is not a number, so that no alert goes by it.
#[test]
fn certificates_of_a_pool_that_is_gone_end_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root.pem");
    let pki = sealpool_testkit::Pki::new();
    std::fs::write(&root, pki.root_pem()).unwrap();
    let exported = Exported::new();
    let config = Config::new().host("db.example.net").user("app");
    let pool = Pool::builder(config.tls_root(root.as_path()))
        .observer(exported.metrics.observer("orders"))
        .build()
        .unwrap();
    let end = || {
        let name = "sealpool_tls_ca_expiry_timestamp_seconds";
        exported.scrape().value("orders", name, None)
    };
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    assert!(end() > now.as_secs_f64());
    drop(pool);
    assert!(end().is_nan());
}

/// What an SDK of OpenTelemetry makes of the dotted names, the exporter can make too.
#[test]
fn both_namings_arrive_at_one_text() {
    let texts = [Naming::Prometheus, Naming::OpenTelemetry].map(|naming| {
        let exported = Exported::with(naming, |builder: PrometheusBuilder| {
            builder.with_recommended_naming(naming == Naming::OpenTelemetry)
        });
        let told = Told::new(&exported, "orders");
        tell_all(&told);
        let text = exported.text();
        let renamed = text.replace(
            "sealpool_leaks_suspected_current",
            "sealpool_leaks_suspected",
        );
        let mut lines: Vec<_> = renamed
            .lines()
            .filter(|line| !line.contains("last_reload_success"))
            .map(str::to_owned)
            .collect();
        lines.sort();
        lines
    });
    assert_eq!(texts[0], texts[1]);
}

#[tokio::test]
async fn a_sampler_collects_until_it_is_aborted() {
    let exported = Exported::new();
    let told = Told::new(&exported, "orders");
    tell_all(&told);
    let sampler = exported.metrics.spawn_sampler(Duration::ZERO);
    let opened = || Scrape::read(&exported.handle.render()).find("orders", OPENED, None);
    for expected in 1..=2_i32 {
        while opened() != Some(f64::from(expected)) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tell_all(&told);
    }
    sampler.abort();
    assert!(sampler.await.unwrap_err().is_cancelled());
}
