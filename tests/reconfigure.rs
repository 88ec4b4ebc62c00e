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

on_both! {
    on_shared() => what_tasks_and_hooks_go_by;
    on_own(|builder| builder) => another_session_and_another_login;
    on_shared() => another_server;
    on_own(|builder| builder) => another_tls;
    on_shared() => another_way_to_rotate;
    on_shared() => other_sizes_and_times;
    on_shared() => connections_in_the_pool_are_kept_by_the_new_terms;
    on_shared() => what_is_refused_changes_nothing;
    on_shared() => secrets_are_not_in_the_report;
    on_shared() => the_file_is_noticed;
    on_shared() => what_the_program_has_set_counts_over_the_file;
    on_shared() => a_size_from_resize_holds_until_another_is_written;
    on_own(|builder| builder) => a_client_of_the_old_server_can_still_be_cancelled;
    on_shared() => two_at_once_are_one_after_the_other;
    on_shared() => a_pool_that_is_closed;
    on_own(|builder| builder) => two_hundred_under_load;
}

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

/// What shows in a pool of its policy and of what it keeps beside that, without deadpool's own.
fn shown(pool: &Pool) -> String {
    let text = format!("{pool:?}");
    let (ours, _) = text.split_once(", slots: ").unwrap();
    // A pool keeps the name that it was built with.
    let (before, named) = ours.split_once(", name: \"").unwrap();
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

/// With a new setting comes the question what it does to a pool that runs: to be shown by one of the tests of this file.
#[test]
fn every_setting_is_shown_on_a_running_pool() {
    let text = include_str!("reconfigure.rs");
    let forgotten: Vec<_> = Config::KEYS
        .iter()
        .map(|key| key.name)
        .filter(|name| !WHILE_CONNECTING.contains(name))
        .filter(|name| !text.contains(&format!("{name} = ")))
        .collect();
    assert_eq!(forgotten, [""; 0]);
}

async fn what_tasks_and_hooks_go_by(rig: Arc<Rig>) {
    let app = App::new(&rig);
    let lookups = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&lookups);
    let port = rig.tap.port();
    app.write("hostaddr = none");
    let pool = Pool::builder(app.config())
        .observer(rig.record.clone())
        .resolver(move |_, _| {
            counted.fetch_add(1, Ordering::SeqCst);
            async move { Ok(vec![([127, 0, 0, 1], port).into()]) }
        })
        .before_acquire(|client| {
            Box::pin(async move {
                client.batch_execute("select pg_sleep(0.3)").await?;
                Ok(true)
            })
        })
        .build()
        .unwrap();
    drop(pool.acquire().await.unwrap());

    app.change(&pool, "hostaddr = none\npool.hook_timeout = \"20ms\"")
        .await;
    let error = pool.acquire().await.unwrap_err().to_string();
    assert!(error.contains("20ms (pool.hook_timeout)"), "{error}");

    app.change(
        &pool,
        "hostaddr = none\nconnect.resolve_interval = \"20ms\"",
    )
    .await;
    let before = lookups.load(Ordering::SeqCst);
    let kept = pool.acquire().await.unwrap();
    eventually("the name is looked up", async || {
        lookups.load(Ordering::SeqCst) > before + 3
    })
    .await;
    drop(kept);

    app.change(&pool, "hostaddr = none\npool.keepalive_interval = \"50ms\"")
        .await;
    let before = rig.record.counts().checks;
    eventually("the idle connection is asked", async || {
        rig.record.counts().checks != before
    })
    .await;

    app.change(&pool, "hostaddr = none\nsession.statement_cache = 0")
        .await;
    pool.evict_all();
    let client = pool.acquire().await.unwrap();
    client.prepare_cached("select 1").await.unwrap();
    assert_eq!(client.statement_cache.size(), 0);
}

