//! A service on axum, as it is run in production: what it is configured by, what probes and Prometheus ask it, how it ends.
//!
//! It teaches that `/readyz` asks the pool and not the server, that a caller is never told the text of an error, and the
//! order of an end: probes fail, then nobody is let in, then requests come to their end, then the pool does.
//!
//! `APP_DB_HOST=… APP_DB_USER=… APP_DB_PASSWORD=… cargo run -p sealpool-examples --bin axum_service -- examples/service.toml 127.0.0.1:8080`
use std::{error::Error, future::IntoFuture as _, time::Duration};

use axum::{
    Router,
    extract::{Path, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use sealpool::{Config, Layer, Pool, Readiness, tokio_postgres};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    time::sleep,
};
use tracing::{error, info, warn};

/// How long `/readyz` fails before nobody is let in any more: until the load balancer has noticed.
const NOTICE: Duration = Duration::from_secs(10);
/// How long requests under way may take after that, and then borrowers of connections.
const LIMIT: Duration = Duration::from_secs(8);

const SCHEMA: &str = "
    create table if not exists stock (item text primary key, pieces int not null);
    create table if not exists orders (id int generated always as identity primary key, item text not null);
    insert into stock values ('apple', 100) on conflict do nothing";

#[derive(Clone)]
struct App {
    pool: Pool,
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
    let exporter = exporter()?;
    let config = Config::layered([Layer::toml(file, "db"), Layer::env("APP_DB")])?;
    let pool = Pool::builder(config)
        .observer(sealpool_metrics::observer("orders"))
        .build()?;
    pool.ready().await?;
    pool.acquire().await?.batch_execute(SCHEMA).await?;

    let signals = Signals::new()?;
    let (stop, stopping) = watch::channel(false);
    let app = App {
        pool: pool.clone(),
        exporter,
        stopping: stopping.clone(),
    };
    let routes = Router::new()
        .route("/stock/{item}", get(stock))
        .route("/orders/{item}", post(order))
        .route("/livez", get(|| async { "alive" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        // For operators: whoever stands in front must let nobody else see it.
        .route("/status", sealpool_metrics::status_route())
        .with_state(app);
    let listener = TcpListener::bind(address).await?;
    info!("listening on {}", listener.local_addr()?);
    let server = axum::serve(listener, routes).with_graceful_shutdown(notice(signals, stop));
    tokio::select! {
        served = server.into_future() => served?,
        () = overdue(stopping) => warn!("requests are still under way"),
    }
    pool.shutdown(LIMIT).await;
    info!("stopped");
    Ok(())
}

async fn stock(State(app): State<App>, Path(item): Path<String>) -> Result<String, Failure> {
    let client = app.pool.acquire().await?;
    let statement = "select pieces from stock where item = $1";
    let row = client.query_opt(statement, &[&item]).await?;
    let row = row.ok_or(Failure(StatusCode::NOT_FOUND))?;
    Ok(row.get::<_, i32>(0).to_string())
}

async fn order(State(app): State<App>, Path(item): Path<String>) -> Result<String, Failure> {
    let mut client = app.pool.acquire().await?;
    // Rolled back wherever this function is left before the commit.
    let transaction = client.transaction().await?;
    let insert = "insert into orders (item) values ($1) returning id";
    let id: i32 = transaction.query_one(insert, &[&item]).await?.get(0);
    let take = "update stock set pieces = pieces - 1 where item = $1 and pieces > 0";
    if transaction.execute(take, &[&item]).await? == 0 {
        return Err(Failure(StatusCode::CONFLICT));
    }
    transaction.commit().await?;
    Ok(id.to_string())
}

/// Nothing is sent to the server, so that probes cost nothing and do not wait.
async fn readyz(State(app): State<App>) -> (StatusCode, &'static str) {
    let problem = match app.pool.readiness() {
        _ if *app.stopping.borrow() => "stopping",
        // A pool may have no connection because nobody has wanted one for a while.
        Readiness::Ready | Readiness::Untried => return (StatusCode::OK, "ready"),
        Readiness::Failing(_) => "no connection to the database",
        _ => "the pool lends no connections",
    };
    (StatusCode::SERVICE_UNAVAILABLE, problem)
}

async fn metrics(State(app): State<App>) -> impl IntoResponse {
    sealpool_metrics::collect();
    let headers = [(CONTENT_TYPE, "text/plain; version=0.0.4")];
    (headers, app.exporter.render())
}

fn exporter() -> Result<PrometheusHandle, BuildError> {
    let mut exporter = PrometheusBuilder::new();
    for (name, bounds) in sealpool_metrics::BUCKETS {
        exporter = exporter.set_buckets_for_metric(Matcher::Prefix(name.to_owned()), bounds)?;
    }
    exporter.install_recorder()
}

/// What a caller is told of an error; the log has the rest.
struct Failure(StatusCode);

impl From<sealpool::Error> for Failure {
    fn from(error: sealpool::Error) -> Self {
        error!(error = &error as &dyn Error, "no connection");
        Self(StatusCode::SERVICE_UNAVAILABLE)
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        error!(error = &error as &dyn Error, "a query failed");
        Self(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Self(status) = self;
        status.into_response()
    }
}

/// Ctrl-C, and what orchestrators send.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        let Self {
            interrupt,
            terminate,
        } = self;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}

/// Ends when nobody is to be let in any more. A second signal says that nobody has to notice.
async fn notice(mut signals: Signals, stop: watch::Sender<bool>) {
    signals.next().await;
    info!("stopping");
    stop.send_replace(true);
    tokio::select! {
        () = sleep(NOTICE) => {}
        () = signals.next() => {}
    }
}

/// A caller who reads nothing must not hold the process for ever.
async fn overdue(mut stopping: watch::Receiver<bool>) {
    // It fails when the sender is gone, which is after it has said so.
    let _ = stopping.wait_for(|stopping| *stopping).await;
    sleep(NOTICE + LIMIT).await;
}
