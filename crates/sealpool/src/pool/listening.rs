use std::{
    collections::BTreeSet,
    convert::Infallible,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, task::JoinHandle, time::sleep};
use tokio_postgres::error::Severity;
use tracing::Span;

use super::{gate::Gate, line::Line};
use crate::{
    connect::{Connector, Mailbox},
    counted::Counted,
    error::{Attempt, ConnectError, Stage},
    event::CloseReason,
};

/// How long a failure that waiting does not heal is left alone.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);
/// Into how many steps a rotation is divided.
const STEPS: u32 = 50;
const SHORTEST_STEP: Duration = Duration::from_millis(10);
const LONGEST_STEP: Duration = Duration::from_secs(5);
/// For how long the connection of a slow listener may not be read.
const HELD_BACK: Duration = Duration::from_secs(6);

/// The channels to listen to, and how often they have changed.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    pub(super) channels: BTreeSet<String>,
    pub(super) version: u64,
}

/// How far the task has come.
#[derive(Debug, Default)]
pub(super) struct Standing {
    pub(super) in_force: Option<u64>,
    /// Told to who waits for his channels.
    pub(super) failure: Option<Arc<ConnectError>>,
    pub(super) last: Option<Arc<ConnectError>>,
}

/// The tasks of all listeners of a pool.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    ended: watch::Sender<bool>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    opening: AtomicUsize,
}

impl Listeners {
    pub(super) fn end(&self) {
        self.ended.send_replace(true);
    }

    /// How many open a connection.
    pub(super) fn opening(&self) -> usize {
        self.opening.load(Ordering::Relaxed)
    }

    /// What ends when their connections have.
    pub(super) fn take_tasks(&self) -> Vec<JoinHandle<()>> {
        std::mem::take(&mut self.tasks())
    }

    pub(super) fn keep(&self, task: JoinHandle<()>) {
        let mut tasks = self.tasks();
        tasks.retain(|task| !task.is_finished());
        tasks.push(task);
    }

    fn tasks(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What opens the connection of a listener, time and again, and keeps it listening.
pub(super) struct Task {
    pub(super) connector: Connector,
    pub(super) gate: Arc<Gate>,
    pub(super) listeners: Arc<Listeners>,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) wanted: watch::Receiver<Wanted>,
    pub(super) standing: watch::Sender<Standing>,
}

impl Task {
    pub(super) async fn run(self) {
        let mut ended = self.listeners.ended.subscribe();
        let mut wanted = self.wanted.clone();
        let dropped = async { while wanted.changed().await.is_ok() {} };
        let mut line = None;
        let reason = tokio::select! {
            biased;
            _ = ended.wait_for(|ended| *ended) => CloseReason::PoolClosed,
            () = dropped => CloseReason::Detached,
            never = self.keep(&mut line) => match never {},
        };
        // What is full would hold up the goodbye.
        self.mailbox.close();
        if let Some(line) = line {
            line.close(reason).await;
        }
    }

    async fn keep(&self, line: &mut Option<Line>) -> Infallible {
        let mut again = false;
        loop {
            let fresh = self.open().await;
            if let Some(old) = line.take() {
                let reason = old.rotation().unwrap_or(CloseReason::Broken);
                old.close(reason).await;
            }
            let current = line.insert(fresh);
            if let Err(error) = self.follow(current, again).await {
                self.failed(Arc::new(error), false);
                *line = None;
                sleep(REFUSED_PAUSE).await;
            } else if current.rotation().is_none() {
                *line = None;
            }
            again |= self.standing.borrow().in_force.is_some();
        }
    }

    async fn open(&self) -> Line {
        loop {
            let policy = self.connector.policy();
            let error = match self.gate.turn(&policy).await {
                Ok(turn) => {
                    let (_opening, _) = Counted::new(&self.listeners.opening);
                    match self.connector.open_alone(&Span::none()).await {
                        Ok(opened) => {
                            turn.succeeded();
                            let mailbox = Arc::clone(&self.mailbox);
                            return Line::new(opened, self.connector.clone(), mailbox);
                        }
                        Err(error) => {
                            let error = Arc::new(error);
                            turn.failed(&error, &policy);
                            error
                        }
                    }
                }
                Err(error) => error,
            };
            let may_pass = error.is_transient();
            self.failed(error, may_pass && policy.pooling.retry);
            if !may_pass {
                sleep(REFUSED_PAUSE).await;
            }
        }
    }

    /// Listens to what is wanted until the connection is lost or to be replaced; fails if the server does not let it.
    async fn follow(&self, line: &mut Line, again: bool) -> Result<(), ConnectError> {
        let mut wanted = self.wanted.clone();
        let mut listening = BTreeSet::new();
        let mut told = !again;
        loop {
            let Wanted { channels, version } = wanted.borrow_and_update().clone();
            let sql = statements(&listening, &channels);
            if !sql.is_empty() {
                let policy = self.connector.policy();
                let limit = policy.network.limits.startup + HELD_BACK;
                match line.execute(&sql, limit).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) if is_refusal(&error) => return Err(refused(line, error)),
                    Ok(Err(_)) | Err(_) => {
                        sleep(REFUSED_PAUSE).await;
                        return Ok(());
                    }
                }
            }
            listening = channels;
            self.standing.send_replace(Standing {
                in_force: Some(version),
                failure: None,
                last: None,
            });
            // Whoever reads his data once more has to do so when the server listens.
            if !told {
                self.mailbox.reconnected();
                told = true;
            }
            let step = self.connector.policy().rotate_within / STEPS;
            let mut due = false;
            while !due {
                tokio::select! {
                    () = line.lost() => return Ok(()),
                    // Fails when the listener has been dropped.
                    _ = wanted.changed() => due = true,
                    () = sleep(step.clamp(SHORTEST_STEP, LONGEST_STEP)) => {}
                }
                if line.rotation().is_some() {
                    return Ok(());
                }
            }
        }
    }

    fn failed(&self, error: Arc<ConnectError>, silently: bool) {
        let told = {
            let standing = self.standing.borrow();
            standing.failure.is_some() || standing.in_force.is_none()
        };
        if !silently && !told {
            self.mailbox.failed(Arc::clone(&error));
        }
        self.standing.send_modify(|standing| {
            if !silently {
                standing.failure = Some(Arc::clone(&error));
            }
            standing.last = Some(error);
        });
    }
}

impl Drop for Task {
    /// Also when its runtime ends.
    fn drop(&mut self) {
        self.mailbox.close();
    }
}

fn statements(listening: &BTreeSet<String>, wanted: &BTreeSet<String>) -> String {
    let listen = wanted.difference(listening).map(|name| ("LISTEN", name));
    let unlisten = listening.difference(wanted).map(|name| ("UNLISTEN", name));
    listen
        .chain(unlisten)
        .map(|(verb, name)| format!("{verb} \"{}\";", name.replace('"', "\"\"")))
        .collect()
}

/// Other errors end the connection.
fn is_refusal(error: &tokio_postgres::Error) -> bool {
    let severity = error
        .as_db_error()
        .and_then(|error| error.parsed_severity());
    severity == Some(Severity::Error)
}

fn refused(line: &Line, error: tokio_postgres::Error) -> ConnectError {
    ConnectError::new(vec![Attempt {
        host: Arc::clone(&line.server.host),
        port: line.server.port,
        address: Some(line.server.address),
        stage: Stage::Startup,
        failure: None,
        problem: "the server does not let us listen, as a standby does not; ask for a primary with target_session_attrs"
            .to_owned(),
        source: Some(error.into()),
    }])
}
