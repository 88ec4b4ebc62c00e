use std::{
    error::Error as StdError,
    future::pending,
    io,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sealpool::{
    Class, Client, Error, Hook, HookError, HookFuture, Pool, PoolBuilder, Stage,
    deadpool_postgres::ClientWrapper,
};
use tokio::{sync::Notify, task::JoinSet, time::Instant};

use crate::rig::{Rig, SLACK, chain, eventually, on_both};

on_both! {
    on_shared() => each_has_its_moment;
    on_shared() => a_session_that_was_set_up_stays_so;
    on_shared() => what_belongs_to_one_borrower_ends_with_it;
    on_shared() => a_connect_that_was_refused;
    on_shared() => a_session_that_could_not_be_set_up;
    on_shared() => who_waits_is_told;
    on_shared() => a_hook_that_is_late_is_asked_again;
    on_shared() => an_acquire_that_was_refused;
    on_shared() => none_is_good_enough;
    on_shared() => a_lost_connection_is_not_the_hooks_fault;
    on_shared() => what_came_back_is_discarded;
    on_shared() => what_a_hook_leaves_under_way_costs_the_connection;
    on_shared() => a_hook_that_acquires_ends_with_its_acquire;
    on_shared() => a_connection_keeps_its_place_until_it_is_closed;
    on_shared() => shutting_down_waits_for_hooks_within_its_limit;
    on_shared() => try_acquire_does_not_wait_for_a_hook;
}

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(50);

type Failure = Box<dyn StdError + Send + Sync>;

fn on_purpose() -> Failure {
    io::Error::other("on purpose").into()
}

fn builder(rig: &Rig, hook_timeout: Duration) -> PoolBuilder {
    let config = rig.config().pool_max_size(1);
    Pool::builder(config.pool_hook_timeout(hook_timeout)).observer(rig.record.clone())
}

fn closed(rig: &Rig, reason: &str) -> usize {
    *rig.record.counts().closed.get(reason).unwrap_or(&0)
}

async fn setting(client: &Client, name: &str) -> String {
    let query = "select current_setting($1)";
    let row = client.query_one(query, &[&name]).await;
    row.unwrap().get(0)
}

async fn backend(client: &ClientWrapper) -> i32 {
    let row = client.query_one("select pg_backend_pid()", &[]).await;
    row.unwrap().get(0)
}

fn keeps(
    say: impl Fn() + Send + Sync,
) -> impl for<'a> Fn(&'a mut ClientWrapper) -> HookFuture<'a, bool> + Send + Sync {
    move |client| {
        say();
        Box::pin(async move {
            client.simple_query("select 1").await?;
            Ok(true)
        })
    }
}

fn passes(
    say: impl Fn() + Send + Sync,
) -> impl for<'a> Fn(&'a mut ClientWrapper) -> HookFuture<'a, ()> + Send + Sync {
    move |client| {
        say();
        Box::pin(async move {
            let transaction = client.transaction().await?;
            transaction.simple_query("select 1").await?;
            Ok(transaction.commit().await?)
        })
    }
}

/// Each of them says so when it is called.
async fn each_has_its_moment(rig: Arc<Rig>) {
    let said = Arc::new(Mutex::new(Vec::new()));
    let say = |hook: Hook| {
        let said = Arc::clone(&said);
        move || said.lock().unwrap().push(hook.as_str())
    };
    let requests = Arc::new(Mutex::new(Vec::new()));
    let asked = Arc::clone(&requests);
    let connects = say(Hook::BeforeConnect);
    let pool = builder(&rig, LONG)
        .before_connect(move |request| {
            connects();
            asked.lock().unwrap().push(request);
            async { Ok(()) }
        })
        .after_connect(passes(say(Hook::AfterConnect)))
        .before_acquire(keeps(say(Hook::BeforeAcquire)))
        .after_release(keeps(say(Hook::AfterRelease)))
        .before_close(passes(say(Hook::BeforeClose)))
        .build()
        .unwrap();
    let lent = ["before_acquire", "after_release"];
    for _ in 0..2 {
        drop(pool.acquire().await.unwrap());
    }
    eventually("it has come back", async || {
        pool.status().idle == 1 && said.lock().unwrap().last() == Some(&"after_release")
    })
    .await;
    pool.shutdown(LONG).await;
    let opened = ["before_connect", "after_connect"];
    let all = [&opened[..], &lent, &lent, &["before_close"]].concat();
    assert_eq!(*said.lock().unwrap(), all);
    let requests = requests.lock().unwrap();
    let [request] = requests.as_slice() else {
        panic!("{requests:?}")
    };
    assert_eq!(request.hosts, [("localhost".into(), rig.tap.port())]);
    assert_eq!(&*request.user, rig.cluster.user());
}

