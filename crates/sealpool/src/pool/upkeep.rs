use std::{
    pin::pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use super::{
    keepalive, manager::Manager, names, reconfiguration::follow, retirement::retire,
    session::Session, suspects,
};
use crate::{
    event::{CloseReason, Event},
    policy::Pooling,
};

/// Into how many steps a rotation is divided.
const STEPS: u32 = 50;
const SHORTEST_STEP: Duration = Duration::from_millis(10);
/// How long the minimum may be missed before anybody looks.
const LONGEST_GAP: Duration = Duration::from_millis(500);
const LONGEST_STEP: Duration = Duration::from_secs(5);

/// Looks at the files and the hosts' addresses from time to time, retires idle connections that are too old or were made
/// with older files, keeps the minimum open and looks for leaks.
///
/// The task starts with the first acquire, since a pool may be built without a runtime, and again with the next one if its
/// runtime has ended. It ends with the pool.
#[derive(Debug, Default)]
pub(super) struct Upkeep {
    running: Arc<AtomicBool>,
    ended: watch::Sender<bool>,
}

impl Upkeep {
    pub(super) fn ensure(&self, manager: &Arc<Manager>) {
        if self.running.load(Ordering::Relaxed) || self.running.swap(true, Ordering::Relaxed) {
            return;
        }
        let running = Running(Arc::clone(&self.running));
        let swaps = manager.connector().swaps();
        let (pool, ended) = (Arc::downgrade(manager), self.ended.subscribe());
        tokio::spawn(async move {
            let _running = running;
            run(pool, ended, swaps).await;
        });
    }

    pub(super) fn end(&self) {
        self.ended.send_replace(true);
    }
}

/// Says so when the task has ended, in whatever way.
struct Running(Arc<AtomicBool>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

async fn run(pool: Weak<Manager>, mut ended: watch::Receiver<bool>, swaps: watch::Receiver<()>) {
    // Fails when the pool has been dropped, which is an end too. What it gives is a lock, and the last of the pool may be
    // dropped below, which takes that lock.
    let mut ended = pin!(async { drop(ended.wait_for(|ended| *ended).await) });
    tokio::select! {
        biased;
        () = &mut ended => {}
        () = rotate(&pool, swaps.clone()) => {}
        () = follow(&pool, swaps.clone()) => {}
        () = names::follow(&pool, swaps.clone()) => {}
        () = keep(&pool, swaps) => {}
        () = suspects::check(&pool) => {}
    }
}

async fn rotate(pool: &Weak<Manager>, mut swaps: watch::Receiver<()>) {
    let mut last_look = Instant::now();
    loop {
        let Some(manager) = pool.upgrade() else {
            return;
        };
        let connector = manager.connector().clone();
        drop(manager);
        let policy = connector.policy();
        let look = last_look + policy.reload_interval;
        let wake = if connector.stale() == 0 {
            look
        } else {
            let step = (policy.rotate_within / STEPS).clamp(SHORTEST_STEP, LONGEST_STEP);
            look.min(Instant::now() + step)
        };
        tokio::select! {
            () = sleep_until(wake) => {}
            _ = swaps.changed() => {}
        }
        if Instant::now() >= look {
            last_look = Instant::now();
            // It reports its failure itself.
            let _ = connector.reload().await;
        }
        let Some(manager) = pool.upgrade() else {
            return;
        };
        retire(&manager, Session::rotation);
    }
}

async fn keep(pool: &Weak<Manager>, mut swaps: watch::Receiver<()>) {
    loop {
        let Some(manager) = pool.upgrade() else {
            return;
        };
        report_leaks(&manager);
        replace(&manager).await;
        // Before the next one is asked, the place of one that did not answer is filled.
        if keepalive::ask_idle(&manager).await {
            continue;
        }
        let pause = pause(&manager.pooling());
        drop(manager);
        tokio::select! {
            () = sleep(pause) => {}
            _ = swaps.changed() => {}
        }
    }
}

/// A fraction of the shortest time that is to be kept.
fn pause(pooling: &Pooling) -> Duration {
    let shortest = [pooling.idle_timeout, pooling.max_lifetime]
        .into_iter()
        .chain(pooling.leak_threshold)
        .chain(pooling.keepalive_interval)
        .min()
        .unwrap_or(LONGEST_STEP);
    let longest = if pooling.min_idle > 0 {
        LONGEST_GAP
    } else {
        LONGEST_STEP
    };
    (shortest / STEPS).clamp(SHORTEST_STEP, longest)
}

fn report_leaks(manager: &Manager) {
    let Some(threshold) = manager.pooling().leak_threshold else {
        return;
    };
    for card in manager.house.ledger.cards() {
        let Some(holder) = card.suspect(threshold) else {
            continue;
        };
        manager
            .connector()
            .observer()
            .on_event(&Event::LeakSuspected {
                server: card.server(),
                place: holder.place,
                held: holder.held,
            });
    }
}

/// Retires what is too old, each only when another has taken its place among the minimum, and fills the minimum up.
///
/// While no connection can be opened, what is old goes on being used.
async fn replace(manager: &Manager) {
    let house = &manager.house;
    let pooling = manager.pooling();
    let least = pooling.min_idle;
    let now = Instant::now();
    retire(manager, |session| {
        session.is_closed().then_some(CloseReason::Broken)
    });
    while house.shelf(|shelf| shelf.count(|session| session.retirement(now).is_some())) > 0 {
        let replaced = if house.shelf(|shelf| shelf.count(|_| true)) > least {
            true
        } else {
            match manager.warm().await {
                Ok(replaced) => replaced,
                Err(_) => return,
            }
        };
        let mut left = 1;
        retire(manager, |session| {
            let reason = session.retirement(now).filter(|_| left > 0)?;
            left = 0;
            Some(reason)
        });
        if !replaced && manager.warm().await.is_err() {
            return;
        }
    }
    let mut spare = house
        .shelf(|shelf| shelf.count(|_| true))
        .saturating_sub(least);
    retire(manager, |session| {
        let idle = session.has_been_idle_for(pooling.idle_timeout, now);
        let retired = spare > 0 && idle;
        spare -= usize::from(retired);
        retired.then_some(CloseReason::IdleTimeout)
    });
    while !manager.is_closing()
        && house.shelf(|shelf| shelf.count(|_| true)) < least
        && matches!(manager.warm().await, Ok(true))
    {}
}
