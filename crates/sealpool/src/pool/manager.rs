use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicUsize, Ordering},
};

use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};
use tokio::sync::Mutex;

use super::{
    gate::{Gate, Turn},
    mend,
    permits::Permits,
    session::{House, Session},
    shelf::Shelf,
    upkeep::Upkeep,
};
use crate::{connect::Connector, error::ConnectError, event::CloseReason, policy::Pooling};

tokio::task_local! {
    /// Set while somebody asks for a connection that is there already, and waits for nothing.
    pub(super) static IDLE_ONLY: ();
}

/// deadpool's contract: opens sessions and checks them before they are lent again.
#[derive(Debug)]
pub(super) struct Manager {
    connector: Connector,
    pub(super) pooling: Pooling,
    pub(super) house: Arc<House>,
    pub(super) permits: Arc<Permits>,
    pub(super) gate: Gate,
    pub(super) shelf: Shelf,
    pub(super) upkeep: Upkeep,
    pub(super) waiting: AtomicUsize,
    warming: Mutex<()>,
    opened: AtomicU32,
}

/// Why there is no session.
#[derive(Debug)]
pub(super) enum NotOpened {
    Failed(Arc<ConnectError>),
    /// Another one may have come back in the meantime.
    Again,
    /// None was to be opened.
    Unasked,
}

impl Manager {
    pub(super) fn new(connector: Connector) -> Self {
        let pooling = connector.policy().pooling.clone();
        Self {
            connector,
            house: Arc::default(),
            permits: Arc::new(Permits::new(pooling.max_size, pooling.max_waiting)),
            gate: Gate::default(),
            shelf: Shelf::default(),
            upkeep: Upkeep::default(),
            waiting: AtomicUsize::new(0),
            warming: Mutex::default(),
            opened: AtomicU32::new(0),
            pooling,
        }
    }

    pub(super) fn closing(&self) {
        self.house.closing.store(true, Ordering::Relaxed);
        self.upkeep.end();
        self.permits.close();
        self.gate.close();
        drop(self.shelf.take_if(|_| true));
    }

    pub(super) fn is_closing(&self) -> bool {
        self.house.closing.load(Ordering::Relaxed)
    }

    pub(super) const fn connector(&self) -> &Connector {
        &self.connector
    }

    /// Opens a connection and lays it down for whoever comes next; whether there was room for it.
    pub(super) async fn warm(&self) -> Result<bool, Arc<ConnectError>> {
        let _alone = self.warming.lock().await;
        let Ok(Some(_permit)) = self.permits.free() else {
            return Ok(false);
        };
        // Whoever has a permit has a connection or may open one.
        if self.house.ledger.idle() + self.permits.in_use() > self.permits.limit() {
            return Ok(false);
        }
        let turn = self.gate.turn(&self.connector.policy()).await?;
        let session = self.open(turn).await?;
        self.shelf.put(session);
        if self.is_closing() {
            drop(self.shelf.take_if(|_| true));
        }
        Ok(true)
    }

    async fn open(&self, turn: Turn<'_>) -> Result<Session, Arc<ConnectError>> {
        let policy = self.connector.policy();
        match self.connector.open().await {
            Ok(opened) => {
                let (connector, house) = (self.connector.clone(), Arc::clone(&self.house));
                let session = Session::new(opened, connector, house, self.next_turn());
                turn.succeeded();
                Ok(session)
            }
            Err(error) => {
                let error = Arc::new(error);
                turn.failed(&error, &policy);
                Err(error)
            }
        }
    }

    /// Multiples of the golden ratio, modulo 1, are spread evenly however many there are.
    fn next_turn(&self) -> f64 {
        const GOLDEN_RATIO: f64 = 0.618_033_988_749_895;
        (f64::from(self.opened.fetch_add(1, Ordering::Relaxed)) * GOLDEN_RATIO).fract()
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.closing();
    }
}

impl managed::Manager for Manager {
    type Type = Session;
    type Error = NotOpened;

    async fn create(&self) -> Result<Session, NotOpened> {
        while let Some(mut session) = self.shelf.take() {
            if check(&mut session).await.is_ok() {
                return Ok(session);
            }
        }
        if IDLE_ONLY.try_with(|()| ()).is_ok() {
            return Err(NotOpened::Unasked);
        }
        let policy = self.connector.policy();
        let turn = tokio::select! {
            biased;
            turn = self.gate.turn(&policy) => turn.map_err(NotOpened::Failed)?,
            () = self.permits.returned() => return Err(NotOpened::Again),
        };
        self.open(turn).await.map_err(|error| {
            if self.pooling.retry && error.is_transient() {
                NotOpened::Again
            } else {
                NotOpened::Failed(error)
            }
        })
    }

    async fn recycle(&self, session: &mut Session, _: &Metrics) -> RecycleResult<NotOpened> {
        check(session).await.map_err(RecycleError::message)
    }
}

/// Whether a session may be lent.
async fn check(session: &mut Session) -> Result<(), &'static str> {
    if session.is_closed() {
        return Err("the connection has ended");
    }
    if session.is_to_be_rotated() {
        session.is_to_be_closed_for(CloseReason::TlsRotated);
        return Err("its certificates have been replaced");
    }
    if !session.settled().await {
        session.is_to_be_closed_for(CloseReason::Dirty);
        return Err("a cancel request may still hit it");
    }
    if let Err(reason) = mend::check(session).await {
        session.is_to_be_closed_for(reason);
        return Err("something was left in it");
    }
    if IDLE_ONLY.try_with(|()| ()).is_err() && !session.answers().await {
        session.is_to_be_closed_for(CloseReason::CheckFailed);
        return Err("it does not answer");
    }
    Ok(())
}
