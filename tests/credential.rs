use std::{
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use sealpool::{Class, Config, Error, Password, PasswordRequest, Pool, Stage};
use sealpool_testkit::ClusterBuilder;
use tokio::task::JoinSet;

use crate::rig::{Rig, chain, on_both};

on_both! {
    on_own(|builder| builder) => sixty_four_connects_ask_once;
    on_shared() => a_password_is_asked_for_again_when_it_has_expired;
    on_own(|builder| builder) => a_password_that_was_refused_is_asked_for_again;
    on_own(cleartext) => a_token_is_sent_as_it_is_to_a_server_that_asks_for_that;
    on_shared() => a_provider_that_fails;
    on_shared() => a_provider_that_hangs;
}

/// A pool of that many connections, whose provider answers with what `answer` makes of the number of the call.
fn pool<R>(
    rig: &Rig,
    config: Config,
    answer: impl Fn(usize) -> R + Send + Sync + 'static,
) -> (Pool, Arc<AtomicUsize>)
where
    R: Future<Output = Result<Password, Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let pool = Pool::builder(config)
        .observer(rig.record.clone())
        .password_provider(move |_| answer(counted.fetch_add(1, Ordering::SeqCst) + 1))
        .build()
        .unwrap();
    (pool, calls)
}

/// The configuration of the rig without its password.
fn config(rig: &Rig) -> Config {
    Config::new()
        .connect_retry(false)
        .host("localhost")
        .hostaddr("127.0.0.1")
        .port(rig.tap.port())
        .database(rig.cluster.database())
        .user(rig.cluster.user())
        .tls_root(rig.cluster.root_file())
}

fn in_an_hour() -> SystemTime {
    SystemTime::now() + Duration::from_secs(60 * 60)
}

async fn sixty_four_connects_ask_once(rig: Arc<Rig>) {
    let password = rig.cluster.password().to_owned();
    let (pool, calls) = pool(&rig, config(&rig).pool_max_size(64), move |_| {
        let password = Password::new(&password).expires_at(in_an_hour());
        async move {
            // Long enough for all to be waiting.
            tokio::time::sleep(Duration::from_millis(200)).await;
            Ok(password)
        }
    });
    let mut tasks = JoinSet::new();
    for _ in 0..64 {
        let pool = pool.clone();
        tasks.spawn(async move { pool.acquire().await });
    }
    let clients: Vec<_> = tasks.join_all().await;
    assert!(clients.iter().all(Result::is_ok));
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    let counts = rig.record.counts();
    assert_eq!((counts.credentials["ok"], counts.opened), (1, 64));
}

async fn a_password_is_asked_for_again_when_it_has_expired(rig: Arc<Rig>) {
    let password = rig.cluster.password().to_owned();
    let life = Duration::from_secs(2);
    let (pool, calls) = pool(&rig, config(&rig), move |call| {
        let password = Password::new(&password);
        async move {
            Ok(match call {
                1 => password.expires_at(SystemTime::now() + life),
                2 => password,
                _ => password.expires_at(in_an_hour()),
            })
        }
    });
    let calls = || calls.load(Ordering::SeqCst);
    let first = pool.acquire().await.unwrap();
    assert_eq!(calls(), 1);
    // Time is what this is about.
    tokio::time::sleep(life).await;
    let second = pool.acquire().await.unwrap();
    assert_eq!(calls(), 2, "the first has expired");
    let third = pool.acquire().await.unwrap();
    assert_eq!(calls(), 3, "the second was for one connection");
    let fourth = pool.acquire().await.unwrap();
    assert_eq!(calls(), 3);
    drop((first, second, third, fourth));
}

async fn a_password_that_was_refused_is_asked_for_again(rig: Arc<Rig>) {
    const NEW: &str = "new-password-77c1";
    rig.tap.forbid(NEW);
    let password = Arc::new(Mutex::new(rig.cluster.password().to_owned()));
    let (pool, calls) = pool(&rig, config(&rig), {
        let password = Arc::clone(&password);
        move |_| {
            let password = Password::new(&*password.lock().unwrap()).expires_at(in_an_hour());
            async move { Ok(password) }
        }
    });
    let first = pool.acquire().await.unwrap();
    NEW.clone_into(&mut password.lock().unwrap());
    let alter = format!("alter role app password '{NEW}'");
    rig.cluster.sql(&alter).await.unwrap();
    let second = pool.acquire().await.expect("the new password");
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    drop((first, second));
}

fn cleartext(builder: ClusterBuilder) -> ClusterBuilder {
    builder.hba("hostssl all app 127.0.0.1/32 password\n")
}

async fn a_token_is_sent_as_it_is_to_a_server_that_asks_for_that(rig: Arc<Rig>) {
    let password = rig.cluster.password().to_owned();
    let (pool, _) = pool(&rig, config(&rig), move |_| {
        let password = Password::new(&password);
        async move { Ok(password) }
    });
    pool.acquire()
        .await
        .expect("a token may be sent inside TLS");
}

async fn refused(rig: &Rig, pool: &Pool) -> Error {
    let error = pool.acquire().await.unwrap_err();
    assert_eq!(
        (error.class(), error.is_transient()),
        (Class::Credential, true)
    );
    let Error::Connect(connect) = &error else {
        panic!("{error}")
    };
    assert_eq!(connect.attempts()[0].stage(), Stage::Auth);
    assert_eq!(rig.record.counts().credentials["failed"], 1);
    assert!(rig.tap.connections().is_empty(), "nobody was connected to");
    error
}

async fn a_provider_that_fails(rig: Arc<Rig>) {
    let password = rig.cluster.password().to_owned();
    let (pool, _) = pool(&rig, config(&rig), move |call| {
        let password = Password::new(&password);
        async move {
            match call {
                1 => Err("the token service is closed".into()),
                _ => Ok(password),
            }
        }
    });
    let error = refused(&rig, &pool).await;
    let port = rig.tap.port();
    assert_eq!(
        chain(&error),
        format!(
            "cannot connect to localhost:{port}: auth: the password provider gave no password: the token service is closed"
        )
    );
    pool.acquire().await.expect("the second answer");
}

async fn a_provider_that_hangs(rig: Arc<Rig>) {
    let limit = Duration::from_millis(300);
    let config = config(&rig).connect_password_timeout(limit);
    let (pool, _) = pool(&rig, config, |_| pending());
    let started = Instant::now();
    let error = refused(&rig, &pool).await;
    let taken = started.elapsed();
    assert!(
        taken >= limit && taken < limit + Duration::from_millis(250),
        "{taken:?}"
    );
    assert!(
        chain(&error).ends_with("it gave nothing within 300ms (connect.password_timeout)"),
        "{}",
        chain(&error)
    );
}

#[test]
fn a_request_names_the_server_and_the_role() {
    fn fields(request: &PasswordRequest) -> (&str, u16, &str) {
        (&request.host, request.port, &request.user)
    }
    let asked = Arc::new(Mutex::new(None));
    let config = Config::new()
        .connect_retry(false)
        .host("127.0.0.1")
        .port(1)
        .user("app")
        .pool_acquire_timeout(Duration::from_secs(5));
    let pool = Pool::builder(config)
        .password_provider({
            let asked = Arc::clone(&asked);
            move |request| {
                *asked.lock().unwrap() = Some(request);
                async { Ok(Password::new("token")) }
            }
        })
        .build()
        .unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(pool.acquire()).unwrap_err();
    let asked = asked.lock().unwrap().clone().unwrap();
    assert_eq!(fields(&asked), ("127.0.0.1", 1, "app"));
}
