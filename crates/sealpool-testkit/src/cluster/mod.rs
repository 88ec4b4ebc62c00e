use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Error, Installation, Pki};

mod account;
pub(crate) use account::runs_as_root;
mod home;
use home::Home;
mod material;
use material::Material;
mod log;
use log::Log;
mod server;
use server::Server;
mod builder;
pub use builder::ClusterBuilder;
mod levers;
pub use levers::Shutdown;
mod pgbouncer;
pub use pgbouncer::{PgBouncer, PoolMode};
mod pinned;
mod sql;
mod standby;

/// A PostgreSQL server of this test's own, with TLS and nothing but TLS, on a port of loopback.
///
/// It has a superuser `postgres` and an ordinary role `app` which owns the database `app`, each with a password of its
/// own (SCRAM). It is fast and forgetful (`fsync=off`), and starts in about two seconds. Run as root it drops to `nobody`,
/// who then has to be able to use the temporary folder.
///
/// It stops and takes its data along when it is dropped, and also when the process ends in any other way, SIGKILL
/// included; so it may live in a `static`.
///
/// All methods block but those that speak SQL, which are async: [`Cluster::sql`], [`Cluster::standby`], [`Cluster::promote`].
#[derive(Debug)]
pub struct Cluster {
    state: Mutex<State>,
    log: Arc<Log>,
    installation: Installation,
    pki: Arc<Pki>,
    port: u16,
    password: String,
    superuser_password: String,
    root_file: PathBuf,
    data_dir: PathBuf,
}

#[derive(Debug)]
struct State {
    material: Material,
    server: Server,
    /// On purpose, by [`Cluster::stop`].
    stopped: bool,
    home: Home,
}

impl Cluster {
    /// Starts the newest installation with a PKI of its own and a certificate for `localhost`, `127.0.0.1` and `::1`.
    ///
    /// # Errors
    /// When no server is installed or it does not start; the text says what to do or ends with the server's log.
    pub fn start() -> Result<Self, Error> {
        Self::builder().start()
    }

    /// For everything that is to differ from [`Cluster::start`].
    pub fn builder() -> ClusterBuilder {
        ClusterBuilder::new()
    }

    /// The port, the same on `127.0.0.1` and, if this machine has it, `::1`. It outlives restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `127.0.0.1` and the port.
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The server's version, as in `15.18`.
    pub fn version(&self) -> &str {
        self.installation.version()
    }

    /// The server's major version, as in `18`.
    pub fn major(&self) -> u32 {
        self.installation.major()
    }

    /// The CAs that issued the server's first certificate.
    pub fn pki(&self) -> &Arc<Pki> {
        &self.pki
    }

    /// The root's certificate on disk, as PEM. It goes when the cluster goes.
    pub fn root_file(&self) -> &Path {
        &self.root_file
    }

    /// The ordinary role, `app`.
    pub fn user(&self) -> &str {
        "app"
    }

    /// The password of [`Cluster::user`].
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The database that [`Cluster::user`] owns, `app`.
    pub fn database(&self) -> &str {
        "app"
    }

    /// The password of the superuser `postgres`.
    pub fn superuser_password(&self) -> &str {
        &self.superuser_password
    }

    /// Everything the server has written to its standard error so far, across restarts.
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// The data folder. The configuration lies in the folder above it.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failure(&self, what: impl Into<String>, log: String) -> Error {
        Error::Server {
            version: self.version().to_owned(),
            port: self.port,
            what: what.into(),
            log,
        }
    }
}
