use std::{sync::Arc, time::Duration};

use sealpool::{
    Client, Error, HandshakeFailure, Pool, Stage,
    tokio_postgres::{self, SimpleQueryMessage},
};
use sealpool_testkit::{Direction, Link, Proxy, Treatment};
use tokio::time::Instant;

use crate::rig::{Rig, SLACK, chain, eventually, on_both, rest};

use Direction::{ToClient, ToServer};

on_both! {
    through_proxy() => half_a_close_while_idle;
    through_proxy() => an_answer_cut_anywhere_is_never_a_short_result;
    through_proxy() => a_connect_cut_anywhere;
    through_proxy() => a_handshake_a_byte_at_a_time;
    through_proxy() => a_login_a_byte_at_a_time;
    through_proxy() => old_connections_in_a_black_hole_and_new_ones_that_pass;
}

/// Rows of many TLS records, and records with the ends of rows in them.
const ROWS: &str = "select n, repeat('x', 3000) from generate_series(1, 12) n";
const COUNT: usize = 12;

fn last(proxy: &Proxy) -> Link {
    proxy.links().pop().expect("a connection")
}

async fn pid(client: &Client) -> i32 {
    let row = client.query_one("select pg_backend_pid()", &[]).await;
    row.unwrap().get(0)
}

/// A new connection, and its way through the proxy.
async fn fresh(pool: &Pool, proxy: &Proxy) -> (Client, Link) {
    pool.evict_all();
    let client = pool.acquire().await.expect("new connections pass");
    (client, last(proxy))
}

async fn half_a_close_while_idle(rig: Arc<Rig>, proxy: Arc<Proxy>) {
    let pool = rig.pool(rig.retrying().pool_max_size(2));
    for direction in [ToClient, ToServer] {
        let (client, link) = fresh(&pool, &proxy).await;
        let before = pid(&client).await;
        drop(client);
        let closed = rig.record.counts().closed.get("broken").copied();
        link.treat(direction, Treatment::Fin);
        eventually("the pool knows", async || {
            let client = pool.acquire().await.expect("another connection");
            let row = client.query_one("select pg_backend_pid()", &[]).await;
            row.is_ok_and(|row| row.get::<_, i32>(0) != before)
        })
        .await;
        assert!(rig.record.counts().closed.get("broken").copied() > closed);
    }
    let (client, link) = fresh(&pool, &proxy).await;
    link.treat(ToClient, Treatment::Fin);
    eventually("the borrower can know", async || client.is_closed()).await;
    assert!(client.query("select 1", &[]).await.is_err());
    drop(client);
    rig.recovered(&pool).await;
}

#[derive(Clone, Copy, Debug)]
enum Protocol {
    Extended,
    Simple,
}

async fn rows(client: &Client, protocol: Protocol) -> Result<usize, tokio_postgres::Error> {
    match protocol {
        Protocol::Extended => {
            // Kept in the cache: the answer to its closing would come at any time.
            let statement = client.prepare_cached(ROWS).await?;
            client.query(&statement, &[]).await.map(|rows| rows.len())
        }
        Protocol::Simple => {
            let messages = client.simple_query(ROWS).await?;
            let rows = messages.iter();
            Ok(rows
                .filter(|message| matches!(message, SimpleQueryMessage::Row(_)))
                .count())
        }
    }
}

async fn length_of_the_answer(pool: &Pool, proxy: &Proxy, protocol: Protocol) -> u64 {
    let (client, link) = fresh(pool, proxy).await;
    let before = link.passed(ToClient);
    assert_eq!(rows(&client, protocol).await.unwrap(), COUNT);
    link.passed(ToClient) - before
}

/// PostgreSQL fills records of 8 KiB, whose ends are among these places.
fn places(length: u64) -> Vec<u64> {
    const RECORD: u64 = 8192 + 22;
    let ends = (1..=length / RECORD).map(|n| n * RECORD);
    let around = ends.flat_map(|end| [end - 1, end, end + 1]);
    let mut places: Vec<_> = [1, 5, 22, 60, 100].into_iter().chain(around).collect();
    places.extend((0..4).map(|_| fastrand::u64(1..length)));
    places.extend([length - 1, length - 20]);
    places.retain(|place| *place < length);
    places
}

async fn an_answer_cut_anywhere_is_never_a_short_result(rig: Arc<Rig>, proxy: Arc<Proxy>) {
    let pool = rig.pool(rig.retrying().pool_max_size(1));
    let mut cuts = [Treatment::Fin, Treatment::Reset].into_iter().cycle();
    for protocol in [Protocol::Extended, Protocol::Simple] {
        let length = length_of_the_answer(&pool, &proxy, protocol).await;
        assert!(length > COUNT as u64 * 3000, "{length} bytes");
        for (place, cut) in places(length).into_iter().zip(&mut cuts) {
            let (client, link) = fresh(&pool, &proxy).await;
            link.treat_after(ToClient, place, cut);
            let rows = rows(&client, protocol).await;
            assert!(
                rows.is_err(),
                "{protocol:?}, {cut:?} at {place} of {length}: {rows:?}"
            );
            eventually("the connection has ended", async || client.is_closed()).await;
        }
    }
    rig.recovered(&pool).await;
}

