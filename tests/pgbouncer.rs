use std::{sync::Arc, time::Duration};

use sealpool::{
    CancelOutcome, Client, Config, Error, HandshakeFailure, Pool,
    tokio_postgres::{error::SqlState, types::Type},
};
use sealpool_testkit::{PgBouncer, PoolMode, Tap};

use crate::rig::{Rig, SLACK, chain, eventually, on_both};

on_both! {
    on_shared() => what_it_does_not_take_is_named_at_once;
    on_shared() => without_tls_it_gets_no_login;
    on_shared() => a_session_is_like_one_of_the_server;
    on_shared() => transactions_work_whole;
    on_shared() => what_outlives_its_transaction_is_discarded_by_a_pgbouncer_set_so;
    on_shared() => a_statement_by_name_wants_a_pgbouncer_that_knows_it;
    on_shared() => a_cancel_request_finds_the_session;
    on_shared() => the_role_is_the_servers;
}

/// A PgBouncer between the rig's server and a tap of its own.
struct Bouncer {
    bouncer: PgBouncer,
    tap: Tap,
}

impl Bouncer {
    fn start(rig: &Rig, mode: PoolMode, settings: &[(&str, &str)]) -> Self {
        let bouncer = PgBouncer::start(&rig.cluster, mode, settings);
        let bouncer = bouncer.unwrap_or_else(|error| panic!("{error}"));
        let tap = Tap::start(bouncer.addr()).unwrap();
        tap.forbid(rig.cluster.password());
        Self { bouncer, tap }
    }

    fn config(&self, rig: &Rig) -> Config {
        rig.config().port(self.tap.port())
    }

    fn settle(self) {
        self.tap.verify().expect("TLS and nothing else");
    }
}

async fn backend(client: &Client) -> i32 {
    let rows = client.query_typed("select pg_backend_pid()", &[]).await;
    rows.unwrap()[0].get(0)
}

/// All the statements that the server knows in this session.
async fn prepared(client: &Client) -> i64 {
    let count = "select count(*) from pg_prepared_statements";
    client.query_typed(count, &[]).await.unwrap()[0].get(0)
}

async fn refusal(pool: &Pool) -> String {
    let started = std::time::Instant::now();
    let error = pool.acquire().await.unwrap_err();
    assert!(
        started.elapsed() < SLACK,
        "at once, and not at the deadline"
    );
    assert!(matches!(error, Error::Connect(_)), "{error}");
    assert!(!error.is_transient(), "{error}");
    chain(&error)
}

async fn what_it_does_not_take_is_named_at_once(rig: Arc<Rig>) {
    let bouncer = Bouncer::start(&rig, PoolMode::Transaction, &[]);
    let config = || bouncer.config(&rig).connect_retry(true);
    for config in [
        config().session_search_path("shop"),
        config().options("-c work_mem=8MB"),
        config().session_statement_timeout(Duration::from_secs(5)),
    ] {
        let text = refusal(&rig.pool(config)).await;
        assert!(text.contains("give them to the role"), "{text}");
        assert!(text.contains("unsupported startup parameter"), "{text}");
    }
    let text = refusal(&rig.pool(config().tls_channel_binding("require"))).await;
    assert!(
        text.contains("look for a proxy between that ends TLS"),
        "{text}"
    );
    let application = config().application_name("an app");
    let client = rig.pool(application).acquire().await.unwrap();
    let rows = client.query_typed("show application_name", &[]).await;
    assert_eq!(rows.unwrap()[0].get::<_, &str>(0), "an app");
    drop(client);
    bouncer.settle();
}

async fn without_tls_it_gets_no_login(rig: Arc<Rig>) {
    let off = [("client_tls_sslmode", "disable")];
    let bouncer = Bouncer::start(&rig, PoolMode::Session, &off);
    refusal(&rig.pool(bouncer.config(&rig))).await;
    let failed = rig.record.counts().failed;
    assert_eq!(failed.get(&HandshakeFailure::ServerRefusedTls), Some(&1));
    assert!(!bouncer.bouncer.log().contains("login attempt"));
    bouncer.settle();
}