async fn a_session_that_was_set_up_stays_so(rig: Arc<Rig>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let pool = builder(&rig, LONG)
        .after_connect(move |client| {
            counted.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move {
                let set_up = "set work_mem = '9MB'; listen hooks; create temp table hooked (); \
                              prepare hooked as select 1; select setseed(0.5)";
                Ok(client.batch_execute(set_up).await?)
            })
        })
        .build()
        .unwrap();
    let is_set_up = async |client: &Client| {
        assert_eq!(setting(client, "work_mem").await, "9MB");
        let query = "select concat_ws(' ', (select count(*) from pg_listening_channels()), \
                     exists (select from pg_class where relname = 'hooked'), (select count(*) from pg_prepared_statements where from_sql))";
        let row = client.query_one(query, &[]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), "1 t 1");
    };
    let client = pool.acquire().await.unwrap();
    is_set_up(&client).await;
    let first = backend(&client).await;
    drop(client);
    for _ in 0..3 {
        is_set_up(&pool.acquire().await.unwrap()).await;
    }
    assert_eq!(
        calls.load(Ordering::SeqCst),
        1,
        "there was nothing to reset"
    );
    for left in [
        "set work_mem = '7MB'",
        "unlisten hooks; set work_mem = '8MB'; begin",
        "drop table hooked; deallocate hooked; listen other",
    ] {
        let client = pool.acquire().await.unwrap();
        client.batch_execute(left).await.unwrap();
        drop(client);
        let client = pool.acquire().await.unwrap();
        is_set_up(&client).await;
        assert_eq!(backend(&client).await, first);
    }
    assert_eq!(calls.load(Ordering::SeqCst), 4);
}

/// What a hook does for one borrower, or after one, the next does not meet.
async fn what_belongs_to_one_borrower_ends_with_it(rig: Arc<Rig>) {
    let tenants = Arc::new(AtomicUsize::new(0));
    let pool = builder(&rig, LONG)
        .before_acquire(move |client| {
            let tenant = tenants.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move {
                let query = "select coalesce(current_setting('hooks.tenant', true), '')";
                let left: String = client.query_one(query, &[]).await?.get(0);
                assert_eq!(left, "", "of the last borrower or the last hook");
                let set = format!("set hooks.tenant = 'tenant {tenant}'");
                client.batch_execute(&set).await?;
                Ok(true)
            })
        })
        .after_release(|client| {
            Box::pin(async move {
                client.batch_execute("set hooks.tenant = 'nobody'").await?;
                Ok(true)
            })
        })
        .build()
        .unwrap();
    let mut backends = Vec::new();
    for number in 0..4 {
        let client = pool.acquire().await.unwrap();
        let tenant = setting(&client, "hooks.tenant").await;
        assert_eq!(tenant, format!("tenant {number}"));
        backends.push(backend(&client).await);
    }
    backends.dedup();
    assert_eq!(backends.len(), 1, "it was reset");
}

/// The error of an acquire that fails at a hook, with what it says of itself.
async fn refusal(pool: &Pool) -> (Error, String) {
    let error = pool.acquire().await.expect_err("the hook refuses");
    assert_eq!(error.class(), Class::Hook, "{error}");
    let text = chain(&error);
    (error, text)
}

/// How a hook may end without having done its work, with the words for it.
fn misdeeds() -> [(&'static str, Duration, &'static str, bool); 3] {
    [
        ("error", LONG, "failed: on purpose", false),
        (
            "late",
            SHORT,
            "did not end within 50ms (pool.hook_timeout); make it quicker, or raise that",
            true,
        ),
        (
            "panic",
            LONG,
            "panicked; see the message of the panic",
            false,
        ),
    ]
}

async fn misbehave<T>(misdeed: &str) -> Result<T, Failure> {
    match misdeed {
        "error" => Err(on_purpose()),
        "late" => pending().await,
        _ => std::panic::resume_unwind(Box::new("on purpose")),
    }
}

