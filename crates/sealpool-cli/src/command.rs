use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

use crate::{
    config::ConfigCommand, demo::Demo, doctor::Doctor, explain::Explain, report::Report,
    watch::Watch,
};

/// Explains, checks and diagnoses the connections of sealpool, the PostgreSQL pool over which nothing travels unencrypted.
///
/// Exit codes: 0 all is well, 1 a finding failed, 2 the configuration was refused or the call is wrong.
#[derive(Debug, Parser)]
#[command(name = "sealpool", version)]
pub(crate) struct Sealpool {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Explain(Explain),
    Doctor(Doctor),
    Config(ConfigCommand),
    Demo(Demo),
    Watch(Watch),
    /// Prints the completions of a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Prints the manual page (roff).
    Man,
}

pub(crate) fn completions(shell: Shell) -> Report {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Sealpool::command(), "sealpool", &mut text);
    Report::good(String::from_utf8_lossy(&text))
}

pub(crate) fn man() -> Report {
    let mut text = Vec::new();
    let mut command = Sealpool::command();
    command.build();
    let pages = std::iter::once(&command).chain(command.get_subcommands());
    for page in pages {
        if let Err(error) = clap_mangen::Man::new(page.clone()).render(&mut text) {
            return Report::wrong(format!("the manual page cannot be made: {error}"));
        }
    }
    Report::good(String::from_utf8_lossy(&text))
}
