use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::{
    Failure,
    bench::{Bench, one_worker, two_workers},
    peers::{Contender, Kind, Peer, expect, fill, with_peer},
    rounds::{Entrant, Rounds, Series},
    row::{Row, SEALPOOL, Target},
};

const TASKS: u32 = 64;
const SIZE: u32 = 8;

pub(crate) fn run(bench: &Bench) -> Result<Vec<Row>, Failure> {
    Ok(vec![
        one_worker()?.block_on(one_task(bench))?,
        two_workers()?.block_on(many_tasks(bench))?,
    ])
}

async fn one_task(bench: &Bench) -> Result<Row, Failure> {
    let series = alone(bench, &Kind::POOLS).await?;
    let title = "acquire + release, 1 task";
    let about = format!(
        "{}; current-thread runtime, a pool of {SIZE} with one open connection. Time of one cycle.",
        bench.newest().label()
    );
    Ok(Row::new(title, "ns", about, &series).must(SEALPOOL, Target::RatioAtMost(1.25), &series))
}

/// The time of one cycle in nanoseconds, by one task that has the pool to itself.
pub(super) async fn alone(bench: &Bench, kinds: &[Kind]) -> Result<Vec<Series>, Failure> {
    let lasting = bench.effort().lasting(Duration::from_millis(100));
    let mut entrants = Vec::new();
    for kind in kinds {
        let contender = kind.open(&bench.newest().site(), SIZE)?;
        let cycles = with_peer!(&contender, peer => calibrate(peer, lasting).await?);
        entrants.push(Entrant::new(kind.name(), (contender, cycles)));
    }
    let repetition = async |(contender, count): &mut (Contender, u32)| {
        let elapsed = with_peer!(&*contender, peer => cycles(peer, *count).await?);
        Ok(nanoseconds(elapsed) / f64::from(*count))
    };
    let rounds = bench.effort().many_rounds();
    let measured = Rounds::interleaved(rounds, &mut entrants, repetition).await?;
    Ok(measured.series(|time| Some(*time)))
}

async fn many_tasks(bench: &Bench) -> Result<Row, Failure> {
    let lasting = bench.effort().lasting(Duration::from_millis(300));
    let mut entrants = Vec::new();
    for kind in Kind::POOLS {
        let contender = kind.open(&bench.newest().site(), SIZE)?;
        // As many cycles as one task has time for, divided among all.
        let cycles = with_peer!(&contender, peer => {
            fill(peer, SIZE).await?;
            calibrate(peer, lasting).await? / TASKS + 1
        });
        entrants.push(Entrant::new(kind.name(), (contender, cycles)));
    }
    let repetition = async |(contender, count): &mut (Contender, u32)| {
        let elapsed = with_peer!(&*contender, peer => crowd(peer, *count).await?);
        Ok(nanoseconds(elapsed) / f64::from(*count) / f64::from(TASKS))
    };
    let rounds = Rounds::interleaved(bench.effort().rounds(), &mut entrants, repetition).await?;
    let about = format!(
        "{}; runtime of two workers, all connections open. Time divided by the cycles of all tasks.",
        bench.newest().label()
    );
    let title = format!("acquire + release, {TASKS} tasks on {SIZE}");
    let series = rounds.series(|time| Some(*time));
    Ok(Row::new(title, "ns", about, &series).must(SEALPOOL, Target::RatioAtMost(1.15), &series))
}

/// How many cycles take about this long, once the connection is open.
async fn calibrate<P: Peer>(peer: &P, lasting: Duration) -> Result<u32, Failure> {
    let mut count = 8;
    loop {
        let elapsed = cycles(peer, count).await?;
        if elapsed > lasting / 8 {
            let wanted = lasting.as_secs_f64() / elapsed.as_secs_f64() * f64::from(count);
            #[expect(clippy::cast_possible_truncation, reason = "it saturates")]
            return Ok((wanted as u32).max(1));
        }
        count *= 2;
    }
}

/// The time of so many cycles. What was acquired works: that is asked outside of it.
async fn cycles<P: Peer>(peer: &P, count: u32) -> Result<Duration, Failure> {
    expect(P::select_one(&mut peer.acquire().await?).await?, 1)?;
    let started = Instant::now();
    for _ in 0..count {
        peer.cycle().await?;
    }
    Ok(started.elapsed())
}

/// The time that all tasks take together for so many cycles each.
async fn crowd<P: Peer>(peer: &P, count: u32) -> Result<Duration, Failure> {
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let peer = peer.clone();
        tasks.spawn(async move {
            for _ in 0..count {
                peer.cycle().await?;
            }
            Ok::<_, Failure>(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let elapsed = started.elapsed();
    fill(peer, SIZE).await?;
    Ok(elapsed)
}

fn nanoseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}
