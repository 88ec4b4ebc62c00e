use std::path::{Path, PathBuf};

use super::{Config, ConfigError, Origin, dsn, env, libpq, sheet::Sheet, toml};

/// A source of configuration for [`Config::layered`].
#[derive(Clone, Debug)]
pub struct Layer(Kind);

#[derive(Clone)]
enum Kind {
    Azure,
    Dsn { text: String, origin: Origin },
    Env { prefix: String },
    LibpqEnv,
    Service { name: String },
    Toml { path: PathBuf, table: String },
    Variable { name: String },
}

impl Layer {
    /// The variables `AZURE_POSTGRESQL_*` that Azure's Service Connector sets.
    #[must_use]
    pub fn azure() -> Self {
        Self(Kind::Azure)
    }

    /// A connection string of any dialect; see [`Config::from_dsn`].
    #[must_use]
    #[track_caller]
    pub fn dsn(text: impl Into<String>) -> Self {
        Self(Kind::Dsn {
            text: text.into(),
            origin: Origin::caller(),
        })
    }

    /// A connection string that was handed to the program, such as on standard input; errors say `whence` for its place.
    #[must_use]
    pub fn dsn_from(whence: &'static str, text: impl Into<String>) -> Self {
        Self(Kind::Dsn {
            text: text.into(),
            origin: Origin::Given(whence),
        })
    }

    /// The environment variables that begin with `prefix` and an underscore; see [`Config::from_env`].
    #[must_use]
    pub fn env(prefix: &str) -> Self {
        Self(Kind::Env {
            prefix: prefix.to_owned(),
        })
    }

    /// libpq's variables; see [`Config::from_libpq_env`].
    #[must_use]
    pub fn libpq_env() -> Self {
        Self(Kind::LibpqEnv)
    }

    /// A service of libpq's `pg_service.conf`: `PGSERVICEFILE` or `~/.pg_service.conf`, then
    /// `$PGSYSCONFDIR/pg_service.conf`.
    #[must_use]
    pub fn service(name: &str) -> Self {
        Self(Kind::Service {
            name: name.to_owned(),
        })
    }

    /// A table of a TOML file; see [`Config::from_toml`].
    #[must_use]
    pub fn toml(path: impl AsRef<Path>, table: &str) -> Self {
        Self(Kind::Toml {
            path: path.as_ref().to_owned(),
            table: table.to_owned(),
        })
    }

    /// An environment variable that holds a connection string, such as `DATABASE_URL` or `POSTGRESQLCONNSTR_shop`.
    #[must_use]
    pub fn variable(name: &str) -> Self {
        Self(Kind::Variable {
            name: name.to_owned(),
        })
    }

    pub(super) fn read(&self) -> Result<Sheet, ConfigError> {
        match &self.0 {
            Kind::Azure => env::azure(std::env::vars_os()),
            Kind::Dsn { text, origin } => dsn::sheet(text, origin),
            Kind::Env { prefix } => env::prefixed(prefix, std::env::vars_os()),
            Kind::LibpqEnv => libpq::environment(&|name| std::env::var_os(name)),
            Kind::Service { name } => libpq::service(name, &|name| std::env::var_os(name)),
            Kind::Toml { path, table } => toml::read(path, table),
            Kind::Variable { name } => env::connection_string(name),
        }
    }
}

/// A connection string may hold a password.
impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Azure => f.write_str("Azure"),
            Self::Dsn { text: _, origin } => write!(f, "Dsn(_ at {origin})"),
            Self::Env { prefix } => write!(f, "Env({prefix})"),
            Self::LibpqEnv => f.write_str("LibpqEnv"),
            Self::Service { name } => write!(f, "Service({name})"),
            Self::Toml { path, table } => write!(f, "Toml({}, {table})", path.display()),
            Self::Variable { name } => write!(f, "Variable({name})"),
        }
    }
}

/// Reads one source whole: its connection string is taken apart, and every name must be a setting.
pub(super) fn read(layer: &Layer) -> Result<Sheet, ConfigError> {
    let mut sheet = layer.read()?;
    if let Some(entry) = sheet.entries.remove(dsn::KEY) {
        dsn::imply(&mut sheet, &entry)?;
    }
    for (name, entry) in &sheet.entries {
        if Config::KEYS.iter().all(|key| key.name != name) {
            return Err(entry.place.refuse(name, unknown(name)));
        }
    }
    Ok(sheet)
}

pub(super) fn unknown(name: &str) -> ConfigError {
    let fix = match super::settings::nearest(name) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => "remove it, or look it up in the list of settings".to_owned(),
    };
    ConfigError::new("unknown_key", "no setting has this name", fix)
}
