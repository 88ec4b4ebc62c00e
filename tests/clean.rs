use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{SinkExt as _, StreamExt as _};
use sealpool::{Client, Pool, tokio_postgres::SimpleQueryMessage};
use tokio::time::timeout;

use crate::rig::{Rig, SLACK, eventually, on_both};

on_both! {
    on_shared() => the_next_borrower_sees_a_pristine_session;
    on_shared() => what_no_reset_removes_costs_the_connection;
    on_shared() => a_statement_that_leaves_something_each_time_is_reset_each_time;
    on_shared() => a_query_that_nobody_waits_for_is_cancelled;
    on_shared() => a_query_left_to_a_connection_that_has_had_its_day_is_cancelled;
    on_shared() => a_request_dropped_before_it_was_sent_is_noticed;
    on_shared() => a_request_dropped_before_it_was_sent_ends_without_a_next_borrower;
    on_shared() => connections_are_used_again_at_once;
    on_shared() => a_client_that_outlives_its_pool_is_closed_with_it;
    on_shared() => rows_that_nobody_reads_are_cancelled;
    on_shared() => a_copy_in_that_is_given_up_inserts_nothing;
    on_shared() => copies_abandoned_midway;
    on_shared() => a_copy_from_nowhere_costs_the_connection;
    on_shared() => a_copy_that_is_still_held_costs_the_connection;
    on_shared() => a_panic_costs_the_connection;
    on_shared() => a_client_dropped_outside_of_a_runtime;
    on_shared() => a_runtime_that_ends_while_it_mends;
    on_shared() => a_clean_session_costs_no_round_trip;
    on_shared() => a_reset_keeps_the_statements;
    on_shared() => always_is_every_time;
    on_own(|builder| builder) => a_reset_that_fails_costs_the_connection;
    on_shared() => transaction_is_transactions_only;
}

/// All that a borrower could notice of the last one, in one row.
const STATE: &str = "select concat_ws(' ', \
    current_setting('session_authorization'), current_setting('role'), current_setting('search_path'), current_setting('TimeZone'), \
    current_setting('work_mem'), current_setting('default_transaction_read_only'), \
    coalesce(nullif(current_setting('clean.word', true), ''), '-'), \
    (select count(*) from pg_listening_channels()), \
    (select count(*) from pg_locks where pid = pg_backend_pid() and locktype = 'advisory'), \
    (select count(*) from pg_class where relpersistence = 't' and relnamespace = pg_my_temp_schema()), \
    (select count(*) from pg_cursors where name <> ''), \
    (select count(*) from pg_prepared_statements where from_sql), \
    now() = statement_timestamp())";

async fn simple(client: &Client, query: &str) -> Option<String> {
    let messages = client.simple_query(query).await.expect("a query");
    messages.into_iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    })
}

async fn backend(client: &Client) -> String {
    simple(client, "select pg_backend_pid()").await.unwrap()
}

/// Whoever is next in a pool of one, and that there is still one to be had.
async fn next(pool: &Pool) -> Client {
    pool.acquire().await.expect("a client")
}

async fn the_next_borrower_sees_a_pristine_session(rig: Arc<Rig>) {
    let pool = rig.pool(
        rig.config()
            .pool_max_size(1)
            .session_time_zone("Europe/Paris"),
    );
    let client = next(&pool).await;
    let (pristine, first) = (simple(&client, STATE).await, backend(&client).await);
    assert!(pristine.as_ref().unwrap().contains("Europe/Paris"));
    drop(client);
    let rows = [
        "begin",
        "begin; create table clean_left (); select 1",
        "begin; select 1 / 0",
        "begin; set local work_mem = '9MB'; declare c cursor for select 1",
        "set role app",
        "set session authorization default; set work_mem = '9MB'",
        "set search_path = pg_catalog",
        "set time zone 'UTC'",
        "set clean.word = 'left'",
        "set default_transaction_read_only = on",
        "set session characteristics as transaction read only",
        "update pg_settings set setting = '9999' where name = 'work_mem'",
        "listen clean",
        "select pg_advisory_lock(42)",
        "select pg_try_advisory_lock_shared(42)",
        "select set_config('clean.word', 'left', false)",
        "do $$ begin perform set_config('clean.word', 'left', false); end $$",
        "do $$ begin execute 'lis' || 'ten clean'; end $$",
        "create temp table t (); create temporary view v as select 1",
        "create table pg_temp.t ()",
        "select 1 as a into temporary t",
        "begin; declare c cursor with hold for select 1; commit",
        "prepare \"a \"\"name\"\"\" as select 1",
        "do $$ begin execute 'pre' || 'pare x as select 1'; end $$",
        "begin; set role app; listen clean; create temp table t (); commit; begin",
    ];
    for left in rows {
        let client = next(&pool).await;
        let _ = client.batch_execute(left).await;
        drop(client);
        let client = next(&pool).await;
        assert_eq!(simple(&client, STATE).await, pristine, "{left}");
        assert_eq!(backend(&client).await, first, "{left}: it was mended");
    }
    assert!(rig.record.counts().closed.is_empty());
}

