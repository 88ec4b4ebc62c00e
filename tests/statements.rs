use std::sync::Arc;

use sealpool::{
    Client, Config, Connector,
    tokio_postgres::{Error, Row, Statement, error::SqlState},
};

use crate::{
    life::pid,
    rig::{Rig, filled, on_both},
};

on_both! {
    on_shared() => a_table_that_changes_costs_one_error;
    on_shared() => a_table_that_changes_costs_one_transaction;
    on_shared() => a_table_changed_elsewhere_costs_the_pool_one_error;
    on_shared() => parameters_of_another_type_cost_one_error;
    on_shared() => statements_that_are_discarded_cost_no_error;
    on_shared() => a_statement_dropped_by_name_costs_one_error;
    on_shared() => who_has_lost_the_lookup_of_types_is_closed;
    on_shared() => none_are_kept;
    on_shared() => no_more_are_kept_than_may_be;
}

/// A table of the test's own with one row.
async fn table(client: &Client, name: &str) {
    let create = format!(
        "drop table if exists {name}; create table {name} (a int); insert into {name} values (1)"
    );
    client.batch_execute(&create).await.unwrap();
}

async fn cached(client: &Client, query: &str) -> Result<Row, Error> {
    let statement = client.prepare_cached(query).await?;
    client.query_one(&statement, &[]).await
}

async fn prepared(client: &Client) -> i64 {
    let count = "select count(*) from pg_prepared_statements where statement <> $1";
    let row = client.query_one(count, &[&count]).await.unwrap();
    row.get(0)
}

async fn a_table_that_changes_costs_one_error(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config().pool_max_size(1));
    let client = pool.acquire().await.unwrap();
    table(&client, "statements_own").await;
    let query = "select * from statements_own";
    assert_eq!(cached(&client, query).await.unwrap().len(), 1);
    let change = "alter table statements_own add b int";
    client.batch_execute(change).await.unwrap();
    let error = cached(&client, query).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::FEATURE_NOT_SUPPORTED));
    assert_eq!(cached(&client, query).await.unwrap().len(), 2);
    let first = pid(&client).await;
    drop(client);
    let client = pool.acquire().await.unwrap();
    assert_eq!(cached(&client, query).await.unwrap().len(), 2);
    assert_eq!(pid(&client).await, first);
}

async fn a_table_that_changes_costs_one_transaction(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config().pool_max_size(1));
    let mut client = pool.acquire().await.unwrap();
    table(&client, "statements_transaction").await;
    let query = "select * from statements_transaction";
    assert_eq!(cached(&client, query).await.unwrap().len(), 1);
    let change = "alter table statements_transaction add b int";
    client.batch_execute(change).await.unwrap();
    let mut outcomes = Vec::new();
    for _ in 0..3 {
        let transaction = client.transaction().await.unwrap();
        let statement = transaction.prepare_cached(query).await.unwrap();
        let outcome = transaction.query_one(&statement, &[]).await;
        outcomes.push(outcome.map(|row| row.len()).ok());
        transaction.commit().await.unwrap();
    }
    assert_eq!(outcomes, [None, Some(2), Some(2)]);
}

async fn a_table_changed_elsewhere_costs_the_pool_one_error(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config().pool_max_size(4));
    let clients = filled(&pool, 4).await;
    table(&clients[0], "statements_elsewhere").await;
    let query = "select * from statements_elsewhere";
    for client in &clients {
        assert_eq!(cached(client, query).await.unwrap().len(), 1);
    }
    let change = "alter table statements_elsewhere alter a type bigint";
    rig.cluster.sql(change).await.unwrap();
    drop(clients);
    let error = cached(&pool.acquire().await.unwrap(), query).await;
    let code = error.unwrap_err().code().cloned();
    assert_eq!(code, Some(SqlState::FEATURE_NOT_SUPPORTED));
    for client in filled(&pool, 4).await {
        assert_eq!(cached(&client, query).await.unwrap().get::<_, i64>(0), 1);
    }
    assert_eq!(rig.record.counts().opened, 4);
}

async fn parameters_of_another_type_cost_one_error(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config().pool_max_size(1));
    let client = pool.acquire().await.unwrap();
    table(&client, "statements_types").await;
    let query = "select 'there' from statements_types where a = $1";
    let statement = client.prepare_cached(query).await.unwrap();
    client.query_one(&statement, &[&1_i32]).await.unwrap();
    let change = "alter table statements_types alter a type text using a::text";
    client.batch_execute(change).await.unwrap();
    let error = client.query_one(&statement, &[&1_i32]).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::UNDEFINED_FUNCTION));
    let statement = client.prepare_cached(query).await.unwrap();
    client.query_one(&statement, &[&"1"]).await.unwrap();
}

async fn statements_that_are_discarded_cost_no_error(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config().pool_max_size(1));
    for discard in ["discard all", "deallocate all"] {
        let mut client = pool.acquire().await.unwrap();
        for _ in 0..2 {
            cached(&client, "select 1").await.unwrap();
            client.batch_execute(discard).await.unwrap();
            cached(&client, "select 1").await.unwrap();
            client.execute(discard, &[]).await.unwrap();
            let transaction = client.transaction().await.unwrap();
            let statement = transaction.prepare_cached("select 1").await.unwrap();
            transaction.query_one(&statement, &[]).await.unwrap();
            transaction.commit().await.unwrap();
        }
        drop(client);
        cached(&pool.acquire().await.unwrap(), "select 1")
            .await
            .unwrap();
    }
}