async fn another_session_and_another_login(rig: Arc<Rig>) {
    const OTHER: &str = "other-password-5d10";
    rig.tap.forbid(OTHER);
    let role = format!("create role other login password '{OTHER}'");
    rig.cluster.sql(&role).await.unwrap();
    let app = App::new(&rig);
    let pool = rig.pool(app.config());
    let kept = pool.acquire().await.unwrap();
    drop(pool.acquire().await.unwrap());
    let setting = |name: &str| format!("current_setting('{name}')");
    let other = format!("user = \"other\"\npassword = \"{OTHER}\"");
    let rows = [
        (
            "application_name = \"orders\"",
            setting("application_name"),
            "orders",
        ),
        ("options = \"-c geqo=off\"", setting("geqo"), "off"),
        (
            "session.search_path = \"shop\"",
            setting("search_path"),
            "shop",
        ),
        (
            "session.time_zone = \"Europe/Paris\"",
            setting("TimeZone"),
            "Europe/Paris",
        ),
        (
            "session.statement_timeout = \"7s\"",
            setting("statement_timeout"),
            "7s",
        ),
        (
            "session.lock_timeout = \"7s\"",
            setting("lock_timeout"),
            "7s",
        ),
        (
            "session.idle_in_transaction_timeout = \"7s\"",
            setting("idle_in_transaction_session_timeout"),
            "7s",
        ),
        (
            "database = \"postgres\"",
            "current_database()".to_owned(),
            "postgres",
        ),
        (other.as_str(), "current_user".to_owned(), "other"),
        ("", setting("application_name"), ""),
    ];
    let count = rows.len();
    for (line, query, expected) in rows {
        let report = app.change(&pool, line).await;
        assert!(report.retiring > 0, "{report}");
        eventually("all but the one in use are retired", async || {
            pool.status().stale == 1
        })
        .await;
        let client = pool.acquire().await.unwrap();
        assert_eq!(ask(&client, &query).await, expected, "{line}");
    }
    assert_eq!(closed(&rig, "evicted"), count);
    assert_eq!(
        ask(&kept, "current_database()").await,
        rig.cluster.database()
    );
    drop(kept);
    assert_eq!(closed(&rig, "evicted"), count + 1);

    let first = pool.acquire().await.unwrap();
    let login = |result: Result<Client, Error>| {
        result.map_or_else(|error| chain(&error), |_| "ok".to_owned())
    };
    let right = rig.cluster.password();
    let line = format!("*:*:*:*:{right}");
    let rows = [
        ("password = \"wrong\"".to_owned(), "28P01"),
        (
            format!(
                "password = none\npassword_file = \"{}\"",
                app.file("right", right)
            ),
            "ok",
        ),
        (
            format!(
                "password = none\npassword_file = \"{}\"",
                app.file("wrong", "wrong")
            ),
            "28P01",
        ),
        (
            format!(
                "password = none\npassfile = \"{}\"",
                app.file("passfile", &line)
            ),
            "ok",
        ),
    ];
    for (lines, expected) in rows {
        let report = app.change(&pool, &lines).await;
        assert_eq!(report.retiring, 0, "{report}");
        let result = pool.acquire().await;
        let state = match &result {
            Err(Error::Connect(error)) => error.attempts()[0]
                .sql_state()
                .map(|state| state.code().to_owned()),
            _ => None,
        };
        assert_eq!(state.unwrap_or_else(|| login(result)), expected, "{lines}");
        pool.evict_all();
    }
    ask(&first, "1").await;
    app.change(&pool, "require_auth = \"md5\"").await;
    let refused = login(pool.acquire().await);
    assert!(refused.contains("require_auth"), "{refused}");
    drop(first);
    app.change(&pool, "").await;
    rig.recovered(&pool).await;
}

