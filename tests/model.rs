//! Thousands of random steps by a crowd of careless borrowers, and what must hold after each of them.
//!
//! `SEALPOOL_MODEL_SEED` chooses the steps, `SEALPOOL_MODEL_STEPS` how many there are; a failure names its seed and step.

use std::{
    collections::{BTreeSet, VecDeque},
    fs,
    path::PathBuf,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use fastrand::Rng;
use sealpool::{
    CancelOutcome, Client, Event, Observer, Pool, Reload,
    tokio_postgres::{self, SimpleQueryMessage, error::SqlState},
};
use sealpool_testkit::{Pki, Shutdown};
use tokio::{
    task::{JoinHandle, JoinSet},
    time::timeout,
};

use crate::rig::{Record, Rig, chain, on_both};

on_both! {
    on_own(|builder| builder) => random_steps;
}

const STEPS: usize = 2_000;
/// The server is killed that often.
const KILLS: usize = 3;
const BORROWERS: usize = 8;
const LARGEST: usize = 6;
const MINUTE: Duration = Duration::from_secs(60);

/// Which backend this is, and all that could be noticed in it of whoever had it before.
const STATE: &str = "select pg_backend_pid() || ' of ' || pg_postmaster_start_time(), concat_ws(' ', \
    current_setting('role'), current_setting('search_path'), current_setting('work_mem'), \
    coalesce(nullif(current_setting('model.word', true), ''), '-'), \
    (select count(*) from pg_listening_channels()), \
    (select count(*) from pg_locks where pid = pg_backend_pid() and locktype = 'advisory'), \
    (select count(*) from pg_class where relpersistence = 't' and relnamespace = pg_my_temp_schema()), \
    (select count(*) from pg_cursors where name <> ''), \
    (select count(*) from pg_prepared_statements where from_sql), \
    now() = statement_timestamp())";
const PRISTINE: &str = "none \"$user\", public 4MB - 0 0 0 0 0 t";

const DIRT: [&str; 14] = [
    "begin",
    "begin; select 1 / 0",
    "begin; set local work_mem = '9MB'; declare c cursor for select 1",
    "declare c cursor with hold for select 1",
    "set role app",
    "set work_mem = '9MB'",
    "set search_path = pg_catalog",
    "select set_config('model.word', 'left', false)",
    "do $$ begin perform set_config('model.word', 'left', false); end $$",
    "listen model",
    "select pg_advisory_lock(42)",
    "create temp table if not exists t (a int)",
    "prepare x as select 1",
    "discard all",
];

/// What a borrower does next.
#[derive(Clone, Copy, Debug)]
enum Step {
    Acquire,
    AcquireAndGiveUp,
    TryAcquire,
    Return,
    Dirty,
    ReturnMidQuery,
    Cancel,
    ReturnMidCancel,
    CloseOwn,
    CloseAnother,
    Resize,
    Evict,
    Rotate,
    Await,
    Kill,
}

const WEIGHTS: [(Step, usize); 14] = [
    (Step::Acquire, 30),
    (Step::AcquireAndGiveUp, 6),
    (Step::TryAcquire, 4),
    (Step::Return, 20),
    (Step::Dirty, 26),
    (Step::ReturnMidQuery, 5),
    (Step::Cancel, 2),
    (Step::ReturnMidCancel, 2),
    (Step::CloseOwn, 2),
    (Step::CloseAnother, 1),
    (Step::Resize, 4),
    (Step::Evict, 1),
    (Step::Rotate, 1),
    (Step::Await, 6),
];

fn chosen(rng: &mut Rng) -> Step {
    let mut left = rng.usize(..WEIGHTS.iter().map(|(_, weight)| weight).sum::<usize>());
    for (step, weight) in WEIGHTS {
        match left.checked_sub(weight) {
            Some(rest) => left = rest,
            None => return step,
        }
    }
    unreachable!("a number below the sum")
}

/// Counts what is open, at the very moment of each opening.
#[derive(Clone, Default)]
struct Census {
    record: Record,
    open: Arc<AtomicUsize>,
    allowed: Arc<AtomicUsize>,
    /// The most by which it has been exceeded.
    excess: Arc<AtomicUsize>,
}

impl Observer for Census {
    fn on_event(&self, event: &Event<'_>) {
        self.record.on_event(event);
        match event {
            Event::ConnectionOpened { .. } => {
                let open = self.open.fetch_add(1, Ordering::SeqCst) + 1;
                let excess = open.saturating_sub(self.allowed.load(Ordering::SeqCst));
                self.excess.fetch_max(excess, Ordering::SeqCst);
            }
            Event::ConnectionClosed { .. } => {
                self.open.fetch_sub(1, Ordering::SeqCst);
            }
            _ => {}
        }
    }
}

/// Fails when another borrower has the same backend.
struct Mark {
    backend: String,
    held: Arc<Mutex<BTreeSet<String>>>,
}

impl Mark {
    fn new(backend: String, held: &Arc<Mutex<BTreeSet<String>>>) -> Self {
        let is_new = held.lock().unwrap().insert(backend.clone());
        assert!(is_new, "two borrowers of {backend}");
        Self {
            backend,
            held: Arc::clone(held),
        }
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.held.lock().unwrap().remove(&self.backend);
    }
}

struct Borrower {
    /// Taken off before the client goes back.
    _mark: Mark,
    client: Client,
}

/// What every borrower does first; `None` when the connection was lost meanwhile.
async fn enter(client: Client, held: Arc<Mutex<BTreeSet<String>>>) -> Option<Box<Borrower>> {
    let messages = match client.simple_query(STATE).await {
        Ok(messages) => messages,
        Err(error) if is_loss(&error) => return None,
        Err(error) => panic!("a borrower's first query: {}", chain(&error)),
    };
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let row = row.expect("one row");
    let mark = Mark::new(row.get(0).expect("a backend").to_owned(), &held);
    assert_eq!(row.get(1), Some(PRISTINE), "{}", mark.backend);
    Some(Box::new(Borrower {
        _mark: mark,
        client,
    }))
}

/// The connection has ended, and not the statement.
fn is_loss(error: &tokio_postgres::Error) -> bool {
    error
        .as_db_error()
        .is_none_or(|error| error.code().code().starts_with("57P"))
}

#[derive(Default)]
enum Slot {
    #[default]
    Empty,
    Acquiring(JoinHandle<Option<Box<Borrower>>>),
    Holding(Box<Borrower>),
}

/// The pool as it should be, and the pool.
struct Model {
    rig: Arc<Rig>,
    pool: Pool,
    census: Census,
    rng: Rng,
    slots: [Slot; BORROWERS],
    held: Arc<Mutex<BTreeSet<String>>>,
    max_size: usize,
    roots: PathBuf,
    /// Cancel requests whose clients have gone back.
    requests: JoinSet<()>,
    trail: Trail,
}

/// What is told of a failure.
struct Trail {
    seed: u64,
    step: usize,
    last: VecDeque<Step>,
}

impl Drop for Trail {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { seed, step, last } = self;
            eprintln!("SEALPOOL_MODEL_SEED={seed}, step {step}; the last ones: {last:?}");
        }
    }
}

