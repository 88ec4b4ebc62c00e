use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};
use tokio::sync::Mutex;
use tracing::Span;

use super::{
    gate::Gate,
    hooks::Hooks,
    house::House,
    lane::Tracks,
    listening::Listeners,
    mend,
    opening::{Kept, Outcome},
    permits::Permits,
    session::{CHECK, Session},
    shelf::Shelf,
    suspension::Suspension,
    upkeep::Upkeep,
    waiters::Waiters,
};
use crate::{connect::Connector, error::Error, event::CloseReason, policy::Pooling};

tokio::task_local! {
    /// Set while somebody asks for a connection that is there already, and waits for nothing.
    pub(super) static IDLE_ONLY: ();
    /// What has been opened for whoever asks.
    pub(super) static OPENED: Cell<Option<Kept>>;
}

/// deadpool's contract: opens sessions and checks them before they are lent again.
#[derive(Debug)]
pub(super) struct Manager {
    connector: Connector,
    pub(super) name: String,
    pub(super) house: Arc<House>,
    pub(super) permits: Arc<Permits>,
    pub(super) gate: Arc<Gate>,
    pub(super) lane: Arc<Tracks>,
    pub(super) listeners: Arc<Listeners>,
    pub(super) shelf: Arc<Shelf>,
    pub(super) suspension: Suspension,
    pub(super) upkeep: Upkeep,
    pub(super) waiters: Waiters,
    warming: Mutex<()>,
    opened: AtomicU32,
}

/// There is no session that waits for a borrower.
#[derive(Debug)]
pub(super) struct NoneThere;

impl Manager {
    pub(super) fn new(connector: Connector, hooks: Hooks) -> Self {
        let policy = connector.policy();
        let pooling = policy.pooling;
        let permits = Arc::new(Permits::new(pooling.max_size, pooling.max_waiting));
        let house = Arc::new(House::new(hooks, Arc::clone(&permits)));
        let gate = Arc::<Gate>::default();
        let lane = Tracks::new(connector.clone(), Arc::clone(&house), Arc::clone(&gate));
        Self {
            name: policy.name(),
            connector,
            house,
            permits,
            gate,
            lane: Arc::new(lane),
            listeners: Arc::default(),
            shelf: Arc::default(),
            suspension: Suspension::default(),
            upkeep: Upkeep::default(),
            waiters: Waiters::default(),
            warming: Mutex::default(),
            opened: AtomicU32::new(0),
        }
    }

    pub(super) fn closing(&self) {
        self.house.closing.store(true, Ordering::Relaxed);
        self.upkeep.end();
        self.listeners.end();
        self.lane.close();
        self.permits.close();
        self.gate.close();
        self.shelf.close();
    }

    pub(super) fn is_closing(&self) -> bool {
        self.house.closing.load(Ordering::Relaxed)
    }

    /// What is in force at this moment; to ask takes a lock.
    pub(super) fn pooling(&self) -> Pooling {
        self.connector.policy().pooling
    }

    pub(super) const fn connector(&self) -> &Connector {
        &self.connector
    }

    /// Opens a connection and lays it down for whoever comes next; whether there was room for it.
    pub(super) async fn warm(&self) -> Result<bool, Error> {
        let _alone = self.warming.lock().await;
        let Ok(Some(permit)) = self.permits.free() else {
            return Ok(false);
        };
        // Whoever has a permit has a connection or may open one.
        if self.house.ledger.idle() + self.permits.in_use() > self.permits.limit() {
            return Ok(false);
        }
        let turn = self.gate.turn(&self.connector.policy()).await?;
        let Outcome { opened, permit } = self.open(turn, permit, &Span::none()).await?;
        // Laid down before there is room for another.
        drop(opened?);
        drop(permit);
        Ok(true)
    }

    /// Whether those that are open or being opened are too many, the one included whose turn it is. Whoever has a permit may
    /// open one, but another may have two in hand for a moment: the one that it opened, and one that came back meanwhile.
    pub(super) fn is_overfull(&self) -> bool {
        let cards = self.house.ledger.cards();
        let pooled = cards.iter().filter(|card| card.is_pooled()).count();
        pooled + self.opening() > self.permits.limit()
    }

    /// How many are being opened to be lent.
    pub(super) fn opening(&self) -> usize {
        let others = self.listeners.opening() + self.lane.opening();
        self.gate.opening().saturating_sub(others)
    }

    pub(super) fn next_turn(&self) -> f64 {
        turn(self.opened.fetch_add(1, Ordering::Relaxed))
    }
}

/// Multiples of the golden ratio, modulo 1, are spread evenly however many there are.
fn turn(number: u32) -> f64 {
    const GOLDEN_RATIO: f64 = 0.618_033_988_749_895;
    (f64::from(number) * GOLDEN_RATIO).fract()
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.closing();
    }
}

impl managed::Manager for Manager {
    type Type = Session;
    type Error = NoneThere;

    /// Opens none: that takes a permit, which whoever asks has.
    async fn create(&self) -> Result<Session, NoneThere> {
        let opened = OPENED.try_with(Cell::take).ok().flatten();
        if let Some(session) = opened.and_then(Kept::take) {
            return Ok(session);
        }
        while let Some(mut session) = self.shelf.take() {
            if check(&mut session).await.is_ok() {
                return Ok(session);
            }
        }
        Err(NoneThere)
    }

    async fn recycle(&self, session: &mut Session, _: &Metrics) -> RecycleResult<NoneThere> {
        // This one came back meanwhile: nobody need wait for its check to have what was opened.
        drop(OPENED.try_with(Cell::take));
        check(session).await.map_err(RecycleError::message)
    }
}

/// Whether a session may be lent.
pub(super) async fn check(session: &mut Session) -> Result<(), &'static str> {
    if session.is_closed() {
        return Err("the connection has ended");
    }
    if let Some(reason) = session.rotation() {
        session.is_to_be_closed_for(reason);
        return Err("what it was made with has been replaced");
    }
    if !session.settled().await {
        session.is_to_be_closed_for(CloseReason::Dirty);
        return Err("a cancel request may still hit it");
    }
    if let Err(reason) = mend::check(session).await {
        session.is_to_be_closed_for(reason);
        return Err("something was left in it");
    }
    if let Err(reason) = session.has_its_role(CHECK).await {
        session.is_to_be_closed_for(reason);
        return Err("its server has another role");
    }
    if IDLE_ONLY.try_with(|()| ()).is_err() && !session.answers().await {
        session.is_to_be_closed_for(CloseReason::CheckFailed);
        return Err("it does not answer");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fifty_that_are_born_together_end_one_after_the_other() {
        for first in [0, 1000, 4_000_000_000] {
            let mut turns: Vec<f64> = (first..first + 50).map(turn).collect();
            turns.sort_by(f64::total_cmp);
            let gaps = turns.windows(2).map(|pair| pair[1] - pair[0]);
            let (least, most) = gaps.fold((1.0_f64, 0.0_f64), |(least, most), gap| {
                (least.min(gap), most.max(gap))
            });
            assert!(least > 0.2 / 50.0 && most < 2.0 / 50.0, "{least} to {most}");
            assert!(turns[0] < 2.0 / 50.0 && turns[49] > 1.0 - 2.0 / 50.0);
        }
    }
}
