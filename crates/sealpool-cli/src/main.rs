//! The `sealpool` command: what a PostgreSQL connection string means to sealpool, and why a connection fails.

mod command;
mod config;
mod demo;
mod doctor;
mod examined;
mod explain;
mod report;
mod scrape;
mod source;
mod view;
mod watch;

use std::process::ExitCode;

use clap::{Parser as _, error::ErrorKind};

use command::{Command, Sealpool};
use report::Report;

fn main() -> ExitCode {
    let report = match Sealpool::try_parse() {
        Ok(Sealpool { command }) => match command {
            Command::Explain(explain) => explain.run(),
            Command::Doctor(doctor) => doctor.run(),
            Command::Config(config) => config.run(),
            Command::Demo(demo) => demo.run(),
            Command::Watch(watch) => watch.run(),
            Command::Completions { shell } => command::completions(shell),
            Command::Man => command::man(),
        },
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                Report::good(error.render().to_string())
            }
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                Report::wrong(format!("a command is missing\n\n{}", error.render()))
            }
            // The whole message would repeat what was written, and that may be a connection string.
            kind => Report::wrong(format!("{kind}; see `sealpool help`")),
        },
    };
    report.print()
}
