use std::path::PathBuf;

use clap::{Args, Subcommand};
use sealpool::{Config, Connector};

use crate::{explain::refused, report::Report};

/// Prints what a configuration may hold, and checks files.
#[derive(Args, Debug)]
pub(crate) struct ConfigCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Prints a TOML file with every setting, its meaning and its default in comments
    Template {
        /// The name of the table
        #[arg(long, default_value = "db")]
        table: String,
    },
    /// Prints the JSON schema of the table, for editors
    Schema,
    /// Checks a TOML file as the service would read it; the files that it names are opened, the network is not used
    Check {
        /// The file
        file: PathBuf,
        /// The table, such as `services.db` [default: the whole file]
        #[arg(long, default_value = "", hide_default_value = true)]
        table: String,
        /// Prints JSON
        #[arg(long)]
        json: bool,
    },
}

impl ConfigCommand {
    pub(crate) fn run(self) -> Report {
        match self.action {
            Action::Template { table } => Report::good(Config::template(&table)),
            Action::Schema => Report::good(Config::schema()),
            Action::Check { file, table, json } => {
                let config = Config::from_toml(&file, &table);
                match config.and_then(Connector::new) {
                    Ok(_) if json => Report::good(r#"{"outcome":"accepted"}"#),
                    Ok(_) => Report::good(format!("{}: good", file.display())),
                    Err(error) => refused(&error, json),
                }
            }
        }
    }
}
