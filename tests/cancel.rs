use std::{
    future::poll_fn,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use sealpool::{
    CancelError, CancelOutcome, Client, HandshakeFailure, Pool,
    tokio_postgres::{self, NoTls, error::SqlState},
};
use sealpool_testkit::{Mode, Shutdown};
use tokio::{net::TcpStream, task::JoinHandle};

use crate::rig::{Rig, chain, eventually, on_both};

on_both! {
    on_own(|builder| builder) => a_running_query_ends;
    on_shared() => a_late_request_hits_no_later_query;
    on_shared() => a_request_after_the_return_is_not_sent;
    on_shared() => a_request_under_way_at_the_return_misses_the_next_borrower;
    on_shared() => a_request_given_up_halfway_costs_the_connection;
    on_shared() => the_token_of_tokio_postgres_sends_nothing;
    on_own(|builder| builder) => a_server_that_has_lost_its_tls_gets_no_request;
    on_own(|builder| builder) => a_request_ends_at_its_limit;
    on_own(|builder| builder) => requests_while_the_server_restarts;
}

type Slept = JoinHandle<(Client, Result<(), tokio_postgres::Error>)>;

/// Lets a client sleep on the server, and returns when it does.
async fn asleep(rig: &Rig, client: Client) -> Slept {
    let sleeper = tokio::spawn(async move {
        let slept = client.batch_execute("select pg_sleep(30)").await;
        (client, slept)
    });
    eventually("the server sleeps", async || {
        let query = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'";
        rig.cluster.sql(query).await.unwrap() == [[Some("1".to_owned())]]
    })
    .await;
    sleeper
}

async fn one(client: &Client) {
    client.query_one("select 1", &[]).await.expect("no cancel");
}

async fn a_running_query_ends(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config().pool_max_size(1));
    let client = pool.acquire().await.unwrap();
    let handle = client.cancel_handle();
    let sleeper = asleep(&rig, client).await;
    let started = Instant::now();
    let twice = tokio::join!(handle.cancel(), handle.cancel());
    assert_eq!(twice.0.unwrap(), CancelOutcome::Requested);
    assert_eq!(twice.1.unwrap(), CancelOutcome::Requested);
    let (client, slept) = sleeper.await.unwrap();
    assert_eq!(slept.unwrap_err().code(), Some(&SqlState::QUERY_CANCELED));
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    one(&client).await;
    drop(client);
    one(&pool.acquire().await.unwrap()).await;

    let connections = rig.tap.connections();
    assert_eq!(connections.len(), 3, "the session and two requests");
    for connection in connections {
        assert_eq!(
            (connection.mode(), connection.cleartext_len()),
            (Some(Mode::Classic), 8)
        );
    }
    let counts = rig.record.counts();
    assert_eq!((counts.sealed, counts.opened), (3, 1));
    assert!(counts.closed.is_empty(), "{:?}", counts.closed);
}

async fn a_late_request_hits_no_later_query(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config());
    let client = pool.acquire().await.unwrap();
    let handle = client.cancel_handle();
    for _ in 0..20 {
        one(&client).await;
        assert_eq!(handle.cancel().await.unwrap(), CancelOutcome::Requested);
        one(&client).await;
    }
}

async fn a_request_after_the_return_is_not_sent(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config().pool_max_size(1));
    let client = pool.acquire().await.unwrap();
    let handle = client.cancel_handle();
    drop(client);
    let next = asleep(&rig, pool.acquire().await.unwrap()).await;
    assert_eq!(handle.cancel().await.unwrap(), CancelOutcome::Inert);
    assert_eq!(handle.clone().cancel().await.unwrap(), CancelOutcome::Inert);
    assert_eq!(rig.tap.connections().len(), 1);
    assert!(!next.is_finished());
    next.abort();
}

async fn a_request_under_way_at_the_return_misses_the_next_borrower(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config().pool_max_size(1));
    for round in 0..60 {
        let client = pool.acquire().await.unwrap();
        let handle = client.cancel_handle();
        let request = tokio::spawn(async move { handle.cancel().await });
        // The return meets the request at another place each time.
        tokio::time::sleep(Duration::from_micros(round * 200)).await;
        drop(client);
        let next = pool.acquire().await.unwrap();
        next.batch_execute("select pg_sleep(0.02)")
            .await
            .unwrap_or_else(|error| panic!("round {round}: {}", chain(&error)));
        drop(next);
        request.await.unwrap().unwrap();
    }
}

