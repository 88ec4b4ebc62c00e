//! sealpool side by side with its peers, on PostgreSQL servers of its own: `scripts/bench`.

mod bench;
mod effort;
mod peers;
mod report;
mod rounds;
mod row;
mod rows;
mod server;

use std::{error::Error, process::ExitCode};

use clap::{Parser, ValueEnum as _};

use bench::Bench;
use effort::Effort;
use rows::Workload;

type Failure = Box<dyn Error + Send + Sync>;

/// Measures sealpool and its peers in turns, and says which targets are reached.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// Shorter repetitions, and fewer of those that take long: under five minutes.
    #[arg(long)]
    quick: bool,
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
    let Options { quick, workloads } = options;
    let effort = match quick {
        true => Effort::Quick,
        false => Effort::Full,
    };
    let bench = Bench::start(effort)?;
    let wanted = match workloads.is_empty() {
        true => Workload::value_variants(),
        false => workloads,
    };
    for workload in wanted {
        for row in workload.run(&bench)? {
            println!("{}", report::terminal(&row));
        }
    }
    Ok(())
}
