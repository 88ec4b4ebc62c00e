use http::{Method, Request, Response, StatusCode};
use sealpool::{Event, HandshakeFailure};
use sealpool_metrics::{Metrics, Naming};
use serde_json::Value;

use crate::{events::Told, scrape::Exported};

fn request(method: Method, uri: &str) -> Request<()> {
    let request = Request::builder().method(method).uri(uri);
    request.body(()).unwrap()
}

fn asked(metrics: &Metrics, uri: &str) -> Response<String> {
    metrics.status_page(&request(Method::GET, uri))
}

fn data(metrics: &Metrics) -> Value {
    let response = asked(metrics, "/pools?data");
    assert_eq!(response.headers()["content-type"], "application/json");
    serde_json::from_str(response.body()).unwrap()
}

fn document() -> String {
    asked(&Metrics::new(Naming::Prometheus), "/").into_body()
}

#[test]
fn the_answers_are_neither_kept_nor_guessed_at() {
    let metrics = Metrics::new(Naming::Prometheus);
    for (uri, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/a/b/c", "text/html; charset=utf-8"),
        ("/?from=menu", "text/html; charset=utf-8"),
        ("/a?data", "application/json"),
    ] {
        for method in [Method::GET, Method::HEAD] {
            let response = metrics.status_page(&request(method, uri));
            assert_eq!(response.status(), StatusCode::OK, "{uri}");
            let headers = response.headers();
            assert_eq!(headers["content-type"], kind, "{uri}");
            assert_eq!(headers["cache-control"], "no-store");
            assert_eq!(headers["referrer-policy"], "no-referrer");
            assert_eq!(headers["x-content-type-options"], "nosniff");
        }
    }
    let refused = metrics.status_page(&request(Method::POST, "/?data"));
    assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(refused.headers()["allow"], "GET, HEAD");
}

#[test]
fn its_policy_allows_its_own_script_and_style_and_no_other() {
    let response = asked(&Metrics::new(Naming::Prometheus), "/");
    let policy = response.headers()["content-security-policy"]
        .to_str()
        .unwrap();
    let mut directives: Vec<_> = policy.split("; ").collect();
    for element in ["script", "style"] {
        let found = directives.iter().position(|directive| {
            directive.starts_with(&format!("{element}-src 'sha256-")) && directive.ends_with("='")
        });
        let found = found.unwrap_or_else(|| panic!("{element} in {policy}"));
        directives.remove(found);
        assert_eq!(response.body().matches(&format!("<{element}")).count(), 1);
    }
    let others = [
        "default-src 'none'",
        "base-uri 'none'",
        "connect-src 'self'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "img-src data:",
    ];
    assert_eq!(directives, others);
}

#[test]
fn nothing_in_it_leads_elsewhere_or_makes_markup_of_text() {
    let document = document();
    let code = document
        .lines()
        .filter(|line| !line.trim_start().starts_with("/*"));
    for line in code {
        for reference in [
            "http:",
            "https:",
            "\"//",
            "'//",
            "url(",
            "@import",
            "src=",
            "<link rel=\"stylesheet",
        ] {
            assert!(!line.contains(reference), "{reference} in {line}");
        }
        for markup in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "Function(",
            " style=\"",
            " onclick",
        ] {
            assert!(!line.contains(markup), "{markup} in {line}");
        }
    }
    assert_eq!(document.matches("href=").count(), 1);
    assert!(document.contains(r#"<link rel="icon" href="data:,">"#));
}

#[test]
fn every_event_leaves_the_data_whole() {
    let exported = Exported::new();
    let told = Told::new(&exported, "orders");
    for event in Event::samples() {
        told.tell(&event);
    }
    let data = data(&exported.metrics);
    let pool = &data["pools"][0];
    assert_eq!(data["pools"].as_array().unwrap().len(), 1);
    assert_eq!(pool["name"], "orders");
    assert_eq!(pool["state"], "running");
    assert_eq!(pool["levels"]["max_size"], 10);
    assert_eq!(pool["levels"]["used"], 0);
    assert_eq!(pool["levels"]["oldest_waiter"], Value::Null);
    assert_eq!(pool["acquires"]["seconds"].as_array().unwrap().len(), 60);
    assert_eq!(pool["acquires"]["minute"]["count"], 2, "direct and waited");
    assert_eq!(pool["acquires"]["outcomes"]["timeout"], 1);
    assert_eq!(pool["connections"], Value::Array(Vec::new()));
    assert_eq!(pool["holders"], Value::Array(Vec::new()));

    let now = data["time"].as_f64().unwrap();
    let failures = pool["failures"].as_array().unwrap();
    let reasons = |what: &str| {
        let of_kind = failures.iter().filter(|failure| failure["what"] == what);
        let mut reasons: Vec<_> = of_kind
            .map(|failure| {
                let last = failure["last"].as_f64().unwrap();
                assert!(last <= now && now - last < 600.0, "{failure}");
                assert!(failure["count"].as_u64().unwrap() > 0);
                failure["reason"].as_str().unwrap()
            })
            .collect();
        reasons.sort_unstable();
        reasons
    };
    assert_eq!(
        reasons("acquire"),
        ["connect_failed", "queue_full", "timeout"]
    );
    assert_eq!(
        reasons("connect"),
        ["auth", "resolve", "setup", "startup", "tcp"]
    );
    assert_eq!(reasons("connection"), ["broken", "reset_failed"]);
    assert_eq!(reasons("health check"), ["failed"]);
    assert_eq!(reasons("password"), ["failed"]);
    assert_eq!(reasons("reload"), ["failed"]);
    let all: Vec<_> = HandshakeFailure::ALL
        .iter()
        .map(|failure| failure.as_str())
        .collect();
    assert_eq!(reasons("handshake"), all);
}

#[test]
fn a_pool_that_is_gone_is_closed_and_keeps_its_failures() {
    let exported = Exported::new();
    let Told { observer, pool } = Told::new(&exported, "orders");
    for event in Event::samples() {
        sealpool::Observer::on_event(&*observer, &event);
    }
    let before = data(&exported.metrics)["pools"][0]["failures"].clone();
    drop(pool);
    let data = data(&exported.metrics);
    let pool = &data["pools"][0];
    assert_eq!(pool["levels"], Value::Null);
    assert_ne!(pool["state"], "running");
    assert_eq!(pool["failures"], before);
}

#[test]
fn the_page_of_one_set_of_metrics_has_the_pools_of_no_other() {
    let (one, other) = (Exported::new(), Exported::new());
    let _told = [Told::new(&one, "orders"), Told::new(&one, "stock")];
    let names = |exported: &Exported| {
        let data = data(&exported.metrics);
        let pools = data["pools"].as_array().unwrap().iter();
        let names = pools.map(|pool| pool["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    assert_eq!(names(&one), ["orders", "stock"]);
    assert!(names(&other).is_empty());
}