async fn a_connect_that_was_refused(rig: Arc<Rig>) {
    for (misdeed, limit, words, is_transient) in misdeeds() {
        let pool = builder(&rig, limit)
            .before_connect(move |_| misbehave(misdeed))
            .build()
            .unwrap();
        let (error, text) = refusal(&pool).await;
        assert_eq!(
            text,
            format!(
                "cannot connect to localhost:{}: setup: nothing was sent: the before_connect hook {words}",
                rig.tap.port()
            )
        );
        assert_eq!(error.is_transient(), is_transient);
        let Error::Connect(connect) = &error else {
            panic!("{error}")
        };
        let attempt = &connect.attempts()[0];
        assert_eq!((attempt.stage(), attempt.address()), (Stage::Setup, None));
        let source = attempt.source().unwrap().downcast_ref::<HookError>();
        assert_eq!(source.unwrap().hook(), Hook::BeforeConnect);
    }
    assert_eq!(rig.tap.connections().len(), 0);
}

async fn a_session_that_could_not_be_set_up(rig: Arc<Rig>) {
    for (misdeed, limit, words, is_transient) in misdeeds() {
        let pool = builder(&rig, limit)
            .after_connect(move |_| Box::pin(misbehave(misdeed)))
            .build()
            .unwrap();
        let (error, text) = refusal(&pool).await;
        assert_eq!(
            text,
            format!(
                "cannot connect to localhost:{0} at 127.0.0.1:{0}: setup: the session could not be set up: \
                 the after_connect hook {words}",
                rig.tap.port()
            )
        );
        assert_eq!(error.is_transient(), is_transient);
        assert!(!pool.readiness().is_ready());
    }
    eventually("each is closed", async || closed(&rig, "check_failed") == 3).await;
}

async fn who_waits_is_told(rig: Arc<Rig>) {
    let config = rig.retrying().pool_acquire_timeout(LONG);
    let pool = Pool::builder(config)
        .observer(rig.record.clone())
        .after_connect(|client| {
            Box::pin(async move { Ok(client.batch_execute("set no_such = 1").await?) })
        })
        .build()
        .unwrap();
    let mut callers = JoinSet::new();
    for _ in 0..20 {
        let pool = pool.clone();
        callers.spawn(async move { chain(&pool.acquire().await.unwrap_err()) });
    }
    for text in callers.join_all().await {
        assert!(
            text.contains("the after_connect hook failed: db error"),
            "{text}"
        );
        assert!(text.contains("no_such"), "{text}");
    }
    assert!(rig.record.counts().opened <= 2, "{:?}", rig.record.counts());
}

async fn a_hook_that_is_late_is_asked_again(rig: Arc<Rig>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let limit = Duration::from_secs(1);
    let config = rig.retrying().pool_acquire_timeout(LONG);
    let pool = Pool::builder(config.pool_hook_timeout(limit))
        .observer(rig.record.clone())
        .after_connect(move |_| {
            let call = counted.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move {
                match call {
                    0 => pending().await,
                    _ => Ok(()),
                }
            })
        })
        .build()
        .unwrap();
    pool.acquire().await.expect("the second connection");
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    assert_eq!(closed(&rig, "check_failed"), 1);
}

async fn an_acquire_that_was_refused(rig: Arc<Rig>) {
    for (round, (misdeed, limit, words, is_transient)) in misdeeds().into_iter().enumerate() {
        let refuses = Arc::new(AtomicUsize::new(0));
        let refused = Arc::clone(&refuses);
        let pool = builder(&rig, limit)
            .before_acquire(move |_| {
                let call = refused.fetch_add(1, Ordering::SeqCst);
                Box::pin(async move {
                    match call {
                        0 => misbehave(misdeed).await,
                        _ => Ok(true),
                    }
                })
            })
            .build()
            .unwrap();
        let (error, text) = refusal(&pool).await;
        assert_eq!(text, format!("the before_acquire hook {words}"));
        assert_eq!(error.is_transient(), is_transient);
        let Error::Hook(error) = error else {
            panic!("{error}")
        };
        assert_eq!(error.hook(), Hook::BeforeAcquire);
        let client = pool.acquire().await.expect("the next one is lent");
        client.query_one("select 1", &[]).await.unwrap();
        assert_eq!(closed(&rig, "check_failed"), round + 1);
    }
}

