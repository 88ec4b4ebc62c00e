use sealpool_testkit::KeyType;
use tokio::runtime::{Builder, Runtime};

use crate::{Failure, effort::Effort, server::Server};

/// What every row needs: the servers, and how much is to be measured.
pub(crate) struct Bench {
    effort: Effort,
    servers: Vec<Server>,
}

impl Bench {
    /// Starts the servers.
    pub(crate) fn start(effort: Effort) -> Result<Self, Failure> {
        let wanted: &[_] = match effort {
            Effort::Full | Effort::Quick => &[
                (18, KeyType::P256),
                (18, KeyType::Rsa2048),
                (15, KeyType::P256),
                (15, KeyType::Rsa2048),
            ],
            Effort::Smoke => &[(18, KeyType::P256)],
        };
        let mut servers = Vec::new();
        for (major, key) in wanted {
            servers.push(Server::start(*major, *key)?);
        }
        let bench = Self { effort, servers };
        one_worker()?.block_on(bench.newest().fill())?;
        Ok(bench)
    }

    pub(crate) fn effort(&self) -> Effort {
        self.effort
    }

    pub(crate) fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// The server of every row that does not say otherwise: PostgreSQL 18 with an ECDSA certificate.
    pub(crate) fn newest(&self) -> &Server {
        self.servers.first().expect("there is always one")
    }
}

/// For one task: what is measured is no hand-over between threads.
pub(crate) fn one_worker() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// For many tasks.
pub(crate) fn two_workers() -> std::io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
}
