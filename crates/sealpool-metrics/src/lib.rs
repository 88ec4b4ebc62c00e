//! What a [`sealpool::Pool`] does, as metrics of the facade [metrics](https://docs.rs/metrics), and what to do with them: the bounds of
//! histograms, a Grafana [`DASHBOARD`] and Prometheus [`ALERTS`].
//!
//! ```
//! use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
//! use sealpool::{Config, Pool};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut exporter = PrometheusBuilder::new();
//! for (name, bounds) in sealpool_metrics::BUCKETS {
//!     exporter = exporter.set_buckets_for_metric(Matcher::Prefix(name.to_owned()), bounds)?;
//! }
//! let exporter = exporter.install_recorder()?;
//!
//! let config = Config::new().host("db.example.net").user("app");
//! let pool = Pool::builder(config)
//!     .observer(sealpool_metrics::observer("orders"))
//!     .build()?;
//!
//! let scrape = move || {
//!     sealpool_metrics::collect();
//!     exporter.render()
//! };
//! assert!(scrape().contains(r#"sealpool_state{db_client_connection_pool_name="orders",state="running"} 1"#));
//! # Ok(())
//! # }
//! ```
//!
//! The order in which the recorder is installed and the pool is built does not matter: what happens in a pool is counted in its
//! own memory, durations too, and [`collect`] writes it into the recorder. Durations that come before there is a recorder wait
//! for the first.
#![warn(missing_docs)]

mod bounds;
mod catalogue;
mod destination;
mod durations;
mod expiries;
mod metrics;
mod observer;
mod packed;
mod series;
mod sharded;
#[cfg(feature = "status-page")]
mod status_page;
mod totals;
mod writer;

use std::time::Duration;

use tokio::task::JoinHandle;

pub use catalogue::{BUCKETS, Naming};
pub use metrics::Metrics;
pub use observer::PoolObserver;

/// A Grafana dashboard of all pools, as JSON: to be imported, or provisioned as a file.
pub const DASHBOARD: &str = include_str!("../dashboards/sealpool.json");

/// Alerting rules for Prometheus, as YAML; the README has a section on what to do about each.
pub const ALERTS: &str = include_str!("../alerts/sealpool.yaml");

/// The observer for [`PoolBuilder::observer`](sealpool::PoolBuilder::observer) that gives a pool its metrics.
///
/// The name is the label `db_client_connection_pool_name` of all of them. Two pools of one name cannot run at once: the
/// second is refused when it is built. When one has been closed and another takes its name, counters go on.
pub fn observer(name: impl Into<String>) -> PoolObserver {
    Metrics::global().observer(name)
}

/// The same, with a name made of the configuration: `host:port/database`, of all hosts.
#[must_use]
pub fn observer_by_address() -> PoolObserver {
    Metrics::global().observer_by_address()
}

/// Writes all counters and levels into the recorder, and the durations that have come since the last time: to be called whenever
/// the metrics are scraped, just before they are rendered, or from time to time by [`spawn_sampler`].
///
/// A histogram's count, sum and [`BUCKETS`] are exact. In buckets of another choice a duration may be off by a quarter
/// or a microsecond, since those that are close to each other are written as so many times their mean.
///
/// It takes some 50 ns for each duration that waits to be written, since the facade has histograms filled one by one. Let nobody
/// render meanwhile: metrics-exporter-prometheus 0.18 loses a duration that is written at the wrong moment of a scrape.
pub fn collect() {
    Metrics::global().collect();
}

/// Tells the recorder the unit and the meaning of each metric. [`collect`] does so too, once for each recorder.
pub fn describe() {
    Metrics::global().describe();
}

/// Calls [`collect`] at once and then at each interval, in a task that ends when it is aborted or with its runtime: for
/// recorders that push. An interval below 10 ms counts as that. With an exporter that drops what has been idle for a while,
/// it has to be shorter than that while.
///
/// # Panics
///
/// Outside of a tokio runtime.
pub fn spawn_sampler(interval: Duration) -> JoinHandle<()> {
    Metrics::global().spawn_sampler(interval)
}

/// A page for people about all pools that have an [`observer`]: levels, acquire times, connections with the facts of their
/// TLS, certificates, failures by reason, and who holds a client. It keeps itself up to date without being loaded again.
///
/// Whoever wants it mounts it at a path of his service, **behind the access control of that service**: no password, SQL, user or
/// text from a server is on it, but names and addresses of hosts and places in the code are. The query `?data` gets the data as
/// JSON and any other the document; the path does not matter, nor does a body. The headers of the response have to be kept.
///
/// [`Metrics::status_page`] shows the pools of other metrics.
///
/// ```
/// let page = sealpool_metrics::status_page(&http::Request::new(()));
/// assert!(page.body().starts_with("<!doctype html>"));
/// ```
#[cfg(feature = "status-page")]
#[must_use]
pub fn status_page<B>(request: &http::Request<B>) -> http::Response<String> {
    Metrics::global().status_page(request)
}

/// The [`status_page`] as a route of axum, for any path: behind the access control of the service.
///
/// ```
/// let route = sealpool_metrics::status_route();
/// let app: axum::Router = axum::Router::new().route("/internal/pools", route);
/// ```
#[cfg(feature = "axum")]
pub fn status_route<S: Clone + Send + Sync + 'static>() -> axum::routing::MethodRouter<S> {
    Metrics::global().status_route()
}

#[cfg(all(doctest, feature = "axum"))]
#[doc = include_str!("../README.md")]
struct Readme;
