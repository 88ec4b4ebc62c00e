use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{Router, routing::get};
use metrics_exporter_prometheus::PrometheusBuilder;
use sealpool::{Config, Password, Pool};
use sealpool_metrics::{Metrics, Naming};
use tokio::{net::TcpListener, runtime::Runtime};

use crate::service::Service;

/// A second service, within the test, that logs in with tokens which end, as those of a cloud do.
pub(crate) struct Tokens {
    runtime: Runtime,
    pool: Pool,
    address: String,
}

impl Tokens {
    pub(crate) fn start(service: &Service) -> Self {
        let runtime = Runtime::new().unwrap();
        let recorder = PrometheusBuilder::new().build_recorder();
        let exporter = recorder.handle();
        let metrics = Metrics::with_recorder(Naming::Prometheus, Arc::new(recorder));
        let config = Config::new()
            .host("localhost")
            .hostaddr("127.0.0.1")
            .port(service.port())
            .database(service.cluster.database())
            .user(service.cluster.user())
            .tls_root(service.cluster.root_file());
        let password = service.cluster.password().to_owned();
        let token = move |_| {
            let end = SystemTime::now() + Duration::from_secs(15 * 60);
            let token = Password::new(&password).expires_at(end);
            async move { Ok(token) }
        };
        let builder = Pool::builder(config).observer(metrics.observer("tokens"));
        let pool = builder.password_provider(token).build().unwrap();
        let (listener, address) = runtime.block_on(async {
            drop(pool.acquire().await.unwrap());
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap().to_string();
            (listener, address)
        });
        let scraped = move || async move {
            metrics.collect();
            exporter.render()
        };
        let routes = Router::new().route("/metrics", get(scraped));
        runtime.spawn(async move { axum::serve(listener, routes).await });
        Self {
            runtime,
            pool,
            address,
        }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn stop(self) {
        let Self {
            runtime,
            pool,
            address: _,
        } = self;
        runtime.block_on(pool.shutdown(Duration::from_secs(30)));
    }
}
