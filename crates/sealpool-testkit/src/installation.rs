use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Error;

/// A PostgreSQL server found on this machine: a folder with at least `postgres` and `initdb`.
///
/// Looked for in this order: the folders in `SEALPOOL_PG_BIN` (separated like `PATH`), `PATH`,
/// `/usr/lib/postgresql/*/bin`, other usual places, and the cache which `scripts/install-postgresql` fills.
#[derive(Clone, Debug)]
pub struct Installation {
    bin: PathBuf,
    version: String,
    major: u32,
}

impl Installation {
    /// The first installation of this major version.
    ///
    /// # Errors
    /// Says in one sentence what to install.
    pub fn find(major: u32) -> Result<Self, Error> {
        Self::all()
            .into_iter()
            .find(|found| found.major == major)
            .ok_or_else(|| Error::NoInstallation {
                wanted: format!("PostgreSQL {major}"),
            })
    }

    /// The highest version; only among those in `SEALPOOL_PG_BIN` if it names any.
    ///
    /// # Errors
    /// Says in one sentence what to install.
    pub fn newest() -> Result<Self, Error> {
        let mut found = probe(named_folders());
        if found.is_empty() {
            found = Self::all();
        }
        // `max_by_key` takes the last of equals, and the first place in the order has to win.
        found
            .into_iter()
            .rev()
            .max_by_key(|found| found.numbers())
            .ok_or_else(|| Error::NoInstallation {
                wanted: "PostgreSQL".to_owned(),
            })
    }

    /// All of them in search order, each once.
    pub fn all() -> Vec<Self> {
        let path = env::var_os("PATH").unwrap_or_default();
        let usual = [
            "/usr/lib/postgresql/*/bin",
            "/usr/pgsql-*/bin",
            "/usr/local/pgsql/bin",
        ];
        let homebrew = [
            "/opt/homebrew/opt/postgresql*/bin",
            "/usr/local/opt/postgresql*/bin",
        ];
        let cache = cache_folder().join("postgresql-*/bin");
        let patterns = usual
            .iter()
            .chain(&homebrew)
            .map(PathBuf::from)
            .chain([cache]);
        probe(
            named_folders()
                .into_iter()
                .chain(env::split_paths(&path))
                .chain(patterns.flat_map(|pattern| expand(&pattern))),
        )
    }

    /// The major version, as in `18`.
    pub fn major(&self) -> u32 {
        self.major
    }

    /// The full version, as in `15.18`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The folder with the server's programs.
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    fn in_folder(folder: &Path) -> Option<Self> {
        if !folder.join("initdb").is_file() {
            return None;
        }
        // A link in PATH usually leads to a folder that has all the other programs too.
        let postgres = fs::canonicalize(folder.join("postgres")).ok()?;
        let bin = match postgres.parent() {
            Some(real) if real.join("initdb").is_file() => real,
            _ => folder,
        };
        let output = Command::new(&postgres)
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .ok()?;
        let version = version_in(&String::from_utf8_lossy(&output.stdout))?;
        let major = leading_number(&version)?;
        Some(Self {
            bin: bin.to_owned(),
            version,
            major,
        })
    }

    fn numbers(&self) -> (u32, u32) {
        let minor = self
            .version
            .split_once('.')
            .and_then(|(_, minor)| leading_number(minor));
        (self.major, minor.unwrap_or(0))
    }
}

fn named_folders() -> Vec<PathBuf> {
    env::var_os("SEALPOOL_PG_BIN")
        .map(|named| env::split_paths(&named).collect())
        .unwrap_or_default()
}

fn probe(folders: impl IntoIterator<Item = PathBuf>) -> Vec<Installation> {
    let mut found: Vec<Installation> = Vec::new();
    for folder in folders {
        if let Some(new) = Installation::in_folder(&folder)
            && !found.iter().any(|known| known.bin == new.bin)
        {
            found.push(new);
        }
    }
    found
}

/// The folders that match a path with at most one `*` in it, highest version first.
fn expand(pattern: &Path) -> Vec<PathBuf> {
    let text = pattern.to_string_lossy();
    let Some((before, after)) = text.split_once('*') else {
        return vec![pattern.to_owned()];
    };
    let (folder, prefix) = before.rsplit_once('/').unwrap_or((".", before));
    let mut names: Vec<String> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with(prefix))
        .collect();
    names.sort_by_key(|name| name.strip_prefix(prefix).and_then(leading_number));
    names
        .iter()
        .rev()
        .map(|name| PathBuf::from(format!("{folder}/{name}{after}")))
        .collect()
}

/// Where `scripts/install-postgresql` unpacks to. Root has a place of its own because the server, which refuses to run
/// as root, cannot enter root's home.
fn cache_folder() -> PathBuf {
    let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let cache = match crate::cluster::runs_as_root() {
        true => PathBuf::from("/var/cache"),
        false => env::var_os("XDG_CACHE_HOME").map_or_else(|| home.join(".cache"), PathBuf::from),
    };
    cache.join("sealpool")
}

fn version_in(output: &str) -> Option<String> {
    let rest = output.strip_prefix("postgres (PostgreSQL) ")?;
    rest.split_whitespace().next().map(str::to_owned)
}

fn leading_number(text: impl AsRef<str>) -> Option<u32> {
    let text = text.as_ref();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.get(..digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_every_kind_of_build() {
        for (output, version, major) in [
            (
                "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n",
                "15.18",
                15,
            ),
            ("postgres (PostgreSQL) 18.4\n", "18.4", 18),
            ("postgres (PostgreSQL) 19beta1\n", "19beta1", 19),
        ] {
            let read = version_in(output).unwrap();
            assert_eq!(read, version);
            assert_eq!(leading_number(read), Some(major));
        }
        assert_eq!(version_in("psql (PostgreSQL) 18.4"), None);
    }

    #[test]
    fn a_missing_version_says_what_to_install() {
        let text = Installation::find(7).unwrap_err().to_string();
        assert_eq!(
            text,
            "no PostgreSQL 7 server was found on this machine: run scripts/install-postgresql, or install one with the \
             system's package manager (Debian: apt-get install postgresql), or name its bin folder in SEALPOOL_PG_BIN"
        );
    }

    #[test]
    fn newest_is_the_highest_of_all() {
        let newest = Installation::newest().unwrap();
        assert!(
            Installation::all()
                .iter()
                .all(|found| found.numbers() <= newest.numbers())
        );
    }
}
