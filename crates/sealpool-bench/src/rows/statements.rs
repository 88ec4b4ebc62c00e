use std::time::Duration;

use crate::{
    Failure,
    bench::{Bench, two_workers},
    crowd::{Crowd, TASKS, Turn, turn},
    peers::{Kind, SharedLane, Single, expect, fill, with_peer},
    pgbench::Pgbench,
    rounds::{Entrant, Rounds},
    row::{Row, SEALPOOL, Target},
};

const SIZE: u32 = 8;

pub(crate) fn run(bench: &Bench) -> Result<Vec<Row>, Failure> {
    let rounds = two_workers()?.block_on(measure(bench))?;
    Ok(rows(bench, &rounds))
}

async fn measure(bench: &Bench) -> Result<Rounds<Crowd>, Failure> {
    let lasting = bench.effort().lasting(Duration::from_millis(1000));
    let site = bench.newest().site();
    let mut entrants = Vec::new();
    for kind in Kind::POOLS {
        let contender = kind.open(&site, SIZE)?;
        let turn = with_peer!(contender, peer => {
            fill(&peer, SIZE).await?;
            turn(peer, TASKS, lasting)
        });
        entrants.push(Entrant::new(kind.name(), turn));
    }
    let lane = SharedLane::open(&site)?;
    expect(lane.single().await?, 1)?;
    entrants.push(Entrant::new(SharedLane::NAME, turn(lane, TASKS, lasting)));
    entrants.push(Entrant::new("pgbench", pgbench(bench, lasting).await?));
    let repetition = async |turn: &mut Turn| turn().await;
    Rounds::interleaved(bench.effort().rounds(), &mut entrants, repetition).await
}

async fn pgbench(bench: &Bench, lasting: Duration) -> Result<Turn, Failure> {
    let pgbench = Pgbench::calibrated(bench.newest().site(), lasting).await?;
    Ok(Box::new(move || {
        let pgbench = pgbench.clone();
        Box::pin(async move {
            Ok(Crowd {
                per_second: pgbench.run().await?,
                latencies: None,
            })
        })
    }))
}

fn rows(bench: &Bench, rounds: &Rounds<Crowd>) -> Vec<Row> {
    let server = bench.newest().label();
    let workload = format!(
        "{server}; runtime of two workers, `SELECT 1` prepared, acquire and release round each but those of the lane."
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
