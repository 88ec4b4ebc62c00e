//! The same as `axum_service` on actix-web, as far as it differs.
//!
//! It teaches one thing more: each worker of actix-web has a runtime of its own, and a connection ends with the runtime
//! that opened it. The pool is therefore asked on the runtime of `main`, which is there until the pool has been shut down.
//!
//! `APP_DB_HOST=… APP_DB_USER=… APP_DB_PASSWORD=… cargo run -p sealpool-examples --bin actix_service -- examples/service.toml 127.0.0.1:8080`
use std::{error::Error, time::Duration};

use actix_web::{
    App, HttpResponse, HttpServer,
    error::{ErrorInternalServerError, ErrorServiceUnavailable},
    web,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use sealpool::{Client, Config, Layer, Pool, Readiness};
use tokio::{
    runtime::Handle,
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    time::sleep,
};
use tracing::{error, info};

const NOTICE: Duration = Duration::from_secs(10);
const LIMIT: Duration = Duration::from_secs(8);

#[derive(Clone)]
struct State {
    pool: Pool,
    runtime: Handle,
    exporter: PrometheusHandle,
    stopping: watch::Receiver<bool>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().init();
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [file, address] = &arguments[..] else {
        return Err("say the TOML file and the address to listen on".into());
    };
    let mut exporter = PrometheusBuilder::new();
    for (name, bounds) in sealpool_metrics::BUCKETS {
        exporter = exporter.set_buckets_for_metric(Matcher::Prefix(name.to_owned()), bounds)?;
    }
    let config = Config::layered([Layer::toml(file, "db"), Layer::env("APP_DB")])?;
    let pool = Pool::builder(config)
        .observer(sealpool_metrics::observer("orders"))
        .build()?;
    let (stop, stopping) = watch::channel(false);
    let state = State {
        pool: pool.clone(),
        runtime: Handle::current(),
        exporter: exporter.install_recorder()?,
        stopping,
    };
    pool.ready().await?;

    let terminate = signal(SignalKind::terminate())?;
    let routes = move || {
        App::new()
            .app_data(web::Data::new(state.clone()))
            .route("/now", web::get().to(now))
            .route("/livez", web::get().to(|| async { "alive" }))
            .route("/readyz", web::get().to(readyz))
            .route("/metrics", web::get().to(metrics))
    };
    let server = HttpServer::new(routes)
        .disable_signals()
        .shutdown_timeout(LIMIT.as_secs())
        .bind(address)?;
    for address in server.addrs() {
        info!("listening on {address}");
    }
    let server = server.run();
    let handle = server.handle();
    tokio::spawn(async move {
        notice(terminate, stop).await;
        handle.stop(true).await;
    });
    server.await?;
    pool.shutdown(LIMIT).await;
    info!("stopped");
    Ok(())
}

async fn now(state: web::Data<State>) -> actix_web::Result<String> {
    let client = client(&state).await?;
    let row = client.query_one("select now()::text", &[]).await;
    let row = row.map_err(|error| {
        error!(error = &error as &dyn Error, "a query failed");
        ErrorInternalServerError("")
    })?;
    Ok(row.get(0))
}

async fn client(state: &State) -> actix_web::Result<Client> {
    let pool = state.pool.clone();
    let acquire = state.runtime.spawn(async move { pool.acquire().await });
    let acquired = acquire.await.map_err(|_| ErrorInternalServerError(""))?;
    acquired.map_err(|error| {
        error!(error = &error as &dyn Error, "no connection");
        ErrorServiceUnavailable("")
    })
}

async fn readyz(state: web::Data<State>) -> HttpResponse {
    match state.pool.readiness() {
        Readiness::Ready | Readiness::Untried if !*state.stopping.borrow() => {
            HttpResponse::Ok().finish()
        }
        _ => HttpResponse::ServiceUnavailable().finish(),
    }
}

async fn metrics(state: web::Data<State>) -> HttpResponse {
    sealpool_metrics::collect();
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4")
        .body(state.exporter.render())
}

async fn notice(mut terminate: Signal, stop: watch::Sender<bool>) {
    terminate.recv().await;
    stop.send_replace(true);
    tokio::select! {
        () = sleep(NOTICE) => {}
        _ = terminate.recv() => {}
    }
}