async fn another_server(rig: Arc<Rig>) {
    let second = Tap::start(rig.cluster.addr()).unwrap();
    let silent = sealpool_testkit::Scripted::start(vec![sealpool_testkit::Step::Silence]).unwrap();
    let app = App::new(&rig);
    let pool = rig.pool(app.config());
    let kept = pool.acquire().await.unwrap();
    let port = |port: u16| format!("port = {port}");
    let slow = format!("port = {}\nconnect.tls_timeout = \"77ms\"", silent.port());
    let rows = [
        ("host = \"127.0.0.1\"", "127.0.0.1"),
        ("hostaddr = \"127.0.0.2\"", "at 127.0.0.2"),
        (&port(second.port()), "localhost"),
        (&slow, "77ms"),
        (
            "connect.target_session_attrs = \"standby\"",
            "wants standby",
        ),
        ("connect.target_session_attrs = \"primary\"", "localhost"),
        ("", "localhost"),
    ];
    for (lines, expected) in rows {
        let report = app.change(&pool, lines).await;
        assert!(!report.changes.is_empty(), "{lines}");
        eventually("all but the one in use are retired", async || {
            pool.status().stale == 1
        })
        .await;
        let outcome = match pool.acquire().await {
            Ok(client) => client.tls().server_name().to_owned(),
            Err(error) => chain(&error),
        };
        assert!(outcome.contains(expected), "{lines}: {outcome}");
    }
    ask(&kept, "1").await;
    assert_eq!(second.connections().len(), 1);
    second.verify().unwrap();

    let both = "host = [\"localhost\", \"127.0.0.1\"]\nhostaddr = [\"127.0.0.1\", \"127.0.0.1\"]\npool.max_size = 25";
    app.change(&pool, both).await;
    let servers = async || {
        let mut clients = Vec::new();
        for _ in 0..24 {
            clients.push(pool.acquire().await.unwrap());
        }
        let names = clients
            .iter()
            .map(|client| client.tls().server_name().to_owned());
        names.collect::<BTreeSet<_>>().len()
    };
    eventually("all but the one in use are retired", async || {
        pool.status().stale == 1
    })
    .await;
    assert_eq!(servers().await, 1);
    let report = app
        .change(
            &pool,
            &format!("{both}\nconnect.load_balance_hosts = \"random\""),
        )
        .await;
    assert_eq!(
        (names(&report), report.retiring),
        (vec!["connect.load_balance_hosts"], 0)
    );
    pool.evict_all();
    assert_eq!(
        servers().await,
        2,
        "24 draws miss one of two once in 2^23 runs"
    );
}

async fn another_tls(rig: Arc<Rig>) {
    let root = rig.cluster.root_file().to_str().unwrap();
    rig.cluster.set("ssl_ca_file", root).unwrap();
    let app = App::new(&rig);
    let stranger = Pki::new();
    let ours = rig
        .cluster
        .pki()
        .leaf()
        .client_auth()
        .common_name("service")
        .issue();
    let certificate = app.file("client.pem", ours.chain_pem());
    let key = app.file("client.key", ours.key_pem());
    let encrypted = app
        .folder
        .path()
        .join("encrypted.key")
        .display()
        .to_string();
    let arguments = [
        "pkcs8",
        "-topk8",
        "-in",
        &key,
        "-out",
        &encrypted,
        "-v2",
        "aes-256-cbc",
        "-passout",
        "pass:let-me-in",
    ];
    assert!(
        Command::new("openssl")
            .args(arguments)
            .status()
            .unwrap()
            .success()
    );
    fs::set_permissions(&encrypted, fs::Permissions::from_mode(0o600)).unwrap();
    let pair =
        |key: &str| format!("tls.client_cert = \"{certificate}\"\ntls.client_key = \"{key}\"");
    let plain = "1.3 bound - localhost";
    let direct = match rig.cluster.major() {
        15 => "connection_closed",
        _ => plain,
    };
    let rows = [
        (
            "tls.max_version = \"1.2\"".to_owned(),
            "1.2 bound - localhost",
        ),
        (
            "tls.channel_binding = \"disable\"".to_owned(),
            "1.3 not_used - localhost",
        ),
        ("tls.sni = false".to_owned(), "1.3 bound - "),
        ("tls.negotiation = \"direct\"".to_owned(), direct),
        (
            format!(
                "tls.root = \"{}\"",
                app.file("stranger.pem", stranger.root_pem())
            ),
            "certificate_unknown_issuer",
        ),
        (
            "tls.pin = \"sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\"".to_owned(),
            "certificate_pin_mismatch",
        ),
        (
            format!(
                "tls.crl = \"{}\"",
                app.file("lists.pem", &stranger.revocation().issue().pem())
            ),
            "certificate_revocation_unknown",
        ),
        (
            "tls.server_name = \"db.example.org\"".to_owned(),
            "certificate_hostname_mismatch",
        ),
        (
            "tls.server_name = \"db.example.org\"\ntls.mode = \"verify-ca\"".to_owned(),
            "1.3 bound - db.example.org",
        ),
        (pair(&key), "1.3 bound /CN=service localhost"),
        (
            format!(
                "{}\ntls.client_key_password = \"let-me-in\"",
                pair(&encrypted)
            ),
            "1.3 bound /CN=service localhost",
        ),
        (String::new(), plain),
    ];
    let pool = rig.pool(app.config());
    drop(pool.acquire().await.unwrap());
    for (lines, expected) in rows {
        let open = pool.status().idle;
        let report = app.change(&pool, &lines).await;
        assert_eq!(report.retiring, open, "{report}");
        retired(&pool).await;
        let hello = rig.tap.connections().len();
        let outcome = match pool.acquire().await {
            Ok(client) => {
                let recording = rig.tap.connections()[hello].clone();
                let named = |name: &&str| {
                    recording
                        .bytes()
                        .windows(name.len())
                        .any(|bytes| bytes == name.as_bytes())
                };
                let subject = client.server_tls().await.unwrap().unwrap().client_subject;
                format!(
                    "{} {} {} {}",
                    client.tls().protocol_version(),
                    client.tls().channel_binding(),
                    subject.unwrap_or_else(|| "-".to_owned()),
                    ["localhost", "db.example.org"]
                        .into_iter()
                        .find(named)
                        .unwrap_or_default(),
                )
            }
            Err(error) => error.to_string(),
        };
        assert!(
            outcome == expected || outcome.contains(expected) && !expected.contains("bound"),
            "{lines}: {outcome}"
        );
    }
    assert_eq!(
        rig.record.counts().closed.into_keys().collect::<Vec<_>>(),
        ["tls_rotated"]
    );
    rig.cluster
        .set("ssl_max_protocol_version", "TLSv1.2")
        .unwrap();
    app.change(&pool, "tls.min_version = \"1.3\"").await;
    retired(&pool).await;
    let error = pool.acquire().await.unwrap_err().to_string();
    assert!(error.contains("protocol_version"), "{error}");
    app.change(&pool, "").await;
    rig.recovered(&pool).await;
}