/// Everything works as without it: the cache, the reset, the check of what has rested.
async fn a_session_is_like_one_of_the_server(rig: Arc<Rig>) {
    let bouncer = Bouncer::start(&rig, PoolMode::Session, &[]);
    let pool = rig.pool(bouncer.config(&rig).pool_max_size(1));
    let mut first = None;
    for _ in 0..3 {
        let mut client = pool.acquire().await.unwrap();
        let statement = client.prepare_cached("select $1::int").await.unwrap();
        let row = client.query_one(&statement, &[&7]).await.unwrap();
        assert_eq!(row.get::<_, i32>(0), 7);
        assert_eq!(client.statement_cache.size(), 1);
        assert_eq!(
            *first.get_or_insert(backend(&client).await),
            backend(&client).await
        );
        let row = client.query_one("show work_mem", &[]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), "4MB");
        let rows = client
            .query("select * from pg_listening_channels()", &[])
            .await;
        assert!(rows.unwrap().is_empty());
        let transaction = client.transaction().await.unwrap();
        transaction.query_one(&statement, &[&8]).await.unwrap();
        transaction.commit().await.unwrap();
        let leave = "set work_mem = '9MB'; listen left; begin; select 1 / 0";
        client.batch_execute(leave).await.unwrap_err();
        drop(client);
    }
    drop(pool.acquire().await.unwrap());
    // That time passes is what is waited for.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let last = backend(&pool.acquire().await.unwrap()).await;
    let counts = rig.record.counts();
    assert!(!counts.checks.is_empty());
    // A busy machine may take longer than the check waits.
    if !counts.closed.contains_key("check_failed") {
        assert_eq!((Some(last), counts.opened), (first, 1));
    }
    bouncer.settle();
}

