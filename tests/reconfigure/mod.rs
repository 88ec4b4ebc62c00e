use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use sealpool::{Change, Client, Config, Error, Layer, Origin, Pool, Reconfigured, ReloadError};
use sealpool_testkit::{Pki, Tap};
use tempfile::TempDir;

use crate::{
    rig::{Rig, chain, eventually, on_both},
    rotation::Load,
    settings::Examples,
};

mod connecting;
mod pooling;
mod refusals;
mod sources;
mod traffic;

/// A TOML file that a test may change.
struct App {
    folder: TempDir,
    path: PathBuf,
    base: BTreeMap<String, String>,
}

impl App {
    fn new(rig: &Rig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut app = Self {
            path: folder.path().join("app.toml"),
            folder,
            base: BTreeMap::new(),
        };
        app.set(&format!(
            "host = \"localhost\"\nhostaddr = \"127.0.0.1\"\nport = {}\ndatabase = \"{}\"\nuser = \"{}\"\n\
             password = \"{}\"\ntls.root = \"{}\"\ntls.rotate_within = \"1ms\"\nconnect.retry = false",
            rig.tap.port(),
            rig.cluster.database(),
            rig.cluster.user(),
            rig.cluster.password(),
            rig.cluster.root_file().display(),
        ));
        app
    }

    /// From here on, these lines are in the file whatever else is.
    fn set(&mut self, lines: &str) {
        self.base = self.with(lines);
        self.write("");
    }

    /// The file, with these lines in place of others; `none` takes one out.
    fn with(&self, lines: &str) -> BTreeMap<String, String> {
        let mut all = self.base.clone();
        for line in lines.lines() {
            let (key, value) = line.split_once(" = ").unwrap();
            all.insert(key.to_owned(), value.to_owned());
        }
        all.retain(|_, value| value != "none");
        all
    }

    fn write(&self, lines: &str) {
        let lines = self.with(lines);
        let lines = lines
            .iter()
            .map(|(key, value)| format!("{key} = {value}\n"));
        fs::write(&self.path, lines.collect::<String>()).unwrap();
    }

    fn config(&self) -> Config {
        Config::from_toml(&self.path, "").unwrap_or_else(|error| panic!("{error}"))
    }

    async fn change(&self, pool: &Pool, lines: &str) -> Reconfigured {
        self.write(lines);
        let result = pool.reload_config().await;
        result.unwrap_or_else(|error| panic!("{lines}: {error}"))
    }

    /// A file beside it, for nobody else to read.
    fn file(&self, name: &str, content: &str) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    }
}

async fn ask(client: &Client, query: &str) -> String {
    let query = format!("select ({query})::text");
    client.query_one(&query, &[]).await.unwrap().get(0)
}

async fn pid(client: &Client) -> String {
    ask(client, "pg_backend_pid()").await
}

async fn retired(pool: &Pool) {
    eventually("what was made before is retired", async || {
        pool.status().stale == 0
    })
    .await;
}

fn closed(rig: &Rig, reason: &str) -> usize {
    *rig.record.counts().closed.get(reason).unwrap_or(&0)
}

fn names(report: &Reconfigured) -> Vec<&'static str> {
    report.changes.iter().map(|change| change.name).collect()
}

/// What shows in a pool of its policy and of what it keeps beside that.
fn shown(pool: &Pool) -> String {
    let text = format!("{pool:?}");
    // A pool keeps the name that it was built with.
    let (before, named) = text.split_once(", name: \"").unwrap();
    let ours = before.to_owned() + named.split_once("\", house: ").unwrap().1;
    // How often somebody was told of a swap.
    let mut parts = ours.split("version: Version(");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| all + part.split_once(')').unwrap().1)
}

/// Each setting is in force after a reconfiguration as if the pool had been built with it, and gone after another.
#[tokio::test]
async fn every_setting_can_be_changed() {
    let examples = Examples::new();
    for key in Config::KEYS {
        let [without, with] = examples.of(key);
        let built = |text: &str| Pool::builder(examples.config(text)).build().unwrap();
        let pool = built(&without);
        let before = shown(&pool);
        let result = pool.reconfigure(examples.config(&with)).await;
        if key.name == "tls.client_key_password" {
            let error = result.unwrap_err().to_string();
            assert!(error.contains("tls.client_key_password: "), "{error}");
            continue;
        }
        let report = result.unwrap_or_else(|error| panic!("{}: {error}", key.name));
        assert_eq!(shown(&pool), shown(&built(&with)), "{}", key.name);
        assert_ne!(shown(&pool), before, "{}", key.name);
        let line = 1 + with
            .lines()
            .position(|line| line.starts_with(key.name))
            .unwrap();
        let change = report.changes.iter().find(|change| change.name == key.name);
        let change = change.unwrap_or_else(|| panic!("{}: {report}", key.name));
        let Change {
            old, new, origin, ..
        } = change;
        assert!(
            matches!(origin, Origin::File { line: at, .. } if *at == line),
            "{change}"
        );
        assert_ne!(old, new, "{}", key.name);
        assert_eq!(
            report.changes.len(),
            with.lines().count() - without.lines().count().min(with.lines().count() - 1)
        );

        let report = pool.reconfigure(examples.config(&without)).await.unwrap();
        assert_eq!(shown(&pool), before, "{}", key.name);
        let back = report.changes.iter().find(|change| change.name == key.name);
        assert_eq!((&back.unwrap().old, &back.unwrap().new), (new, old));
        let report = pool.reconfigure(examples.config(&without)).await.unwrap();
        assert_eq!(report.to_string(), "nothing has changed");
    }
}

/// The settings that count while a connection is opened and are looked up each time, so that the test above says it all;
/// `another_server` shows one of them at work.
const WHILE_CONNECTING: &[&str] = &[
    "connect.timeout",
    "connect.total_timeout",
    "connect.keepalives",
    "connect.keepalives_idle",
    "connect.keepalives_interval",
    "connect.keepalives_count",
    "connect.tcp_user_timeout",
    "connect.resolve_timeout",
    "connect.tcp_timeout",
    "connect.startup_timeout",
    "connect.password_timeout",
    "connect.cancel_timeout",
    "connect.max_concurrent_handshakes",
];

/// With a new setting comes the question what it does to a pool that runs: to be shown by one of these tests.
#[test]
fn every_setting_is_shown_on_a_running_pool() {
    let text = concat!(
        include_str!("connecting.rs"),
        include_str!("pooling.rs"),
        include_str!("refusals.rs"),
        include_str!("sources.rs"),
        include_str!("traffic.rs"),
    );
    let forgotten: Vec<_> = Config::KEYS
        .iter()
        .map(|key| key.name)
        .filter(|name| !WHILE_CONNECTING.contains(name))
        .filter(|name| !text.contains(&format!("{name} = ")))
        .collect();
    assert_eq!(forgotten, [""; 0]);
}
