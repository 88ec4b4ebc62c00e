use std::time::Instant;

use tokio::task::JoinSet;

use crate::{
    Failure,
    bench::{Bench, two_workers},
    peers::{Kind, Peer, expect, with_peer},
    rounds::{Entrant, Rounds},
    row::{Row, SEALPOOL, Target},
};

const CONNECTIONS: u32 = 32;

pub(crate) fn run(bench: &Bench) -> Result<Vec<Row>, Failure> {
    Ok(vec![two_workers()?.block_on(measure(bench))?])
}

async fn measure(bench: &Bench) -> Result<Row, Failure> {
    let server = bench.newest();
    let (rounds, few) = (bench.effort().rounds(), bench.effort().few_rounds());
    let mut entrants = [
        Entrant::new(Kind::Deadpool.name(), Kind::Deadpool),
        Entrant::new(Kind::Sealpool.name(), Kind::Sealpool),
        Entrant::new(Kind::SealpoolMetrics.name(), Kind::SealpoolMetrics),
        Entrant::new(Kind::DeadpoolPlain.name(), Kind::DeadpoolPlain),
        Entrant::new(Kind::Bb8.name(), Kind::Bb8),
        Entrant::new(Kind::Sqlx.name(), Kind::Sqlx).slow(few, rounds),
    ];
    let repetition = async |kind: &mut Kind| {
        let contender = kind.open(&server.site(), CONNECTIONS)?;
        let elapsed = with_peer!(&contender, peer => all_at_once(peer).await?);
        drop(contender);
        server.settle().await?;
        Ok(elapsed)
    };
    let measured = Rounds::interleaved(rounds, &mut entrants, repetition).await?;
    let series = measured.series(|elapsed| Some(*elapsed));
    let about = format!(
        "{}; runtime of two workers. As many tasks acquire at once from a new pool, and keep what they have until all have executed `SELECT 1`.",
        server.label()
    );
    let title = format!("{CONNECTIONS} connections from nothing");
    Ok(Row::new(title, "ms", about, &series).must(SEALPOOL, Target::RatioAtMost(1.05), &series))
}

async fn all_at_once<P: Peer>(peer: &P) -> Result<f64, Failure> {
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let peer = peer.clone();
        tasks.spawn(async move {
            let mut client = peer.acquire().await?;
            expect(P::select_one(&mut client).await?, 1)?;
            Ok::<_, Failure>(client)
        });
    }
    let mut clients = Vec::new();
    while let Some(client) = tasks.join_next().await {
        clients.push(client??);
    }
    Ok(started.elapsed().as_secs_f64() * 1e3)
}
