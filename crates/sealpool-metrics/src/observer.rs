use std::sync::{Arc, OnceLock};

use sealpool::{Event, Observer};

use crate::{metrics::Metrics, series::Series};

/// Counts what happens in one pool.
#[derive(Debug)]
pub struct PoolObserver {
    metrics: Metrics,
    name: Option<String>,
    series: OnceLock<Arc<Series>>,
}

impl PoolObserver {
    pub(crate) const fn new(metrics: Metrics, name: Option<String>) -> Self {
        Self {
            metrics,
            name,
            series: OnceLock::new(),
        }
    }
}

impl Observer for PoolObserver {
    fn on_event(&self, event: &Event<'_>) {
        if let Event::PoolBuilt {
            pool, name, veto, ..
        } = event
        {
            let name = self.name.as_deref().unwrap_or(name);
            let series = self.metrics.series(name);
            if !series.claim(pool) {
                veto.refuse(
                    format!("a pool with the metrics of {name:?} is running already"),
                    "give each pool a name of its own",
                );
                return;
            }
            let _ = self.series.set(series);
        }
        if let Some(series) = self.series.get() {
            series.on_event(event);
        }
    }
}
