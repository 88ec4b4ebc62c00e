use std::{sync::Arc, time::SystemTime};

use sealpool::{ChannelBinding, TlsVersion};

use crate::rig::{Rig, SQL_CANARY, on_both};

on_both! {
    on_shared() => a_query_and_a_transaction;
    on_shared() => the_facts_of_a_session_agree_with_the_server;
    on_shared() => the_second_connection_needs_no_second_hello;
}

async fn a_query_and_a_transaction(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config());
    let mut client = pool.acquire().await.unwrap();
    let row = client
        .query_one("select $1::text", &[&SQL_CANARY])
        .await
        .unwrap();
    assert_eq!(row.get::<_, String>(0), SQL_CANARY);

    client
        .batch_execute("create temporary table counted (n int)")
        .await
        .unwrap();
    let transaction = client.transaction().await.unwrap();
    transaction
        .execute("insert into counted values (1)", &[])
        .await
        .unwrap();
    transaction.rollback().await.unwrap();
    let transaction = client.transaction().await.unwrap();
    let insert = transaction
        .prepare_cached("insert into counted values ($1)")
        .await
        .unwrap();
    transaction.execute(&insert, &[&2]).await.unwrap();
    transaction.commit().await.unwrap();
    let row = client
        .query_one("select array_agg(n) from counted", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, Vec<i32>>(0), [2]);
}

async fn the_facts_of_a_session_agree_with_the_server(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config());
    let client = pool.acquire().await.unwrap();
    let tls = client.tls();
    assert_eq!(tls.protocol_version(), TlsVersion::V1_3);
    assert_eq!(tls.channel_binding(), ChannelBinding::Bound);
    assert_eq!(tls.server_name(), "localhost");
    assert_eq!(tls.chain().len(), 2, "the leaf and its intermediate");
    let certificate = tls.certificate();
    assert!(
        certificate.names().contains(&"localhost".to_owned()),
        "{:?}",
        certificate.names()
    );
    assert!(
        certificate.names().contains(&"127.0.0.1".to_owned()),
        "{:?}",
        certificate.names()
    );
    assert!(certificate.not_before() < SystemTime::now());
    assert!(certificate.not_after() > SystemTime::now());
    assert_eq!(certificate.issuer(), tls.chain()[1].subject());

    let row = client
        .query_one(
            "select ssl, version from pg_stat_ssl where pid = pg_backend_pid()",
            &[],
        )
        .await
        .unwrap();
    assert!(row.get::<_, bool>(0));
    assert_eq!(
        row.get::<_, &str>(1),
        format!("TLSv{}", tls.protocol_version())
    );
}

async fn the_second_connection_needs_no_second_hello(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config());
    let first = pool.acquire().await.unwrap();
    let second = pool.acquire().await.unwrap();
    assert_eq!(
        first.tls().key_exchange_group(),
        second.tls().key_exchange_group()
    );
    drop((first, second));
    let flights: Vec<_> = rig.tap.connections().iter().map(|c| c.flights()).collect();
    let [first, second] = flights[..] else {
        panic!("two connections, not {flights:?}")
    };
    let expected_first = if rig.cluster.major() < 18 {
        second + 1
    } else {
        second
    };
    assert_eq!(
        first, expected_first,
        "only the first hello may guess the group wrong"
    );
}
