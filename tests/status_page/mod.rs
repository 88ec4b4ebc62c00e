mod browser;

use std::{
    fs,
    net::Ipv4Addr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::Request,
    http::StatusCode,
    middleware::{Next, from_fn},
    response::IntoResponse,
};
use sealpool::{Error, Pool};
use sealpool_metrics::{Metrics, Naming};
use sealpool_testkit::Pki;
use tokio::{io::AsyncReadExt, net::TcpListener};

use crate::rig::{Rig, SQL_CANARY, eventually, on_both};
use browser::Browser;

on_both! {
    on_own(|builder| builder) => a_browser_shows_what_happens;
}

/// Where nobody would have mounted it.
const PATH: &str = "/internal/pools";

const ELSEWHERE: &str = "http://elsewhere.example/";

/// In our own certificate, where names of users stand.
const USER_CANARY: &str = "canary-51d0aa7e-of-user";

/// A service with the page and nothing else.
async fn service(metrics: &Metrics, is_down: &Arc<AtomicBool>) -> String {
    let is_down = Arc::clone(is_down);
    let gate = from_fn(move |request: Request, next: Next| {
        let is_down = is_down.load(Ordering::Relaxed);
        async move {
            if is_down {
                return StatusCode::SERVICE_UNAVAILABLE.into_response();
            }
            next.run(request).await
        }
    });
    let app = Router::new()
        .route(PATH, metrics.status_route())
        .layer(gate);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}")
}

/// The first bytes of each request.
type Asked = Arc<Mutex<Vec<String>>>;

/// A proxy that sends nothing on, not even what the browser asks of its maker, and what it was asked for.
async fn proxy() -> (String, Asked) {
    let asked = Asked::default();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let list = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let list = Arc::clone(&list);
            tokio::spawn(async move {
                let mut head = [0; 512];
                let length = stream.read(&mut head).await.unwrap_or_default();
                let head = String::from_utf8_lossy(&head[..length]).into_owned();
                list.lock().unwrap().push(head);
            });
        }
    });
    (address, asked)
}

async fn sees(browser: &mut Browser, text: &str) {
    eventually(text, async || browser.text().contains(text)).await;
}

async fn a_browser_shows_what_happens(rig: Arc<Rig>) {
    let major = rig.cluster.major();
    let metrics = Metrics::new(Naming::Prometheus);
    let config = rig.config().pool_max_size(4).pool_min_idle(0);
    let pool = Pool::builder(config)
        .observer(rig.record.clone())
        .observer(metrics.observer("orders"))
        .build()
        .unwrap();
    let client = pool.acquire().await.unwrap();
    client
        .query_one(&format!("select '{SQL_CANARY}'"), &[])
        .await
        .unwrap();
    let other = pool.acquire().await.unwrap();
    drop(other);

    let is_down = Arc::new(AtomicBool::new(false));
    let service = service(&metrics, &is_down).await;
    let (proxy, asked) = proxy().await;
    let mut browser = Browser::start(&proxy);
    browser.look_like(1200, "light");
    browser.open(&format!("{service}{PATH}"));
    sees(&mut browser, "orders").await;
    let first = browser.text();
    for shown in [
        "1 used", "1 idle", "2 free", "lent for", "1.3", "bound", "mod.rs:",
    ] {
        assert!(first.contains(shown), "{shown} in {first}");
    }
    assert!(first.contains("None so far."), "{first}");
    browser.value("window.marker = 'as it was loaded'");

    let held = pool.acquire().await.unwrap();
    sees(&mut browser, "2 used").await;

    let stranger = Pki::new();
    let leaf = |pki: &Pki| pki.leaf().dns("localhost").ip(Ipv4Addr::LOCALHOST).issue();
    rig.cluster.swap_certificate(&leaf(&stranger)).unwrap();
    assert!(matches!(pool.acquire().await, Err(Error::Connect(_))));
    sees(&mut browser, "certificate_unknown_issuer").await;
    assert_eq!(browser.value("window.marker"), "as it was loaded");

    rig.cluster
        .swap_certificate(&leaf(rig.cluster.pki()))
        .unwrap();
    let denied = denied(&rig, &metrics).await;
    sees(&mut browser, "not shown").await;
    sees(&mut browser, "auth").await;

    keeps_secrets(&rig, &mut browser);
    pictures(&mut browser, major);
    stops_while_nobody_looks(&mut browser).await;

    let elsewhere: Vec<_> = browser
        .requests()
        .into_iter()
        .filter(|url| !url.starts_with(&service) && url != "data:,")
        .collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{complaints:?}");
    refuses_what_is_not_its_own(&mut browser, &asked);

    is_down.store(true, Ordering::Relaxed);
    sees(&mut browser, "no answer (status 503)").await;
    is_down.store(false, Ordering::Relaxed);
    sees(&mut browser, "live").await;

    drop((client, held));
    rig.recovered(&pool).await;
    drop(denied);
    pool.shutdown(Duration::from_secs(5)).await;
    sees(&mut browser, "closed").await;

    // The proxy would have told of it.
    browser.open("about:blank");
    browser.value(&format!("void fetch('{ELSEWHERE}', {{ mode: 'no-cors' }})"));
    eventually("the proxy is asked", async || is_asked_for_it(&asked)).await;
}

