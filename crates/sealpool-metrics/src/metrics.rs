use std::{
    collections::BTreeMap,
    sync::{
        Arc, LazyLock, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use metrics::{Key, Label, Recorder};
use tokio::{task::JoinHandle, time};

use crate::{
    catalogue::{self, BUILD_INFO, METADATA, Naming},
    destination::Destination,
    observer::PoolObserver,
    series::Series,
};

const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// The metrics of some pools: which names they have, and which recorder they go to.
///
/// Most services need none of their own: the functions of this crate use one for the whole process, with
/// [`Naming::Prometheus`] and the recorder that is installed. It is cheap to clone; all clones are the same.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    naming: Naming,
    destination: Destination,
    pools: Mutex<BTreeMap<String, Arc<Series>>>,
    /// Who collects, with the address of the recorder that knows the descriptions.
    described_in: AtomicUsize,
    collecting: Mutex<()>,
}

impl Metrics {
    /// Metrics that go to the recorder that is installed for the process, whenever that happens.
    #[must_use]
    pub fn new(naming: Naming) -> Self {
        Self::to(naming, None)
    }

    /// Metrics that go to this recorder and no other.
    #[must_use]
    pub fn with_recorder(naming: Naming, recorder: Arc<dyn Recorder + Send + Sync>) -> Self {
        Self::to(naming, Some(recorder))
    }

    fn to(naming: Naming, recorder: Option<Arc<dyn Recorder + Send + Sync>>) -> Self {
        Self(Arc::new(Shared {
            naming,
            destination: Destination::new(recorder),
            pools: Mutex::default(),
            described_in: AtomicUsize::new(0),
            collecting: Mutex::default(),
        }))
    }

    pub(crate) fn global() -> &'static Self {
        static GLOBAL: LazyLock<Metrics> = LazyLock::new(|| Metrics::new(Naming::default()));
        &GLOBAL
    }

    /// As [`observer`](crate::observer()).
    pub fn observer(&self, name: impl Into<String>) -> PoolObserver {
        PoolObserver::new(self.clone(), Some(name.into()))
    }

    /// As [`observer_by_address`](crate::observer_by_address).
    #[must_use]
    pub fn observer_by_address(&self) -> PoolObserver {
        PoolObserver::new(self.clone(), None)
    }

    /// As [`collect`](crate::collect).
    pub fn collect(&self) {
        let Shared {
            naming,
            destination,
            pools: _,
            described_in,
            collecting,
        } = &*self.0;
        let _alone = collecting.lock().unwrap_or_else(PoisonError::into_inner);
        let pools = self.all();
        destination.with(|recorder, address| {
            if described_in.swap(address, Relaxed) != address {
                catalogue::describe(recorder, *naming);
            }
            let build = [
                (catalogue::VERSION, env!("CARGO_PKG_VERSION")),
                (catalogue::CRYPTO_PROVIDER, sealpool::CRYPTO_PROVIDER),
            ];
            let build = build.map(|(name, value)| Label::new(name.of(*naming), value));
            let build = Key::from_parts(BUILD_INFO.name.of(*naming), build.to_vec());
            recorder.register_gauge(&build, &METADATA).set(1.0);
            for series in pools {
                series.write(recorder, address);
            }
        });
    }

    /// As [`describe`](crate::describe).
    pub fn describe(&self) {
        let naming = self.0.naming;
        self.0
            .destination
            .with(|recorder, _| catalogue::describe(recorder, naming));
    }

    /// As [`spawn_sampler`](crate::spawn_sampler).
    pub fn spawn_sampler(&self, interval: Duration) -> JoinHandle<()> {
        let metrics = self.clone();
        tokio::spawn(async move {
            let mut ticks = time::interval(interval.max(SHORTEST_INTERVAL));
            ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                metrics.collect();
            }
        })
    }

    /// The series of that name, for a pool that is built.
    pub(crate) fn series(&self, name: &str) -> Arc<Series> {
        let naming = self.0.naming;
        self.pools(|pools| {
            let series = pools
                .entry(name.to_owned())
                .or_insert_with(|| Arc::new(Series::new(name, naming)));
            Arc::clone(series)
        })
    }

    pub(crate) fn all(&self) -> Vec<Arc<Series>> {
        self.pools(|pools| pools.values().cloned().collect())
    }

    fn pools<R>(&self, act: impl FnOnce(&mut BTreeMap<String, Arc<Series>>) -> R) -> R {
        act(&mut self.0.pools.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