/// Drops a request after one poll, two polls and so on, until one was dropped after it had left.
async fn a_request_given_up_halfway_costs_the_connection(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config().pool_max_size(1));
    let mut polls = (1..=16).cycle();
    eventually("a connection is given up", async || {
        let client = pool.acquire().await.unwrap();
        let handle = client.cancel_handle();
        polled(handle.cancel(), polls.next().unwrap()).await;
        drop(client);
        one(&pool.acquire().await.unwrap()).await;
        rig.record.counts().closed.contains_key("dirty")
    })
    .await;
    let closed = rig.record.counts().closed;
    assert_eq!(closed.len(), 1, "{closed:?}");
}

async fn polled(future: impl Future, polls: usize) -> bool {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(move |cx| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        future.as_mut().poll(cx).map(|_| true)
    })
    .await
}

async fn the_token_of_tokio_postgres_sends_nothing(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config());
    let client = pool.acquire().await.unwrap();
    let token = client.cancel_token();
    assert!(token.cancel_query(NoTls).await.is_err());
    let stream = TcpStream::connect(rig.tap.addr()).await.unwrap();
    assert!(token.cancel_query_raw(stream, NoTls).await.is_err());
    eventually("the tap has seen both connections", async || {
        rig.tap.connections().len() == 2
    })
    .await;
    assert_eq!(rig.tap.connections()[1].bytes(), b"");
    one(&client).await;
}

async fn a_server_that_has_lost_its_tls_gets_no_request(rig: Arc<Rig>) {
    let pool: Pool = rig.pool(rig.config());
    let client = pool.acquire().await.unwrap();
    rig.cluster.ssl_off().unwrap();
    let error = client.cancel_handle().cancel().await.unwrap_err();
    let CancelError::Connect(attempt) = &error else {
        panic!("{error}")
    };
    assert_eq!(
        attempt.handshake_failure(),
        Some(HandshakeFailure::ServerRefusedTls)
    );
    assert_eq!(rig.tap.connections()[1].bytes().len(), 8);
    one(&client).await;
}

async fn a_request_ends_at_its_limit(rig: Arc<Rig>) {
    let limit = Duration::from_millis(300);
    let pool = rig.pool(rig.config().connect_cancel_timeout(limit));
    let client = pool.acquire().await.unwrap();
    rig.cluster.set("pre_auth_delay", "3s").unwrap();
    let started = Instant::now();
    let error = client.cancel_handle().cancel().await.unwrap_err();
    let taken = started.elapsed();
    assert!(
        taken >= limit && taken < limit + Duration::from_millis(250),
        "{taken:?}"
    );
    assert_eq!(
        chain(&error),
        "the server did not take the cancel request within 300ms (connect.cancel_timeout)"
    );
    one(&client).await;
}

/// Of a client that is still lent although its session is gone: what the server has in its place is not hit.
async fn requests_while_the_server_restarts(rig: Arc<Rig>) {
    let pool = rig.pool(rig.retrying().pool_max_size(4));
    let lost = pool.acquire().await.unwrap();
    let handle = lost.cancel_handle();
    let sleeper = asleep(&rig, lost).await;
    rig.cluster.stop(Shutdown::Immediate).unwrap();
    let (lost, slept) = sleeper.await.unwrap();
    assert!(slept.is_err());
    let error = handle.cancel().await.unwrap_err();
    assert!(
        matches!(error, CancelError::Connect(_)),
        "{}",
        chain(&error)
    );
    let again = handle.clone();
    let requests = tokio::spawn(async move {
        let mut requested = 0;
        while requested < 20 {
            match again.cancel().await {
                Ok(outcome) => requested += usize::from(outcome == CancelOutcome::Requested),
                Err(CancelError::Connect(_) | CancelError::Lost(_)) => {
                    tokio::task::yield_now().await
                }
                Err(error) => panic!("{}", chain(&error)),
            }
        }
    });
    rig.cluster.start_again().unwrap();
    while !requests.is_finished() {
        let client = pool.acquire().await.unwrap();
        let slept = client.batch_execute("select pg_sleep(0.01)").await;
        slept.expect("no request hits a session that is not its own");
    }
    requests.await.unwrap();
    drop(lost);
    assert_eq!(handle.cancel().await.unwrap(), CancelOutcome::Inert);
    rig.recovered(&pool).await;
}