async fn none_is_good_enough(rig: Arc<Rig>) {
    let config = rig.config().pool_max_size(2);
    let pool = Pool::builder(config)
        .observer(rig.record.clone())
        .before_acquire(|_| Box::pin(async { Ok(false) }))
        .build()
        .unwrap();
    let (_, text) = refusal(&pool).await;
    assert_eq!(
        text,
        "the before_acquire hook discarded 3 connections in a row; let it keep those that are good"
    );
    assert_eq!(closed(&rig, "check_failed"), 3);
}

async fn a_lost_connection_is_not_the_hooks_fault(rig: Arc<Rig>) {
    let lost = Arc::new(OnceLock::new());
    let victim = Arc::clone(&lost);
    let cluster = Arc::clone(&rig.cluster);
    let pool = builder(&rig, LONG)
        .before_acquire(move |client| {
            let (victim, cluster) = (Arc::clone(&victim), Arc::clone(&cluster));
            Box::pin(async move {
                let pid = backend(client).await;
                if victim.get() == Some(&pid) {
                    let kill = format!("select pg_terminate_backend({pid}, 60000)");
                    cluster.sql(&kill).await.unwrap();
                    client.query_one("select 1", &[]).await?;
                }
                Ok(true)
            })
        })
        .build()
        .unwrap();
    let first = backend(&pool.acquire().await.unwrap()).await;
    lost.set(first).unwrap();
    let client = pool.acquire().await.expect("another connection");
    assert_ne!(backend(&client).await, first);
}

async fn what_came_back_is_discarded(rig: Arc<Rig>) {
    for (round, what) in ["discard", "error", "late", "panic"]
        .into_iter()
        .enumerate()
    {
        let limit = if what == "late" { SHORT } else { LONG };
        let pool = builder(&rig, limit)
            .after_release(move |_| {
                Box::pin(async move {
                    match what {
                        "discard" => Ok(false),
                        what => misbehave(what).await,
                    }
                })
            })
            .build()
            .unwrap();
        let first = backend(&pool.acquire().await.unwrap()).await;
        let second = backend(&pool.acquire().await.unwrap()).await;
        assert_ne!(first, second, "{what}");
        eventually("both are closed", async || {
            closed(&rig, "dirty") == 2 * (round + 1)
        })
        .await;
    }
}

async fn what_a_hook_leaves_under_way_costs_the_connection(rig: Arc<Rig>) {
    for left in ["begin", "begin; select 1 / 0"] {
        let pool = builder(&rig, LONG)
            .before_acquire(move |client| {
                Box::pin(async move {
                    let _ = client.batch_execute(left).await;
                    Ok(true)
                })
            })
            .build()
            .unwrap();
        let (error, text) = refusal(&pool).await;
        assert_eq!(
            text,
            "the before_acquire hook left a query or a transaction under way; let it end what it begins"
        );
        assert!(!error.is_transient());
    }
    let pool = builder(&rig, LONG)
        .after_connect(|client| Box::pin(async { Ok(client.batch_execute("begin").await?) }))
        .build()
        .unwrap();
    let (_, text) = refusal(&pool).await;
    assert!(text.contains("after_connect hook left a query"), "{text}");
}

/// The pool, for a hook that is made before it.
type Later = Arc<OnceLock<Pool>>;

async fn nested(pool: &Later) -> Result<(), Failure> {
    let pool = pool.get().expect("the pool is there by now").clone();
    pool.acquire().await.map(drop).map_err(Into::into)
}

