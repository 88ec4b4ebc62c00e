use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt, sync::Arc, time::Duration};

use sealpool::{Config, Connector, Key, Pool};
use sealpool_testkit::{Pki, Scripted, Step};
use tempfile::TempDir;

use crate::rig::{Rig, SLACK, on_both};

on_both! {
    on_shared() => the_session_is_set_up_as_written;
    on_own(|builder| builder) => the_role_of_the_server;
    on_shared() => hosts_are_tried_by_chance_where_asked;
}

/// The settings whose effect does not show in what was decided; the test of each is named.
const SHOWN_ELSEWHERE: &[(&str, &str)] = &[
    ("password", "every test logs in with it; a_wrong_password"),
    ("passfile", "from_libpqs_variables"),
    ("tls.client_key_password", "the tests of identity"),
];

/// Nothing is parsed and then not applied: with each setting, another policy is decided.
#[test]
fn every_setting_changes_what_is_decided() {
    let examples = Examples::new();
    let decided = |text: &str| {
        let config = examples.config(text);
        let pool = Pool::builder(config.clone())
            .build()
            .unwrap_or_else(|error| panic!("{error}"));
        format!("{:?} {pool:?}", Connector::new(config).unwrap())
    };
    for key in Config::KEYS {
        if SHOWN_ELSEWHERE.iter().any(|(known, _)| *known == key.name) {
            continue;
        }
        let [without, with] = examples.of(key);
        assert_ne!(
            decided(&without),
            decided(&with),
            "{} is not applied",
            key.name
        );
    }
}

/// A configuration without a setting and one with it, for each, and the files that they name.
pub(crate) struct Examples {
    folder: TempDir,
    pki: Pki,
}

impl Examples {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            pki: Pki::new(),
        }
    }

    pub(crate) fn config(&self, text: &str) -> Config {
        let path = self.write("app.toml", text);
        Config::from_toml(&path, "").unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) fn of(&self, key: &Key) -> [String; 2] {
        let Key { name, example, .. } = key;
        let base = "host = \"db.example.org\"\nuser = \"service\"\n";
        let root = || self.write("root.pem", self.pki.root_pem());
        let rooted = || format!("{base}tls.root = \"{}\"\n", root());
        let (without, line) = match *name {
            "host" | "user" => {
                let [before, after] =
                    [format!("{name} = \"x\"\n"), format!("{name} = {example}\n")];
                let other = base.lines().find(|line| !line.starts_with(name)).unwrap();
                return [before, after].map(|line| format!("{line}{other}\n"));
            }
            "password_file" => (
                base.to_owned(),
                format!("{name} = \"{}\"", self.secret("of-a-file")),
            ),
            "passfile" => (
                base.to_owned(),
                format!("{name} = \"{}\"", self.secret("*:*:*:*:of-a-file")),
            ),
            "tls.mode" => (rooted(), format!("{name} = {example}")),
            "tls.root" => (base.to_owned(), format!("{name} = \"{}\"", root())),
            "tls.crl" => {
                let lists = self.pki.revocation().issue().pem();
                (
                    rooted(),
                    format!("{name} = \"{}\"", self.write("lists.pem", &lists)),
                )
            }
            "tls.client_cert" | "tls.client_key" => {
                let client = self.pki.leaf().client_auth().common_name("service").issue();
                let certificate = self.write("client.pem", client.chain_pem());
                let key = self.secret(client.key_pem());
                (
                    base.to_owned(),
                    format!("tls.client_cert = \"{certificate}\"\ntls.client_key = \"{key}\""),
                )
            }
            _ => (base.to_owned(), format!("{name} = {example}")),
        };
        let with = format!("{without}{line}\n");
        [without, with]
    }

    fn write(&self, name: &str, content: &str) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    fn secret(&self, content: &str) -> String {
        let path = self.write("secret", content);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }
}