/// Lengths of what both sides send until a connection is there; signatures differ by a few bytes.
async fn lengths_of_a_connect(pool: &Pool, proxy: &Proxy) -> [(Direction, u64); 2] {
    // The first one of a process may take another round trip.
    drop(fresh(pool, proxy).await);
    let (_client, link) = fresh(pool, proxy).await;
    [ToClient, ToServer].map(|direction| (direction, link.passed(direction) - 16))
}

async fn a_connect_cut_anywhere(rig: Arc<Rig>, proxy: Arc<Proxy>) {
    let pool = rig.pool(rig.config().pool_max_size(2));
    for (direction, length) in lengths_of_a_connect(&pool, &proxy).await {
        let mut places = vec![1, 2, 6, 7, 8, 9, 12, 13, 100, length];
        places.extend((0..6).map(|_| fastrand::u64(1..length)));
        for place in places {
            let cut = if place % 2 == 0 {
                Treatment::Fin
            } else {
                Treatment::Reset
            };
            pool.evict_all();
            proxy.treat_new_after(direction, place, cut);
            let error = pool.acquire().await.expect_err("it was cut");
            let text = format!(
                "{cut:?} {direction:?} at {place} of {length}: {}",
                chain(&error)
            );
            assert!(matches!(error, Error::Connect(_)), "{text}");
            assert!(error.is_transient(), "{text}");
            proxy.treat_new(direction, Treatment::Pass);
            let client = pool.acquire().await.expect("nothing of it is left");
            client.query_one("select 1", &[]).await.unwrap();
        }
    }
    rig.recovered(&pool).await;
}

async fn a_login_a_byte_at_a_time(rig: Arc<Rig>, proxy: Arc<Proxy>) {
    const LAST: u32 = 200;
    let limit = Duration::from_millis(500);
    let patient = rig.pool(rig.config());
    let [(_, length), _] = lengths_of_a_connect(&patient, &proxy).await;
    drop(patient);
    let pool = rig.pool(rig.config().connect_startup_timeout(limit));
    let pause = Duration::from_millis(200);
    assert!(
        pause * LAST > limit + SLACK,
        "a limit on each read would pass"
    );
    proxy.treat_new_after(ToClient, length - u64::from(LAST), Treatment::Drip(pause));
    let started = Instant::now();
    let error = pool.acquire().await.unwrap_err();
    let taken = started.elapsed();
    assert!(taken >= limit && taken < limit + SLACK, "{taken:?}");
    let text = error.to_string();
    assert!(
        text.contains("the login did not end within 500ms"),
        "{text}"
    );
    drop(pool);
    proxy.treat_new(ToClient, Treatment::Pass);
    for link in proxy.links() {
        link.treat(ToClient, Treatment::Pass);
    }
    rig.recovered(&rig.pool(rig.retrying())).await;
}

/// Byte by byte in TLS already: `refused_on_the_wire` has it of a stranger, this is of the server itself.
async fn a_handshake_a_byte_at_a_time(rig: Arc<Rig>, proxy: Arc<Proxy>) {
    let limit = Duration::from_millis(500);
    let pool = rig.pool(rig.config().connect_tls_timeout(limit));
    proxy.treat_new(ToClient, Treatment::Drip(Duration::from_millis(200)));
    let started = Instant::now();
    let error = pool.acquire().await.unwrap_err();
    let taken = started.elapsed();
    assert!(taken >= limit && taken < limit + SLACK, "{taken:?}");
    let Error::Connect(connect) = &error else {
        panic!("{error}")
    };
    let [attempt] = connect.attempts() else {
        panic!("{error}")
    };
    assert_eq!(attempt.stage(), Stage::Tls);
    assert_eq!(attempt.handshake_failure(), Some(HandshakeFailure::Timeout));
    proxy.treat_new(ToClient, Treatment::Pass);
    rig.recovered(&rig.pool(rig.retrying())).await;
}

async fn old_connections_in_a_black_hole_and_new_ones_that_pass(rig: Arc<Rig>, proxy: Arc<Proxy>) {
    const SIZE: u32 = 30;
    let all = usize::try_from(SIZE).unwrap();
    let check = Duration::from_millis(500);
    let pool = rig.pool(rig.retrying().pool_max_size(SIZE));
    let mut clients = Vec::new();
    for _ in 0..SIZE {
        clients.push(pool.acquire().await.unwrap());
    }
    drop(clients);
    rest().await;
    proxy.black_hole();
    let started = Instant::now();
    let client = pool.acquire().await.expect("new connections pass");
    let taken = started.elapsed();
    assert!(
        taken < 2 * check + SLACK,
        "{taken:?}, and not {:?}",
        check * SIZE
    );
    client.query_one("select 1", &[]).await.unwrap();
    eventually("none of them is left", async || {
        rig.record.counts().closed.get("check_failed") == Some(&all)
    })
    .await;
    let counts = rig.record.counts();
    assert_eq!(counts.checks.get("failed"), Some(&all));
    assert_eq!((counts.opened, counts.most_open), (all + 1, all));
    drop(client);
    for link in proxy.links().iter().take(all) {
        link.treat(ToServer, Treatment::Reset);
    }
    rig.recovered(&pool).await;
}
