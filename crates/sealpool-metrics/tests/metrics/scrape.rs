use std::{collections::BTreeMap, sync::Arc};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use sealpool_metrics::{BUCKETS, Metrics, Naming};

/// Metrics of their own, with the exporter that they go to.
pub(crate) struct Exported {
    pub(crate) metrics: Metrics,
    pub(crate) handle: PrometheusHandle,
}

impl Exported {
    pub(crate) fn new() -> Self {
        Self::with(Naming::Prometheus, |builder| builder)
    }

    pub(crate) fn with(
        naming: Naming,
        set: impl FnOnce(PrometheusBuilder) -> PrometheusBuilder,
    ) -> Self {
        let recorder = set(exporter()).build_recorder();
        let handle = recorder.handle();
        let metrics = Metrics::with_recorder(naming, Arc::new(recorder));
        Self { metrics, handle }
    }

    /// What a scrape gives.
    pub(crate) fn text(&self) -> String {
        self.metrics.collect();
        self.handle.render()
    }

    pub(crate) fn scrape(&self) -> Scrape {
        Scrape::read(&self.text())
    }
}

pub(crate) fn exporter() -> PrometheusBuilder {
    BUCKETS
        .into_iter()
        .fold(PrometheusBuilder::new(), |builder, (name, bounds)| {
            let matcher = Matcher::Prefix(name.to_owned());
            builder.set_buckets_for_metric(matcher, bounds).unwrap()
        })
}

type Labels = BTreeMap<String, String>;

/// A scrape's text, read back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scrape {
    /// Type and help by family.
    pub(crate) families: BTreeMap<String, (String, String)>,
    pub(crate) series: BTreeMap<(String, Labels), f64>,
}

impl Scrape {
    pub(crate) fn read(text: &str) -> Self {
        let mut scrape = Self::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                scrape.families.entry(name.to_owned()).or_default().1 = help.to_owned();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                scrape.families.entry(name.to_owned()).or_default().0 = kind.to_owned();
            } else {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let (name, labels) = series.split_once('{').unwrap_or((series, ""));
                let labels = labels.trim_end_matches('}').split("\",");
                let labels = labels.filter_map(|label| {
                    let (name, value) = label.split_once("=\"")?;
                    Some((name.to_owned(), value.trim_end_matches('"').to_owned()))
                });
                let key = (name.to_owned(), labels.collect());
                let value = value.parse().unwrap();
                assert!(scrape.series.insert(key, value).is_none(), "twice: {line}");
            }
        }
        scrape
    }

    /// The value of the series of that name, pool and label, if there is one.
    pub(crate) fn find(&self, pool: &str, name: &str, label: Option<(&str, &str)>) -> Option<f64> {
        let mut labels =
            Labels::from([("db_client_connection_pool_name".to_owned(), pool.to_owned())]);
        labels.extend(label.map(|(name, value)| (name.to_owned(), value.to_owned())));
        self.series.get(&(name.to_owned(), labels)).copied()
    }

    pub(crate) fn value(&self, pool: &str, name: &str, label: Option<(&str, &str)>) -> f64 {
        self.find(pool, name, label)
            .unwrap_or_else(|| panic!("no {name} {label:?} of {pool}"))
    }

    /// The sum of all series of that name and pool.
    pub(crate) fn sum(&self, pool: &str, name: &str) -> f64 {
        let of_pool = |labels: &Labels| {
            labels
                .get("db_client_connection_pool_name")
                .is_some_and(|name| name == pool)
        };
        let series = self.series.iter();
        series
            .filter(|((found, labels), _)| found == name && of_pool(labels))
            .map(|(_, value)| value)
            .sum()
    }

    /// The labels of each family but that of the pool and the bounds of buckets.
    pub(crate) fn labels(&self, family: &str) -> Vec<String> {
        let is_of = |name: &str| {
            name.strip_prefix(family)
                .is_some_and(|rest| ["", "_bucket", "_count", "_sum"].contains(&rest))
        };
        let mut labels: Vec<_> = self
            .series
            .keys()
            .filter(|(name, _)| is_of(name))
            .flat_map(|(_, labels)| labels.keys().cloned())
            .filter(|label| label != "db_client_connection_pool_name" && label != "le")
            .collect();
        labels.sort();
        labels.dedup();
        labels
    }
}
