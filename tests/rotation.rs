use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::Ipv4Addr,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use sealpool::{Client, Config, Pool, Reload, ReloadError};
use sealpool_testkit::{ClusterBuilder, Leaf, OffsetDateTime, Pki};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::rig::{Rig, eventually, filled, on_both};

on_both! {
    on_own(|builder| builder) => an_authority_is_replaced_under_load;
    on_own(|builder| builder) => a_password_is_changed_under_load;
    on_own(|builder| builder) => a_password_that_is_new_at_both_ends;
    on_own(certificates_only) => a_client_certificate_is_renewed_under_load;
    on_shared() => what_cannot_be_used_changes_nothing;
    on_shared() => files_that_are_written_all_the_time;
    on_own(|builder| builder) => a_certificate_is_revoked;
    on_shared() => kubernetes_swaps_a_link;
    on_shared() => old_connections_are_retired_one_after_the_other;
    on_shared() => a_connection_in_use_is_left_alone;
    on_shared() => the_task_ends_with_the_pool;
    on_shared() => another_runtime_takes_over;
    on_shared() => our_own_certificates_that_end_soon;
    on_own(ending_soon) => a_certificate_that_ends_soon;
}

/// A file of roots that a test may change.
struct Roots {
    _folder: TempDir,
    path: PathBuf,
}

impl Roots {
    fn new(pem: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.pem");
        fs::write(&path, pem).unwrap();
        Self {
            _folder: folder,
            path,
        }
    }

    fn write(&self, pem: impl AsRef<[u8]>) {
        fs::write(&self.path, pem).unwrap();
    }

    fn config(&self, rig: &Rig) -> Config {
        rig.config().tls_root(self.path.as_path())
    }
}

fn trusted(rig: &Rig) -> String {
    rig.cluster.pki().root_pem().to_owned()
}

fn leaf(pki: &Pki) -> Leaf {
    pki.leaf().dns("localhost").ip(Ipv4Addr::LOCALHOST).issue()
}

async fn one(client: &Client) {
    client.query_one("select 1", &[]).await.unwrap();
}

fn closed(rig: &Rig, reason: &str) -> usize {
    *rig.record.counts().closed.get(reason).unwrap_or(&0)
}

fn reloads(rig: &Rig, outcome: &str) -> usize {
    *rig.record.counts().reloads.get(outcome).unwrap_or(&0)
}

/// Tasks that acquire and query without pause; every failure is one too many.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    tasks: JoinSet<()>,
}

impl Load {
    pub(crate) fn start(pool: &Pool, count: usize) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let mut tasks = JoinSet::new();
        for _ in 0..count {
            let (pool, stop) = (pool.clone(), Arc::clone(&stop));
            let done: Arc<AtomicUsize> = Arc::clone(&done);
            tasks.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let client = pool.acquire().await.expect("no failed acquire");
                    client
                        .query_one("select 1", &[])
                        .await
                        .expect("no failed query");
                    done.fetch_add(1, Ordering::Relaxed);
                    drop(client);
                    // Without a pause, a machine of two cores lets a single query wait for seconds.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            });
        }
        Self { stop, done, tasks }
    }

    pub(crate) async fn more(&self) {
        let before = self.done.load(Ordering::Relaxed);
        eventually("more queries", async || {
            self.done.load(Ordering::Relaxed) > before + 50
        })
        .await;
    }

    pub(crate) async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.tasks.join_all().await;
    }
}

async fn an_authority_is_replaced_under_load(rig: Arc<Rig>) {
    let old = trusted(&rig);
    let roots = Roots::new(&old);
    let within = Duration::from_secs(1);
    let config = roots
        .config(&rig)
        .pool_max_size(4)
        .tls_rotate_within(within);
    let pool = rig.pool(config.tls_reload_interval(Duration::from_secs(1)));
    let load = Load::start(&pool, 6);
    load.more().await;
    let opened = rig.record.counts().opened;

    let new = Pki::new();
    roots.write(format!("{old}{}", new.root_pem()));
    eventually("the pool has found both roots", async || {
        reloads(&rig, "ok") == 1
    })
    .await;
    rig.cluster.swap_certificate(&leaf(&new)).unwrap();
    eventually("the first rotation ends", async || pool.status().stale == 0).await;
    load.more().await;

    roots.write(new.root_pem());
    eventually("the pool has found the new root", async || {
        reloads(&rig, "ok") == 2
    })
    .await;
    eventually("the second rotation ends", async || {
        pool.status().stale == 0
    })
    .await;
    load.more().await;
    load.end().await;

    let counts = rig.record.counts();
    assert_eq!(counts.failed, BTreeMap::new());
    assert_eq!(counts.closed.keys().collect::<Vec<_>>(), [&"tls_rotated"]);
    assert!(counts.closed["tls_rotated"] >= 2 * opened, "{counts:?}");
    assert!(!counts.reloads.contains_key("failed"));
    let client = pool.acquire().await.unwrap();
    assert_eq!(client.tls().chain()[1].issuer(), issuer(&new));
}

