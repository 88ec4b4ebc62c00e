use std::{fmt::Write as _, fs, path::Path, time::Duration};

use crate::{
    Failure,
    bench::{Bench, two_workers},
    crowd::{Crowd, Turn, spread},
    lock, page,
    peers::{Kind, fill, with_peer},
    picture::{Chart, Curve, svg},
    report,
    rounds::{Entrant, Rounds},
    scale::Scale,
};

const WHO: [Kind; 4] = [Kind::Deadpool, Kind::SealpoolMetrics, Kind::Bb8, Kind::Sqlx];

/// Something that grows, and what there is at each of its values.
struct Axis {
    label: &'static str,
    values: &'static [u32],
    load: fn(u32) -> Load,
}

#[derive(Clone, Copy)]
struct Load {
    tasks: u32,
    pools: u32,
    /// Of each pool.
    size: u32,
}

/// Where nothing else is said.
const USUAL: Load = Load {
    tasks: 64,
    pools: 1,
    size: 8,
};

const AXES: [Axis; 3] = [
    Axis {
        label: "tasks (one pool of 8 connections)",
        values: &[1, 4, 16, 64, 256, 1024, 4096],
        load: |tasks| Load { tasks, ..USUAL },
    },
    Axis {
        label: "connections (one pool, 64 tasks)",
        values: &[1, 2, 4, 8, 16, 32, 64],
        load: |size| Load { size, ..USUAL },
    },
    Axis {
        label: "pools (64 tasks, 8 connections, at least 1 each)",
        values: &[1, 2, 4, 8, 16],
        load: |pools| Load {
            pools,
            size: (USUAL.size / pools).max(1),
            ..USUAL
        },
    },
];

/// One axis, and at each of its values what was measured.
type Measured = (&'static str, Vec<(f64, Rounds<Crowd>)>);

/// Measures all, prints the numbers and draws them.
pub(crate) fn run(bench: &Bench, file: &Path) -> Result<(), Failure> {
    let measured = two_workers()?.block_on(async {
        let mut measured: Vec<Measured> = Vec::new();
        for axis in &AXES {
            let mut points = Vec::new();
            for value in bench.effort().points(axis.values) {
                let rounds = point(bench, (axis.load)(*value)).await?;
                points.push((f64::from(*value), rounds));
            }
            measured.push((axis.label, points));
        }
        Ok::<_, Failure>(measured)
    })?;
    let p99 = |crowd: &Crowd| crowd.latencies.as_ref()?.quantile(0.99);
    let rows = [
        charts(&measured, "throughput (calls/s)", Scale::Linear, |crowd| {
            Some(crowd.per_second)
        }),
        charts(&measured, "p99 (ms)", Scale::Log, p99),
    ];
    for chart in rows.iter().flatten() {
        println!("{}", table(chart));
    }
    fs::write(file, svg(&heading(bench), &rows))
        .map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(())
}

/// Of each point: how many, and how long each of them. One lasts longer where not every task has had a call by then.
fn repetitions(bench: &Bench) -> (usize, Duration) {
    let effort = bench.effort();
    let lasting = effort.lasting(Duration::from_millis(250));
    (effort.few_rounds().div_ceil(3), lasting)
}

async fn point(bench: &Bench, load: Load) -> Result<Rounds<Crowd>, Failure> {
    let Load { tasks, pools, size } = load;
    let (rounds, lasting) = repetitions(bench);
    let site = bench.newest().site();
    let mut entrants = Vec::new();
    for kind in WHO {
        let mut contenders = Vec::new();
        for _ in 0..pools {
            let contender = kind.open(&site, size)?;
            with_peer!(&contender, peer => fill(peer, size).await?);
            contenders.push(contender);
        }
        let turn = spread(contenders, usize::try_from(tasks)?, lasting);
        entrants.push(Entrant::new(kind.name(), turn));
    }
    let repetition = async |turn: &mut Turn| turn().await;
    let rounds = Rounds::interleaved(rounds, &mut entrants, repetition).await?;
    drop(entrants);
    bench.newest().settle().await?;
    Ok(rounds)
}

/// One number of all contenders, a chart for each axis.
fn charts(
    measured: &[Measured],
    y: &'static str,
    scale: Scale,
    number: impl Fn(&Crowd) -> Option<f64>,
) -> Vec<Chart> {
    let chart = |(x, points): &Measured| {
        let mut curves: Vec<_> = WHO
            .into_iter()
            .map(|kind| Curve {
                name: kind.name().to_owned(),
                points: Vec::new(),
            })
            .collect();
        for (value, rounds) in points {
            for series in rounds.series(&number) {
                let curve = curves.iter_mut().find(|curve| curve.name == series.name);
                if let (Some(curve), Some(summary)) = (curve, series.summary()) {
                    curve.points.push((*value, summary.median));
                }
            }
        }
        Chart {
            x,
            y,
            scale,
            curves,
        }
    };
    measured.iter().map(chart).collect()
}

fn table(chart: &Chart) -> String {
    let Chart {
        x,
        y,
        scale: _,
        curves,
    } = chart;
    let mut text = format!("{y} by {x}\n  {:26}", "");
    // Writing to a string cannot fail.
    for (value, _) in curves.iter().take(1).flat_map(|curve| &curve.points) {
        let _ = write!(text, " {value:>8}");
    }
    for Curve { name, points } in curves {
        let _ = write!(text, "\n  {name:26}");
        for (_, value) in points {
            let _ = write!(text, " {:>8}", report::number(*value));
        }
    }
    text.push('\n');
    text
}

fn heading(bench: &Bench) -> [String; 3] {
    let server = bench.newest();
    let (rounds, lasting) = repetitions(bench);
    let crates = ["bb8", "deadpool-postgres", "sealpool", "sqlx", "tokio"];
    let crates = crates.map(|name| format!("{name} {}", lock::version(name).unwrap_or_default()));
    [
        "SELECT 1, prepared, acquire and release round each: how throughput and p99 scale"
            .to_owned(),
        format!("{}; {} (verify-full)", page::machine(), server.label()),
        format!(
            "{}; PostgreSQL {}; medians of {rounds} × {} ms; scripts/bench {}--scaling",
            crates.join(", "),
            server.cluster().version(),
            lasting.as_millis(),
            bench.effort().flag()
        ),
    ]
}
