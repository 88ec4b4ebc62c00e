use std::{
    error::Error as StdError,
    future::{Future, pending, poll_fn},
    io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use sealpool::{
    Class, Client, Error, Event, Hook, Observer, Pool, deadpool_postgres::ClientWrapper,
};

use crate::rig::{Record, Rig, SLACK, eventually, on_both};

on_both! {
    on_shared() => an_acquire_dropped_at_every_await_point;
    on_shared() => three_dropped_acquires_cost_one_connect;
    on_shared() => what_is_opened_for_nobody_keeps_its_place;
    on_shared() => a_pool_that_goes_away_takes_its_handshakes_along;
    on_shared() => a_runtime_that_ends_during_a_handshake;
}

/// How a hook misbehaves, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Ok,
    Discard,
    Error,
    Late,
    Panic,
}

impl Outcome {
    const ALL: [Self; 5] = [
        Self::Ok,
        Self::Discard,
        Self::Error,
        Self::Late,
        Self::Panic,
    ];

    async fn leave(
        self,
        client: &ClientWrapper,
        work_mem: &str,
        asks: bool,
    ) -> Result<bool, Box<dyn StdError + Send + Sync>> {
        if asks {
            let set = format!("set work_mem = '{work_mem}'");
            client.simple_query(&set).await?;
        }
        self.happen().await
    }

    async fn happen(self) -> Result<bool, Box<dyn StdError + Send + Sync>> {
        match self {
            Self::Ok => Ok(true),
            Self::Discard => Ok(false),
            Self::Error => Err(io::Error::other("on purpose").into()),
            Self::Late => pending().await,
            Self::Panic => std::panic::resume_unwind(Box::new("on purpose")),
        }
    }
}

/// What the pool is like when the acquire begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scene {
    Cold,
    Idle,
    /// The only connection comes back after the first poll, with something left in it.
    Lent,
}

/// Counts the connections that are open.
#[derive(Clone)]
struct Levels {
    record: Record,
    open: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Observer for Levels {
    fn on_event(&self, event: &Event<'_>) {
        match event {
            Event::ConnectionOpened { .. } => {
                let open = self.open.fetch_add(1, Ordering::SeqCst) + 1;
                self.most.fetch_max(open, Ordering::SeqCst);
            }
            Event::ConnectionClosed { .. } => {
                self.open.fetch_sub(1, Ordering::SeqCst);
            }
            _ => {}
        }
        self.record.on_event(event);
    }
}

/// A pool of one with a hook that misbehaves at its next call once it has been armed.
struct Case {
    hook: Hook,
    outcome: Outcome,
    pool: Pool,
    levels: Levels,
    armed: Arc<AtomicBool>,
}

impl Case {
    fn new(rig: &Rig, hook: Hook, outcome: Outcome) -> Self {
        let armed = Arc::new(AtomicBool::new(false));
        let next = {
            let armed = Arc::clone(&armed);
            move || match armed.swap(false, Ordering::SeqCst) {
                true => outcome,
                false => Outcome::Ok,
            }
        };
        let levels = Levels {
            record: rig.record.clone(),
            open: Arc::default(),
            most: Arc::default(),
        };
        let mut config = rig.config().pool_max_size(1);
        if outcome == Outcome::Late {
            config = config.pool_hook_timeout(Duration::from_millis(20));
        } else {
            config = config.pool_hook_timeout(6 * SLACK);
        }
        if hook == Hook::BeforeClose {
            config = config.pool_max_uses(1u32);
        }
        let builder = Pool::builder(config).observer(levels.clone());
        // What is to end within a short limit, however busy the machine is, must not wait for anything.
        let asks = outcome != Outcome::Late;
        let builder = match hook {
            Hook::BeforeConnect => builder.before_connect(move |_| {
                let outcome = next();
                async move { outcome.happen().await.map(drop) }
            }),
            Hook::AfterConnect => builder.after_connect(move |client| {
                let outcome = next();
                Box::pin(async move { outcome.leave(client, "9MB", asks).await.map(drop) })
            }),
            Hook::BeforeAcquire => builder.before_acquire(move |client| {
                let outcome = next();
                Box::pin(outcome.leave(client, "8MB", asks))
            }),
            Hook::AfterRelease => builder.after_release(move |client| {
                let outcome = next();
                Box::pin(outcome.leave(client, "7MB", asks))
            }),
            Hook::BeforeClose => builder.before_close(move |client| {
                let outcome = next();
                Box::pin(async move { outcome.leave(client, "5MB", asks).await.map(drop) })
            }),
            other => panic!("a hook that this table does not know: {other}"),
        };
        Self {
            hook,
            outcome,
            pool: builder.build().unwrap(),
            levels,
            armed,
        }
    }

