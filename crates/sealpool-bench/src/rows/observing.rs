use std::time::Duration;

use super::acquire::{calibrate, cycles, nanoseconds};
use crate::{
    Failure,
    bench::{Bench, one_worker},
    peers::{Contender, Kind, with_peer},
    rounds::{Entrant, Rounds},
    row::{Row, Target},
};

pub(crate) fn run(bench: &Bench) -> Result<Vec<Row>, Failure> {
    Ok(vec![one_worker()?.block_on(measure(bench))?])
}

async fn measure(bench: &Bench) -> Result<Row, Failure> {
    let lasting = bench.effort().lasting(Duration::from_millis(200));
    let mut entrants = Vec::new();
    for kind in [Kind::Sealpool, Kind::SealpoolNoop, Kind::SealpoolMetrics] {
        let contender = kind.open(&bench.newest().site(), 1)?;
        let count = with_peer!(&contender, peer => calibrate(peer, lasting).await?);
        entrants.push(Entrant::new(kind.name(), (contender, count)));
    }
    let repetition = async |(contender, count): &mut (Contender, u32)| {
        let elapsed = with_peer!(&*contender, peer => cycles(peer, *count).await?);
        Ok(nanoseconds(elapsed) / f64::from(*count))
    };
    let rounds =
        Rounds::interleaved(bench.effort().many_rounds(), &mut entrants, repetition).await?;
    let series = rounds.series(|time| Some(*time));
    let [alone, observed @ ..] = series.as_slice() else {
        return Err("nobody was measured".into());
    };
    let added: Vec<_> = observed.iter().map(|one| one.minus(alone)).collect();
    let about = format!(
        "{}; current-thread runtime, acquire + release by one task. What an observer adds to a pool that has none, round by \
         round; what the place for one costs where there is none cannot be seen from outside, and is no more than the no-op adds.",
        bench.newest().label()
    );
    Ok(Row::new(
        "observer and metrics, added to a cycle",
        "ns",
        about,
        &added,
    )
    .without_ratios()
    .must(&["sealpool, metrics"], Target::AtMost(70.0), &added))
}