async fn a_statement_dropped_by_name_costs_one_error(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config().pool_max_size(1));
    let client = pool.acquire().await.unwrap();
    let query = "select 'dropped by name'";
    cached(&client, query).await.unwrap();
    let name = "select name from pg_prepared_statements where statement like '%by name%'";
    let name: String = client.query_typed(name, &[]).await.unwrap()[0].get(0);
    let drop_it = format!("do $$ begin execute 'deallocate {name}'; end $$");
    client.batch_execute(&drop_it).await.unwrap();
    let error = cached(&client, query).await.unwrap_err();
    let code = Some(&SqlState::INVALID_SQL_STATEMENT_NAME);
    assert_eq!(error.code(), code);
    cached(&client, query).await.unwrap();
    drop(client);
    cached(&pool.acquire().await.unwrap(), query).await.unwrap();
}

/// The driver asks for types that it does not know by statements which it never prepares again.
async fn who_has_lost_the_lookup_of_types_is_closed(rig: Arc<Rig>) {
    let create =
        "drop type if exists statements_mood; create type statements_mood as enum ('well')";
    for reset in ["auto", "always", "transaction"] {
        let pool = rig.pool(rig.config().pool_max_size(1).pool_reset(reset));
        for lose in [
            "deallocate all",
            "do $$ begin execute 'deallocate all'; end $$",
        ] {
            let client = pool.acquire().await.unwrap();
            client.batch_execute(create).await.unwrap();
            let first = pid(&client).await;
            let known: Statement = client
                .prepare("select 'well'::statements_mood")
                .await
                .unwrap();
            drop(known);
            client.batch_execute(lose).await.unwrap();
            // Another type of that name.
            client.batch_execute(create).await.unwrap();
            let again = client.prepare("select 'well'::statements_mood").await;
            let code = again.unwrap_err().code().cloned();
            assert_eq!(code, Some(SqlState::INVALID_SQL_STATEMENT_NAME), "{lose}");
            drop(client);
            let client = pool.acquire().await.unwrap();
            assert_ne!(pid(&client).await, first, "{lose} with {reset}");
            client
                .prepare("select 'well'::statements_mood")
                .await
                .unwrap();
        }
    }
}

async fn none_are_kept(rig: Arc<Rig>) {
    let config = rig.config().pool_max_size(1).session_statement_cache(0);
    let mut client = rig.pool(config).acquire().await.unwrap();
    for _ in 0..3 {
        cached(&client, "select 1").await.unwrap();
        client.prepare_cached("select 2").await.unwrap();
        client.prepare_typed_cached("select 3", &[]).await.unwrap();
        let transaction = client.transaction().await.unwrap();
        transaction.prepare_cached("select 4").await.unwrap();
        transaction.commit().await.unwrap();
        assert_eq!(client.statement_cache.size(), 0);
        assert_eq!(prepared(&client).await, 0);
    }
}

async fn no_more_are_kept_than_may_be(rig: Arc<Rig>) {
    let config = rig.config().pool_max_size(1).session_statement_cache(8);
    let client = rig.pool(config).acquire().await.unwrap();
    let (mut most, mut least) = (0, i64::MAX);
    for number in 0..40 {
        cached(&client, &format!("select {number}")).await.unwrap();
        let there = prepared(&client).await;
        assert!(there <= 8, "{there} after {number}");
        most = most.max(there);
        if number > 8 {
            least = least.min(there);
        }
    }
    assert!(most > 4 && least < 4, "{least} to {most}");
    for _ in 0..40 {
        cached(&client, "select 'again'").await.unwrap();
    }
    assert!(client.statement_cache.size() > 0);
}

/// What each dialect says about it comes to the setting.
#[test]
fn a_connection_string_says_how_many_are_kept() {
    for (url, expected) in [
        ("postgresql://app@db.example.net/shop", 512),
        ("postgresql://app@db.example.net/shop?pgbouncer=true", 0),
        (
            "postgresql://app@db.example.net/shop?statement_cache_size=0",
            0,
        ),
        (
            "postgresql://app@db.example.net/shop?statement-cache-capacity=100",
            100,
        ),
        (
            "postgresql://app@db.example.net/shop?prepared_statements=false",
            0,
        ),
        (
            "postgresql://app@db.example.net/shop?default_query_exec_mode=exec",
            0,
        ),
        (
            "jdbc:postgresql://db.example.net/shop?user=app&prepareThreshold=0",
            0,
        ),
        (
            "r2dbc:postgresql://app@db.example.net/shop?preparedStatementCacheQueries=0",
            0,
        ),
        ("Host=db.example.net;Username=app;Max Auto Prepare=0", 0),
        ("Host=db.example.net;Username=app;Max Auto Prepare=20", 20),
    ] {
        let config = Config::from_dsn(url).unwrap_or_else(|error| panic!("{url}: {error}"));
        let policy = format!("{:?}", Connector::new(config).unwrap());
        let expected = format!("statement_cache: {expected} ");
        assert!(policy.contains(&expected), "{url}: {policy}");
    }
}
