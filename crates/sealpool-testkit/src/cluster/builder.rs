use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::home::Home;
use super::log::{Log, Miss};
use super::server::Server;
use super::{Cluster, Material, State};
use crate::{Error, Installation, Leaf, Pki, random};

/// What is to differ from [`Cluster::start`].
#[derive(Debug, Default)]
#[must_use = "nothing is started before `start`"]
pub struct ClusterBuilder {
    installation: Option<Installation>,
    pki: Option<Arc<Pki>>,
    certificate: Option<Leaf>,
    settings: BTreeMap<String, String>,
    hba: Option<String>,
}

impl ClusterBuilder {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The newest one by default.
    pub fn installation(mut self, installation: Installation) -> Self {
        self.installation = Some(installation);
        self
    }

    /// A new one by default.
    pub fn pki(mut self, pki: impl Into<Arc<Pki>>) -> Self {
        self.pki = Some(pki.into());
        self
    }

    /// By default the PKI issues one for `localhost`, `127.0.0.1` and `::1`.
    pub fn certificate(mut self, leaf: Leaf) -> Self {
        self.certificate = Some(leaf);
        self
    }

    /// Sets one of PostgreSQL's parameters. The port and the addresses are the cluster's own choice.
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The lines of `pg_hba.conf` for everyone but the superuser. By default `hostssl all all all scram-sha-256`.
    pub fn hba(mut self, text: &str) -> Self {
        self.hba = Some(text.to_owned());
        self
    }

    /// Makes the data folder, starts the server and returns when it accepts connections.
    ///
    /// # Errors
    /// When no server is installed or it does not start; the text says what to do or ends with the server's log.
    pub fn start(self) -> Result<Cluster, Error> {
        let Self {
            installation,
            pki,
            certificate,
            settings,
            hba,
        } = self;
        let installation = installation.map_or_else(Installation::newest, Ok)?;
        let pki = pki.unwrap_or_default();
        let leaf = certificate.unwrap_or_else(|| server_leaf(&pki));
        let home = Home::create()?;
        let mut material = Material::new(&home, leaf);
        for (name, value) in &settings {
            material.set(name, value);
        }
        if let Some(hba) = hba {
            material.hba = hba;
        }
        let password = random::hex::<16>();
        let superuser_password = random::hex::<16>();
        home.write("root.pem", pki.root_pem())?;
        home.write("setup.sql", &roles(&password, &superuser_password))?;
        let (server, log, port) = launch(&installation, &home, &mut material)?;
        Ok(Cluster {
            root_file: home.path("root.pem"),
            data_dir: home.data(),
            state: Mutex::new(State {
                material,
                server,
                stopped: false,
                home,
            }),
            log,
            installation,
            pki,
            port,
            password,
            superuser_password,
        })
    }
}

pub(super) fn server_leaf(pki: &Pki) -> Leaf {
    pki.leaf()
        .common_name("sealpool test server")
        .dns("localhost")
        .ip(Ipv4Addr::LOCALHOST)
        .ip(Ipv6Addr::LOCALHOST)
        .issue()
}

/// Between the choice of a port and its use somebody else may take it, so this tries more than once.
pub(super) fn launch(
    installation: &Installation,
    home: &Home,
    material: &mut Material,
) -> Result<(Server, Arc<Log>, u16), Error> {
    let log = Arc::new(Log::default());
    let mut attempts = 0;
    loop {
        attempts += 1;
        let (port, addresses) =
            free_port().map_err(Error::file("find a free port of", "127.0.0.1"))?;
        material.set("port", &port.to_string());
        material.set("listen_addresses", addresses);
        material.write_to(home)?;
        let start = log.len();
        let server = match home.data().exists() {
            false => Server::initialize(installation, home, &log)?,
            true => Server::start(installation, home, &log)?,
        };
        let ready = log.wait_for(start, home.ready(), Duration::from_secs(60));
        let text = log.since(start);
        // It goes on with ::1 alone if it has that.
        let taken = text.contains("could not bind IPv4 address");
        match ready {
            Ok(_) if !taken => return Ok((server, log, port)),
            Ok(_) | Err(Miss::Gone) if taken && attempts < 10 => server.give_up_port(),
            Ok(_) | Err(_) => {
                let what = "did not start".to_owned();
                return Err(Error::Server {
                    version: installation.version().to_owned(),
                    port,
                    what,
                    log: text,
                });
            }
        }
    }
}

/// Ports from 32768 on go to outgoing connections on most systems; one of those could take ours while we restart.
pub(super) fn free_port() -> io::Result<(u16, &'static str)> {
    const FIRST: u16 = 16384;
    const COUNT: u16 = 14000;
    let mut last = None;
    for _ in 0..100 {
        let port = FIRST + u16::from_be_bytes(random::bytes()) % COUNT;
        if let Err(error) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            last = Some(error);
            continue;
        }
        match TcpListener::bind((Ipv6Addr::LOCALHOST, port)) {
            Ok(_) => return Ok((port, "127.0.0.1,::1")),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = Some(error),
            Err(_) => return Ok((port, "127.0.0.1")),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
}

/// Single-user mode takes one statement a line.
fn roles(password: &str, superuser_password: &str) -> String {
    format!(
        "ALTER ROLE postgres PASSWORD '{superuser_password}'\n\
         CREATE ROLE app LOGIN PASSWORD '{password}'\n\
         CREATE DATABASE app OWNER app\n"
    )
}
