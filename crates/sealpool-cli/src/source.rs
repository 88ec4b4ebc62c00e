use std::{
    io::{self, Read as _},
    path::PathBuf,
};

use clap::{ArgGroup, Args};
use sealpool::{Config, ConfigError, Layer};

/// A connection string is a line or a few; what is longer is no connection string.
const LONGEST: u64 = 1024 * 1024;

/// Where the configuration is, as the service has it.
#[derive(Args, Debug)]
#[group(skip)]
#[command(group = ArgGroup::new("source").required(true))]
pub(crate) struct Source {
    /// A connection string of any dialect; `-` reads it from standard input, so that a password stays out of the shell's
    /// history
    #[arg(group = "source")]
    string: Option<String>,
    /// A TOML file
    #[arg(long, value_name = "FILE", group = "source")]
    config: Option<PathBuf>,
    /// The table of the TOML file, such as `services.db` [default: the whole file]
    #[arg(long, conflicts_with_all = ["string", "env", "libpq_env"])]
    table: Option<String>,
    /// The environment variables that begin with this prefix and an underscore
    #[arg(long, value_name = "PREFIX", group = "source")]
    env: Option<String>,
    /// libpq's environment variables, service and password file
    #[arg(long, group = "source")]
    libpq_env: bool,
}

/// Why there is no configuration.
pub(crate) enum Missing {
    /// It was refused.
    Refused(ConfigError),
    /// The call is wrong.
    Wrong(String),
}

impl Source {
    pub(crate) fn read(self) -> Result<Config, Missing> {
        let Self {
            string,
            config,
            table,
            env,
            libpq_env: _,
        } = self;
        let layer = match (string, config, env) {
            (Some(string), _, _) if string == "-" => {
                Layer::dsn_from("standard input", standard_input().map_err(Missing::Wrong)?)
            }
            (Some(string), _, _) => Layer::dsn_from("the argument", string),
            (None, Some(path), _) => Layer::toml(path, table.as_deref().unwrap_or_default()),
            (None, None, Some(prefix)) => Layer::env(&prefix),
            (None, None, None) => Layer::libpq_env(),
        };
        Config::layered([layer]).map_err(Missing::Refused)
    }
}

fn standard_input() -> Result<String, String> {
    let mut text = String::new();
    let read = io::stdin().lock().take(LONGEST).read_to_string(&mut text);
    read.map_err(|error| {
        format!(
            "standard input cannot be read as UTF-8 text: {}",
            error.kind()
        )
    })?;
    Ok(text)
}
