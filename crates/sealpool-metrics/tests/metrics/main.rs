//! What the metrics are, through the real exporter and past Prometheus' own tool. What real servers make of them is in the
//! workspace's own tests.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

// Pools without a server, and a text to read back.
mod scrape;

// Every family's name, type, unit, labels and help.
mod catalogue;
// What each event does to the series.
mod events;
// What histograms have of the durations that were told.
mod durations;
// Recorders that come late, exporters that forget, pools that share, go and come back.
mod recorders;
// What dashboard and alerts ask for.
mod dashboard;
// promtool's opinion of the names, the rules, and when they fire.
mod promtool;
// The page's headers and data; a browser opens it in the workspace's own tests.
#[cfg(feature = "status-page")]
mod status_page;
