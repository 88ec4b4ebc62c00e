use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use super::Cluster;
use super::builder::free_port;
use super::home::Home;
use super::log::{Log, Miss};
use super::server::Server;
use crate::Error;

/// When a PgBouncer takes a server's connection back from its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolMode {
    /// When the client has gone.
    Session,
    /// After each transaction.
    Transaction,
}

/// A PgBouncer of this test's own in front of a [`Cluster`], with TLS and SCRAM on both sides; the role, its password and
/// the database are the cluster's, and so is the authority of its certificate.
///
/// It stops when it is dropped, and also when the process ends in any other way.
#[derive(Debug)]
pub struct PgBouncer {
    #[expect(dead_code, reason = "stopped when dropped")]
    server: Server,
    #[expect(dead_code, reason = "removed when dropped")]
    home: Home,
    log: Arc<Log>,
    port: u16,
    version: (u32, u32),
}

impl PgBouncer {
    /// Starts it and returns when it accepts connections; `settings` are those of its file `pgbouncer.ini`.
    ///
    /// # Errors
    /// When it is not installed or does not start; the text says what to do or ends with its log.
    pub fn start(
        cluster: &Cluster,
        mode: PoolMode,
        settings: &[(&str, &str)],
    ) -> Result<Self, Error> {
        let program = find().ok_or(Error::NoPgBouncer)?;
        let version = version(&program).ok_or(Error::NoPgBouncer)?;
        let home = Home::create()?;
        let leaf = cluster.pki().leaf().dns("localhost").issue();
        home.write("server.crt", leaf.chain_pem())?;
        home.write("server.key", leaf.key_pem())?;
        home.write("root.pem", cluster.pki().root_pem())?;
        let users = format!("\"{}\" \"{}\"\n", cluster.user(), cluster.password());
        home.write("users.txt", &users)?;
        let log = Arc::new(Log::default());
        let mut attempts = 0;
        loop {
            attempts += 1;
            let (port, _) = free_port().map_err(Error::file("find a free port of", "127.0.0.1"))?;
            home.write("pgbouncer.ini", &file(cluster, &home, port, mode, settings))?;
            let start = log.len();
            let server = Server::run(&program, &home.path("pgbouncer.ini"), &home, &log)?;
            match log.wait_for(start, "process up: PgBouncer", Duration::from_secs(30)) {
                Ok(_) => {
                    return Ok(Self {
                        server,
                        home,
                        log,
                        port,
                        version,
                    });
                }
                Err(Miss::Gone) if attempts < 10 && log.since(start).contains("in use") => {
                    server.give_up_port();
                }
                Err(_) => {
                    let (major, minor) = version;
                    return Err(Error::PgBouncer {
                        version: format!("{major}.{minor}"),
                        port,
                        log: log.since(start),
                    });
                }
            }
        }
    }

    /// `127.0.0.1` and its port.
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Its version, as in `(1, 18)`.
    pub fn version(&self) -> (u32, u32) {
        self.version
    }

    /// Everything it has written to its standard error so far.
    pub fn log(&self) -> String {
        self.log.text()
    }
}

fn file(
    cluster: &Cluster,
    home: &Home,
    port: u16,
    mode: PoolMode,
    settings: &[(&str, &str)],
) -> String {
    let path = |name: &str| home.path(name).display().to_string();
    let port = port.to_string();
    let mut lines = vec![
        ("listen_addr", "127.0.0.1".to_owned()),
        ("listen_port", port),
        ("unix_socket_dir", String::new()),
        ("auth_type", "scram-sha-256".to_owned()),
        ("auth_file", path("users.txt")),
        ("client_tls_sslmode", "require".to_owned()),
        ("client_tls_cert_file", path("server.crt")),
        ("client_tls_key_file", path("server.key")),
        ("server_tls_sslmode", "verify-full".to_owned()),
        ("server_tls_ca_file", path("root.pem")),
        (
            "pool_mode",
            match mode {
                PoolMode::Session => "session",
                PoolMode::Transaction => "transaction",
            }
            .to_owned(),
        ),
    ];
    lines.extend(
        settings
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned())),
    );
    let mut text = format!(
        "[databases]\n{} = host=127.0.0.1 port={} dbname={}\n[pgbouncer]\n",
        cluster.database(),
        cluster.port(),
        cluster.database(),
    );
    for (name, value) in lines {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name} = {value}");
    }
    text
}

fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(usual)
        .map(|folder| folder.join("pgbouncer"))
        .find(|program| program.is_file())
}

/// From `PgBouncer 1.18.0`.
fn version(program: &Path) -> Option<(u32, u32)> {
    let output = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut numbers = text.lines().next()?.split(' ').nth(1)?.split('.');
    let mut number = || numbers.next()?.parse().ok();
    Some((number()?, number()?))
}