    /// Drops an acquire after so many polls; whether it had ended.
    async fn run(&self, scene: Scene, polls: usize) -> bool {
        self.armed.store(false, Ordering::SeqCst);
        let client = self.pool.acquire().await.unwrap();
        let mut held = None;
        match scene {
            Scene::Cold => {
                self.pool.evict_all();
                drop(client);
            }
            Scene::Idle => drop(client),
            Scene::Lent => {
                client.batch_execute("set work_mem = '6MB'").await.unwrap();
                held = Some(client);
            }
        }
        self.armed.store(true, Ordering::SeqCst);
        let ended = within_polls(self.pool.acquire(), polls, || drop(held.take())).await;
        drop(held);
        let has_ended = ended.is_some();
        match ended {
            Some(Ok(client)) => drop(client),
            Some(Err(error)) => self.judge(scene, &error),
            None => {}
        }
        let client = match self.pool.acquire().await {
            Ok(client) => client,
            Err(error) => {
                self.judge(scene, &error);
                self.pool.acquire().await.expect("the hook fails once")
            }
        };
        self.is_whole(&client).await;
        drop(client);
        self.comes_to_rest().await;
        has_ended
    }

    async fn comes_to_rest(&self) {
        eventually("nobody waits, nothing is lent", async || {
            let status = self.pool.status();
            (status.used, status.opening, status.waiting) == (0, 0, 0)
        })
        .await;
    }

    async fn end(self) {
        self.pool.shutdown(6 * SLACK).await;
        eventually("all are closed", async || {
            self.levels.open.load(Ordering::SeqCst) == 0
        })
        .await;
    }

    fn judge(&self, scene: Scene, error: &Error) {
        let told = [Hook::BeforeConnect, Hook::AfterConnect, Hook::BeforeAcquire];
        let fails = ![Outcome::Ok, Outcome::Discard].contains(&self.outcome);
        let case = format!("{} {:?} {scene:?}", self.hook, self.outcome);
        assert!(fails && told.contains(&self.hook), "{case}: {error}");
        assert_eq!(error.class(), Class::Hook, "{case}: {error}");
        assert_eq!(error.is_transient(), self.outcome == Outcome::Late);
    }

