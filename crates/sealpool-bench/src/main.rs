//! sealpool side by side with its peers, on PostgreSQL servers of its own: `scripts/bench`.

mod bench;
mod child;
mod crowd;
mod effort;
mod lock;
mod page;
mod peers;
mod pgbench;
mod picture;
mod report;
mod rounds;
mod row;
mod rows;
mod scale;
mod scaling;
mod server;

use std::{error::Error, fs, path::PathBuf, process::ExitCode};

use clap::{Parser, ValueEnum as _};

use bench::Bench;
use child::Errand;
use effort::Effort;
use rows::Workload;

type Failure = Box<dyn Error + Send + Sync>;

/// Measures sealpool and its peers in turns, and says which targets are reached.
///
/// The exit code tells whether everything could be measured, not whether it was fast.
#[derive(Debug, Parser)]
#[command(name = "bench", version)]
struct Options {
    /// Shorter repetitions, and fewer of those that take long: under five minutes.
    #[arg(long)]
    quick: bool,
    /// One repetition of each, on one server: shows that everything can be measured, and nothing else.
    #[arg(long, conflicts_with = "quick")]
    smoke: bool,
    /// Writes the page of the documentation to this file.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Measures how throughput and p99 scale with tasks, connections and pools, and draws it to this SVG file; no workloads.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["workloads", "write"])]
    scaling: Option<PathBuf>,
    /// What a child process is started for.
    #[arg(long, hide = true)]
    errand: Option<Errand>,
    /// These only; all by default.
    workloads: Vec<Workload>,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Failure> {
    let Options {
        quick,
        smoke,
        write,
        scaling,
        errand,
        workloads,
    } = options;
    if let Some(errand) = errand {
        return errand.run();
    }
    let bench = Bench::start(match (quick, smoke) {
        (true, _) => Effort::Quick,
        (_, true) => Effort::Smoke,
        _ => Effort::Full,
    })?;
    if let Some(file) = scaling {
        return scaling::run(&bench, file);
    }
    let wanted = match workloads.is_empty() {
        true => Workload::value_variants(),
        false => workloads,
    };
    let (mut rows, mut failed) = (Vec::new(), Vec::new());
    for workload in wanted {
        match workload.run(&bench) {
            Ok(measured) => {
                for row in measured {
                    println!("{}", report::terminal(&row));
                    rows.push(row);
                }
            }
            Err(error) => failed.push(format!("{workload:?}: {error}")),
        }
    }
    if !failed.is_empty() {
        return Err(format!("not measured: {}", failed.join("; ")).into());
    }
    if let Some(file) = write {
        fs::write(file, page::page(&bench, &rows)?)?;
    }
    Ok(())
}
