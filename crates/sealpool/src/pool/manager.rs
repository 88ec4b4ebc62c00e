use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use tokio::sync::Mutex;
use tracing::Span;

use super::{
    gate::Gate,
    hooks::Hooks,
    house::House,
    lane::Tracks,
    listening::Listeners,
    mend,
    opening::Outcome,
    permit::Permit,
    permits::Permits,
    session::{CHECK, Session},
    upkeep::Upkeep,
};
use crate::{connect::Connector, error::Error, event::CloseReason, policy::Pooling};

/// What all clones of a pool share.
#[derive(Debug)]
pub(super) struct Manager {
    connector: Connector,
    pub(super) name: String,
    pub(super) house: Arc<House>,
    pub(super) gate: Arc<Gate>,
    pub(super) lane: Arc<Tracks>,
    pub(super) listeners: Arc<Listeners>,
    pub(super) upkeep: Upkeep,
    warming: Mutex<()>,
    opened: AtomicU32,
}

impl Manager {
    pub(super) fn new(connector: Connector, hooks: Hooks) -> Self {
        let policy = connector.policy();
        let permits = Permits::new(policy.pooling.max_size);
        permits.follow(&policy.pooling);
        let house = Arc::new(House::new(hooks, permits));
        let gate = Arc::new(Gate::new(Arc::clone(&house)));
        let lane = Tracks::new(connector.clone(), Arc::clone(&house), Arc::clone(&gate));
        Self {
            name: policy.name(),
            connector,
            house,
            gate,
            lane: Arc::new(lane),
            listeners: Arc::default(),
            upkeep: Upkeep::default(),
            warming: Mutex::default(),
            opened: AtomicU32::new(0),
        }
    }

    pub(super) fn closing(&self) {
        self.house.closing.store(true, Ordering::Relaxed);
        self.upkeep.end();
        self.listeners.end();
        self.lane.close();
        self.house.permits.close();
        self.gate.close();
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
        let Ok(Some(permit)) = Permit::free(&self.house) else {
            return Ok(false);
        };
        let permits = &self.house.permits;
        // Whoever has a permit has a connection or may open one.
        if self.house.ledger.idle() + permits.in_use() > permits.limit() {
            return Ok(false);
        }
        let turn = self.gate.turn(&self.connector.policy()).await?;
        let Outcome { opened, permit } = self.open(turn, permit, &Span::none()).await?;
        // Laid down before there is room for another.
        drop(opened?);
        drop(permit);
        Ok(true)
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

/// Whether a session may be lent; if not, it has the reason.
pub(super) async fn check(session: &mut Session) -> bool {
    if !is_sound(session).await {
        return false;
    }
    let answers = session.answers().await;
    if !answers {
        session.is_to_be_closed_for(CloseReason::CheckFailed);
    }
    answers
}

/// The same, without asking the server whether it answers.
pub(super) async fn is_sound(session: &mut Session) -> bool {
    match find_fault(session).await {
        None => true,
        Some(reason) => {
            session.is_to_be_closed_for(reason);
            false
        }
    }
}

async fn find_fault(session: &mut Session) -> Option<CloseReason> {
    if session.is_closed() {
        return Some(CloseReason::Broken);
    }
    if let Some(reason) = session.rotation() {
        return Some(reason);
    }
    if !session.settled().await {
        return Some(CloseReason::Dirty);
    }
    if let Err(reason) = mend::check(session).await {
        return Some(reason);
    }
    session.has_its_role(CHECK).await.err()
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
