use std::{path::PathBuf, process::Stdio, time::Duration};

use sealpool_testkit::Installation;
use tokio::{io::AsyncWriteExt as _, process::Command};

use crate::{Failure, server::Site};

const CLIENTS: u32 = 8;

/// PostgreSQL's own client and benchmark: what libpq and OpenSSL reach with as many connections, without any pool.
#[derive(Clone)]
pub(crate) struct Pgbench {
    program: PathBuf,
    site: Site,
    transactions: u32,
}

impl Pgbench {
    pub(crate) const SETTINGS: &str =
        "libpq and OpenSSL, `-M prepared -c 8 -j 2 -n`, `sslmode=verify-full`; no pool";

    /// With as many transactions as take about this long.
    pub(crate) async fn calibrated(site: Site, lasting: Duration) -> Result<Self, Failure> {
        let mut pgbench = Self {
            program: Self::program()?,
            site,
            transactions: 200,
        };
        let per_client = pgbench.run().await? / f64::from(CLIENTS) * lasting.as_secs_f64();
        #[expect(clippy::cast_possible_truncation, reason = "it saturates")]
        let transactions = per_client as u32;
        pgbench.transactions = transactions.max(20);
        Ok(pgbench)
    }

    pub(crate) fn program() -> Result<PathBuf, Failure> {
        Installation::all()
            .into_iter()
            .map(|installation| installation.bin().join("pgbench"))
            .find(|program| program.is_file())
            .ok_or_else(|| {
                "no pgbench on this machine: install PostgreSQL with its client programs".into()
            })
    }

    /// Transactions a second.
    pub(crate) async fn run(&self) -> Result<f64, Failure> {
        let Self {
            program,
            site,
            transactions,
        } = self;
        let Site {
            port,
            user,
            password,
            database,
            root_file,
        } = site;
        let mut child = Command::new(program)
            .args(["-M", "prepared", "-j", "2", "-n", "-f", "-"])
            .args(["-c", &CLIENTS.to_string(), "-t", &transactions.to_string()])
            .env("PGHOST", "localhost")
            .env("PGHOSTADDR", "127.0.0.1")
            .env("PGPORT", port.to_string())
            .env("PGUSER", user)
            .env("PGPASSWORD", password)
            .env("PGDATABASE", database)
            .env("PGSSLMODE", "verify-full")
            .env("PGSSLROOTCERT", root_file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(mut script) = child.stdin.take() {
            script.write_all(b"SELECT 1;\n").await?;
        }
        let output = child.wait_with_output().await?;
        let told = String::from_utf8_lossy(&output.stdout);
        let all = CLIENTS * transactions;
        let done = format!("number of transactions actually processed: {all}/{all}");
        let speed = told
            .lines()
            .find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
        match speed {
            Some(speed) if output.status.success() && told.contains(&done) => Ok(speed),
            _ => Err(format!("pgbench: {told}{}", String::from_utf8_lossy(&output.stderr)).into()),
        }
    }
}
