use std::collections::BTreeMap;
use std::fmt::Write;

use super::home::Home;
use crate::{Error, Leaf};

/// What the server reads: its settings, who may log in, its certificate.
#[derive(Clone, Debug)]
pub(crate) struct Material {
    pub(crate) settings: BTreeMap<String, String>,
    pub(crate) hba: String,
    pub(crate) leaf: Leaf,
}

/// Stands above whatever else is said, so that `Cluster::sql` and standbys keep their way in.
const SUPERUSER_HBA: &str = "hostssl all,replication postgres 127.0.0.1/32 scram-sha-256\n";
pub(crate) const DEFAULT_HBA: &str = "hostssl all all all scram-sha-256\n";

impl Material {
    pub(crate) fn new(home: &Home, leaf: Leaf) -> Self {
        let settings = [
            ("unix_socket_directories", String::new()),
            ("ssl", "on".to_owned()),
            ("password_encryption", "scram-sha-256".to_owned()),
            ("fsync", "off".to_owned()),
            ("full_page_writes", "off".to_owned()),
            ("synchronous_commit", "off".to_owned()),
            ("shared_buffers", "16MB".to_owned()),
            // A standby that misses its primary asks again so soon.
            ("wal_retrieve_retry_interval", "100ms".to_owned()),
            // The log's texts are waited for, so they have to be in English and on standard error.
            ("lc_messages", "C".to_owned()),
            ("log_destination", "stderr".to_owned()),
            ("logging_collector", "off".to_owned()),
            ("timezone", "UTC".to_owned()),
            ("log_timezone", "UTC".to_owned()),
        ];
        let settings = settings
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        Self {
            settings,
            hba: DEFAULT_HBA.to_owned(),
            leaf,
        }
        .at(home)
    }

    /// The same for another server.
    pub(crate) fn for_another(&self, home: &Home, leaf: Leaf) -> Self {
        Self {
            leaf,
            ..self.clone()
        }
        .at(home)
    }

    fn at(mut self, home: &Home) -> Self {
        for (name, file) in [
            ("hba_file", "pg_hba.conf"),
            ("ssl_cert_file", "server.crt"),
            ("ssl_key_file", "server.key"),
        ] {
            self.set(name, &home.path(file).to_string_lossy());
        }
        self
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.settings
            .insert(name.to_ascii_lowercase(), value.to_owned());
    }

    pub(crate) fn write_to(&self, home: &Home) -> Result<(), Error> {
        let Self {
            settings,
            hba,
            leaf,
        } = self;
        let mut configuration = String::new();
        for (name, value) in settings {
            // Writing to a string cannot fail.
            let _ = writeln!(configuration, "{name} = {}", quoted(value));
        }
        home.write("postgresql.conf", &configuration)?;
        home.write("pg_hba.conf", &format!("{SUPERUSER_HBA}{hba}\n"))?;
        home.write("server.crt", leaf.chain_pem())?;
        home.write("server.key", leaf.key_pem())
    }
}

/// As PostgreSQL's `guc-file.l` reads it back.
fn quoted(value: &str) -> String {
    format!(
        "'{}'",
        value
            .replace('\\', "\\\\")
            .replace('\'', "''")
            .replace('\n', "\\n")
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn values_are_quoted() {
        assert_eq!(super::quoted(r"it's a \ and"), r"'it''s a \\ and'");
        assert_eq!(super::quoted("a\nb"), r"'a\nb'");
    }
}