/// Whatever its version, as long as no statement is used after the transaction that prepared it.
async fn transactions_work_whole(rig: Arc<Rig>) {
    let settings = [("default_pool_size", "2")];
    let bouncer = Bouncer::start(&rig, PoolMode::Transaction, &settings);
    let config = bouncer.config(&rig).pool_max_size(8);
    let config = config.pool_reset("transaction").session_statement_cache(0);
    let pool = rig.pool(config);
    let tasks: Vec<_> = (0..8_i32)
        .map(|number| {
            let pool = pool.clone();
            tokio::spawn(async move {
                for _ in 0..10 {
                    let mut client = pool.acquire().await.unwrap();
                    let transaction = client.transaction().await.unwrap();
                    for _ in 0..2 {
                        let twice = transaction
                            .prepare_cached("select $1::int * 2")
                            .await
                            .unwrap();
                        let row = transaction.query_one(&twice, &[&number]).await.unwrap();
                        assert_eq!(row.get::<_, i32>(0), 2 * number);
                    }
                    // A row holds on to its statement.
                    let row = transaction.query_one("select $1::text", &[&"x"]).await;
                    assert_eq!(row.unwrap().get::<_, &str>(0), "x");
                    transaction.commit().await.unwrap();
                    let typed: [(&(dyn sealpool::tokio_postgres::types::ToSql + Sync), Type); 1] =
                        [(&number, Type::INT4)];
                    let rows = client.query_typed("select $1", &typed).await.unwrap();
                    assert_eq!(rows[0].get::<_, i32>(0), number);
                    client.batch_execute("select 1; select 2").await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let (one, other) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    one.batch_execute("begin").await.unwrap();
    other.batch_execute("begin").await.unwrap();
    assert_ne!(backend(&one).await, backend(&other).await);
    assert_eq!((prepared(&one).await, prepared(&other).await), (0, 0));
    drop((one, other));
    let closed = rig.record.counts().closed;
    assert!(!closed.contains_key("dirty") && !closed.contains_key("broken"));
    bouncer.settle();
}

/// With the cache off, too: a row holds on to its statement.
async fn what_outlives_its_transaction_is_discarded_by_a_pgbouncer_set_so(rig: Arc<Rig>) {
    for (always, expected) in [("0", 1), ("1", 0)] {
        let settings = [
            ("default_pool_size", "1"),
            ("server_reset_query_always", always),
        ];
        let bouncer = Bouncer::start(&rig, PoolMode::Transaction, &settings);
        let config = bouncer.config(&rig).session_statement_cache(0);
        let pool = rig.pool(config.pool_max_size(1));
        let mut client = pool.acquire().await.unwrap();
        let transaction = client.transaction().await.unwrap();
        let row = transaction
            .query_one("select $1::text", &[&"x"])
            .await
            .unwrap();
        transaction.commit().await.unwrap();
        assert_eq!(prepared(&client).await, expected);
        drop((row, client));
        bouncer.settle();
    }
}

async fn a_statement_by_name_wants_a_pgbouncer_that_knows_it(rig: Arc<Rig>) {
    let settings = [("default_pool_size", "2")];
    let bouncer = Bouncer::start(&rig, PoolMode::Transaction, &settings);
    let knows = bouncer.bouncer.version() >= (1, 21);
    drop(bouncer);
    let remembered = [
        ("default_pool_size", "2"),
        ("max_prepared_statements", "100"),
    ];
    let bouncer = if knows {
        Bouncer::start(&rig, PoolMode::Transaction, &remembered)
    } else {
        Bouncer::start(&rig, PoolMode::Transaction, &settings)
    };
    let pool = rig.pool(bouncer.config(&rig).pool_max_size(2));
    let (mut client, other) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    let transaction = client.transaction().await.unwrap();
    let statement = transaction.prepare_cached("select $1::int").await.unwrap();
    transaction.commit().await.unwrap();
    client.batch_execute("begin").await.unwrap();
    let here = backend(&client).await;
    client.batch_execute("commit").await.unwrap();
    // The session used last is the one that is taken next.
    other.batch_execute("begin").await.unwrap();
    assert_eq!(backend(&other).await, here);
    let elsewhere = client.query_one(&statement, &[&7]).await;
    if knows {
        assert_eq!(elsewhere.unwrap().get::<_, i32>(0), 7);
    } else {
        let code = elsewhere.unwrap_err().code().cloned();
        assert_eq!(code, Some(SqlState::INVALID_SQL_STATEMENT_NAME));
        assert_eq!(client.statement_cache.size(), 0, "it begins anew");
    }
    drop((client, other));
    bouncer.settle();
}

async fn a_cancel_request_finds_the_session(rig: Arc<Rig>) {
    for mode in [PoolMode::Session, PoolMode::Transaction] {
        let bouncer = Bouncer::start(&rig, mode, &[]);
        let pool = rig.pool(bouncer.config(&rig).pool_max_size(1));
        let client = pool.acquire().await.unwrap();
        let name = format!("set application_name = 'sleeper through {mode:?}'");
        client.batch_execute(&name).await.unwrap();
        let handle = client.cancel_handle();
        let sleeper = tokio::spawn(async move {
            let slept = client.batch_execute("select pg_sleep(30)").await;
            (client, slept)
        });
        let asleep = format!(
            "select count(*) from pg_stat_activity \
             where wait_event = 'PgSleep' and application_name = 'sleeper through {mode:?}'"
        );
        eventually("the server sleeps", async || {
            rig.cluster.sql(&asleep).await.unwrap() == [[Some("1".to_owned())]]
        })
        .await;
        assert_eq!(handle.cancel().await.unwrap(), CancelOutcome::Requested);
        let (client, slept) = sleeper.await.unwrap();
        assert_eq!(slept.unwrap_err().code(), Some(&SqlState::QUERY_CANCELED));
        client.batch_execute("select 1").await.unwrap();
        drop(client);
        // A query that nobody waits for is cancelled in the same way.
        let client = pool.acquire().await.unwrap();
        client.batch_execute(&name).await.unwrap();
        let left = client.batch_execute("select pg_sleep(30)");
        tokio::select! {
            slept = left => panic!("it is not waited for: {slept:?}"),
            () = eventually("the server sleeps", async || {
                rig.cluster.sql(&asleep).await.unwrap() == [[Some("1".to_owned())]]
            }) => {}
        }
        drop(client);
        let client = pool.acquire().await.unwrap();
        client.batch_execute("select 1").await.unwrap();
        assert_eq!(
            rig.cluster.sql(&asleep).await.unwrap(),
            [[Some("0".to_owned())]]
        );
        drop(client);
        bouncer.settle();
    }
    let closed = rig.record.counts().closed;
    assert!(!closed.contains_key("dirty"), "{closed:?}");
}

async fn the_role_is_the_servers(rig: Arc<Rig>) {
    let bouncer = Bouncer::start(&rig, PoolMode::Transaction, &[]);
    for wanted in ["any", "primary", "read-write", "prefer-standby"] {
        let config = bouncer.config(&rig).connect_target_session_attrs(wanted);
        rig.pool(config).acquire().await.unwrap();
    }
    for wanted in ["standby", "read-only"] {
        let config = bouncer.config(&rig).connect_target_session_attrs(wanted);
        let error = rig.pool(config).acquire().await.unwrap_err();
        let expected = format!("connect.target_session_attrs wants {wanted}");
        assert!(chain(&error).contains(&expected), "{}", chain(&error));
    }
    bouncer.settle();
}