async fn another_way_to_rotate(rig: Arc<Rig>) {
    let mut app = App::new(&rig);
    let root = fs::read_to_string(rig.cluster.root_file()).unwrap();
    let file = app.file("root.pem", &root);
    app.set(&format!(
        "tls.root = \"{file}\"\ntls.rotate_within = \"24h\"\ntls.reload_interval = \"24h\""
    ));
    let pool = rig.pool(app.config());
    let clients = [pool.acquire().await.unwrap(), pool.acquire().await.unwrap()];
    drop(clients);
    let report = app.change(&pool, "application_name = \"orders\"").await;
    assert_eq!(report.retiring, 2);
    assert!(pool.status().stale > 0, "they have a day");
    app.set("application_name = \"orders\"\ntls.rotate_within = \"1ms\"");
    let report = pool.reload_config().await.unwrap();
    assert_eq!(
        (names(&report), report.retiring),
        (vec!["tls.rotate_within"], 0)
    );
    retired(&pool).await;
    drop(pool.acquire().await.unwrap());

    fs::write(&file, format!("{root}{}", Pki::new().root_pem())).unwrap();
    app.set("tls.reload_interval = \"1s\"");
    let report = pool.reload_config().await.unwrap();
    assert_eq!(names(&report), ["tls.reload_interval"]);
    retired(&pool).await;
    fs::write(&file, format!("{root}{}", Pki::new().root_pem())).unwrap();
    eventually("the pool has found the new root", async || {
        rig.record.counts().reloads.get("ok") == Some(&1)
    })
    .await;
    retired(&pool).await;
    assert_eq!(closed(&rig, "evicted"), 2);
    assert_eq!(
        closed(&rig, "tls_rotated"),
        1,
        "a reconfiguration reads the files too"
    );
}

