use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use sealpool_testkit::{KeyType, Shutdown};
use tokio::task::JoinSet;

use crate::{
    Failure,
    bench::{Bench, two_workers},
    crowd::TASKS,
    peers::{Kind, Peer, Single, fill, with_peer},
    rounds::{Entrant, Rounds},
    row::{Row, SEALPOOL, Target},
    server::Server,
};

const SIZE: u32 = 8;
const KINDS: [Kind; 5] = [
    Kind::Deadpool,
    Kind::Sealpool,
    Kind::SealpoolMetrics,
    Kind::Bb8,
    Kind::Sqlx,
];
/// How long a caller waits before it tries again what has failed.
const PAUSE: Duration = Duration::from_millis(5);
/// The rate is full from the beginning of the first window on that has so much of the rate before.
const WINDOW: Duration = Duration::from_millis(20);
const FULL: f64 = 0.8;

pub(crate) fn run(bench: &Bench) -> Result<Vec<Row>, Failure> {
    two_workers()?.block_on(measure(bench))
}

/// In milliseconds, apart from the calls.
struct Outage {
    failed_calls: f64,
    first_success: f64,
    full_rate: f64,
    longest_beyond: f64,
}

async fn measure(bench: &Bench) -> Result<Vec<Row>, Failure> {
    let server = Arc::new(Server::start(18, KeyType::P256)?);
    let mut entrants = KINDS.map(|kind| Entrant::new(kind.name(), kind));
    let repetition = async |kind: &mut Kind| {
        let contender = kind.open(&server.site(), SIZE)?;
        let outage = with_peer!(contender, peer => outage(peer, &server).await?);
        server.settle().await?;
        Ok(outage)
    };
    let rounds = bench.effort().few_rounds();
    let measured = Rounds::interleaved(rounds, &mut entrants, repetition).await?;
    let about = format!(
        "{}; runtime of two workers, {TASKS} tasks on {SIZE}, a fast shutdown and a start; who fails tries again after {} ms.",
        server.label(),
        PAUSE.as_millis()
    );
    let row = |what: &str, unit, about: &str, target, number: fn(&Outage) -> f64| {
        let series = measured.series(|outage| Some(number(outage)));
        Row::new(format!("server restart: {what}"), unit, about, &series)
            .without_ratios()
            .must(SEALPOOL, Target::AtMost(target), &series)
    };
    let full = format!(
        "To the beginning of the first {} ms with {FULL} of the rate of before.",
        WINDOW.as_millis()
    );
    Ok(vec![
        row("failed calls", "calls", &about, 8.0, |outage| {
            outage.failed_calls
        }),
        row(
            "from up to first success",
            "ms",
            "Up is when the server says in its log that it accepts connections.",
            40.0,
            |outage| outage.first_success,
        ),
        row("from up to full rate", "ms", &full, 60.0, |outage| {
            outage.full_rate
        }),
        row(
            "longest call beyond the outage",
            "ms",
            "Of the calls that the outage met; it lasts from the order to stop until the server is up.",
            60.0,
            |outage| outage.longest_beyond,
        ),
    ])
}

struct Call {
    ended: Instant,
    took: Duration,
    succeeded: bool,
}

async fn outage<P: Peer>(peer: P, server: &Arc<Server>) -> Result<Outage, Failure> {
    fill(&peer, SIZE).await?;
    let over = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        tasks.spawn(call_again_and_again(peer.clone(), Arc::clone(&over)));
    }
    let started = Instant::now();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let ordered = Instant::now();
    let restarted = Arc::clone(server);
    let (down, up) = tokio::task::spawn_blocking(move || {
        restarted.cluster().stop(Shutdown::Fast)?;
        let down = Instant::now();
        restarted.cluster().start_again()?;
        Ok::<_, Failure>((down, Instant::now()))
    })
    .await??;
    tokio::time::sleep(Duration::from_millis(700)).await;
    over.store(true, Ordering::Relaxed);
    let mut calls = Vec::new();
    while let Some(done) = tasks.join_next().await {
        calls.extend(done?);
    }
    let ended = Instant::now();
    calls.sort_by_key(|call| call.ended);

    let succeeded: Vec<_> = calls
        .iter()
        .filter(|call| call.succeeded)
        .map(|call| call.ended)
        .collect();
    let before = succeeded.iter().filter(|at| **at < ordered).count() as f64;
    let enough = FULL * before * WINDOW.as_secs_f64() / (ordered - started).as_secs_f64();
    let after: Vec<_> = succeeded.into_iter().filter(|at| *at > down).collect();
    let is_full = |from: &Instant| {
        let within = after
            .iter()
            .filter(|at| *at >= from && **at < *from + WINDOW);
        within.count() as f64 >= enough
    };
    let touched = calls
        .iter()
        .filter(|call| call.ended > ordered && call.ended - call.took < up);
    let longest = touched.map(|call| call.took).max().unwrap_or_default();
    // Whatever never happened took at least until the end.
    let since_up =
        |at: Option<Instant>| milliseconds(at.unwrap_or(ended).saturating_duration_since(up));
    Ok(Outage {
        failed_calls: calls.iter().filter(|call| !call.succeeded).count() as f64,
        first_success: since_up(after.first().copied()),
        full_rate: since_up(after.iter().copied().find(is_full)),
        longest_beyond: milliseconds(longest.saturating_sub(up - ordered)),
    })
}

async fn call_again_and_again<S: Single>(single: S, over: Arc<AtomicBool>) -> Vec<Call> {
    let mut calls = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let began = Instant::now();
        let succeeded = matches!(single.single().await, Ok(1));
        let ended = Instant::now();
        calls.push(Call {
            ended,
            took: ended - began,
            succeeded,
        });
        if !succeeded {
            tokio::time::sleep(PAUSE).await;
        }
    }
    calls
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
