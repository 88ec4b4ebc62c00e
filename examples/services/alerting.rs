use sealpool_testkit::Pki;

use crate::{
    expressions,
    process::eventually,
    prometheus::Prometheus,
    service::{CANARY, Service},
    tokens::Tokens,
};

const FAILURES: &str = "sealpool_tls_handshake_failures_total";
const REASON: &str = "certificate_unknown_issuer";

#[test]
fn on_postgresql_15() {
    a_server_of_another_authority_fires_the_alert(15);
}

#[test]
fn on_postgresql_18() {
    a_server_of_another_authority_fires_the_alert(18);
}

fn a_server_of_another_authority_fires_the_alert(major: u32) {
    let service = Service::start(env!("CARGO_BIN_EXE_axum_service"), major);
    service.comes_to("/readyz", 200);
    assert_eq!(service.post("/orders/apple"), (200, "1".to_owned()));
    let tokens = Tokens::start(&service);
    let prometheus = Prometheus::start([service.address(), tokens.address()]);
    // A rate needs two samples.
    prometheus.comes_to(&format!("count_over_time({FAILURES}[5m]) > 2"));
    prometheus.evaluates();
    let alerts = prometheus.alerts();
    assert!(alerts.is_empty(), "{alerts:?}");
    assert_eq!(prometheus.number(&format!("sum({FAILURES})")), 0.0);

    let other = Pki::new();
    let other = other.leaf().dns("localhost").issue();
    service.cluster.swap_certificate(&other).unwrap();
    lose_connections(&service);
    service.comes_to("/readyz", 503);
    assert_eq!(service.get("/stock/apple").0, 503);
    prometheus.comes_to(&format!("{FAILURES}{{error_type=\"{REASON}\"}} > 0"));
    assert_eq!(
        prometheus.number(&format!("sum({FAILURES}{{error_type!=\"{REASON}\"}})")),
        0.0
    );
    for (path, pieces) in [
        ("/status", ["<!doctype html>", "</html>"]),
        ("/status?data", ["orders", REASON]),
    ] {
        let (status, page) = service.get(path);
        assert_eq!(status, 200);
        for piece in pieces {
            assert!(page.contains(piece), "{piece} in {page}");
        }
    }
    eventually("the alert", || {
        let alerts = prometheus.alerts();
        let firing = alerts.iter().filter(|[_, state, _]| state == "firing");
        match firing.collect::<Vec<_>>()[..] {
            [[name, _, reason]] => {
                assert_eq!([name, reason], ["TlsHandshakeFailures", REASON]);
                Ok(())
            }
            _ => Err(format!("{alerts:?}")),
        }
    });

    service.cluster.swap_certificate(&service.leaf).unwrap();
    service.comes_to("/readyz", 200);
    assert_eq!(service.get("/stock/apple"), (200, "99".to_owned()));
    everything_that_is_asked_for_is_there(&prometheus);
    let (status, scraped) = service.get("/metrics");
    assert_eq!(status, 200);
    for canary in [service.cluster.password(), CANARY] {
        assert!(!scraped.contains(canary), "{scraped}");
    }
    tokens.stop();
    service.told_to_stop();
    service.stopped();
}

fn lose_connections(service: &Service) {
    let terminate = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app'";
    assert!(!service.sql(terminate).unwrap().is_empty());
}

fn everything_that_is_asked_for_is_there(prometheus: &Prometheus) {
    for expression in expressions::of_dashboard() {
        prometheus.comes_to(&expression);
    }
    let rules = prometheus.rules();
    assert!(!rules.is_empty());
    for rule in rules {
        for selector in expressions::selectors(rule["query"].as_str().unwrap()) {
            prometheus.comes_to(&selector);
        }
    }
}