/// Whatever got into the page could neither send anything away nor run.
fn refuses_what_is_not_its_own(browser: &mut Browser, asked: &Asked) {
    let send =
        format!("fetch('{ELSEWHERE}', {{ mode: 'no-cors' }}).then(() => 'sent', () => 'refused')");
    assert_eq!(browser.value(&send), "refused");
    let run = "document.body.append(Object.assign(document.createElement('script'), { text: 'window.ran = 1' })); \
               typeof window.ran";
    assert_eq!(browser.value(run), "undefined");
    assert!(!browser.complaints().is_empty(), "the policy says so");
    assert!(!is_asked_for_it(asked), "{asked:?}");
}

fn is_asked_for_it(asked: &Asked) -> bool {
    let asked = asked.lock().unwrap();
    asked.iter().any(|head| head.contains(ELSEWHERE))
}

/// A pool with a certificate of its own and a password that the server refuses, in words that have the user.
async fn denied(rig: &Rig, metrics: &Metrics) -> Pool {
    let folder = tempfile::tempdir().unwrap();
    let leaf = rig.cluster.pki().leaf();
    let leaf = leaf.client_auth().common_name(USER_CANARY).issue();
    let (certificate, key) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    fs::write(&certificate, leaf.chain_pem()).unwrap();
    fs::write(&key, leaf.key_pem()).unwrap();
    private(&key);
    let config = rig
        .without_password()
        .password("wrong")
        .tls_client_cert(certificate)
        .tls_client_key(key);
    let denied = Pool::builder(config)
        .observer(rig.record.clone())
        .observer(metrics.observer("denied"))
        .build()
        .unwrap();
    assert!(matches!(denied.acquire().await, Err(Error::Connect(_))));
    denied
}

fn private(file: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}

fn keeps_secrets(rig: &Rig, browser: &mut Browser) {
    let data = browser.value("fetch('?data').then(answer => answer.text())");
    let data = data.as_str().unwrap().to_owned();
    assert!(data.contains("certificate_unknown_issuer"), "{data}");
    let document = browser.value("document.documentElement.outerHTML");
    for text in [&data, document.as_str().unwrap()] {
        for secret in [
            rig.cluster.password(),
            rig.cluster.superuser_password(),
            SQL_CANARY,
            USER_CANARY,
            "authentication failed",
        ] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
    let user = format!("\"{}\"", rig.cluster.user());
    assert!(!data.contains(&user), "{user} in {data}");
}

/// Light and dark, on a desk and on a phone.
fn pictures(browser: &mut Browser, major: u32) {
    let mut grounds = Vec::new();
    for scheme in ["light", "dark"] {
        for (width, device) in [(1200, "desk"), (390, "phone")] {
            browser.look_like(width, scheme);
            let name = format!("status-page-{device}-{scheme}-postgresql-{major}.png");
            let picture = browser.picture(&name);
            assert!(fs::metadata(&picture).unwrap().len() > 1000);
            let wide = browser.value("document.documentElement.scrollWidth");
            assert!(wide.as_u64().unwrap() <= width.into(), "{device}: {wide}");
        }
        grounds.push(browser.value("getComputedStyle(document.body).backgroundColor"));
    }
    assert_ne!(grounds[0], grounds[1]);
    browser.look_like(1200, "light");
}

async fn stops_while_nobody_looks(browser: &mut Browser) {
    let hide = |hidden: bool| {
        format!(
            "Object.defineProperty(document, 'hidden', {{ value: {hidden}, configurable: true }}); \
             document.dispatchEvent(new Event('visibilitychange'))"
        )
    };
    browser.value(&hide(true));
    let before = browser.requests().len();
    // By the page's own clock, after the times at which it would have asked.
    browser.value("new Promise(done => setTimeout(done, 3 * EVERY))");
    let after = browser.requests().len();
    assert_eq!(after, before, "nobody looks");
    browser.value(&hide(false));
    eventually("it asks again", async || browser.requests().len() > after).await;
}
