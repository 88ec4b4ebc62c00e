use std::time::Duration;

use crate::{
    Failure,
    bench::{Bench, two_workers},
    crowd::{Crowd, TASKS, turn},
    peers::{Kind, SharedLane, Single, fill, with_peer},
    pgbench::Pgbench,
    rounds::{Entrant, Rounds},
    row::{Row, SEALPOOL, Target},
    server::Site,
};

const SIZE: u32 = 8;

pub(crate) fn run(bench: &Bench) -> Result<Vec<Row>, Failure> {
    let rounds = two_workers()?.block_on(measure(bench))?;
    Ok(rows(bench, &rounds))
}

/// Who executes the statement. A pool is opened anew for each turn: of several that are open together, the one that was
/// opened first is faster than the same opened again.
enum Entry {
    Lane,
    Pgbench(Pgbench),
    Pool(Kind),
}

async fn measure(bench: &Bench) -> Result<Rounds<Crowd>, Failure> {
    let lasting = bench.effort().lasting(Duration::from_millis(1000));
    let server = bench.newest();
    let site = server.site();
    let kinds = Kind::POOLS.into_iter();
    let mut entrants: Vec<_> = kinds
        .map(|kind| Entrant::new(kind.name(), Entry::Pool(kind)))
        .collect();
    entrants.push(Entrant::new(SharedLane::NAME, Entry::Lane));
    let pgbench = Pgbench::calibrated(site.clone(), lasting).await?;
    entrants.push(Entrant::new("pgbench", Entry::Pgbench(pgbench)));
    let repetition = async |entry: &mut Entry| {
        let measured = entry.turn(&site, lasting).await?;
        server.settle().await?;
        Ok(measured)
    };
    Rounds::interleaved(bench.effort().rounds(), &mut entrants, repetition).await
}

impl Entry {
    async fn turn(&self, site: &Site, lasting: Duration) -> Result<Crowd, Failure> {
        match self {
            Self::Lane => warm(SharedLane::open(site)?, lasting).await,
            Self::Pgbench(pgbench) => Ok(Crowd {
                per_second: pgbench.run().await?,
                latencies: None,
            }),
            Self::Pool(kind) => {
                let contender = kind.open(site, SIZE)?;
                with_peer!(contender, peer => {
                    fill(&peer, SIZE).await?;
                    warm(peer, lasting).await
                })
            }
        }
    }
}

/// Measures what has been at it for a moment.
async fn warm<S: Single>(single: S, lasting: Duration) -> Result<Crowd, Failure> {
    turn(single.clone(), TASKS, lasting / 8)().await?;
    turn(single, TASKS, lasting)().await
}

fn rows(bench: &Bench, rounds: &Rounds<Crowd>) -> Vec<Row> {
    let server = bench.newest().label();
    let workload = format!(
        "{server}; runtime of two workers, `SELECT 1` prepared, acquire and release round each but those of the lane; a pool opened anew for each turn, and warm."
    );
    let title = |what: &str| format!("SELECT 1, {TASKS} tasks on {SIZE}: {what}");

    let speed = rounds.series(|crowd| Some(crowd.per_second));
    let throughput = Row::new(title("throughput"), "calls/s", &workload, &speed)
        .must(SEALPOOL, Target::RatioAtLeast(0.97), &speed)
        .must(SEALPOOL, Target::TimesAtLeast(1.9, "bb8"), &speed)
        .must(SEALPOOL, Target::TimesAtLeast(1.9, "sqlx"), &speed)
        .must(&[SharedLane::NAME], Target::RatioAtLeast(1.35), &speed)
        .must(
            &[SharedLane::NAME],
            Target::TimesAtLeast(1.0, Kind::DeadpoolPlain.name()),
            &speed,
        )
        .must(
            &[SharedLane::NAME],
            Target::TimesAtLeast(1.0, "pgbench"),
            &speed,
        );
    let mut rows = vec![throughput];

    let quantile =
        |quantile| rounds.series(move |crowd: &Crowd| crowd.latencies.as_ref()?.quantile(quantile));
    for (name, part) in [("p50", 0.5), ("p99", 0.99)] {
        let about = "The same run: from the call to the result, all tasks.";
        rows.push(Row::new(title(name), "ms", about, &quantile(part)));
    }
    let slowest = quantile(0.999);
    let about = "The same run: one call of a thousand takes longer.";
    rows.push(Row::new(title("p99.9"), "ms", about, &slowest).must(
        SEALPOOL,
        Target::RatioAtMost(1.5),
        &slowest,
    ));
    let fairness = rounds.series(|crowd| Some(crowd.latencies.as_ref()?.least_served));
    let about =
        "The same run: calls of the task that had the fewest, divided by the mean of all tasks.";
    let least = Row::new(title("least-served task"), "of the mean", about, &fairness)
        .without_ratios()
        .must(SEALPOOL, Target::AtLeast(0.5), &fairness);
    rows.push(least);
    rows
}
