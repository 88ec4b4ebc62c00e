//! A service that takes its configuration from the source named by its arguments and prints what the server says of its
//! session, or what was wrong.
use std::{env, process::ExitCode};

use sealpool::{Config, ConfigError, Error, Layer, Pool};

#[tokio::main]
async fn main() -> ExitCode {
    match serve().await {
        Ok(answer) => {
            println!("{answer}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> Result<String, Box<dyn std::error::Error>> {
    let pool = Pool::builder(config().map_err(Error::from)?).build()?;
    let client = pool.acquire().await?;
    let row = client
        .query_one(
            "select current_user::text, ssl from pg_stat_ssl where pid = pg_backend_pid()",
            &[],
        )
        .await?;
    let (user, ssl): (String, bool) = (row.get(0), row.get(1));
    Ok(format!("{user} {ssl} {}", pool.status()))
}

fn config() -> Result<Config, ConfigError> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["azure"] => Config::layered([Layer::azure()]),
        ["env", prefix] => Config::from_env(prefix),
        ["libpq"] => Config::from_libpq_env(),
        ["service", name] => Config::layered([Layer::service(name)]),
        ["toml+env", path, prefix] => {
            Config::layered([Layer::toml(path, "db"), Layer::env(prefix)])
        }
        ["variable", name] => Config::layered([Layer::variable(name)]),
        _ => panic!("an unknown source: {arguments:?}"),
    }
}
