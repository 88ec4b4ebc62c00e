use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use sealpool::{AcquireOutcome, Event};
use sealpool_metrics::{BUCKETS, Metrics, Naming};

use crate::{
    events::Told,
    scrape::{Exported, Scrape},
};

const THREADS: u64 = 8;
const OF_EACH: u64 = 25_000;
const WAIT_TIME: &str = "db_client_connection_wait_time_seconds";
const USE_TIME: &str = "db_client_connection_use_time_seconds";

fn shipped(name: &str) -> &'static [f64] {
    let shipped = BUCKETS
        .into_iter()
        .find(|(prefix, _)| name.starts_with(prefix));
    shipped.unwrap().1
}

/// A histogram by the book: one count for each shipped bucket, and that of all beyond them.
#[derive(Clone, Debug, Default, PartialEq)]
struct Plain {
    buckets: Vec<u64>,
    nanos: u128,
}

impl Plain {
    fn of(name: &str) -> Self {
        Self {
            buckets: vec![0; shipped(name).len() + 1],
            nanos: 0,
        }
    }

    fn record(&mut self, name: &str, duration: Duration) {
        let bounds = shipped(name);
        let over = |bound: &f64| Duration::from_secs_f64(*bound) < duration;
        self.buckets[bounds.partition_point(over)] += 1;
        self.nanos += duration.as_nanos();
    }

    fn add(&mut self, other: &Self) {
        let Self { buckets, nanos } = other;
        for (sum, count) in self.buckets.iter_mut().zip(buckets) {
            *sum += count;
        }
        self.nanos += nanos;
    }

    fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    fn assert_sum(&self, seconds: f64) {
        let sum = self.nanos as f64 / 1e9;
        assert!(
            (seconds - sum).abs() <= sum * 1e-9,
            "{seconds} is not {sum}"
        );
    }
}

/// Of every length there is, and many at the very end of a bucket.
fn random(rng: &mut fastrand::Rng, name: &str) -> Duration {
    match rng.u32(0..4) {
        0 => Duration::from_secs_f64(*rng.choice(shipped(name)).unwrap()),
        1 => Duration::from_nanos(rng.u64(0..1_500)),
        _ => Duration::from_nanos(rng.u64(..) >> rng.u32(22..56)),
    }
}

/// Has as many threads as there are tell of acquires and returns while another does what is given, again and again; says what
/// the two histograms must have had.
fn told_while(told: &Told, meanwhile: impl Fn() + Sync) -> [Plain; 2] {
    let done = AtomicBool::new(false);
    let [mut waits, mut uses] = [WAIT_TIME, USE_TIME].map(Plain::of);
    std::thread::scope(|scope| {
        let tellers: Vec<_> = (0..THREADS)
            .map(|seed| scope.spawn(move || tell(told, seed)))
            .collect();
        let other = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                meanwhile();
            }
        });
        for teller in tellers {
            let [waited, used] = teller.join().unwrap();
            waits.add(&waited);
            uses.add(&used);
        }
        done.store(true, Ordering::Relaxed);
        other.join().unwrap();
    });
    assert_eq!(waits.count(), THREADS * OF_EACH);
    assert_eq!(uses.count(), THREADS * OF_EACH);
    [waits, uses]
}

fn tell(told: &Told, seed: u64) -> [Plain; 2] {
    let mut rng = fastrand::Rng::with_seed(seed);
    let [mut waits, mut uses] = [WAIT_TIME, USE_TIME].map(Plain::of);
    let mut samples = Event::samples();
    samples.retain(|event| match event {
        Event::AcquireEnded { outcome, .. } => outcome.gave_a_client(),
        event => matches!(event, Event::ClientReturned { .. }),
    });
    let (mut returns, mut acquires): (Vec<_>, Vec<_>) = samples
        .into_iter()
        .partition(|event| matches!(event, Event::ClientReturned { .. }));
    assert_eq!((returns.len(), acquires.len()), (1, 2), "direct and waited");
    for _ in 0..OF_EACH {
        let acquire = rng.usize(0..acquires.len());
        let time = random(&mut rng, WAIT_TIME);
        if let Event::AcquireEnded { duration, .. } = &mut acquires[acquire] {
            *duration = time;
        }
        told.tell(&acquires[acquire]);
        waits.record(WAIT_TIME, time);
        let time = random(&mut rng, USE_TIME);
        if let Event::ClientReturned { held, .. } = &mut returns[0] {
            *held = time;
        }
        told.tell(&returns[0]);
        uses.record(USE_TIME, time);
    }
    [waits, uses]
}