fn issuer(pki: &Pki) -> String {
    let name = format!("{pki:?}");
    let (_, rest) = name.split_once("name: \"").unwrap();
    let (name, _) = rest.split_once('"').unwrap();
    format!("CN=sealpool test root {name}")
}

/// The role `app` may only come with a certificate for `app`.
fn certificates_only(builder: ClusterBuilder) -> ClusterBuilder {
    builder.hba("hostssl all app all cert\n")
}

async fn serial(client: &Client) -> String {
    let query = "select client_serial::text from pg_stat_ssl where pid = pg_backend_pid()";
    client.query_one(query, &[]).await.unwrap().get(0)
}

async fn a_client_certificate_is_renewed_under_load(rig: Arc<Rig>) {
    let root = rig.cluster.root_file().to_str().unwrap();
    rig.cluster.set("ssl_ca_file", root).unwrap();
    let ours = || {
        let leaf = rig.cluster.pki().leaf();
        leaf.client_auth().common_name("app").issue()
    };
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let old = ours();
    let config = without_password(&rig)
        .tls_client_cert(file("client.crt", old.chain_pem()))
        .tls_client_key(file("client.key", old.key_pem()))
        .tls_rotate_within(Duration::from_millis(500))
        .pool_max_size(4);
    let pool = rig.pool(config);
    let load = Load::start(&pool, 3);
    load.more().await;
    let before = serial(&pool.acquire().await.unwrap()).await;

    let new = ours();
    let half = &new.key_pem()[..new.key_pem().len() / 2];
    for key in [new.key_pem(), half, "", "no key at all"] {
        file("client.key", key);
        let error = pool.reload().await.unwrap_err().to_string();
        assert!(error.contains("tls.client_key: "), "{error}");
        assert!(!error.contains("BEGIN"), "{error}");
        load.more().await;
    }
    assert_eq!(pool.status().stale, 0);

    file("client.key", new.key_pem());
    file("client.crt", new.chain_pem());
    assert_eq!(pool.reload().await, Ok(Reload::Swapped));
    eventually("the rotation ends", async || pool.status().stale == 0).await;
    load.more().await;
    assert_ne!(serial(&pool.acquire().await.unwrap()).await, before);
    load.end().await;
    let counts = rig.record.counts();
    assert_eq!(counts.reloads, BTreeMap::from([("failed", 4), ("ok", 1)]));
    assert_eq!(counts.failed, BTreeMap::new());
    assert_eq!(
        counts.closed.into_keys().collect::<Vec<_>>(),
        ["tls_rotated"]
    );
}

async fn a_password_is_changed_under_load(rig: Arc<Rig>) {
    const NEW: &str = "new-password-19d2";
    rig.tap.forbid(NEW);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    fs::write(&file, format!("{}\n", rig.cluster.password())).unwrap();
    let config = without_password(&rig).password_file(file.as_path());
    let pool = rig.pool(config.tls_reload_interval(Duration::from_secs(1)));
    let load = Load::start(&pool, 2);
    load.more().await;
    let alter = format!("alter role app password '{NEW}'");
    rig.cluster.sql(&alter).await.unwrap();
    fs::write(&file, NEW).unwrap();
    eventually("the pool has found the password", async || {
        reloads(&rig, "ok") == 1
    })
    .await;
    load.more().await;
    // More clients than there are connections: new ones are opened.
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(pool.acquire().await.unwrap());
    }
    drop(clients);
    load.end().await;
    let counts = rig.record.counts();
    assert!(counts.closed.is_empty(), "{:?}", counts.closed);
}

