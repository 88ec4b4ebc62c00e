use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use sealpool_dsn::{Dialect, Dsn};

use super::{
    ConfigError, Origin, Place, dsn,
    sheet::{Entry, Sheet},
};

/// Looks an environment variable up.
type Lookup<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// libpq's variables and the keyword that each stands for (PostgreSQL 18, "Environment Variables").
const VARIABLES: [(&str, &str); 34] = [
    ("PGAPPNAME", "application_name"),
    ("PGCHANNELBINDING", "channel_binding"),
    ("PGCLIENTENCODING", "client_encoding"),
    ("PGCONNECT_TIMEOUT", "connect_timeout"),
    ("PGDATABASE", "dbname"),
    ("PGGSSDELEGATION", "gssdelegation"),
    ("PGGSSENCMODE", "gssencmode"),
    ("PGGSSLIB", "gsslib"),
    ("PGHOST", "host"),
    ("PGHOSTADDR", "hostaddr"),
    ("PGKRBSRVNAME", "krbsrvname"),
    ("PGLOADBALANCEHOSTS", "load_balance_hosts"),
    ("PGMAXPROTOCOLVERSION", "max_protocol_version"),
    ("PGMINPROTOCOLVERSION", "min_protocol_version"),
    ("PGOPTIONS", "options"),
    ("PGPASSWORD", "password"),
    ("PGPORT", "port"),
    ("PGREQUIREAUTH", "require_auth"),
    ("PGREQUIREPEER", "requirepeer"),
    ("PGREQUIRESSL", "requiressl"),
    ("PGSSLCERT", "sslcert"),
    ("PGSSLCERTMODE", "sslcertmode"),
    ("PGSSLCOMPRESSION", "sslcompression"),
    ("PGSSLCRL", "sslcrl"),
    ("PGSSLCRLDIR", "sslcrldir"),
    ("PGSSLKEY", "sslkey"),
    ("PGSSLMAXPROTOCOLVERSION", "ssl_max_protocol_version"),
    ("PGSSLMINPROTOCOLVERSION", "ssl_min_protocol_version"),
    ("PGSSLMODE", "sslmode"),
    ("PGSSLNEGOTIATION", "sslnegotiation"),
    ("PGSSLROOTCERT", "sslrootcert"),
    ("PGSSLSNI", "sslsni"),
    ("PGTARGETSESSIONATTRS", "target_session_attrs"),
    ("PGUSER", "user"),
];

/// Variables that change a session in ways that the settings here do not.
const REFUSED: [&str; 2] = ["PGDATESTYLE", "PGGEQO"];

/// libpq's variables, the service that `PGSERVICE` names below them.
pub(super) fn environment(lookup: Lookup<'_>) -> Result<Sheet, ConfigError> {
    let mut words = Keywords::default();
    for (variable, keyword) in VARIABLES {
        if let Some(value) = text(variable, lookup)? {
            words.0.push((
                keyword.to_owned(),
                value,
                Origin::Variable(variable.to_owned()),
            ));
        }
    }
    for variable in REFUSED {
        if lookup(variable).is_some() {
            return Err(ConfigError::new(
                "unsupported_key",
                "this variable of libpq's is not applied here",
                "unset it, and write `-c name=value` in PGOPTIONS",
            )
            .at_origin(&Origin::Variable(variable.to_owned())));
        }
    }
    if let Some(service) = text("PGSERVICE", lookup)? {
        for (keyword, value, origin) in service_words(&service, lookup)?.0 {
            if words.0.iter().all(|(known, ..)| *known != keyword) {
                words.0.push((keyword, value, origin));
            }
        }
    }
    let mut sheet = words.sheet(&Origin::Variable("PG*".to_owned()))?;
    let mut add = |name: &str, value: String, variable: &str| {
        let place = Place {
            origin: Origin::Variable(variable.to_owned()),
            excerpt: None,
        };
        sheet.imply(
            name,
            Entry {
                value: value.into(),
                place,
            },
        )
    };
    if let Some(zone) = text("PGTZ", lookup)? {
        add("session.time_zone", zone, "PGTZ")?;
    }
    match text("PGPASSFILE", lookup)? {
        Some(file) => add("passfile", file, "PGPASSFILE")?,
        None => {
            let default = home(lookup).map(|home| home.join(".pgpass"));
            if let Some(file) = default.filter(|file| file.exists()) {
                add("passfile", file.to_string_lossy().into_owned(), "HOME")?;
            }
        }
    }
    Ok(sheet)
}

/// A service of `pg_service.conf`.
pub(super) fn service(name: &str, lookup: Lookup<'_>) -> Result<Sheet, ConfigError> {
    let words = service_words(name, lookup)?;
    words.sheet(&Origin::Variable(format!("service {name}")))
}