async fn the_session_is_set_up_as_written(rig: Arc<Rig>) {
    let config = rig
        .config()
        .application_name("an app, with 'quotes'")
        .options("-c geqo=off -c work_mem=8MB")
        .session_search_path("\"My Schema\", public")
        .session_time_zone("Europe/Paris")
        .session_statement_timeout(Duration::from_secs(90))
        .session_lock_timeout(Duration::from_millis(1_500))
        .session_idle_in_transaction_timeout(Duration::ZERO);
    let client = rig.pool(config).acquire().await.unwrap();
    let rows = [
        ("application_name", "an app, with 'quotes'"),
        ("geqo", "off"),
        ("work_mem", "8MB"),
        ("search_path", "\"My Schema\", public"),
        ("TimeZone", "Europe/Paris"),
        ("statement_timeout", "90s"),
        ("lock_timeout", "1500ms"),
        ("idle_in_transaction_session_timeout", "0"),
    ];
    for (name, expected) in rows {
        let row = client
            .query_one("select current_setting($1)", &[&name])
            .await
            .unwrap();
        let value: String = row.get(0);
        assert_eq!(value.replace("1min30s", "90s"), expected, "{name}");
        client.batch_execute("discard all").await.unwrap();
        let row = client
            .query_one("select current_setting($1)", &[&name])
            .await
            .unwrap();
        assert_eq!(
            row.get::<_, String>(0),
            value,
            "{name} survives a reset of the session"
        );
    }
}

async fn the_role_of_the_server(rig: Arc<Rig>) {
    async fn outcome(rig: &Rig, wanted: &str) -> String {
        let config = rig.config().connect_target_session_attrs(wanted);
        match rig.pool(config).acquire().await {
            Ok(_) => "ok".to_owned(),
            Err(error) => error
                .to_string()
                .split(": ")
                .last()
                .unwrap_or_default()
                .to_owned(),
        }
    }
    for wanted in ["any", "prefer-standby", "primary", "read-write"] {
        assert_eq!(outcome(&rig, wanted).await, "ok", "{wanted}");
    }
    assert_eq!(
        outcome(&rig, "standby").await,
        "the server is a primary, and connect.target_session_attrs wants standby"
    );
    assert_eq!(
        outcome(&rig, "read-only").await,
        "the server takes writes, and connect.target_session_attrs wants read-only"
    );
    rig.cluster
        .set("default_transaction_read_only", "on")
        .unwrap();
    for wanted in ["any", "primary", "read-only"] {
        assert_eq!(outcome(&rig, wanted).await, "ok", "{wanted}");
    }
    assert_eq!(
        outcome(&rig, "read-write").await,
        "the server takes no writes, and connect.target_session_attrs wants read-write"
    );
}

async fn hosts_are_tried_by_chance_where_asked(rig: Arc<Rig>) {
    let hosts = rig
        .config()
        .host(["localhost", "127.0.0.1"])
        .hostaddr(["127.0.0.1", "127.0.0.1"]);
    async fn names(rig: &Rig, config: Config) -> BTreeSet<String> {
        let pool = rig.pool(config.pool_max_size(40));
        let mut clients = Vec::new();
        for _ in 0..40 {
            clients.push(pool.acquire().await.unwrap());
        }
        clients
            .iter()
            .map(|client| client.tls().server_name().to_owned())
            .collect()
    }
    assert_eq!(
        names(&rig, hosts.clone()).await,
        BTreeSet::from(["localhost".to_owned()])
    );
    let by_chance = hosts.connect_load_balance_hosts("random");
    let both = BTreeSet::from(["127.0.0.1".to_owned(), "localhost".to_owned()]);
    assert_eq!(
        names(&rig, by_chance).await,
        both,
        "40 draws miss one of two once in 2^39 runs"
    );
}

#[tokio::test]
async fn a_limit_round_all_phases_ends_the_attempt() {
    let silent = Scripted::start(vec![Step::Silence]).unwrap();
    let limit = Duration::from_millis(300);
    let base = || {
        Config::new()
            .connect_retry(false)
            .host(["127.0.0.1", "localhost"])
            .port(silent.port())
            .user("app")
            .hostaddr(["127.0.0.1", "127.0.0.1"])
    };
    for (config, expected, second) in [
        (
            base().connect_timeout(limit),
            2 * limit,
            "not done within 2",
        ),
        (
            base().connect_total_timeout(limit),
            limit,
            "not done within 0ns",
        ),
    ] {
        let started = std::time::Instant::now();
        let error = Pool::builder(config)
            .build()
            .unwrap()
            .acquire()
            .await
            .unwrap_err();
        let taken = started.elapsed();
        assert!(taken >= expected && taken < expected + SLACK, "{taken:?}");
        let sealpool::Error::Connect(connect) = &error else {
            panic!("{error}")
        };
        let [_, last] = connect.attempts() else {
            panic!("{error}")
        };
        assert!(
            crate::rig::chain(last).contains(second),
            "{}",
            crate::rig::chain(last)
        );
    }
}