async fn other_sizes_and_times(rig: Arc<Rig>) {
    let app = App::new(&rig);
    let pool = rig.pool(app.config());
    let kept = pool.acquire().await.unwrap();

    let report = app.change(&pool, "pool.max_size = 1").await;
    let [
        Change {
            name,
            old,
            new,
            origin,
            ..
        },
    ] = &report.changes[..]
    else {
        panic!("{report}")
    };
    assert_eq!(
        (*name, old.as_str(), new.as_str(), report.retiring),
        ("pool.max_size", "10", "1", 0)
    );
    let lines = fs::read_to_string(&app.path).unwrap();
    let line = 1 + lines
        .lines()
        .position(|line| line.starts_with("pool.max_size"))
        .unwrap();
    assert_eq!(
        origin.to_string(),
        format!("{}:{line}:17", app.path.display())
    );
    assert_eq!(
        report.to_string(),
        format!("pool.max_size: 10 -> 1 ({origin})")
    );
    assert_eq!(pool.status().max_size, 1);

    app.change(&pool, "pool.max_size = 1\npool.acquire_timeout = \"60ms\"")
        .await;
    let error = pool.acquire().await.unwrap_err().to_string();
    assert!(error.contains("60ms (pool.acquire_timeout)"), "{error}");

    app.change(&pool, "pool.max_size = 1\npool.max_waiting = 0")
        .await;
    assert!(matches!(pool.acquire().await, Err(Error::QueueFull(0))));
    app.change(&pool, "pool.max_size = 2\npool.max_waiting = 0")
        .await;
    drop(pool.acquire().await.expect("there is room again"));

    app.change(&pool, "pool.min_idle = 4").await;
    eventually("four are idle", async || pool.status().idle == 4).await;

    app.change(&pool, "pool.leak_threshold = \"10ms\"").await;
    eventually("the leak is reported", async || {
        rig.record.counts().leaks.len() == 1
    })
    .await;

    app.change(
        &pool,
        "connect.retry = true\nport = 1\npool.acquire_timeout = \"200ms\"",
    )
    .await;
    pool.evict_all();
    let error = pool.acquire().await.unwrap_err();
    assert!(matches!(error, Error::Timeout(_)), "{error}");
    app.change(&pool, "port = 1").await;
    let error = pool.acquire().await.unwrap_err();
    assert!(matches!(error, Error::Connect(_)), "{error}");
    app.change(&pool, "").await;
    drop(kept);
    drop(pool.acquire().await.unwrap());
    assert_eq!(
        rig.record.counts().reconfigured,
        BTreeMap::from([("ok", 9)])
    );
}

/// Those that are open already, and not only those to come.
async fn connections_in_the_pool_are_kept_by_the_new_terms(rig: Arc<Rig>) {
    let mut app = App::new(&rig);
    app.set("pool.reset = \"transaction\"\npool.max_size = 1");
    let pool = rig.pool(app.config());
    let work_mem = "current_setting('work_mem')";
    let borrow = async |after: &str| {
        let client = pool.acquire().await.unwrap();
        client.batch_execute(after).await.unwrap();
        (pid(&client).await, ask(&client, work_mem).await)
    };
    let first = borrow("set work_mem = '7MB'").await;
    assert_eq!(borrow("").await, (first.0.clone(), "7MB".to_owned()));
    let kept = pool.acquire().await.unwrap();
    assert_eq!(app.change(&pool, "pool.reset = \"auto\"").await.retiring, 0);
    drop(kept);
    let (again, value) = borrow("").await;
    assert_eq!(again, first.0, "it stays");
    assert_ne!(value, "7MB", "it is reset from now on");

    let report = app
        .change(
            &pool,
            "pool.cancel_grace = \"20s\"\npool.mend_timeout = \"30s\"",
        )
        .await;
    assert_eq!(report.changes.len(), 3);
    let busy = pool.acquire().await.unwrap();
    app.change(&pool, "pool.cancel_grace = \"1ms\"").await;
    let asleep = busy.batch_execute("select pg_sleep(600)");
    assert!(
        tokio::time::timeout(Duration::from_millis(100), asleep)
            .await
            .is_err()
    );
    drop(busy);
    let next = pool.acquire().await.expect("its query was cancelled");
    assert_eq!(pid(&next).await, first.0);
    drop(next);

    app.change(&pool, "pool.max_uses = 1").await;
    eventually("it has been used more often", async || {
        closed(&rig, "max_uses") == 1
    })
    .await;
    for (line, reason) in [
        ("pool.max_lifetime = \"10ms\"", "max_lifetime"),
        ("pool.idle_timeout = \"10ms\"", "idle_timeout"),
    ] {
        app.change(&pool, "").await;
        drop(pool.acquire().await.unwrap());
        assert_eq!((pool.status().idle, closed(&rig, reason)), (1, 0));
        app.change(&pool, line).await;
        eventually(reason, async || closed(&rig, reason) == 1).await;
    }
    let counts = rig.record.counts().closed;
    assert_eq!(
        counts.into_keys().collect::<Vec<_>>(),
        ["idle_timeout", "max_lifetime", "max_uses"]
    );
}