async fn what_no_reset_removes_costs_the_connection(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config().pool_max_size(1));
    for left in ["select setseed(0.5)", "discard all", "deallocate all"] {
        let client = next(&pool).await;
        let first = backend(&client).await;
        let _ = client.batch_execute(left).await;
        drop(client);
        assert_ne!(backend(&next(&pool).await).await, first, "{left}");
    }
}

async fn a_statement_that_leaves_something_each_time_is_reset_each_time(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config().pool_max_size(1));
    for _ in 0..3 {
        let client = next(&pool).await;
        let pristine = simple(&client, STATE).await;
        assert!(pristine.unwrap().contains(" - "));
        let sets = "select set_config('clean.word', 'left', false)";
        let statement = client.prepare_cached(sets).await.unwrap();
        client.query_one(&statement, &[]).await.unwrap();
    }
    assert!(rig.record.counts().closed.is_empty());
}

/// Polls a future until the server runs what it asked for, and drops it.
async fn until_asleep(rig: &Rig, future: impl Future, seconds: &str) {
    let asleep = eventually("the server sleeps", async || {
        running(rig, seconds).await == 1
    });
    tokio::select! {
        biased;
        _ = future => panic!("it ended"),
        () = asleep => {}
    }
}

async fn running(rig: &Rig, seconds: &str) -> usize {
    let query = format!(
        "select count(*) from pg_stat_activity \
         where state = 'active' and query like '%pg_sleep({seconds})%' and pid <> pg_backend_pid()"
    );
    let rows = rig.cluster.sql(&query).await.unwrap();
    rows[0][0].as_ref().unwrap().parse().unwrap()
}

async fn a_query_that_nobody_waits_for_is_cancelled(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config().pool_max_size(1));
    let client = next(&pool).await;
    let first = backend(&client).await;
    let sleep = "begin; select pg_sleep(301)";
    until_asleep(&rig, client.batch_execute(sleep), "301").await;
    drop(client);
    let client = next(&pool).await;
    assert_eq!(backend(&client).await, first);
    assert_eq!(running(&rig, "301").await, 0);
    let now = "select now() = statement_timestamp()";
    assert_eq!(simple(&client, now).await.as_deref(), Some("t"));
    assert!(rig.record.counts().closed.is_empty());
}

async fn a_query_left_to_a_connection_that_has_had_its_day_is_cancelled(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config().pool_max_size(1).pool_max_uses(1u32));
    let client = next(&pool).await;
    let first = backend(&client).await;
    until_asleep(&rig, client.batch_execute("select pg_sleep(304)"), "304").await;
    drop(client);
    let client = next(&pool).await;
    assert_ne!(backend(&client).await, first);
    assert_eq!(running(&rig, "304").await, 0);
    assert_eq!(rig.record.counts().closed.get("max_uses"), Some(&1));
}

/// No frame of it has been seen when the client comes back.
async fn a_request_dropped_before_it_was_sent_is_noticed(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config().pool_max_size(1));
    let pristine = simple(&next(&pool).await, STATE).await;
    for left in ["begin", "set role app", "listen clean"] {
        for _ in 0..50 {
            let client = next(&pool).await;
            tokio::select! {
                biased;
                _ = client.batch_execute(left) => {}
                () = std::future::ready(()) => {}
            }
            drop(client);
            assert_eq!(simple(&next(&pool).await, STATE).await, pristine, "{left}");
        }
    }
    assert!(rig.record.counts().closed.is_empty());
}

