use std::{any::Any, time::Instant};

use crate::{
    Failure,
    bench::{Bench, one_worker},
    peers::{Contender, Kind, Peer, expect, with_peer},
    rounds::{Entrant, Rounds},
    row::{Row, SEALPOOL, Target},
    server::Server,
};

const KINDS: [Kind; 7] = [
    Kind::Deadpool,
    Kind::Sealpool,
    Kind::SealpoolMetrics,
    Kind::DeadpoolRing,
    Kind::DeadpoolPlain,
    Kind::Bb8,
    Kind::Sqlx,
];

pub(crate) fn run(bench: &Bench) -> Result<Vec<Row>, Failure> {
    let servers = bench.servers().iter();
    let measured = servers.map(|server| one_worker()?.block_on(measure(bench, server)));
    measured.collect()
}

/// A pool of which everything is lent, so that the next acquire opens one more connection.
struct Lent {
    contender: Contender,
    clients: Vec<Box<dyn Any>>,
}

impl Lent {
    async fn one_more(&mut self) -> Result<f64, Failure> {
        let Self { contender, clients } = self;
        let (client, elapsed) = with_peer!(&*contender, peer => open(peer).await?);
        clients.push(client);
        Ok(elapsed)
    }
}

async fn measure(bench: &Bench, server: &Server) -> Result<Row, Failure> {
    let rounds = bench.effort().many_rounds();
    let mut entrants = Vec::new();
    for kind in KINDS {
        let mut lent = Lent {
            contender: kind.open(&server.site(), u32::try_from(rounds)? + 1)?,
            clients: Vec::new(),
        };
        // The first one learns what the server speaks.
        lent.one_more().await?;
        let entrant = Entrant::new(kind.name(), lent);
        entrants.push(match kind {
            Kind::Sqlx => entrant.slow(bench.effort().few_rounds(), rounds),
            _ => entrant,
        });
    }
    let repetition = async |lent: &mut Lent| lent.one_more().await;
    let measured = Rounds::interleaved(rounds, &mut entrants, repetition).await?;
    drop(entrants);
    server.settle().await?;
    let title = format!("cold connect to first query, {}", server.label());
    let about = "Current-thread runtime. Each acquire opens the next connection of a pool that has had one, and prepares and executes `SELECT 1`.";
    let series = measured.series(|elapsed| Some(*elapsed));
    Ok(Row::new(title, "ms", about, &series).must(SEALPOOL, Target::RatioAtMost(1.03), &series))
}

async fn open<P: Peer>(peer: &P) -> Result<(Box<dyn Any>, f64), Failure> {
    let started = Instant::now();
    let mut client = peer.acquire().await?;
    let one = P::select_one(&mut client).await?;
    let elapsed = started.elapsed();
    expect(one, 1)?;
    Ok((Box::new(client), elapsed.as_secs_f64() * 1e3))
}