async fn what_is_refused_changes_nothing(rig: Arc<Rig>) {
    let app = App::new(&rig);
    let pool = rig.pool(app.config());
    let client = pool.acquire().await.unwrap();
    drop(pool.acquire().await.unwrap());
    let in_force = || {
        let shown = shown(&pool);
        let (policy, _) = shown.split_once(", credentials: ").unwrap();
        format!("{policy} {}", pool.status())
    };
    let before = in_force();
    let refused = async || match pool.reload_config().await.unwrap_err() {
        ReloadError::Refused(error) => error,
        error => panic!("{error}"),
    };
    let rows = [
        (
            "tls.rotate_within = \"1\"",
            "invalid_value",
            "this value cannot be used",
        ),
        (
            "tls.mode = \"disable\"",
            "plaintext",
            "this permits plaintext",
        ),
        (
            "tls.mode = \"no-verify\"",
            "unverified",
            "this leaves the server unverified",
        ),
        (
            "url = \"postgres://db/?sslmode=disable\"",
            "plaintext",
            "plaintext",
        ),
        (
            "pool.max_sise = 3",
            "unknown_key",
            "did you mean `pool.max_size`?",
        ),
        (
            "pool.max_size = \"many\"",
            "invalid_value",
            "this value cannot be used",
        ),
        (
            "pool.max_size = 0",
            "invalid_value",
            "a pool of 0 connections is not possible",
        ),
        (
            "pool.min_idle = 11",
            "conflict",
            "11 idle connections do not fit",
        ),
        (
            "tls.root = \"no-such-root.pem\"",
            "root_missing",
            "no-such-root.pem",
        ),
        (
            "tls.client_key = \"no-such.key\"",
            "incomplete",
            "tls.client_cert",
        ),
    ];
    let count = rows.len();
    for (wrong, code, expected) in rows {
        // What is right beside it is not taken either.
        let right = "application_name = \"other\"\npassword = \"other\"\npool.max_waiting = 3";
        app.write(&format!("{right}\n{wrong}"));
        let error = refused().await;
        let message = error.to_string();
        assert!(message.contains(expected), "{message}");
        assert_eq!(error.code(), code, "{message}");
        let text = fs::read_to_string(&app.path).unwrap();
        let line = 1 + text.lines().position(|line| line == wrong).unwrap();
        let place = format!("{}:{line}:", app.path.display());
        assert!(
            message.starts_with(&place) && message.contains('^'),
            "{message}"
        );
        assert!(!message.contains("other"), "{message}");
        assert_eq!(in_force(), before, "{message}");
        ask(&pool.acquire().await.unwrap(), "1").await;
    }
    app.write("");
    let good = fs::read_to_string(&app.path).unwrap();
    let cut = good.find("\nport").unwrap() - 2;
    fs::write(&app.path, &good[..cut]).unwrap();
    assert_eq!(refused().await.code(), "malformed");
    fs::remove_file(&app.path).unwrap();
    assert_eq!(refused().await.code(), "unreadable");
    let error = pool
        .reconfigure(Config::new())
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(error, "host: no server is named; set host");
    fs::write(&app.path, &good).unwrap();
    assert!(pool.reload_config().await.unwrap().changes.is_empty());
    assert_eq!(in_force(), before);
    ask(&client, "1").await;
    assert_eq!(
        rig.record.counts().reconfigured,
        BTreeMap::from([("failed", count + 3), ("unchanged", 1)])
    );
    assert!(rig.record.counts().closed.is_empty());
}

async fn secrets_are_not_in_the_report(rig: Arc<Rig>) {
    const OTHER: &str = "another-password-77c1";
    rig.tap.forbid(OTHER);
    let app = App::new(&rig);
    let pool = rig.pool(app.config());
    let report = app.change(&pool, &format!("password = \"{OTHER}\"")).await;
    assert_eq!(report.changes[0].old, "_");
    assert_eq!(report.changes[0].new, "_");
    let text = format!("{report} {report:?} {pool:?} {}", crate::log::lines());
    assert!(
        report.to_string().starts_with("password: _ -> _ ("),
        "{report}"
    );
    assert!(!text.contains(OTHER));
    assert!(!format!("{report} {report:?} {pool:?}").contains(rig.cluster.password()));
    let long = "x".repeat(100);
    let report = app
        .change(&pool, &format!("application_name = \"{long}\\nforged\""))
        .await;
    assert!(!report.to_string().contains('\n'), "{report}");
}

