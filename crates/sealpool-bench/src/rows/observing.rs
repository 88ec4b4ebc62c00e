use super::acquire;
use crate::{
    Failure,
    bench::{Bench, one_worker},
    peers::Kind,
    row::{Row, Target},
};

pub(crate) fn run(bench: &Bench) -> Result<Vec<Row>, Failure> {
    let kinds = [Kind::Sealpool, Kind::SealpoolNoop, Kind::SealpoolMetrics];
    let series = one_worker()?.block_on(acquire::alone(bench, &kinds))?;
    let [alone, observed @ ..] = series.as_slice() else {
        return Err("nobody was measured".into());
    };
    let added: Vec<_> = observed.iter().map(|one| one.minus(alone)).collect();
    let about = format!(
        "{}; current-thread runtime, acquire + release by one task. What an observer adds to a pool that has none, round by \
         round; what the place for one costs where there is none cannot be seen from outside, and is no more than the no-op adds.",
        bench.newest().label()
    );
    let row = Row::new(
        "observer and metrics, added to a cycle",
        "ns",
        about,
        &added,
    );
    Ok(vec![row.without_ratios().must(
        &["sealpool, metrics"],
        Target::AtMost(70.0),
        &added,
    )])
}
