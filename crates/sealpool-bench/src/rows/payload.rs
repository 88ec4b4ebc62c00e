use std::time::{Duration, Instant};

use crate::{
    Failure,
    bench::{Bench, one_worker},
    peers::{Contender, Kind, Peer, expect, with_peer},
    rounds::{Entrant, Rounds},
    row::{Row, SEALPOOL, Target},
    server::PAYLOAD,
};

const KINDS: [Kind; 8] = [
    Kind::Deadpool,
    Kind::Sealpool,
    Kind::SealpoolMetrics,
    Kind::DeadpoolRing,
    Kind::DeadpoolPlain,
    Kind::Bb8,
    Kind::Sqlx,
    Kind::SqlxUnchecked,
];

pub(crate) fn run(bench: &Bench) -> Result<Vec<Row>, Failure> {
    Ok(vec![one_worker()?.block_on(measure(bench))?])
}

async fn measure(bench: &Bench) -> Result<Row, Failure> {
    let lasting = bench.effort().lasting(Duration::from_millis(400));
    let mut entrants = Vec::new();
    for kind in KINDS {
        let contender = kind.open(&bench.newest().site(), 1)?;
        with_peer!(&contender, peer => read(peer).await?);
        entrants.push(Entrant::new(kind.name(), contender));
    }
    let repetition = async |contender: &mut Contender| with_peer!(&*contender, peer => speed(peer, lasting).await);
    let rounds = Rounds::interleaved(bench.effort().rounds(), &mut entrants, repetition).await?;
    let (rows, bytes) = PAYLOAD;
    let series = rounds.series(|speed| Some(*speed));
    let about = format!(
        "{}; current-thread runtime, one statement that reads all rows of a table, again and again.",
        bench.newest().label()
    );
    let title = format!("{rows} rows of {bytes} bytes");
    Ok(Row::new(title, "1000 rows/s", about, &series).must(
        SEALPOOL,
        Target::RatioAtLeast(0.97),
        &series,
    ))
}

async fn speed<P: Peer>(peer: &P, lasting: Duration) -> Result<f64, Failure> {
    let (rows, _) = PAYLOAD;
    let started = Instant::now();
    let mut read_so_far = 0;
    loop {
        read(peer).await?;
        read_so_far += rows;
        let elapsed = started.elapsed();
        if elapsed > lasting {
            return Ok(read_so_far as f64 / 1e3 / elapsed.as_secs_f64());
        }
    }
}

async fn read<P: Peer>(peer: &P) -> Result<(), Failure> {
    let (rows, bytes) = PAYLOAD;
    expect(
        P::select_payload(&mut peer.acquire().await?).await?,
        (rows, rows * bytes),
    )
}