/// Also when it is half written and valid all the same: the line of the database comes later.
async fn the_file_is_noticed(rig: Arc<Rig>) {
    let mut app = App::new(&rig);
    app.set("pool.reload_interval = \"1s\"");
    let pool = rig.pool(app.config());
    drop(pool.acquire().await.unwrap());
    let outcomes = || rig.record.counts().reconfigured;

    fs::write(&app.path, "host = ").unwrap();
    eventually("the failure is told", async || {
        outcomes().contains_key("failed")
    })
    .await;
    assert_eq!(
        ask(&pool.acquire().await.unwrap(), "current_database()").await,
        rig.cluster.database()
    );

    // Each of these is valid, and none is there for as long as it takes to be seen twice.
    let (mut longest, mut last) = (Duration::ZERO, Instant::now());
    for size in 11..60 {
        app.write(&format!("pool.max_size = {size}"));
        longest = longest.max(last.elapsed());
        last = Instant::now();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    longest = longest.max(last.elapsed());
    let steady = longest < Duration::from_millis(900);
    let taken = outcomes().contains_key("ok");
    assert!(!(steady && taken), "taken at once: {longest:?}");

    app.write("pool.max_size = 7\napplication_name = \"orders\"");
    eventually("it is in force", async || pool.status().max_size == 7).await;
    retired(&pool).await;
    let client = pool.acquire().await.unwrap();
    assert_eq!(
        ask(&client, "current_setting('application_name')").await,
        "orders"
    );
    let taken = outcomes()["ok"];
    app.set("pool.reload_interval = none");
    eventually("that is taken too", async || outcomes()["ok"] > taken).await;
}

async fn what_the_program_has_set_counts_over_the_file(rig: Arc<Rig>) {
    let app = App::new(&rig);
    let second = app.folder.path().join("second.toml");
    fs::write(&second, "pool.max_size = 5\n").unwrap();
    let layers = [Layer::toml(&app.path, ""), Layer::toml(&second, "")];
    let config = Config::layered(layers)
        .unwrap()
        .application_name("of the program");
    let pool = rig.pool(config);
    let report = app
        .change(
            &pool,
            "pool.max_size = 7\napplication_name = \"of the file\"",
        )
        .await;
    assert!(report.changes.is_empty(), "{report}");
    assert_eq!(pool.status().max_size, 5);
    fs::write(&second, "pool.max_size = 6\n").unwrap();
    let report = pool.reload_config().await.unwrap();
    assert_eq!(names(&report), ["pool.max_size"]);
    assert_eq!(pool.status().max_size, 6);
    let client = pool.acquire().await.unwrap();
    assert_eq!(
        ask(&client, "current_setting('application_name')").await,
        "of the program"
    );

    let report = pool.reconfigure(app.config()).await.unwrap();
    assert_eq!(names(&report), ["application_name", "pool.max_size"]);
    fs::write(&second, "pool.max_size = 8\n").unwrap();
    let report = pool.reload_config().await.unwrap();
    assert!(
        report.changes.is_empty(),
        "another file is its source now: {report}"
    );
    assert_eq!(pool.status().max_size, 7);
}

async fn a_size_from_resize_holds_until_another_is_written(rig: Arc<Rig>) {
    let app = App::new(&rig);
    let pool = rig.pool(app.config());
    pool.resize(20).unwrap();
    app.change(&pool, "application_name = \"orders\"").await;
    assert_eq!(pool.status().max_size, 20);
    app.change(&pool, "pool.max_size = 3").await;
    assert_eq!(pool.status().max_size, 3);
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(pool.acquire().await.unwrap());
    }
    let fourth = pool.acquire_timeout(Duration::from_millis(50)).await;
    assert!(matches!(fourth, Err(Error::Timeout(_))));
}

