//! What it costs to be observed: the time of an acquire and a return, without an observer, with one that does nothing, and
//! with the metrics. It starts a PostgreSQL server of its own; run it with `--release`.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use sealpool::{Config, NoopObserver, Pool};
use sealpool_testkit::Cluster;

const ROUNDS: usize = 15;
const ACQUIRES: u32 = 20_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut exporter = PrometheusBuilder::new();
    for (name, bounds) in sealpool_metrics::BUCKETS {
        exporter = exporter.set_buckets_for_metric(Matcher::Prefix(name.to_owned()), bounds)?;
    }
    let exporter = exporter.install_recorder()?;
    let cluster = Cluster::start()?;
    let builder = || Pool::builder(config(&cluster));
    let pools = [
        ("nobody observes", builder().build()?),
        (
            "an observer that does nothing",
            builder().observer(NoopObserver).build()?,
        ),
        (
            "the metrics",
            builder()
                .observer(sealpool_metrics::observer("orders"))
                .build()?,
        ),
    ];
    let mut times = pools.each_ref().map(|_| Vec::new());
    for round in 0..ROUNDS {
        // In turns, so that what else the machine does hits all of them.
        for ((_, pool), times) in pools.iter().zip(&mut times) {
            times.push(acquires(pool).await?);
        }
        sealpool_metrics::collect();
        let scraped = exporter.render();
        assert!(round > 0 || scraped.contains("sealpool_acquires_total"));
    }
    let medians = times.map(median);
    let [alone, ..] = medians;
    for ((name, _), median) in pools.iter().zip(medians) {
        let ratio = median.as_secs_f64() / alone.as_secs_f64();
        println!("{name:32} {median:>10.0?}  {ratio:.2}");
    }
    Ok(())
}

fn config(cluster: &Cluster) -> Config {
    Config::new()
        .host("localhost")
        .hostaddr("127.0.0.1")
        .port(cluster.port())
        .database(cluster.database())
        .user(cluster.user())
        .password(cluster.password())
        .tls_root(cluster.root_file())
}

async fn acquires(pool: &Pool) -> Result<Duration, sealpool::Error> {
    drop(pool.acquire().await?);
    let started = Instant::now();
    for _ in 0..ACQUIRES {
        drop(pool.acquire().await?);
    }
    Ok(started.elapsed() / ACQUIRES)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