fn service_words(name: &str, lookup: Lookup<'_>) -> Result<Keywords, ConfigError> {
    let own = match text("PGSERVICEFILE", lookup)? {
        Some(file) => Some(PathBuf::from(file)),
        None => home(lookup).map(|home| home.join(".pg_service.conf")),
    };
    let shared =
        text("PGSYSCONFDIR", lookup)?.map(|folder| Path::new(&folder).join("pg_service.conf"));
    let mut tried = Vec::new();
    for file in [own, shared].into_iter().flatten() {
        match fs::read_to_string(&file) {
            Ok(content) => {
                if let Some(words) = section(name, &file, &content)? {
                    return Ok(words);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // Passing over it could mean another server.
            Err(error) => {
                return Err(ConfigError::new(
                    "unreadable",
                    format!("{} cannot be read: {error}", file.display()),
                    "check its permissions",
                ));
            }
        }
        tried.push(file.display().to_string());
    }
    Err(ConfigError::new(
        "missing",
        format!("no service `{name}` in {}", tried.join(" or ")),
        "add it there, or name the file in PGSERVICEFILE",
    ))
}

/// The lines `keyword=value` under `[name]`, as libpq reads them.
fn section(name: &str, file: &Path, content: &str) -> Result<Option<Keywords>, ConfigError> {
    let path = Arc::new(file.to_owned());
    let mut found: Option<Keywords> = None;
    for (index, line) in content.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(title) = line.strip_prefix('[') {
            if found.is_some() {
                break;
            }
            found = (title.strip_suffix(']') == Some(name)).then(Keywords::default);
            continue;
        }
        let Some(words) = &mut found else { continue };
        let origin = Origin::File {
            path: Arc::clone(&path),
            line: index + 1,
            column: 1,
        };
        let Some((keyword, value)) = line.split_once('=') else {
            return Err(ConfigError::new(
                "malformed",
                "no `=` in this line",
                "write keyword=value",
            )
            .at_origin(&origin));
        };
        words
            .0
            .push((keyword.trim().to_owned(), value.to_owned(), origin));
    }
    Ok(found)
}

fn home(lookup: Lookup<'_>) -> Option<PathBuf> {
    lookup("HOME").map(PathBuf::from)
}

fn text(variable: &str, lookup: Lookup<'_>) -> Result<Option<String>, ConfigError> {
    let Some(value) = lookup(variable) else {
        return Ok(None);
    };
    let value = value.into_string().map_err(|_| {
        ConfigError::new(
            "invalid_value",
            "the value is not UTF-8",
            "write it in UTF-8",
        )
        .at_origin(&Origin::Variable(variable.to_owned()))
    })?;
    // libpq takes an empty variable for one that is not set.
    Ok(Some(value).filter(|value| !value.is_empty()))
}

/// Keywords and values, each with its origin, on their way to the parser of connection strings: the same grammar and
/// the same votes as for any string that a user pastes.
#[derive(Default)]
struct Keywords(Vec<(String, String, Origin)>);

impl Keywords {
    fn sheet(&self, whole: &Origin) -> Result<Sheet, ConfigError> {
        let mut string = String::new();
        let mut starts = Vec::new();
        for (keyword, value, origin) in &self.0 {
            let value = value.replace('\\', "\\\\").replace('\'', "\\'");
            starts.push((string.len(), keyword, origin));
            string.push_str(&format!("{keyword}='{value}' "));
        }
        let dsn = Dsn::parse_as(Dialect::KeyValue, &string).map_err(|error| {
            let span = error.span();
            let found = starts
                .iter()
                .rev()
                .find(|(start, ..)| *start <= span.start && !span.is_empty());
            let origin = found.map_or(whole, |(.., origin)| origin);
            ConfigError::new(error.code().as_str(), error.message(), error.help()).at_origin(origin)
        })?;
        let within = |key: &str| {
            let found = starts.iter().find(|(_, keyword, _)| *keyword == key);
            let origin = found.map_or(whole, |(.., origin)| origin).clone();
            Place {
                origin,
                excerpt: None,
            }
        };
        let mut sheet = Sheet::default();
        dsn::imply_all(dsn, &within, &mut sheet)?;
        Ok(sheet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(file: &Path) -> String {
        let lookup = |name: &str| (name == "PGSERVICEFILE").then(|| file.into());
        service("shop", &lookup).unwrap_err().to_string()
    }

    #[test]
    fn a_service_file_that_cannot_be_read_is_not_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let shown = folder.path().display();
        assert_eq!(
            refused(folder.path()),
            format!("{shown} cannot be read: Is a directory (os error 21); check its permissions")
        );
        assert_eq!(
            refused(&folder.path().join("absent")),
            format!(
                "no service `shop` in {shown}/absent; add it there, or name the file in PGSERVICEFILE"
            )
        );
    }
}