async fn a_request_dropped_before_it_was_sent_ends_without_a_next_borrower(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config().pool_max_size(1));
    for left in ["begin", "select pg_sleep(303)"] {
        let client = next(&pool).await;
        let at_work = format!(
            "select count(*) from pg_stat_activity where pid = {} and state <> 'idle'",
            backend(&client).await
        );
        tokio::select! {
            biased;
            _ = client.batch_execute(left) => {}
            () = std::future::ready(()) => {}
        }
        drop(client);
        eventually("the session is idle or gone", async || {
            rig.cluster.sql(&at_work).await.unwrap() == [[Some("0".to_owned())]]
        })
        .await;
    }
}

/// A query with parameters ends with the closing of its statement, for which nobody waits.
async fn connections_are_used_again_at_once(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config());
    for _ in 0..100 {
        let client = next(&pool).await;
        client.query_one("select 1", &[]).await.unwrap();
        drop(client);
        assert_eq!(pool.status().idle, 1);
    }
    assert_eq!(rig.record.counts().opened, 1);
}

async fn a_client_that_outlives_its_pool_is_closed_with_it(rig: Arc<Rig>) {
    for left in ["select 1", "begin"] {
        let pool = rig.pool(rig.config().pool_max_size(1));
        let client = next(&pool).await;
        client.query_one("select 1", &[]).await.unwrap();
        client.batch_execute(left).await.unwrap();
        drop(pool);
        drop(client);
    }
    eventually("both are closed", async || {
        rig.record.counts().closed.get("pool_closed") == Some(&2)
    })
    .await;
}

async fn rows_that_nobody_reads_are_cancelled(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config().pool_max_size(1));
    let client = next(&pool).await;
    let first = backend(&client).await;
    let copy = "copy (select repeat('x', 1000) from generate_series(1, 100000000)) to stdout";
    let rows = client.copy_out(copy).await.unwrap();
    drop(rows);
    drop(client);
    let started = Instant::now();
    let client = next(&pool).await;
    assert_eq!(backend(&client).await, first);
    assert!(started.elapsed() < SLACK, "{:?}", started.elapsed());
    assert!(rig.record.counts().closed.is_empty());
}

async fn a_copy_in_that_is_given_up_inserts_nothing(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config().pool_max_size(1));
    let client = next(&pool).await;
    let first = backend(&client).await;
    let table = format!("clean_copy_{first}");
    client
        .batch_execute(&format!("create table {table} (a text)"))
        .await
        .unwrap();
    drop(client);
    let copy = format!("copy {table} from stdin");
    for _ in 0..5 {
        let client = next(&pool).await;
        let sink = client.copy_in::<_, &[u8]>(&copy).await.unwrap();
        drop(client);
        drop(sink);
        let client = next(&pool).await;
        let count = format!("select count(*) from {table}");
        assert_eq!(simple(&client, &count).await.as_deref(), Some("0"));
        assert_eq!(backend(&client).await, first);
        // One that ends well, after which the session is clean.
        let mut sink = Box::pin(client.copy_in::<_, &[u8]>(&copy).await.unwrap());
        assert_eq!(sink.as_mut().finish().await.unwrap(), 0);
    }
    assert!(rig.record.counts().closed.is_empty());
    let client = next(&pool).await;
    client
        .batch_execute(&format!("drop table {table}"))
        .await
        .unwrap();
}