/// A recorder of histograms that loses nothing itself.
#[derive(Clone, Debug, Default)]
struct Ledger(Arc<Mutex<BTreeMap<String, Book>>>);

#[derive(Clone, Debug, Default)]
struct Book {
    buckets: Vec<u64>,
    sum: f64,
}

struct Handle {
    name: String,
    ledger: Ledger,
}

impl HistogramFn for Handle {
    fn record(&self, value: f64) {
        self.record_many(value, 1);
    }

    fn record_many(&self, value: f64, count: usize) {
        let mut books = self.ledger.0.lock().unwrap();
        let bounds = shipped(&self.name);
        let book = books.entry(self.name.clone()).or_default();
        book.buckets.resize(bounds.len() + 1, 0);
        book.buckets[bounds.partition_point(|bound| *bound < value)] += count as u64;
        book.sum += value * count as f64;
    }
}

impl Recorder for Ledger {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::new(Handle {
            name: key.name().to_owned(),
            ledger: self.clone(),
        }))
    }
}

#[test]
fn each_duration_is_in_its_bucket_whoever_collects_meanwhile() {
    let ledger = Ledger::default();
    let metrics = Metrics::with_recorder(Naming::Prometheus, Arc::new(ledger.clone()));
    let told = Told::of(metrics.observer("orders")).unwrap();
    // Nobody collects, until there are more than a shard has room for.
    let mut expected = told_while(&told, || {});
    let more = told_while(&told, || metrics.collect());
    for (expected, more) in expected.iter_mut().zip(&more) {
        expected.add(more);
    }
    metrics.collect();
    let books = ledger.0.lock().unwrap();
    for (name, expected) in [WAIT_TIME, USE_TIME].into_iter().zip(expected) {
        let Book { buckets, sum } = &books[name];
        assert_eq!(buckets, &expected.buckets, "{name}");
        expected.assert_sum(*sum);
    }
}

#[test]
fn no_duration_is_lost_in_many_scrapes() {
    let exported = Exported::new();
    let told = Told::new(&exported, "orders");
    let expected = told_while(&told, || {
        let _ = exported.text();
    });
    let scrape = exported.scrape();
    let outcomes = [AcquireOutcome::Direct, AcquireOutcome::Waited].map(|outcome| {
        let label = Some(("outcome", outcome.as_str()));
        scrape.value("orders", "sealpool_acquires_total", label)
    });
    assert_eq!(outcomes.iter().sum::<f64>(), (THREADS * OF_EACH) as f64);
    for (name, expected) in [WAIT_TIME, USE_TIME].into_iter().zip(expected) {
        let value = |what| scrape.value("orders", &format!("{name}_{what}"), None);
        assert_eq!(value("count"), expected.count() as f64);
        expected.assert_sum(value("sum"));
        assert_eq!(cumulative(&scrape, name), added_up(&expected), "{name}");
    }
}

/// The counts of a histogram's buckets, bound by bound.
fn cumulative(scrape: &Scrape, name: &str) -> Vec<f64> {
    let bounds = shipped(name).iter().map(f64::to_string);
    bounds
        .chain(["+Inf".to_owned()])
        .map(|bound| scrape.value("orders", &format!("{name}_bucket"), Some(("le", &bound))))
        .collect()
}

fn added_up(plain: &Plain) -> Vec<f64> {
    let counts = plain.buckets.iter();
    let sums = counts.scan(0, |sum, count| {
        *sum += count;
        Some(*sum as f64)
    });
    sums.collect()
}
