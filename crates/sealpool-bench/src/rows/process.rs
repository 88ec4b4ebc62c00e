use crate::{
    Failure,
    bench::{Bench, one_worker},
    child::Errand,
    effort::Effort,
    peers::Kind,
    rounds::{Entrant, Rounds},
    row::{Row, SEALPOOL, Target},
};

/// What the first connect of a process may take more than its second; aws-lc-rs takes 30 ms to start its generator.
const HARMLESS: f64 = 5.0;

pub(crate) fn first_connect(bench: &Bench) -> Result<Vec<Row>, Failure> {
    let kinds = [
        Kind::Deadpool,
        Kind::Sealpool,
        Kind::SealpoolMetrics,
        Kind::DeadpoolRing,
        Kind::Bb8,
        Kind::Sqlx,
    ];
    let site = bench.newest().site();
    let mut entrants = kinds.map(|kind| Entrant::new(kind.name(), kind));
    let repetition = async |kind: &mut Kind| Errand::FirstConnect.sent(*kind, &site, 0).await;
    let rounds = Rounds::interleaved(bench.effort().rounds(), &mut entrants, repetition);
    let rounds = one_worker()?.block_on(rounds)?;
    let built = rounds.series(|times| times.first().copied());
    let first = rounds.series(|times| times.get(1).copied());
    let second = rounds.series(|times| times.get(2).copied());
    let beyond: Vec<_> = first
        .iter()
        .zip(&second)
        .map(|(one, two)| one.minus(two))
        .collect();
    let about = format!(
        "{}; a process for each sample, current-thread runtime.",
        bench.newest().label()
    );
    Ok(vec![
        Row::new("first pool of a process: build()", "ms", &about, &built).without_ratios(),
        Row::new("first connect of a process", "ms", &about, &first).without_ratios(),
        Row::new(
            "first connect of a process, beyond its second",
            "ms",
            "The same processes: what has to start once is not paid by the first who acquires.",
            &beyond,
        )
        .without_ratios()
        .must(SEALPOOL, Target::AtMost(HARMLESS), &beyond),
    ])
}

pub(crate) fn memory(bench: &Bench) -> Result<Vec<Row>, Failure> {
    let rounds = bench.effort().few_rounds();
    let kinds = [
        Kind::Deadpool,
        Kind::Sealpool,
        Kind::SealpoolMetrics,
        Kind::DeadpoolRing,
        Kind::DeadpoolPlain,
        Kind::Bb8,
    ];
    let mut entrants: Vec<_> = kinds.map(|kind| Entrant::new(kind.name(), kind)).into();
    entrants.push(Entrant::new(Kind::Sqlx.name(), Kind::Sqlx).slow(rounds.div_ceil(5), rounds));
    let connections = match bench.effort() {
        Effort::Full | Effort::Quick => 100,
        Effort::Smoke => 5,
    };
    let server = bench.newest();
    let site = server.site();
    let repetition = async |kind: &mut Kind| {
        let grown = Errand::Memory.sent(*kind, &site, connections).await?;
        server.settle().await?;
        Ok(grown)
    };
    let measured =
        one_worker()?.block_on(Rounds::interleaved(rounds, &mut entrants, repetition))?;
    let series = measured.series(|grown| grown.first().copied());
    let about = format!(
        "{}; resident memory that a process has grown by with {connections} more connections, each of which has executed one \
         statement and is idle; a process for each sample, current-thread runtime.",
        server.label()
    );
    Ok(vec![
        Row::new("memory of an idle connection", "kB", about, &series).must(
            SEALPOOL,
            Target::AtMost(32.0),
            &series,
        ),
    ])
}
