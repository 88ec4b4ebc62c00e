use std::{path::PathBuf, time::Duration};

use sealpool_testkit::{Cluster, Installation, KeyType, Pki, Tap};

use crate::Failure;

/// How many rows, of how many bytes each, the table `payload` has.
pub(crate) const PAYLOAD: (usize, usize) = (10_000, 100);

const HBA: &str = "hostssl all all all scram-sha-256\n\
                   hostnossl all all 127.0.0.1/32 scram-sha-256";

/// A PostgreSQL server for all peers, which also lets those in who come without TLS: plaintext is the limit of what a
/// pool over TLS could reach.
pub(crate) struct Server {
    cluster: Cluster,
    key: KeyType,
}

impl Server {
    pub(crate) fn start(major: u32, key: KeyType) -> Result<Self, Failure> {
        let pki = Pki::new();
        let leaf = pki
            .leaf()
            .dns("localhost")
            .ip([127, 0, 0, 1])
            .key_type(key)
            .issue();
        let cluster = Cluster::builder()
            .installation(Installation::find(major)?)
            .pki(pki)
            .certificate(leaf)
            .setting("max_connections", "500")
            .setting("autovacuum", "off")
            .hba(HBA)
            .start()?;
        Ok(Self { cluster, key })
    }

    pub(crate) async fn fill(&self) -> Result<(), Failure> {
        let (rows, bytes) = PAYLOAD;
        let fill = format!(
            "create table payload as select repeat('x', {bytes}) as text from generate_series(1, {rows}); \
             grant select on payload to app; analyze payload"
        );
        self.cluster.sql(&fill).await?;
        Ok(())
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// As in `PostgreSQL 18, ECDSA`.
    pub(crate) fn label(&self) -> String {
        let key = match self.key {
            KeyType::Rsa2048 => "RSA",
            _ => "ECDSA",
        };
        format!("PostgreSQL {}, {key}", self.cluster.major())
    }

    pub(crate) fn site(&self) -> Site {
        Site {
            port: self.cluster.port(),
            user: self.cluster.user().to_owned(),
            password: self.cluster.password().to_owned(),
            database: self.cluster.database().to_owned(),
            root_file: self.cluster.root_file().to_owned(),
        }
    }

    /// The same server behind a tap that counts.
    pub(crate) fn behind(&self, tap: &Tap) -> Site {
        Site {
            port: tap.port(),
            ..self.site()
        }
    }

    /// Waits until nobody is connected any more, so that who ends disturbs nobody who is measured.
    pub(crate) async fn settle(&self) -> Result<(), Failure> {
        const CONNECTED: &str = "select count(*) from pg_stat_activity where usename = 'app'";
        for _ in 0..500 {
            if self.cluster.sql(CONNECTED).await? == [[Some("0".to_owned())]] {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(format!(
            "{}: connections of a peer that is gone stay open",
            self.label()
        )
        .into())
    }
}

/// Where a server is, and what it takes to get in.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) database: String,
    pub(crate) root_file: PathBuf,
}

impl Site {
    /// For a child process: one line each.
    pub(crate) fn to_lines(&self) -> String {
        let Self {
            port,
            user,
            password,
            database,
            root_file,
        } = self;
        format!(
            "{port}\n{user}\n{password}\n{database}\n{}",
            root_file.display()
        )
    }

    pub(crate) fn from_lines(text: &str) -> Result<Self, Failure> {
        let lines: Vec<_> = text.lines().collect();
        let [port, user, password, database, root_file] = lines.as_slice() else {
            return Err("a site has five lines".into());
        };
        Ok(Self {
            port: port.parse()?,
            user: (*user).to_owned(),
            password: (*password).to_owned(),
            database: (*database).to_owned(),
            root_file: root_file.into(),
        })
    }
}
