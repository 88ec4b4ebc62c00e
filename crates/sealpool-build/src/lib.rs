//! Fails `cargo build` when a service's TOML could not be built into a pool.
//!
//! In `build.rs`:
//!
//! ```no_run
//! sealpool_build::check("config/prod.toml").table("db").later(["user", "password"]).emit();
//! ```
//!
//! with `sealpool-build` among the `[build-dependencies]`. The file is read as the service reads it, and every reason for
//! which [`sealpool::PoolBuilder::build`] would refuse it is an error of the build, with file, line, column, caret and
//! fix. No network is used.
#![warn(missing_docs)]

use std::path::PathBuf;

use sealpool::{Config, Error, Layer, Pool};

/// Begins the check of a file; the path is relative to the package.
pub fn check(path: impl Into<PathBuf>) -> Check {
    Check {
        path: path.into(),
        table: String::new(),
        later: Vec::new(),
    }
}

/// A check of one table of one file.
#[derive(Clone, Debug)]
#[must_use = "a check that is not emitted checks nothing"]
pub struct Check {
    path: PathBuf,
    table: String,
    later: Vec<String>,
}

impl Check {
    /// The table, such as `db` or `services.db`; default: the whole file.
    pub fn table(mut self, table: impl Into<String>) -> Self {
        self.table = table.into();
        self
    }

    /// Settings that the service gets from elsewhere when it starts, so that the file may lack them: `host` and `user`
    /// are required otherwise. With `tls.root` among them, the roots that the file names are not opened either.
    pub fn later<S: Into<String>>(mut self, settings: impl IntoIterator<Item = S>) -> Self {
        self.later.extend(settings.into_iter().map(Into::into));
        self
    }

    /// Tells cargo the outcome: errors that fail the build, and when to check again.
    pub fn emit(self) {
        println!("cargo::rerun-if-changed={}", self.path.display());
        match self.outcome() {
            Ok(files) => {
                for file in files {
                    println!("cargo::rerun-if-changed={file}");
                }
            }
            Err(error) => {
                for line in error.to_string().lines() {
                    println!("cargo::error={line}");
                }
            }
        }
    }

    /// The files besides the TOML on which the outcome depends.
    fn outcome(&self) -> Result<Vec<String>, Error> {
        let mut config = Config::layered([Layer::toml(&self.path, &self.table)])?;
        let explained = config.explain();
        let written = |name: &str| {
            explained.values.iter().any(|value| {
                value.name == name && !matches!(value.origin, sealpool::Origin::Default)
            })
        };
        let is_later = |name: &str| self.later.iter().any(|later| later == name);
        if is_later("host") && !written("host") {
            config = config.host("later.invalid");
        }
        if is_later("user") && !written("user") {
            config = config.user("later");
        }
        let files = match is_later("tls.root") {
            true => {
                config = config.tls_root("system");
                Vec::new()
            }
            false => files(&explained),
        };
        Pool::builder(config).build()?;
        Ok(files)
    }
}

/// The files that the settings name, each a reason to check again.
fn files(explained: &sealpool::Explanation) -> Vec<String> {
    const NAMED: [&str; 6] = [
        "passfile",
        "password_file",
        "tls.client_cert",
        "tls.client_key",
        "tls.crl",
        "tls.root",
    ];
    let named = explained.values.iter().filter(|value| {
        NAMED.contains(&value.name) && !matches!(value.origin, sealpool::Origin::Default)
    });
    let paths = named.flat_map(|value| value.value.split(',').map(str::to_owned));
    paths
        .filter(|path| std::path::Path::new(path).exists())
        .collect()
}