    /// One permit there was, and one there is.
    async fn is_whole(&self, client: &Client) {
        let row = client.query_one("show work_mem", &[]).await.unwrap();
        let expected = match self.hook {
            _ if self.outcome == Outcome::Late => "4MB",
            Hook::AfterConnect => "9MB",
            Hook::BeforeAcquire => "8MB",
            _ => "4MB",
        };
        assert_eq!(row.get::<_, &str>(0), expected);
        let mut second = pin!(self.pool.acquire());
        let polled = poll_fn(|cx| Poll::Ready(second.as_mut().poll(cx))).await;
        assert!(polled.is_pending());
        let status = self.pool.status();
        assert_eq!((status.used, status.opening, status.idle), (1, 0, 0));
        assert_eq!(self.levels.most.load(Ordering::SeqCst), 1, "at once");
    }
}

/// Polls a future only when it has asked for that, and drops it after so many polls.
async fn within_polls<T>(
    future: impl Future<Output = T>,
    polls: usize,
    mut after_the_first: impl FnMut(),
) -> Option<T> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(move |cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        let polled = future.as_mut().poll(cx);
        after_the_first();
        match polled {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

async fn an_acquire_dropped_at_every_await_point(rig: Arc<Rig>) {
    let mut waits = 0;
    for hook in Hook::ALL {
        let discards = [Hook::BeforeAcquire, Hook::AfterRelease].contains(hook);
        for outcome in Outcome::ALL {
            if outcome == Outcome::Discard && !discards {
                continue;
            }
            let case = Case::new(&rig, *hook, outcome);
            for scene in [Scene::Cold, Scene::Idle, Scene::Lent] {
                let mut polls = 0;
                while !case.run(scene, polls).await {
                    polls += 1;
                    assert!(polls < 100, "{hook} {outcome:?} {scene:?} never ends");
                }
                waits += polls - 1;
            }
            case.end().await;
        }
    }
    assert!(waits > 66, "each of 66 waits somewhere, but {waits} only");
}

async fn three_dropped_acquires_cost_one_connect(rig: Arc<Rig>) {
    let pool = rig.pool(rig.retrying().pool_max_size(4));
    for _ in 0..3 {
        assert!(within_polls(pool.acquire(), 1, || {}).await.is_none());
    }
    let client = pool.acquire().await.unwrap();
    client.query_one("select 1", &[]).await.unwrap();
    let counts = rig.record.counts();
    assert_eq!((counts.started, counts.opened), (1, 1), "{counts:?}");
    assert!(counts.failed.is_empty(), "{counts:?}");
}

/// Until it is laid down it counts as a connection, and afterwards too.
async fn what_is_opened_for_nobody_keeps_its_place(rig: Arc<Rig>) {
    for size in [1, 3] {
        let pool = rig.pool(rig.retrying().pool_max_size(size));
        let before = rig.record.counts().opened;
        for _ in 0..10 {
            assert!(within_polls(pool.acquire(), 1, || {}).await.is_none() || size > 1);
            let mut clients = Vec::new();
            for _ in 0..size {
                clients.push(pool.acquire().await.unwrap());
            }
            let limit = Duration::from_millis(1);
            assert!(pool.acquire_timeout(limit).await.is_err());
            drop(clients);
            pool.evict_all();
        }
        let counts = rig.record.counts();
        let most = 10 * usize::try_from(size).unwrap();
        assert!(counts.opened - before <= most, "{counts:?}");
    }
}

async fn a_pool_that_goes_away_takes_its_handshakes_along(rig: Arc<Rig>) {
    for shuts_down in [true, false] {
        let pool = rig.pool(rig.retrying());
        let before = rig.record.counts();
        assert!(within_polls(pool.acquire(), 1, || {}).await.is_none());
        eventually("the handshake has begun", async || {
            rig.record.counts().started > before.started
        })
        .await;
        if shuts_down {
            pool.shutdown(6 * SLACK).await;
            assert!(matches!(pool.acquire().await, Err(Error::Closed)));
        } else {
            drop(pool);
        }
        eventually("the attempt has come to an end", async || {
            let counts = rig.record.counts();
            let failed: usize = counts.failed.values().sum();
            let closed: usize = counts.closed.values().sum();
            (counts.started, counts.opened) == (counts.sealed + failed, closed)
        })
        .await;
    }
}

async fn a_runtime_that_ends_during_a_handshake(rig: Arc<Rig>) {
    let pool = rig.pool(rig.retrying().pool_max_size(1));
    let other = std::thread::spawn({
        let pool = pool.clone();
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(within_polls(pool.acquire(), 1, || {}))
        }
    });
    assert!(other.join().unwrap().is_none());
    let client = pool.acquire().await.expect("the permit is free again");
    client.query_one("select 1", &[]).await.unwrap();
    assert_eq!(pool.status().used, 1);
}
