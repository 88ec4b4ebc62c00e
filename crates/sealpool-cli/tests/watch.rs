//! What `watch` says of a real pool, as the crate that exports it puts it.
#![allow(clippy::unwrap_used)]

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use sealpool::{Config, Pool};
use sealpool_testkit::Cluster;

mod command;
use command::run;

fn answer(mut stream: TcpStream, exporter: &PrometheusHandle) -> std::io::Result<()> {
    let mut request = BufReader::new(stream.try_clone()?).lines();
    while request
        .next()
        .transpose()?
        .is_some_and(|line| !line.is_empty())
    {}
    sealpool_metrics::collect();
    let body = exporter.render();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn serve(exporter: PrometheusHandle) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/metrics", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            answer(stream.unwrap(), &exporter).unwrap();
        }
    });
    url
}

fn watch(url: &str) -> Vec<String> {
    let (code, out, err) = run(&["watch", "--interval", "10ms", "--count", "2", url], "");
    assert_eq!((code, err.as_str()), (0, ""));
    let lines: Vec<_> = out.lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 2, "{out}");
    lines
}

#[test]
fn a_real_pool_is_seen_as_it_is() {
    let cluster = Cluster::start().unwrap();
    let exporter = PrometheusBuilder::new().install_recorder().unwrap();
    let config = Config::new()
        .host("localhost")
        .hostaddr("127.0.0.1")
        .port(cluster.port())
        .database(cluster.database())
        .user(cluster.user())
        .password(cluster.password())
        .tls_root(cluster.root_file())
        .pool_max_size(5);
    let pool = Pool::builder(config)
        .observer(sealpool_metrics::observer("orders"))
        .build()
        .unwrap();
    let url = serve(exporter);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (first, second) = runtime.block_on(async {
        let first = pool.acquire().await.unwrap();
        let second = pool.acquire().await.unwrap();
        drop(pool.acquire().await.unwrap());
        (first, second)
    });
    for line in watch(&url) {
        let levels = "pool=\"orders\" state=running used=2 idle=1 max=5 opening=0 waiting=0 acquires_per_s=0.0 ";
        assert!(line.starts_with(levels), "{line}");
        assert!(line.contains(" timeouts=0 tls_failures=0 "), "{line}");
        // The test kit's certificates end in 30 days, a moment ago.
        assert!(line.ends_with(" days_left=29"), "{line}");
    }
    drop((first, second));
    runtime.block_on(pool.shutdown(Duration::from_secs(10)));
    for line in watch(&url) {
        let levels = "pool=\"orders\" state=closed used=0 idle=0 max=5 ";
        assert!(line.starts_with(levels), "{line}");
    }
}
