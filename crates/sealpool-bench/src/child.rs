use std::{
    env, fs,
    time::{Duration, Instant},
};

use clap::ValueEnum;
use tokio::process::Command;

use crate::{
    Failure,
    bench::one_worker,
    peers::{Contender, Kind, Peer, expect, fill, with_peer},
    server::Site,
};

/// What is measured in a process of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Errand {
    /// The time of `build()`, of the first connect and of the second, in milliseconds.
    FirstConnect,
    /// What the process has grown by with each of many idle connections, in kilobytes.
    Memory,
}

const PEER: &str = "SEALPOOL_BENCH_PEER";
const SITE: &str = "SEALPOOL_BENCH_SITE";
const COUNT: &str = "SEALPOOL_BENCH_COUNT";
/// One connection of so many is open before the first look at the memory.
const WARM: u32 = 10;

impl Errand {
    /// Runs it in a child, for this peer; `count` is of connections.
    pub(crate) async fn sent(
        self,
        kind: Kind,
        site: &Site,
        count: u32,
    ) -> Result<Vec<f64>, Failure> {
        let name = self.to_possible_value().ok_or("an errand without a name")?;
        let output = Command::new(env::current_exe()?)
            .args(["--errand", name.get_name()])
            .env(PEER, kind.name())
            .env(SITE, site.to_lines())
            .env(COUNT, count.to_string())
            .kill_on_drop(true)
            .output()
            .await?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        }
        let told = String::from_utf8(output.stdout)?;
        let numbers = told.split_whitespace().map(str::parse);
        Ok(numbers.collect::<Result<_, _>>()?)
    }

    /// In the child.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let kind = Kind::named(&env::var(PEER)?).ok_or("no such peer")?;
        let site = Site::from_lines(&env::var(SITE)?)?;
        let count = env::var(COUNT)?.parse()?;
        // One thread, so that all have one arena of the allocator.
        let numbers = one_worker()?.block_on(async {
            match self {
                Self::FirstConnect => first_connect(kind, &site).await,
                Self::Memory => memory(kind, &site, count).await,
            }
        })?;
        for number in numbers {
            println!("{number}");
        }
        Ok(())
    }
}

async fn first_connect(kind: Kind, site: &Site) -> Result<Vec<f64>, Failure> {
    let started = Instant::now();
    let contender = kind.open(site, 2)?;
    let built = started.elapsed();
    let (first, second) = with_peer!(&contender, peer => two_connects(peer).await?);
    Ok([built, first, second]
        .map(|time| time.as_secs_f64() * 1e3)
        .into())
}

async fn two_connects<P: Peer>(peer: &P) -> Result<(Duration, Duration), Failure> {
    let started = Instant::now();
    let mut one = peer.acquire().await?;
    expect(P::select_one(&mut one).await?, 1)?;
    let first = started.elapsed();
    let mut two = peer.acquire().await?;
    expect(P::select_one(&mut two).await?, 1)?;
    Ok((first, started.elapsed() - first))
}

async fn memory(kind: Kind, site: &Site, count: u32) -> Result<Vec<f64>, Failure> {
    let warm = count.div_ceil(WARM);
    let contender = kind.open(site, warm + count)?;
    let before = idle(&contender, warm).await?;
    let after = idle(&contender, warm + count).await?;
    Ok(vec![(after - before) / f64::from(count)])
}

/// The resident memory in kilobytes, with so many connections idle.
async fn idle(contender: &Contender, count: u32) -> Result<f64, Failure> {
    with_peer!(contender, peer => fill(peer, count).await?);
    // Whatever goes on after the release has its time.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let status = fs::read_to_string("/proc/self/status")
        .map_err(|error| format!("/proc/self/status: {error}; memory is measured on Linux"))?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = resident.and_then(|text| text.trim().strip_suffix(" kB"));
    Ok(number.ok_or("no VmRSS in /proc/self/status")?.parse()?)
}