async fn a_password_that_is_new_at_both_ends(rig: Arc<Rig>) {
    const NEW: &str = "new-password-80aa";
    rig.tap.forbid(NEW);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    fs::write(&file, rig.cluster.password()).unwrap();
    let pool = rig.pool(without_password(&rig).password_file(file.as_path()));
    let first = pool.acquire().await.unwrap();
    let alter = format!("alter role app password '{NEW}'");
    rig.cluster.sql(&alter).await.unwrap();
    pool.acquire().await.expect_err("the file has the old one");
    fs::write(&file, NEW).unwrap();
    let second = pool.acquire().await.expect("the file is looked at again");
    one(&first).await;
    one(&second).await;
    assert_eq!(
        rig.record.counts().reloads,
        BTreeMap::from([("ok", 1), ("unchanged", 1)])
    );
    assert_eq!(pool.status().stale, 0);
}

fn without_password(rig: &Rig) -> Config {
    Config::new()
        .host("localhost")
        .hostaddr("127.0.0.1")
        .port(rig.tap.port())
        .database(rig.cluster.database())
        .user(rig.cluster.user())
        .tls_root(rig.cluster.root_file())
}

async fn what_cannot_be_used_changes_nothing(rig: Arc<Rig>) {
    let good = trusted(&rig);
    let roots = Roots::new(&good);
    let pool = rig.pool(roots.config(&rig));
    let mut clients = vec![pool.acquire().await.unwrap()];
    assert_eq!(pool.reload().await, Ok(Reload::Unchanged));

    let key = leaf(rig.cluster.pki()).key_pem().to_owned();
    let bad: [(&str, &[u8], &str); 4] = [
        (
            "half",
            &good.as_bytes()[..good.len() / 2],
            "certificate 1 cannot be read",
        ),
        ("empty", b"", "holds 0 usable certificates: it is empty"),
        (
            "key",
            key.as_bytes(),
            "holds 0 usable certificates: it holds a private key",
        ),
        (
            "garbage",
            b"\x00\xff\x00\xff",
            "holds 0 usable certificates",
        ),
    ];
    let count = bad.len();
    for (name, content, expected) in bad {
        roots.write(content);
        for _ in 0..2 {
            let error = pool.reload().await.unwrap_err();
            assert!(matches!(error, ReloadError::Refused(_)));
            let text = error.to_string();
            let path = roots.path.display().to_string();
            assert!(
                text.starts_with(file!()) && text.contains(&path) && text.contains(expected),
                "{name}: {text}"
            );
        }
        clients.push(pool.acquire().await.expect("what is in force stays"));
    }
    fs::remove_file(&roots.path).unwrap();
    let error = pool.reload().await.unwrap_err().to_string();
    assert!(error.contains("No such file"), "{error}");
    clients.push(pool.acquire().await.unwrap());

    roots.write(&good);
    assert_eq!(pool.reload().await, Ok(Reload::Unchanged), "as it was");
    roots.write(format!("{good}{}", Pki::new().root_pem()));
    assert_eq!(pool.reload().await, Ok(Reload::Swapped));
    assert_eq!(pool.reload().await, Ok(Reload::Unchanged));
    assert_eq!(pool.status().stale, clients.len());
    assert_eq!(
        rig.record.counts().reloads,
        BTreeMap::from([("failed", 2 * count + 1), ("ok", 1), ("unchanged", 3)])
    );
    for client in &clients {
        one(client).await;
    }
}