/// Some rows have been read, or sent, when nobody goes on.
async fn copies_abandoned_midway(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config().pool_max_size(1));
    let client = next(&pool).await;
    let first = backend(&client).await;
    let table = format!("clean_midway_{first}");
    let create = format!("create table {table} (a text)");
    client.batch_execute(&create).await.unwrap();
    drop(client);
    let client = next(&pool).await;
    let copy = "copy (select repeat('x', 1000) from generate_series(1, 100000000)) to stdout";
    let mut rows = Box::pin(client.copy_out(copy).await.unwrap());
    for _ in 0..100 {
        rows.next().await.unwrap().unwrap();
    }
    drop(client);
    drop(rows);

    let client = next(&pool).await;
    let copy = format!("copy {table} from stdin");
    let mut sink = Box::pin(client.copy_in::<_, &[u8]>(&copy).await.unwrap());
    for _ in 0..2_000 {
        let row: &[u8] = b"a row of some length that is never to be seen in the table\n";
        sink.feed(row).await.unwrap();
    }
    drop(client);
    drop(sink);
    let client = next(&pool).await;
    let count = format!("select count(*) from {table}");
    assert_eq!(simple(&client, &count).await.as_deref(), Some("0"));
    assert_eq!(backend(&client).await, first);

    let drop = format!("drop table {table}");
    client.batch_execute(&drop).await.unwrap();
    assert!(rig.record.counts().closed.is_empty());
}

async fn a_copy_from_nowhere_costs_the_connection(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config().pool_max_size(1));
    let client = next(&pool).await;
    let first = backend(&client).await;
    let copy = "copy pg_temp.t from stdin";
    client
        .batch_execute("create temp table t ()")
        .await
        .unwrap();
    assert!(client.batch_execute(copy).await.is_err());
    drop(client);
    assert_ne!(backend(&next(&pool).await).await, first);
    assert_eq!(rig.record.counts().closed.get("dirty"), Some(&1));
}

async fn a_copy_that_is_still_held_costs_the_connection(rig: Arc<Rig>) {
    let limit = Duration::from_millis(500);
    let pool = rig.pool(rig.config().pool_max_size(1).pool_mend_timeout(limit));
    let client = next(&pool).await;
    let first = backend(&client).await;
    client
        .batch_execute("create temp table t (a text)")
        .await
        .unwrap();
    let sink = client
        .copy_in::<_, &[u8]>("copy t from stdin")
        .await
        .unwrap();
    drop(client);
    assert_ne!(backend(&next(&pool).await).await, first);
    drop(sink);
    assert_eq!(rig.record.counts().closed.get("dirty"), Some(&1));
}

async fn a_panic_costs_the_connection(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config().pool_max_size(1));
    let client = next(&pool).await;
    let first = backend(&client).await;
    let panicked = catch_unwind(AssertUnwindSafe(move || {
        let _client = client;
        std::panic::resume_unwind(Box::new("on purpose"));
    }));
    assert!(panicked.is_err());
    assert_ne!(backend(&next(&pool).await).await, first);
    assert_eq!(rig.record.counts().closed.get("dirty"), Some(&1));
}

async fn a_client_dropped_outside_of_a_runtime(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config().pool_max_size(1));
    let client = next(&pool).await;
    let first = backend(&client).await;
    client.batch_execute("begin").await.unwrap();
    std::thread::spawn(move || drop(client)).join().unwrap();
    assert_ne!(backend(&next(&pool).await).await, first);
    assert_eq!(rig.record.counts().closed.get("dirty"), Some(&1));
}

async fn a_runtime_that_ends_while_it_mends(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config().pool_max_size(1));
    let client = next(&pool).await;
    let first = backend(&client).await;
    client.batch_execute("begin").await.unwrap();
    let ended = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async move { drop(client) });
    });
    ended.join().unwrap();
    assert_ne!(backend(&next(&pool).await).await, first);
    assert_eq!(rig.record.counts().closed.get("dirty"), Some(&1));
}

/// The server answers what it is sent; nothing is sent besides what the borrowers send.
async fn a_clean_session_costs_no_round_trip(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config().pool_max_size(1));
    let client = next(&pool).await;
    let statement = client.prepare_cached("select 1").await.unwrap();
    let sent = async |rounds: usize, client: &Client| {
        let before = rig.tap.connections()[0].bytes().len();
        for _ in 0..rounds {
            client.query_one(&statement, &[]).await.unwrap();
        }
        rig.tap.connections()[0].bytes().len() - before
    };
    let held = sent(40, &client).await;
    drop(client);
    let before = rig.tap.connections()[0].bytes().len();
    for _ in 0..40 {
        let client = next(&pool).await;
        client.query_one(&statement, &[]).await.unwrap();
    }
    let client = next(&pool).await;
    let lent = rig.tap.connections()[0].bytes().len() - before;
    assert_eq!(lent, held, "bytes with 40 loans and with one");
    assert_eq!(rig.tap.connections().len(), 1);
    let transaction = "begin; create table clean_gone (); rollback";
    client.batch_execute(transaction).await.unwrap();
    drop(client);
    let last = next(&pool).await;
    let seen = format!("select query from pg_stat_activity where pid = {}", {
        let held = backend(&last).await;
        drop(last);
        held
    });
    assert_eq!(
        rig.cluster.sql(&seen).await.unwrap(),
        [[Some("select pg_backend_pid()".to_owned())]]
    );
}

