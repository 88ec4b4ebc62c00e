//! What happens on each acquire and return is counted without an allocation. On its own, since the counting allocator is the
//! whole program's.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusBuilder;
use sealpool::{Config, Event, Observer, Pool};
use sealpool_metrics::{Metrics, Naming, PoolObserver};

struct Shared(Arc<PoolObserver>);

impl Observer for Shared {
    fn on_event(&self, event: &Event<'_>) {
        self.0.on_event(event);
    }
}

#[test]
fn neither_acquire_nor_return_allocates() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = Metrics::with_recorder(Naming::Prometheus, Arc::new(recorder));
    let observer = Arc::new(metrics.observer("orders"));
    let _pool = Pool::builder(Config::new().host("db.example.net").user("app"))
        .observer(Shared(Arc::clone(&observer)))
        .build()
        .unwrap();
    let mut events = Event::samples();
    events.retain(|event| {
        matches!(
            event,
            Event::AcquireEnded { .. } | Event::ClientReturned { .. }
        )
    });
    let told = || {
        allocation_counter::measure(|| {
            for _ in 0..10_000 {
                events.iter().for_each(|event| observer.on_event(event));
            }
        })
    };
    assert_eq!(told().count_total, 0, "the first time");
    assert!(allocation_counter::measure(|| metrics.collect()).count_total > 0);
    assert_eq!(told().count_total, 0, "after a collection");
}