async fn a_client_of_the_old_server_can_still_be_cancelled(rig: Arc<Rig>) {
    let app = App::new(&rig);
    let pool = rig.pool(app.config());
    let client = pool.acquire().await.unwrap();
    let handle = client.cancel_handle();
    let report = app.change(&pool, "host = \"127.0.0.1\"").await;
    assert_eq!(report.retiring, 1);
    let asleep = tokio::spawn(async move {
        let slept = client.batch_execute("select pg_sleep(600)").await;
        (client, slept)
    });
    let sleeps = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'";
    eventually("the server sleeps", async || {
        rig.cluster.sql(sleeps).await.unwrap() == [[Some("1".to_owned())]]
    })
    .await;
    handle.cancel().await.expect("the server is known still");
    let (client, slept) = asleep.await.unwrap();
    assert_eq!(slept.unwrap_err().code().unwrap().code(), "57014");
    ask(&client, "1").await;
    drop(client);
    assert_eq!((pool.status().stale, closed(&rig, "evicted")), (0, 1));
    assert_eq!(
        pool.acquire().await.unwrap().tls().server_name(),
        "127.0.0.1"
    );
    rig.recovered(&pool).await;
}

async fn two_at_once_are_one_after_the_other(rig: Arc<Rig>) {
    let app = App::new(&rig);
    let pool = rig.pool(app.config());
    for _ in 0..30 {
        let both = [(3, "a"), (7, "b")].map(|(size, name)| {
            let config = app.config().pool_max_size(size).application_name(name);
            let pool = pool.clone();
            tokio::spawn(async move { pool.reconfigure(config).await })
        });
        let reload = pool.reload();
        let [first, second] = both;
        let (first, second, reload) = tokio::join!(first, second, reload);
        let reports = [first.unwrap().unwrap(), second.unwrap().unwrap()];
        reload.unwrap();
        for report in reports {
            assert!(matches!(report.changes.len(), 0 | 2), "{report}");
        }
        retired(&pool).await;
        let name = ask(
            &pool.acquire().await.unwrap(),
            "current_setting('application_name')",
        )
        .await;
        let size = pool.status().max_size;
        assert!(
            matches!((size, name.as_str()), (3, "a") | (7, "b")),
            "{size} {name}"
        );
    }
}

async fn a_pool_that_is_closed(rig: Arc<Rig>) {
    let app = App::new(&rig);
    for _ in 0..10 {
        let pool = rig.pool(app.config());
        let client = pool.acquire().await.unwrap();
        let config = app.config().application_name("other").pool_max_size(3);
        let changed = pool.reconfigure(config.clone());
        let (changed, ()) = tokio::join!(changed, pool.shutdown(Duration::from_millis(1)));
        assert!(
            matches!(changed, Ok(_) | Err(ReloadError::Closed)),
            "{changed:?}"
        );
        assert_eq!(pool.reconfigure(config).await, Err(ReloadError::Closed));
        assert_eq!(pool.reload_config().await, Err(ReloadError::Closed));
        assert!(matches!(pool.acquire().await, Err(Error::Closed)));
        drop(client);
    }
}

async fn two_hundred_under_load(rig: Arc<Rig>) {
    let mut app = App::new(&rig);
    app.set("connect.retry = true\npool.max_size = 4");
    let pool = rig.pool(app.config());
    let load = Load::start(&pool, 6);
    load.more().await;
    let kinds = [
        "application_name = \"orders\"",
        "pool.max_size = 2",
        "pool.max_size = 6\npool.reset = \"always\"",
        "host = \"127.0.0.1\"\npool.min_idle = 2",
        "tls.channel_binding = \"disable\"\npool.max_uses = 50",
        "session.statement_timeout = \"1m\"\ntls.max_version = \"1.2\"",
        "pool.max_lifetime = \"5s\"\nconnect.tls_timeout = \"4s\"",
        "pool.cancel_grace = \"1s\"\npool.acquire_timeout = \"1m\"",
    ];
    for lines in kinds.into_iter().cycle().take(200) {
        let report = app.change(&pool, lines).await;
        assert!(!report.changes.is_empty(), "{report}");
    }
    app.change(&pool, "").await;
    load.more().await;
    load.end().await;
    retired(&pool).await;
    assert_eq!(
        rig.record.counts().reconfigured,
        BTreeMap::from([("ok", 201)])
    );
    assert_eq!(pool.status().max_size, 4);
    pool.evict_all();
    rig.recovered(&pool).await;
}
