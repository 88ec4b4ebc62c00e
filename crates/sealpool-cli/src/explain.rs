use clap::{Args, ValueEnum};
use sealpool::{Config, ConfigError, Connector, Effective, Explanation, Origin, Warning};
use serde_json::{Value, json};

use crate::{
    report::Report,
    source::{Missing, Source},
};

/// Shows what a configuration means, without using the network.
///
/// Every value with its origin, every word about TLS with what it was taken to mean, and warnings; or why it is refused,
/// and what to write instead.
#[derive(Args, Debug)]
pub(crate) struct Explain {
    #[command(flatten)]
    source: Source,
    /// Opens none of the files that are named, such as roots and keys
    #[arg(long)]
    parse_only: bool,
    /// Prints JSON
    #[arg(long, conflicts_with = "form")]
    json: bool,
    /// Prints the same configuration in another form, without its secrets
    #[arg(long = "as", value_name = "FORM")]
    form: Option<Form>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    /// A table of TOML
    Toml,
}

impl Explain {
    pub(crate) fn run(self) -> Report {
        let Self {
            source,
            parse_only,
            json,
            form,
        } = self;
        let config = match source.read() {
            Ok(config) => config,
            Err(Missing::Refused(error)) => return refused(&error, json),
            Err(Missing::Wrong(problem)) => return Report::wrong(problem),
        };
        let explanation = config.explain();
        if !parse_only && let Err(error) = decide(config) {
            return refused(&error, json);
        }
        Report::good(match form {
            Some(Form::Toml) => explanation.to_toml("db"),
            None if json => accepted(&explanation).to_string(),
            None => explanation.to_string(),
        })
    }
}

/// Whether a pool could be built of it: the files are opened.
fn decide(config: Config) -> Result<(), ConfigError> {
    Connector::new(config).map(drop)
}

pub(crate) fn refused(error: &ConfigError, json: bool) -> Report {
    Report::refused(match json {
        true => json!({
            "outcome": "refused",
            "code": error.code(),
            "message": error.problem(),
            "help": error.fix(),
            "origin": error.origin().map(ToString::to_string),
            "key": error.key(),
        })
        .to_string(),
        false => format!("refused ({}): {error}", error.code()),
    })
}

fn accepted(explanation: &Explanation) -> Value {
    let written = |name: &str| {
        let value = explanation.values.iter().find(|value| value.name == name);
        value.filter(|value| value.origin != Origin::Default)
    };
    let text = |name: &str| written(name).map(|value| value.value.as_str());
    let warnings = explanation.warnings.iter();
    json!({
        "outcome": "accepted",
        "dialect": explanation.dialects.first().map(|(_, dialect)| dialect),
        "verification": explanation.verification,
        "hosts": hosts(text("host"), text("port")),
        "database": text("database"),
        "user": text("user"),
        "warnings": warnings.map(warning).collect::<Vec<_>>(),
        "words": explanation.words.iter().map(|word| json!({
            "origin": word.origin.to_string(),
            "word": word.word,
            "meaning": word.meaning,
        })).collect::<Vec<_>>(),
        "settings": explanation.values.iter().map(setting).collect::<Vec<_>>(),
    })
}

fn warning(warning: &Warning) -> Value {
    json!({ "code": warning.code, "message": warning.message })
}

fn setting(setting: &Effective) -> Value {
    json!({
        "name": setting.name,
        "value": setting.value,
        "origin": setting.origin.to_string(),
    })
}

/// One port is that of every host.
fn hosts(names: Option<&str>, ports: Option<&str>) -> Vec<Value> {
    let ports: Vec<u16> = ports
        .unwrap_or("5432")
        .split(',')
        .filter_map(|port| port.trim().parse().ok())
        .collect();
    let names = names.into_iter().flat_map(|names| names.split(','));
    names
        .enumerate()
        .map(|(at, name)| {
            let port = ports.get(at).or_else(|| ports.first());
            json!({ "name": name.trim(), "port": port })
        })
        .collect()
}
