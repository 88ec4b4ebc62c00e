//! The services of this package as processes of their own, on a PostgreSQL server of each test's own, observed by a real
//! Prometheus.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

// A process that never outlives the test.
mod process;
// A service, its server and the tap between them.
mod service;
// A Prometheus server that scrapes both.
mod prometheus;
// A second service, whose password ends.
mod tokens;
// What dashboard and alerts ask for.
mod expressions;

mod alerting;
mod ending;
