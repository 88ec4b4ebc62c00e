use std::{collections::BTreeMap, ffi::OsString};

use config::{Environment, Map};

use super::{Config, ConfigError, Origin, Place, dsn, sheet::Sheet};

/// The variables that begin with a prefix, as settings.
pub(super) fn prefixed(
    prefix: &str,
    all: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Sheet, ConfigError> {
    let mut found = Found::default();
    for (variable, value) in all {
        let Some(variable) = variable.to_str() else {
            continue;
        };
        let Some(rest) = variable
            .strip_prefix(prefix)
            .and_then(|rest| rest.strip_prefix('_'))
        else {
            continue;
        };
        let origin = Origin::Variable(variable.to_owned());
        let name = setting_of(rest).ok_or_else(|| unmatched(rest, prefix).at_origin(&origin))?;
        found.take(name, &origin, value)?;
    }
    found.sheet()
}

/// `AZURE_POSTGRESQL_*`: a connection string, or parts under names of Azure's own.
pub(super) fn azure(all: impl Iterator<Item = (OsString, OsString)>) -> Result<Sheet, ConfigError> {
    const PREFIX: &str = "AZURE_POSTGRESQL_";
    let mut found = Found::default();
    for (variable, value) in all {
        let Some(variable) = variable.to_str() else {
            continue;
        };
        let Some(rest) = variable.strip_prefix(PREFIX) else {
            continue;
        };
        let origin = Origin::Variable(variable.to_owned());
        let name = match rest {
            "CONNECTIONSTRING" | "CONNECTION_STRING" => dsn::KEY,
            "HOST" => "host",
            "PORT" => "port",
            "DATABASE" | "NAME" => "database",
            "USER" | "USERNAME" => "user",
            "PASSWORD" => "password",
            "SSL" | "SSLMODE" => "tls.mode",
            _ => {
                return Err(ConfigError::new(
                    "unsupported_key",
                    "this variable of Azure's is not applied here",
                    "remove it from the service connector, or write the settings under a prefix of your own",
                )
                .at_origin(&origin));
            }
        };
        found.take(name, &origin, value)?;
    }
    found.sheet()
}

/// A variable that holds a whole connection string.
pub(super) fn connection_string(name: &str) -> Result<Sheet, ConfigError> {
    let origin = Origin::Variable(name.to_owned());
    let value = std::env::var_os(name).ok_or_else(|| {
        ConfigError::new(
            "missing",
            "the variable is not set",
            "set it to a connection string",
        )
        .at_origin(&origin)
    })?;
    dsn::sheet(&text(value, &origin)?, &origin)
}

fn text(value: OsString, origin: &Origin) -> Result<String, ConfigError> {
    value.into_string().map_err(|_| {
        ConfigError::new(
            "invalid_value",
            "the value is not UTF-8",
            "write it in UTF-8",
        )
        .at_origin(origin)
    })
}

/// Values by the names of their settings, on their way through the crate `config`.
#[derive(Default)]
struct Found {
    values: Map<String, String>,
    places: BTreeMap<String, Origin>,
}

impl Found {
    fn take(&mut self, name: &str, origin: &Origin, value: OsString) -> Result<(), ConfigError> {
        let value = text(value, origin)?;
        let twin = self.values.insert(format!("V_{name}"), value.clone());
        let place = self.places.insert(name.to_owned(), origin.clone());
        match (twin, place) {
            (Some(twin), Some(place)) if twin != value => Err(ConfigError::new(
                "duplicate",
                format!("{place} says something else"),
                "remove one of the two variables",
            )
            .at(name, origin)),
            _ => Ok(()),
        }
    }

    fn sheet(self) -> Result<Sheet, ConfigError> {
        let Self { values, places } = self;
        let source = Environment::with_prefix("V")
            .prefix_separator("_")
            .separator(".")
            .source(Some(values));
        Sheet::collect(&source, |name| Place {
            origin: places.get(name).cloned().unwrap_or(Origin::Default),
            excerpt: None,
        })
    }
}

/// `POOL_MAX_SIZE`, `POOL__MAX_SIZE` and `_POOL__MAX_SIZE` all mean `pool.max_size`.
fn setting_of(rest: &str) -> Option<&'static str> {
    let spelled = spelling(rest);
    let names = Config::KEYS.iter().map(|key| key.name).chain([dsn::KEY]);
    names.into_iter().find(|name| spelling(name) == spelled)
}

fn spelling(name: &str) -> String {
    let words = name.split(['_', '.']).filter(|word| !word.is_empty());
    words
        .map(str::to_ascii_lowercase)
        .collect::<Vec<_>>()
        .join("_")
}

fn unmatched(rest: &str, prefix: &str) -> ConfigError {
    let fix = match super::settings::nearest(&spelling(rest)) {
        Some(name) => format!("did you mean {prefix}_{}?", spelling(name).to_ascii_uppercase()),
        None => "remove it, or choose a prefix that nothing else begins with (Kubernetes sets such variables for a \
                 service of that name: enableServiceLinks: false)"
            .to_owned(),
    };
    ConfigError::new("unknown_key", "no setting has this name", fix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Vec<(String, String, String)>, ConfigError> {
        let all = variables
            .iter()
            .map(|(name, value)| (name.into(), value.into()));
        let sheet = prefixed("APP_DB", all)?;
        let shown = |(name, entry): (String, crate::config::sheet::Entry)| {
            (
                name,
                entry.value.into_string().unwrap(),
                entry.place.origin.to_string(),
            )
        };
        Ok(sheet.entries.into_iter().map(shown).collect())
    }

    #[test]
    fn the_three_spellings_of_a_variable_are_one() {
        for name in [
            "APP_DB_POOL_MAX_SIZE",
            "APP_DB_POOL__MAX_SIZE",
            "APP_DB__POOL__MAX_SIZE",
        ] {
            assert_eq!(
                read(&[(name, "8"), ("APP_DBX", "other")]).unwrap(),
                [("pool.max_size".to_owned(), "8".to_owned(), name.to_owned())]
            );
        }
    }

    #[test]
    fn a_password_of_digits_keeps_its_zeros() {
        let read = read(&[("APP_DB_PASSWORD", "00012345")]).unwrap();
        assert_eq!(read[0].1, "00012345");
    }

    #[test]
    fn a_misspelt_variable_is_an_error_with_a_suggestion() {
        let error = read(&[("APP_DB_POOL_MAX_SISE", "8")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "APP_DB_POOL_MAX_SISE: no setting has this name; did you mean APP_DB_POOL_MAX_SIZE?"
        );
    }

    #[test]
    fn two_variables_for_one_setting_may_not_contradict() {
        let error = read(&[
            ("APP_DB_POOL_MAX_SIZE", "8"),
            ("APP_DB_POOL__MAX_SIZE", "9"),
        ])
        .unwrap_err();
        assert_eq!(error.code(), "duplicate");
        assert!(
            read(&[
                ("APP_DB_POOL_MAX_SIZE", "8"),
                ("APP_DB_POOL__MAX_SIZE", "8")
            ])
            .is_ok()
        );
    }

    #[test]
    fn no_two_settings_share_a_variable() {
        let mut names: Vec<_> = Config::KEYS.iter().map(|key| spelling(key.name)).collect();
        names.sort();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
