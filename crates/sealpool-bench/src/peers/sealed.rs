use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use sealpool::{Client, Config, Pool, PoolBuilder};

use super::{Peer, Site, deadpool};
use crate::Failure;

/// sealpool itself.
#[derive(Clone)]
pub(crate) struct Sealed(Pool);

impl Sealed {
    pub(super) fn open(
        site: &Site,
        size: u32,
        set: impl FnOnce(PoolBuilder) -> PoolBuilder,
    ) -> Result<Self, Failure> {
        Self::configured(config(site).pool_max_size(size), set)
    }

    pub(super) fn with_metrics(site: &Site, size: u32) -> Result<Self, Failure> {
        Self::observed(config(site).pool_max_size(size))
    }

    pub(super) fn with_lane(site: &Site, size: u32) -> Result<Pool, Failure> {
        let Self(pool) = Self::observed(config(site).lane_max_size(size))?;
        Ok(pool)
    }

    fn observed(config: Config) -> Result<Self, Failure> {
        // No two pools may have one name at once.
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        recorder()?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let observer = sealpool_metrics::observer(format!("bench-{number}"));
        Self::configured(config, |builder| builder.observer(observer))
    }

    pub(crate) fn configured(
        config: Config,
        set: impl FnOnce(PoolBuilder) -> PoolBuilder,
    ) -> Result<Self, Failure> {
        Ok(Self(set(Pool::builder(config)).build()?))
    }
}

/// Nothing but what every peer is told.
pub(crate) fn config(site: &Site) -> Config {
    let Site {
        port,
        user,
        password,
        database,
        root_file,
    } = site;
    Config::new()
        .host("localhost")
        .hostaddr("127.0.0.1")
        .port(*port)
        .user(user.as_str())
        .password(password.as_str())
        .database(database.as_str())
        .tls_root(root_file.as_path())
}

static RECORDER: OnceLock<Result<PrometheusHandle, String>> = OnceLock::new();

/// What an exporter does from time to time, between two measurements. Whoever has metrics has them for real.
pub(crate) fn scrape() -> Result<(), Failure> {
    let Some(Ok(recorder)) = RECORDER.get() else {
        return Ok(());
    };
    sealpool_metrics::collect();
    match recorder.render().contains("sealpool_acquires_total") {
        true => Ok(()),
        false => Err("the recorder was told nothing".into()),
    }
}

/// The recorder of this process, installed when it is first asked for.
fn recorder() -> Result<&'static PrometheusHandle, Failure> {
    let install = || {
        let mut exporter = PrometheusBuilder::new();
        for (name, bounds) in sealpool_metrics::BUCKETS {
            exporter = exporter.set_buckets_for_metric(Matcher::Prefix(name.to_owned()), bounds)?;
        }
        exporter.install_recorder()
    };
    let installed = RECORDER.get_or_init(|| install().map_err(|error| error.to_string()));
    installed.as_ref().map_err(|error| error.as_str().into())
}

impl Peer for Sealed {
    type Client = Client;

    async fn acquire(&self) -> Result<Client, Failure> {
        Ok(self.0.acquire().await?)
    }

    async fn cycle(&self) -> Result<(), Failure> {
        drop(self.0.acquire().await?);
        Ok(())
    }

    async fn select_one(client: &mut Client) -> Result<i32, Failure> {
        deadpool::select_one(client).await
    }

    async fn select_payload(client: &mut Client) -> Result<(usize, usize), Failure> {
        deadpool::select_payload(client).await
    }
}
