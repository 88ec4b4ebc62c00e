use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use sealpool::{Config, Event, Observer, Pool};
use sealpool_metrics::{Metrics, Naming, PoolObserver};

use crate::scrape::{Scrape, exporter};

/// One line for each family: name, type, unit, labels, help.
pub(crate) const CATALOGUE: &str = include_str!("../catalogue.txt");

/// Needs a server, and is compared with the same file where there is one.
const NEEDS_A_SERVER: &str = "sealpool_tls_server_certificate_expiry_timestamp_seconds";

/// Passes everything on, and remembers the units, which the text does not show.
struct Units<R> {
    recorder: R,
    units: Arc<Mutex<BTreeMap<String, Unit>>>,
}

impl<R> Units<R> {
    fn remember(&self, name: &KeyName, unit: Option<Unit>) {
        let mut units = self.units.lock().unwrap();
        let known = units.insert(name.as_str().to_owned(), unit.unwrap());
        assert_eq!(known, None, "described once");
    }
}

impl<R: Recorder> Recorder for Units<R> {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.remember(&name, unit);
        self.recorder.describe_counter(name, unit, help);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.remember(&name, unit);
        self.recorder.describe_gauge(name, unit, help);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.remember(&name, unit);
        self.recorder.describe_histogram(name, unit, help);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        self.recorder.register_counter(key, metadata)
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.recorder.register_gauge(key, metadata)
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        self.recorder.register_histogram(key, metadata)
    }
}

/// Tells a pool's observer of everything as soon as the pool is there.
struct Everything(PoolObserver);

impl Observer for Everything {
    fn on_event(&self, event: &Event<'_>) {
        self.0.on_event(event);
        for event in Event::samples() {
            self.0.on_event(&event);
        }
    }
}

#[test]
fn every_family_is_as_it_is_written_down() {
    let folder = tempfile::tempdir().unwrap();
    let pki = sealpool_testkit::Pki::new();
    let leaf = pki.leaf().client_auth().common_name("app").issue();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        let owner_only = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, owner_only).unwrap();
        path
    };
    let config = Config::new()
        .host("db.example.net")
        .user("app")
        .tls_root(file("root.pem", pki.root_pem()).as_path())
        .tls_client_cert(file("app.pem", leaf.chain_pem()).as_path())
        .tls_client_key(file("app.key", leaf.key_pem()).as_path());
    let recorder = exporter().build_recorder();
    let handle = recorder.handle();
    let units = Arc::default();
    let metrics = Metrics::with_recorder(
        Naming::Prometheus,
        Arc::new(Units {
            recorder,
            units: Arc::clone(&units),
        }),
    );
    let observer = Everything(metrics.observer("orders"));
    let _pool = Pool::builder(config).observer(observer).build().unwrap();
    metrics.collect();
    metrics.collect();

    let scrape = Scrape::read(&handle.render());
    let units = units.lock().unwrap();
    let mut found = String::new();
    for (name, (kind, help)) in &scrape.families {
        let unit = match units[name] {
            Unit::Seconds => "seconds",
            Unit::Count => "count",
            other => panic!("{name} is in {other:?}"),
        };
        let labels = scrape.labels(name).join(",");
        writeln!(found, "{name} | {kind} | {unit} | {labels} | {help}").unwrap();
    }
    let expected: String = CATALOGUE
        .lines()
        .filter(|line| !line.starts_with(NEEDS_A_SERVER))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(found, expected, "\n{found}");
    assert_eq!(units.len(), CATALOGUE.lines().count());
}
