use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use tokio_postgres::SimpleQueryMessage;

use super::builder::{launch, server_leaf};
use super::home::Home;
use super::{Cluster, State};
use crate::Error;

/// What a base backup leaves out: what belongs to the running server, and what the standby gets over the wire.
const LEFT_OUT: [&str; 3] = ["postmaster.opts", "postmaster.pid", "standby.signal"];
const LEFT_EMPTY: [&str; 8] = [
    "pg_dynshmem",
    "pg_notify",
    "pg_replslot",
    "pg_serial",
    "pg_snapshots",
    "pg_stat_tmp",
    "pg_subtrans",
    "pg_wal",
];
/// More than a test writes between the backup and the standby's first connection.
const KEPT_WAL: &str = "256MB";

impl Cluster {
    /// Makes a standby of this running server, with a certificate of its own from the same PKI, and returns when it
    /// accepts queries. Roles and passwords are the primary's; so are the settings, but for the port.
    ///
    /// The data folder comes from a base backup as `pg_basebackup -R` makes one, by the same functions of the server: not
    /// every installation has that program. The standby verifies its primary (`sslmode=verify-full`) and goes on asking
    /// for it at the same port.
    ///
    /// # Errors
    /// When the backup fails or the standby does not start.
    pub async fn standby(&self) -> Result<Self, Error> {
        self.set("wal_keep_size", KEPT_WAL)?;
        let home = Home::create()?;
        home.write("root.pem", self.pki.root_pem())?;
        let mut material = self
            .state()
            .material
            .for_another(&home, server_leaf(&self.pki));
        material.set("primary_conninfo", &self.conninfo(&home.path("root.pem")));
        self.back_up(&home).await?;
        let (server, log, port) = launch(&self.installation, &home, &mut material)?;
        Ok(Self {
            root_file: home.path("root.pem"),
            data_dir: home.data(),
            state: Mutex::new(State {
                material,
                server,
                stopped: false,
                home,
            }),
            log,
            installation: self.installation.clone(),
            pki: Arc::clone(&self.pki),
            port,
            password: self.password.clone(),
            superuser_password: self.superuser_password.clone(),
        })
    }

    /// Makes a standby take writes, and returns when it does.
    ///
    /// # Errors
    /// When the server is none, or does not get there within a minute.
    pub async fn promote(&self) -> Result<(), Error> {
        let promoted = self.sql("select pg_promote()").await?;
        if promoted == [[Some("t".to_owned())]] {
            return Ok(());
        }
        Err(self.failure("was not promoted", self.log.end()))
    }

    /// Starts a stopped server as the standby of another, such as the one that took its place. It has to have been
    /// stopped in order ([`Shutdown::Fast`](super::Shutdown::Fast)) while the other followed it: what the other never
    /// got could not be taken back.
    ///
    /// # Errors
    /// When the server does not start.
    pub fn follow(&self, primary: &Self) -> Result<(), Error> {
        primary.set("wal_keep_size", KEPT_WAL)?;
        self.set("primary_conninfo", &primary.conninfo(&self.root_file))?;
        self.state().home.write_data("standby.signal", "")?;
        self.start_again()
    }

    fn conninfo(&self, root: &Path) -> String {
        let root = root
            .to_string_lossy()
            .replace('\\', "\\\\")
            .replace('\'', "\\'");
        format!(
            "host=localhost hostaddr=127.0.0.1 port={} user=postgres password={} application_name=standby \
             sslmode=verify-full sslrootcert='{root}'",
            self.port(),
            self.superuser_password(),
        )
    }

    /// PostgreSQL's "Making a Base Backup Using the Low Level API". One session has to begin and end it.
    async fn back_up(&self, home: &Home) -> Result<(), Error> {
        let session = self.session().await?;
        session
            .run("select pg_backup_start('standby', true)")
            .await?;
        copy(&self.data_dir, home, "")?;
        let stopped = session
            .run("select labelfile from pg_backup_stop(false)")
            .await?;
        session.end().await;
        let label = stopped.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        home.write_data("backup_label", label.unwrap_or_default())?;
        home.write_data("standby.signal", "")
    }
}

fn copy(from: &Path, home: &Home, below: &str) -> Result<(), Error> {
    home.make_data(below)?;
    let folder = from.join(below);
    let entries = fs::read_dir(&folder).map_err(Error::file("read the folder", &folder))?;
    for entry in entries {
        let entry = entry.map_err(Error::file("read the folder", &folder))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let path = Path::new(below).join(&*name);
        let path = path.to_string_lossy();
        let kind = entry
            .file_type()
            .map_err(Error::file("look at", entry.path()))?;
        if kind.is_dir() && below.is_empty() && LEFT_EMPTY.contains(&&*name) {
            home.make_data(&path)?;
        } else if kind.is_dir() {
            copy(from, home, &path)?;
        } else if !LEFT_OUT.contains(&&*name) && !name.starts_with("pgsql_tmp") {
            match fs::read(entry.path()) {
                Ok(content) => home.write_data(&path, content)?,
                // A server at work removes files, and its log says so.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::file("read", entry.path())(error)),
            }
        }
    }
    Ok(())
}