/// Whatever a look finds half written is either refused or seen to have changed; what is in force always works.
async fn files_that_are_written_all_the_time(rig: Arc<Rig>) {
    let good = trusted(&rig);
    let roots = Roots::new(&good);
    let config = roots.config(&rig).pool_max_size(1);
    let pool = rig.pool(config.tls_rotate_within(Duration::from_millis(1)));
    let stop = Arc::new(AtomicBool::new(false));
    let writer = std::thread::spawn({
        let (path, stop) = (roots.path.clone(), Arc::clone(&stop));
        let versions = [Pki::new(), Pki::new()].map(|new| format!("{good}{}", new.root_pem()));
        move || {
            for version in versions.iter().cycle() {
                fs::write(&path, version).unwrap();
                if stop.load(Ordering::Relaxed) {
                    break;
                }
            }
        }
    });
    let mut failed = BTreeSet::new();
    eventually(
        "a set that was refused and one that was taken",
        async || {
            match pool.reload().await {
                Ok(_) => {}
                Err(ReloadError::HalfWritten) => drop(failed.insert("half written")),
                Err(ReloadError::Refused(_)) => drop(failed.insert("refused")),
                Err(error) => panic!("{error}"),
            }
            one(&pool.acquire().await.unwrap()).await;
            failed.len() == 2 && reloads(&rig, "ok") > 0
        },
    )
    .await;
    stop.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    pool.reload().await.unwrap();
    assert_eq!(pool.reload().await, Ok(Reload::Unchanged));
}

async fn a_certificate_is_revoked(rig: Arc<Rig>) {
    let pki = Pki::new();
    let leaf = leaf(&pki);
    rig.cluster.swap_certificate(&leaf).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let lists = folder.path().join("lists.pem");
    fs::write(&lists, pki.revocation().issue().pem()).unwrap();
    let config = Roots::new(pki.root_pem());
    let config = config.config(&rig).tls_crl([lists.as_path()]);
    let pool = rig.pool(config.tls_rotate_within(Duration::from_millis(50)));
    filled(&pool, 4).await;

    fs::write(&lists, pki.revocation().revoke(&leaf).issue().pem()).unwrap();
    assert_eq!(pool.reload().await, Ok(Reload::Swapped));
    eventually("all are retired", async || pool.status().stale == 0).await;
    let error = pool.acquire().await.unwrap_err().to_string();
    assert!(error.contains("certificate_revoked"), "{error}");
    assert_eq!(
        rig.record.counts().closed,
        BTreeMap::from([("tls_rotated", 4)])
    );
}

/// A volume as the kubelet writes it: `root.pem -> ..data/root.pem`, and `..data` is swapped by a rename.
async fn kubernetes_swaps_a_link(rig: Arc<Rig>) {
    fn publish(volume: &Path, version: &str, pem: &str) {
        let folder = volume.join(version);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("root.pem"), pem).unwrap();
        symlink(version, volume.join("..data_tmp")).unwrap();
        fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    }
    let volume = tempfile::tempdir().unwrap();
    let volume = volume.path();
    let stranger = Pki::new();
    publish(volume, "..2026_1", stranger.root_pem());
    symlink("..data/root.pem", volume.join("root.pem")).unwrap();
    let root = volume.join("root.pem");
    let pool = rig.pool(rig.config().tls_root(root.as_path()));
    pool.acquire().await.expect_err("the stranger's root");
    publish(volume, "..2026_2", &trusted(&rig));
    fs::remove_dir_all(volume.join("..2026_1")).unwrap();
    assert_eq!(pool.reload().await, Ok(Reload::Swapped));
    one(&pool.acquire().await.unwrap()).await;
    publish(volume, "..2026_3", &trusted(&rig));
    assert_eq!(
        pool.reload().await,
        Ok(Reload::Unchanged),
        "another link, the same content"
    );
}

async fn old_connections_are_retired_one_after_the_other(rig: Arc<Rig>) {
    let good = trusted(&rig);
    let roots = Roots::new(&good);
    let within = Duration::from_secs(2);
    let pool = rig.pool(roots.config(&rig).tls_rotate_within(within));
    filled(&pool, 10).await;
    roots.write(format!("{good}{}", Pki::new().root_pem()));
    let started = Instant::now();
    assert_eq!(pool.reload().await, Ok(Reload::Swapped));
    let mut levels = BTreeSet::new();
    eventually("all are retired", async || {
        levels.insert(pool.status().stale);
        let retired_early = closed(&rig, "tls_rotated") > 7 && started.elapsed() < within / 3;
        assert!(!retired_early, "all at once");
        levels.contains(&0)
    })
    .await;
    let taken = started.elapsed();
    assert!(taken < within + Duration::from_millis(500), "{taken:?}");
    assert!(levels.len() > 3, "{levels:?}");
    assert_eq!(pool.status().idle, 0);
    assert_eq!(
        rig.record.counts().closed,
        BTreeMap::from([("tls_rotated", 10)])
    );
}