async fn random_steps(rig: Arc<Rig>) {
    let number = |name| std::env::var(name).map(|text| text.parse().expect("a number"));
    let seed = number("SEALPOOL_MODEL_SEED").unwrap_or(5);
    let steps =
        number("SEALPOOL_MODEL_STEPS").map_or(STEPS, |steps| usize::try_from(steps).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut model = Model::new(rig, seed, folder.path().join("root.pem"));
    for step in 1..=steps {
        let action = if step % (steps / KILLS).max(1) == 0 {
            Step::Kill
        } else {
            chosen(&mut model.rng)
        };
        model.trail.step = step;
        model.trail.last.push_back(action);
        if model.trail.last.len() > 12 {
            model.trail.last.pop_front();
        }
        model.act(action).await;
        model.check();
    }
    model.end().await;
}

impl Model {
    fn new(rig: Arc<Rig>, seed: u64, roots: PathBuf) -> Self {
        fs::write(&roots, rig.cluster.pki().root_pem()).unwrap();
        let config = rig
            .retrying()
            .tls_root(roots.as_path())
            .tls_rotate_within(Duration::from_millis(100))
            .pool_cancel_grace(Duration::from_millis(5))
            .pool_acquire_timeout(MINUTE)
            .pool_max_size(4);
        let census = Census {
            record: rig.record.clone(),
            ..Census::default()
        };
        census.allowed.store(4, Ordering::SeqCst);
        let pool = Pool::builder(config).observer(census.clone()).build();
        Self {
            rig,
            pool: pool.unwrap(),
            census,
            rng: Rng::with_seed(seed),
            slots: Default::default(),
            held: Arc::default(),
            max_size: 4,
            roots,
            requests: JoinSet::new(),
            trail: Trail {
                seed,
                step: 0,
                last: VecDeque::new(),
            },
        }
    }

    async fn act(&mut self, step: Step) {
        self.notice().await;
        match step {
            Step::Acquire => self.acquire(),
            Step::AcquireAndGiveUp => self.acquire_and_give_up().await,
            Step::TryAcquire => self.try_acquire().await,
            Step::Return => drop(self.take()),
            Step::Dirty => self.dirty().await,
            Step::ReturnMidQuery => self.return_mid_query().await,
            Step::Cancel => self.cancel().await,
            Step::ReturnMidCancel => self.return_mid_cancel(),
            Step::CloseOwn => self.close("pg_backend_pid()").await,
            Step::CloseAnother => {
                let any = "(select pid from pg_stat_activity where usename = current_user \
                           and state = 'idle' order by random() limit 1)";
                self.close(any).await;
            }
            Step::Resize => self.resize(),
            Step::Evict => self.pool.evict_all(),
            Step::Rotate => self.rotate().await,
            Step::Await => self.wait().await,
            Step::Kill => self.rig.cluster.restart(Shutdown::Immediate).unwrap(),
        }
    }

    /// Takes in the acquires that are through.
    async fn notice(&mut self) {
        for slot in &mut self.slots {
            if let Slot::Acquiring(acquire) = slot
                && acquire.is_finished()
            {
                *slot = acquired(acquire.await);
            }
        }
    }

    fn acquire(&mut self) {
        let (pool, held) = (self.pool.clone(), Arc::clone(&self.held));
        if let Some(slot) = self
            .slots
            .iter_mut()
            .find(|slot| matches!(slot, Slot::Empty))
        {
            *slot = Slot::Acquiring(tokio::spawn(async move {
                let client = pool.acquire().await;
                enter(
                    client.unwrap_or_else(|error| panic!("{}", chain(&error))),
                    held,
                )
                .await
            }));
        }
    }

    /// At any point, for as long as it would take.
    async fn acquire_and_give_up(&mut self) {
        let patience = Duration::from_micros(self.rng.u64(..8_000));
        let pool = self.pool.clone();
        if let Ok(client) = timeout(patience, pool.acquire()).await {
            let client = client.unwrap_or_else(|error| panic!("{}", chain(&error)));
            drop(enter(client, Arc::clone(&self.held)).await);
        }
    }

    async fn try_acquire(&mut self) {
        if let Some(client) = self.pool.try_acquire() {
            let borrower = enter(client, Arc::clone(&self.held)).await;
            let slot = self
                .slots
                .iter_mut()
                .find(|slot| matches!(slot, Slot::Empty));
            if let (Some(slot), Some(borrower)) = (slot, borrower) {
                *slot = Slot::Holding(borrower);
            }
        }
    }

    /// A borrower by chance.
    fn take(&mut self) -> Option<Box<Borrower>> {
        let holding = |slot: &&mut Slot| matches!(slot, Slot::Holding(_));
        let count = self.holding();
        let chosen = (count > 0).then(|| self.rng.usize(..count))?;
        let slot = self.slots.iter_mut().filter(holding).nth(chosen)?;
        match std::mem::take(slot) {
            Slot::Holding(borrower) => Some(borrower),
            Slot::Empty | Slot::Acquiring(_) => None,
        }
    }

    fn put_back(&mut self, borrower: Box<Borrower>) {
        let slot = self
            .slots
            .iter_mut()
            .find(|slot| matches!(slot, Slot::Empty));
        *slot.expect("where it was") = Slot::Holding(borrower);
    }

    async fn dirty(&mut self) {
        let Some(borrower) = self.take() else { return };
        let left = DIRT[self.rng.usize(..DIRT.len())];
        // The lock may be another's.
        match timeout(
            Duration::from_millis(50),
            borrower.client.batch_execute(left),
        )
        .await
        {
            Ok(Err(error)) if is_loss(&error) => return,
            Ok(Err(error)) => assert_ne!(error.code(), Some(&SqlState::QUERY_CANCELED), "{left}"),
            Ok(Ok(())) => {}
            Err(_) => return,
        }
        self.put_back(borrower);
    }

    async fn return_mid_query(&mut self) {
        let Some(borrower) = self.take() else { return };
        let patience = Duration::from_micros(self.rng.u64(..2_000));
        let query = borrower.client.batch_execute("select pg_sleep(60)");
        let slept = timeout(patience, query).await;
        assert!(!matches!(slept, Ok(Ok(()))), "it slept for a minute");
    }

    async fn cancel(&mut self) {
        let Some(borrower) = self.take() else { return };
        let request = borrower.client.cancel_handle();
        let result = {
            let mut query = pin!(borrower.client.batch_execute("select pg_sleep(60)"));
            loop {
                // A request that comes before the query hits nothing.
                if let Ok(result) = timeout(Duration::from_millis(5), &mut query).await {
                    break result;
                }
                match request.cancel().await {
                    Ok(outcome) => assert_eq!(outcome, CancelOutcome::Requested),
                    Err(error) => panic!("{}", chain(&error)),
                }
            }
        };
        let error = result.expect_err("it is cancelled");
        if is_loss(&error) {
            return;
        }
        let expected = [
            SqlState::QUERY_CANCELED,
            SqlState::IN_FAILED_SQL_TRANSACTION,
        ];
        assert!(
            expected.contains(error.code().unwrap()),
            "{}",
            chain(&error)
        );
        self.put_back(borrower);
    }

    fn return_mid_cancel(&mut self) {
        let Some(borrower) = self.take() else { return };
        let request = borrower.client.cancel_handle();
        let patience = Duration::from_micros(self.rng.u64(..10_000));
        self.requests.spawn(async move {
            let _ = timeout(patience, request.cancel()).await;
        });
        drop(borrower);
    }

    async fn close(&mut self, pid: &str) {
        let Some(borrower) = self.take() else { return };
        let close = format!("select pg_terminate_backend({pid})");
        match borrower.client.batch_execute(&close).await {
            Ok(()) => self.put_back(borrower),
            Err(error) => assert!(
                is_loss(&error) || error.code() == Some(&SqlState::IN_FAILED_SQL_TRANSACTION),
                "{}",
                chain(&error)
            ),
        }
    }

    fn resize(&mut self) {
        let new = self.rng.usize(1..=LARGEST);
        // What is under way keeps its permit.
        self.census.allowed.fetch_max(new, Ordering::SeqCst);
        self.pool.resize(new).unwrap();
        self.max_size = new;
    }

    async fn rotate(&mut self) {
        let root = self.rig.cluster.pki().root_pem();
        fs::write(&self.roots, format!("{root}{}", Pki::new().root_pem())).unwrap();
        assert_eq!(self.pool.reload().await, Ok(Reload::Swapped));
    }

    /// If there is room for all who acquire, each gets what he waits for.
    async fn wait(&mut self) {
        let waiting = self.slots.len() - self.holding() - self.empty();
        if self.holding() + waiting > self.max_size {
            return;
        }
        for slot in &mut self.slots {
            if let Slot::Acquiring(acquire) = slot {
                let result = timeout(MINUTE, acquire).await;
                *slot = acquired(result.expect("there is room"));
            }
        }
    }

    fn holding(&self) -> usize {
        let holding = |slot: &&Slot| matches!(slot, Slot::Holding(_));
        self.slots.iter().filter(holding).count()
    }

    fn empty(&self) -> usize {
        let empty = |slot: &&Slot| matches!(slot, Slot::Empty);
        self.slots.iter().filter(empty).count()
    }

    fn check(&self) {
        let holding = self.holding();
        let acquiring = self.slots.len() - holding - self.empty();
        let status = self.pool.status();
        let lent = holding..=holding + acquiring;
        assert_eq!(status.max_size, self.max_size);
        assert!(lent.contains(&status.used), "{status}, expected {lent:?}");
        let holders = self.pool.holders().len();
        assert!(lent.contains(&holders), "{holders}, expected {lent:?}");
        let marked = self.held.lock().unwrap().len();
        assert!(lent.contains(&marked), "{marked}, expected {lent:?}");
        assert!(status.waiting <= acquiring, "{status}");

        let excess = self.census.excess.load(Ordering::SeqCst);
        assert_eq!(excess, 0, "more than {:?} were open", self.census.allowed);
        // Whatever is open, being opened or waited for; what is over in a pool made smaller only ever ends.
        let all = status.used + status.idle + status.opening + acquiring;
        let most = self.census.allowed.load(Ordering::SeqCst).min(all);
        let allowed = most.max(self.max_size);
        self.census.allowed.store(allowed, Ordering::SeqCst);
    }

    async fn end(mut self) {
        self.pool.resize(LARGEST).unwrap();
        self.max_size = LARGEST;
        self.census
            .allowed
            .store(LARGEST + BORROWERS, Ordering::SeqCst);
        for slot in std::mem::take(&mut self.slots) {
            match slot {
                Slot::Acquiring(acquire) => acquire.abort(),
                Slot::Empty | Slot::Holding(_) => {}
            }
        }
        self.requests.join_all().await;
        let mut everybody = Vec::new();
        while everybody.len() < LARGEST {
            let client = self.pool.acquire().await.expect("no permit is lost");
            everybody.extend(enter(client, Arc::clone(&self.held)).await);
        }
        drop(everybody);
        self.rig.recovered(&self.pool).await;
        assert_eq!(self.held.lock().unwrap().len(), 0);
    }
}

fn acquired(result: Result<Option<Box<Borrower>>, tokio::task::JoinError>) -> Slot {
    match result {
        Ok(Some(borrower)) => Slot::Holding(borrower),
        Ok(None) => Slot::Empty,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