async fn a_reset_keeps_the_statements(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config().pool_max_size(1));
    let client = next(&pool).await;
    let first = backend(&client).await;
    client.prepare_cached("select 'kept'").await.unwrap();
    client.batch_execute("set role app").await.unwrap();
    drop(client);
    let client = next(&pool).await;
    assert_eq!(backend(&client).await, first);
    assert_eq!(client.statement_cache.size(), 1);
    let statement = client.prepare_cached("select 'kept'").await.unwrap();
    let row = client.query_one(&statement, &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), "kept");
    let known = "select count(*) from pg_prepared_statements";
    assert_eq!(simple(&client, known).await.as_deref(), Some("1"));
}

async fn always_is_every_time(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config().pool_max_size(1).pool_reset("always"));
    let client = next(&pool).await;
    let seen = format!(
        "select query like '%DISCARD SEQUENCES%' from pg_stat_activity where pid = {}",
        backend(&client).await
    );
    drop(client);
    for _ in 0..3 {
        let client = next(&pool).await;
        let reset = rig.cluster.sql(&seen).await.unwrap();
        assert_eq!(reset, [[Some("t".to_owned())]]);
        backend(&client).await;
    }
}

async fn a_reset_that_fails_costs_the_connection(rig: Arc<Rig>) {
    let revoke = "revoke execute on function pg_catalog.pg_advisory_unlock_all() from public";
    rig.cluster.sql(revoke).await.unwrap();
    let pool = rig.pool(rig.config().pool_max_size(1));
    let client = next(&pool).await;
    let first = backend(&client).await;
    client.batch_execute("set role app").await.unwrap();
    drop(client);
    assert_ne!(backend(&next(&pool).await).await, first);
    assert_eq!(rig.record.counts().closed.get("reset_failed"), Some(&1));
}

async fn transaction_is_transactions_only(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config().pool_max_size(1).pool_reset("transaction"));
    let client = next(&pool).await;
    let left = "set clean.word = 'left'";
    client.batch_execute(left).await.unwrap();
    client.batch_execute("begin").await.unwrap();
    drop(client);
    let client = next(&pool).await;
    let state = simple(&client, STATE).await.unwrap();
    assert!(state.contains(" left "), "{state}");
    assert!(state.ends_with(" t"), "{state}");
}

/// After all that a crowd of careless borrowers does, every connection can still be had.
#[test]
fn no_permit_is_lost() {
    crate::rig::on_shared(18, async |rig: Arc<Rig>| {
        let pool = rig.pool(rig.config().pool_max_size(4));
        let mut tasks = Vec::new();
        for number in 0..60 {
            let pool = pool.clone();
            tasks.push(tokio::spawn(async move {
                let client = next(&pool).await;
                let left = match number % 5 {
                    0 => "begin",
                    1 => "set work_mem = '9MB'",
                    2 => "select pg_sleep(302)",
                    3 => "discard all",
                    _ => "select 1",
                };
                let limit = Duration::from_millis(20);
                let _ = timeout(limit, client.batch_execute(left)).await;
                assert!(number % 7 != 0, "on purpose");
            }));
        }
        for task in tasks {
            let _ = task.await;
        }
        let mut clients = Vec::new();
        for _ in 0..4 {
            clients.push(next(&pool).await);
        }
        assert_eq!((pool.status().used, pool.status().max_size), (4, 4));
        drop(clients);
        eventually("all are idle", async || pool.status().idle == 4).await;
        eventually("no query is left", async || running(&rig, "302").await == 0).await;
    });
}
