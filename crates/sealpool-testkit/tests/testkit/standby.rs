use std::time::Duration;

use sealpool_testkit::{Cluster, Installation, Leaf, Pki, Shutdown};

use crate::client::{Login, value};

const FOLLOWERS: &str = "select count(*)::text || ' ' || coalesce(bool_and(ssl)::text, '') \
                         from pg_stat_replication join pg_stat_ssl using (pid) where state = 'streaming'";

/// Waits for what replication brings by itself.
async fn comes_to(cluster: &Cluster, statement: &str, expected: &str) {
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        let found = match cluster.sql(statement).await {
            Ok(rows) => format!("{:?}", rows.into_iter().flatten().flatten().next()),
            Err(error) => error.to_string(),
        };
        if found == format!("{:?}", Some(expected)) {
            return;
        }
        let late = std::time::Instant::now() > deadline;
        assert!(
            !late,
            "{statement}: {found} and not {expected}; the log:\n{}",
            cluster.log()
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The whole way there and back: every version makes its backups and promotes in its own way.
#[tokio::test]
async fn a_standby_follows_over_tls_and_takes_over() {
    for found in Installation::all() {
        let first = Cluster::builder().installation(found).start().unwrap();
        first.sql("create table kept (n int)").await.unwrap();
        let second = first.standby().await.unwrap();
        assert_ne!(first.port(), second.port());
        comes_to(&first, FOLLOWERS, "1 true").await;
        first.sql("insert into kept values (1)").await.unwrap();
        comes_to(&second, "select sum(n) from kept", "1").await;

        let client = Login::to(&second).connect().await.unwrap();
        let refused = client.execute("create table t ()", &[]).await.unwrap_err();
        assert_eq!(refused.code().unwrap().code(), "25006");

        first.stop(Shutdown::Fast).unwrap();
        second.promote().await.unwrap();
        second.sql("insert into kept values (2)").await.unwrap();
        first.follow(&second).unwrap();
        assert_eq!(value(&first, "select pg_is_in_recovery()").await, "t");
        comes_to(&second, FOLLOWERS, "1 true").await;
        comes_to(&first, "select sum(n) from kept", "3").await;

        second.stop(Shutdown::Fast).unwrap();
        second.start_again().unwrap();
        assert_eq!(value(&second, "select pg_is_in_recovery()").await, "f");
    }
}

#[tokio::test]
async fn a_standby_does_not_follow_a_server_it_cannot_verify() {
    let stranger: Leaf = Pki::new().leaf().dns("localhost").issue();
    let primary = Cluster::start().unwrap();
    let standby = primary.standby().await.unwrap();
    primary.swap_certificate(&stranger).unwrap();
    primary
        .sql("select pg_terminate_backend(pid) from pg_stat_replication")
        .await
        .unwrap();
    comes_to(
        &standby,
        "select count(*) from pg_stat_wal_receiver where status = 'streaming'",
        "0",
    )
    .await;
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while !standby.log().contains("certificate verify failed") {
        assert!(std::time::Instant::now() < deadline, "{}", standby.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_primary_cannot_be_promoted() {
    let primary = Cluster::start().unwrap();
    let error = primary.promote().await.unwrap_err();
    assert!(
        error.to_string().contains("select pg_promote() failed"),
        "{error}"
    );
}
