use std::sync::Arc;

use deadpool_postgres::{Manager, ManagerConfig, Pool};
use sealpool::{Connector, tokio_postgres};

use crate::rig::{Rig, SQL_CANARY, chain, on_both};

on_both! {
    on_shared() => a_plain_deadpool_pool_is_sealed_too;
    on_shared() => what_deadpool_would_configure_is_refused;
    on_shared() => our_reasons_come_through;
}

fn pool(config: tokio_postgres::Config, connector: Connector) -> Pool {
    let manager = Manager::from_connect(config, connector, ManagerConfig::default());
    Pool::builder(manager).max_size(2).build().unwrap()
}

async fn a_plain_deadpool_pool_is_sealed_too(rig: Arc<Rig>) {
    let connector = Connector::new(rig.config()).unwrap();
    let pool = pool(tokio_postgres::Config::new(), connector);
    let client = pool.get().await.unwrap();
    let row = client.query_one(
        "select $1::text, ssl from pg_stat_ssl where pid = pg_backend_pid()",
        &[&SQL_CANARY],
    );
    assert!(row.await.unwrap().get::<_, bool>(1));
}

async fn what_deadpool_would_configure_is_refused(rig: Arc<Rig>) {
    let mut config = tokio_postgres::Config::new();
    config.ssl_mode(tokio_postgres::config::SslMode::Disable);
    let error = pool(config, Connector::new(rig.config()).unwrap())
        .get()
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("error communicating with the server"),
        "{error}"
    );
    assert!(
        chain(&error).contains("give deadpool an empty tokio_postgres::Config"),
        "{}",
        chain(&error)
    );
    assert!(rig.tap.connections().is_empty());
}

async fn our_reasons_come_through(rig: Arc<Rig>) {
    let connector = Connector::new(rig.config().host("db.example.net")).unwrap();
    let error = pool(tokio_postgres::Config::new(), connector)
        .get()
        .await
        .unwrap_err();
    assert!(
        chain(&error).contains("certificate_hostname_mismatch"),
        "{}",
        chain(&error)
    );
}