async fn a_hook_that_acquires_ends_with_its_acquire(rig: Arc<Rig>) {
    let limit = Duration::from_millis(300);
    for hook in [Hook::BeforeConnect, Hook::AfterConnect, Hook::BeforeAcquire] {
        let later = Later::default();
        let inside = Arc::clone(&later);
        let config = rig.retrying().pool_max_size(1).pool_acquire_timeout(limit);
        let builder = Pool::builder(config.pool_hook_timeout(LONG)).observer(rig.record.clone());
        let builder = match hook {
            Hook::BeforeConnect => builder.before_connect(move |_| {
                let inside = Arc::clone(&inside);
                async move { nested(&inside).await }
            }),
            Hook::AfterConnect => builder.after_connect(move |_| {
                let inside = Arc::clone(&inside);
                Box::pin(async move { nested(&inside).await })
            }),
            _ => builder.before_acquire(move |_| {
                let inside = Arc::clone(&inside);
                Box::pin(async move { nested(&inside).await.map(|()| true) })
            }),
        };
        let pool = builder.build().unwrap();
        later.set(pool.clone()).unwrap();
        let started = Instant::now();
        let error = pool.acquire().await.expect_err("it waits for itself");
        let taken = started.elapsed();
        assert!(
            taken >= limit.mul_f64(0.9) && taken < limit + SLACK,
            "{hook}: {taken:?}"
        );
        let text = chain(&error);
        assert!(text.contains("no client within 300ms"), "{hook}: {text}");
        eventually("it has given up everything", async || {
            let status = pool.status();
            (status.used, status.opening, status.waiting) == (0, 0, 0)
        })
        .await;
        pool.shutdown(LONG).await;
    }
}

async fn a_connection_keeps_its_place_until_it_is_closed(rig: Arc<Rig>) {
    let (begun, released) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let config = rig.retrying().pool_max_size(1).pool_max_uses(1u32);
    let pool = Pool::builder(config.pool_hook_timeout(LONG))
        .observer(rig.record.clone())
        .before_close({
            let (begun, released) = (Arc::clone(&begun), Arc::clone(&released));
            move |client| {
                let (begun, released) = (Arc::clone(&begun), Arc::clone(&released));
                Box::pin(async move {
                    client.simple_query("select 1").await?;
                    begun.fetch_add(1, Ordering::SeqCst);
                    released.notified().await;
                    Ok(())
                })
            }
        })
        .build()
        .unwrap();
    for round in 1..=3 {
        drop(pool.acquire().await.unwrap());
        eventually("the hook runs", async || {
            begun.load(Ordering::SeqCst) == round
        })
        .await;
        let limit = Duration::from_millis(20);
        let error = pool.acquire_timeout(limit).await.unwrap_err();
        assert!(matches!(error, Error::Timeout(_)), "{error}");
        assert_eq!(rig.record.counts().opened, round);
        assert_eq!((pool.status().used, pool.status().idle), (0, 0));
        released.notify_one();
    }
    drop(pool.acquire().await.unwrap());
    released.notify_one();
}

async fn shutting_down_waits_for_hooks_within_its_limit(rig: Arc<Rig>) {
    let ended = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&ended);
    let pool = Pool::builder(rig.retrying().pool_max_size(3))
        .observer(rig.record.clone())
        .before_close(move |client| {
            let ended = Arc::clone(&counted);
            Box::pin(async move {
                client.simple_query("select pg_sleep(0.2)").await?;
                ended.fetch_add(1, Ordering::SeqCst);
                Ok(())
            })
        })
        .build()
        .unwrap();
    let clients = [(); 3].map(|()| pool.acquire());
    let mut held = Vec::new();
    for client in clients {
        held.push(client.await.unwrap());
    }
    drop(held);
    pool.shutdown(LONG).await;
    assert_eq!(ended.load(Ordering::SeqCst), 3);

    let hangs = builder(&rig, LONG)
        .before_close(|_| Box::pin(pending()))
        .build()
        .unwrap();
    drop(hangs.acquire().await.unwrap());
    let started = Instant::now();
    hangs.shutdown(SHORT).await;
    assert!(started.elapsed() < SHORT + SLACK);
}

async fn try_acquire_does_not_wait_for_a_hook(rig: Arc<Rig>) {
    for asks in [false, true] {
        let pool = builder(&rig, LONG)
            .before_acquire(move |client| {
                Box::pin(async move {
                    if asks {
                        tokio::task::yield_now().await;
                    }
                    let _ = client;
                    Ok(true)
                })
            })
            .build()
            .unwrap();
        drop(pool.acquire().await.unwrap());
        for _ in 0..3 {
            eventually("it is idle", async || pool.status().idle == 1).await;
            assert!(!asks || pool.try_acquire().is_none());
        }
        if !asks {
            eventually("it is lent", async || pool.try_acquire().is_some()).await;
        }
        drop(pool.acquire().await.unwrap());
        pool.shutdown(LONG).await;
    }
    assert_eq!(rig.record.counts().opened, 2);
}