async fn a_connection_in_use_is_left_alone(rig: Arc<Rig>) {
    let good = trusted(&rig);
    let roots = Roots::new(&good);
    let config = roots.config(&rig).pool_max_size(1);
    let pool = rig.pool(config.tls_rotate_within(Duration::from_millis(1)));
    let client = pool.acquire().await.unwrap();
    let sleeping = client.query_one("select pg_sleep(1)", &[]);
    let rotated = async {
        roots.write(format!("{good}{}", Pki::new().root_pem()));
        assert_eq!(pool.reload().await, Ok(Reload::Swapped));
    };
    let (slept, ()) = tokio::join!(sleeping, rotated);
    slept.expect("the query that was running");
    one(&client).await;
    assert_eq!((pool.status().stale, closed(&rig, "tls_rotated")), (1, 0));
    drop(client);
    assert_eq!((pool.status().stale, closed(&rig, "tls_rotated")), (0, 1));
    one(&pool.acquire().await.unwrap()).await;
}

async fn the_task_ends_with_the_pool(rig: Arc<Rig>) {
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    for close in [false, true] {
        let pool = rig.pool(rig.config());
        assert_eq!(tasks(), 0, "nothing runs before the first acquire");
        one(&pool.acquire().await.unwrap()).await;
        assert!(tasks() > 0);
        if close {
            pool.shutdown(Duration::from_secs(5)).await;
        }
        let kept = close.then_some(pool);
        eventually("no task is left", async || tasks() == 0).await;
        drop(kept);
    }
}

async fn another_runtime_takes_over(rig: Arc<Rig>) {
    let good = trusted(&rig);
    let roots = Roots::new(&good);
    let interval = Duration::from_secs(1);
    let pool = rig.pool(roots.config(&rig).tls_reload_interval(interval));
    let first = std::thread::spawn({
        let pool = pool.clone();
        move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async { one(&pool.acquire().await.unwrap()).await });
            let started = Instant::now();
            drop(runtime);
            started.elapsed()
        }
    });
    let taken = first.join().unwrap();
    assert!(taken < Duration::from_secs(1), "{taken:?}");
    one(&pool.acquire().await.unwrap()).await;
    roots.write(format!("{good}{}", Pki::new().root_pem()));
    eventually("the new root is found", async || reloads(&rig, "ok") == 1).await;
}

async fn our_own_certificates_that_end_soon(rig: Arc<Rig>) {
    let ending_in = |days: u32| {
        let (now, day) = (OffsetDateTime::now_utc(), Duration::from_secs(24 * 60 * 60));
        let leaf = rig.cluster.pki().leaf().not_before(now - day * 80);
        leaf.not_after(now + day * days + day / 2)
    };
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let client = ending_in(2).client_auth().issue();
    let root = ending_in(13).self_signed().issue();
    let roots = Roots::new(&format!("{}{}", trusted(&rig), root.certificate_pem()));
    let config = roots
        .config(&rig)
        .tls_client_cert(file("client.crt", client.certificate_pem()))
        .tls_client_key(file("client.key", client.key_pem()));
    let pool = rig.pool(config);
    for _ in 0..3 {
        pool.reload().await.unwrap();
    }
    let expiring = rig.record.counts().expiring;
    assert_eq!(expiring, [("client", 2), ("root", 13)]);
}

fn ending_soon(builder: ClusterBuilder) -> ClusterBuilder {
    let pki = Pki::new();
    let now = OffsetDateTime::now_utc();
    let day = Duration::from_secs(24 * 60 * 60);
    let leaf = pki
        .leaf()
        .dns("localhost")
        .ip(Ipv4Addr::LOCALHOST)
        .not_before(now - day * 80)
        .not_after(now + day * 10 + day / 2)
        .issue();
    builder.pki(pki).certificate(leaf)
}

async fn a_certificate_that_ends_soon(rig: Arc<Rig>) {
    let pool = rig.pool(rig.config());
    pool.reload().await.unwrap();
    assert!(rig.record.counts().expiring.is_empty(), "none is in use");
    one(&pool.acquire().await.unwrap()).await;
    for _ in 0..3 {
        pool.reload().await.unwrap();
    }
    assert_eq!(rig.record.counts().expiring, [("server", 10)]);
}
