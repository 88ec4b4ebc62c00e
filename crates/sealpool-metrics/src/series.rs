use std::{
    sync::{Mutex, MutexGuard, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};

use metrics::{Recorder, SharedString};
use sealpool::{AcquireOutcome, Event, PoolState, Status, WeakPool};

#[cfg(feature = "status-page")]
use crate::status_page::Recent;
use crate::{
    catalogue::{self as all, Family, Naming},
    expiries::Expiries,
    totals::{Totals, sum},
    writer::Writer,
};

/// What is known of the pools that have had one name, one after the other: counters go on where the last one ended.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) name: SharedString,
    naming: Naming,
    pub(crate) totals: Totals,
    #[cfg(feature = "status-page")]
    pub(crate) recent: Recent,
    now: Mutex<Present>,
}

#[derive(Debug, Default)]
struct Present {
    pool: Option<WeakPool>,
    expiries: Expiries,
    /// The recorder that has all there is to say of a pool that is gone.
    closed_in: Option<usize>,
}

impl Series {
    pub(crate) fn new(name: &str, naming: Naming) -> Self {
        Self {
            name: SharedString::from_owned(name.to_owned()),
            naming,
            totals: Totals::new(),
            #[cfg(feature = "status-page")]
            recent: Recent::default(),
            now: Mutex::default(),
        }
    }

    /// Takes in another pool of this name, unless there is one that has not been closed.
    pub(crate) fn claim(&self, pool: &WeakPool) -> bool {
        let mut now = self.now();
        let status = now.pool.as_ref().and_then(WeakPool::status);
        let closed = [PoolState::Closed, PoolState::Closing];
        if status.is_some_and(|status| !closed.contains(&status.state)) {
            return false;
        }
        now.pool = Some(pool.clone());
        now.closed_in = None;
        true
    }

    pub(crate) fn on_event(&self, event: &Event<'_>) {
        // When it happened is known before it is counted.
        #[cfg(feature = "status-page")]
        self.recent.add(event);
        self.totals.add(event);
    }

    pub(crate) fn write(&self, recorder: &dyn Recorder, address: usize) {
        let mut now = self.now();
        if now.closed_in == Some(address) {
            return;
        }
        let writer = Writer {
            recorder,
            naming: self.naming,
            pool: &self.name,
        };
        let status = now.pool.as_ref().and_then(WeakPool::status);
        // Before anything is written: what ends while it is being written has not been said.
        let open = self.totals.open();
        let is_under_way = self.write_totals(writer);
        match &status {
            Some(status) => write_levels(writer, status),
            None => write_closed(writer, open),
        }
        let certificates = now.pool.as_ref().and_then(WeakPool::certificates);
        now.expiries
            .write(writer, &certificates.unwrap_or_default());
        let is_gone = status.is_none() && open == 0 && !is_under_way;
        now.closed_in = is_gone.then_some(address);
    }

    /// Also tells whether a handshake is under way.
    fn write_totals(&self, writer: Writer<'_>) -> bool {
        let totals = &self.totals;
        // What has ended is read once and before what was begun: in no scrape is there an end without its beginning.
        let sealed = totals.versions.counts();
        let failed = totals.handshake_failures.counts();
        let begun = totals.handshakes.load(Relaxed);
        let active = begun.saturating_sub(sum(&sealed) + sum(&failed));
        writer.counter(&all::HANDSHAKE_ATTEMPTS, begun);
        writer.counters(&all::HANDSHAKE_FAILURES, all::ERROR_TYPE, &failed);
        writer.counters(&all::TLS_CONNECTIONS, all::TLS_PROTOCOL_VERSION, &sealed);
        writer.gauge(&all::HANDSHAKES_ACTIVE, level(active));
        let acquires = totals.acquires();
        let timeouts = acquires
            .iter()
            .find(|(outcome, _)| *outcome == AcquireOutcome::Timeout);
        writer.counter(&all::TIMEOUTS, timeouts.map_or(0, |(_, count)| *count));
        writer.counters(&all::ACQUIRES, all::OUTCOME, &acquires);
        let closed = totals.closed.counts();
        writer.counter(&all::OPENED, totals.opened());
        writer.counters(&all::CLOSED, all::REASON, &closed);
        writer.counters(
            &all::CONNECT_FAILURES,
            all::STAGE,
            &totals.connect_failures.counts(),
        );
        writer.counters(&all::KEY_EXCHANGE, all::GROUP, &totals.groups.counts());
        writer.counters(
            &all::CHANNEL_BINDING,
            all::OUTCOME,
            &totals.bindings.counts(),
        );
        writer.counters(&all::RELOADS, all::OUTCOME, &totals.reloads.counts());
        writer.counters(
            &all::CREDENTIAL_REFRESHES,
            all::OUTCOME,
            &totals.credentials.counts(),
        );
        writer.counters(&all::HEALTH_CHECKS, all::OUTCOME, &totals.checks.counts());
        writer.counters(&all::LANE_STATEMENTS, all::OUTCOME, &totals.lane.counts());
        let evictions = totals.lane_evictions.load(Relaxed);
        writer.counter(&all::LANE_EVICTIONS, evictions);
        writer.counter(&all::LEAKS_SUSPECTED_TOTAL, totals.leaks.load(Relaxed));
        for (family, moment) in [
            (&all::LAST_RELOAD_SUCCESS, &totals.last_reload),
            (&all::CREDENTIAL_EXPIRY, &totals.credential_expiry),
        ] {
            if let Some(time) = moment.get() {
                writer.gauge(family, time);
            }
        }
        for (family, durations) in [
            (&all::WAIT_TIME, &[&totals.direct, &totals.waited][..]),
            (&all::CREATE_TIME, &[&totals.create_time]),
            (&all::USE_TIME, &[&totals.use_time]),
            (&all::HANDSHAKE_DURATION, &[&totals.handshake_duration]),
        ] {
            writer.histogram(family, durations);
        }
        active > 0
    }

    #[cfg(feature = "status-page")]
    pub(crate) fn pool(&self) -> Option<WeakPool> {
        self.now().pool.clone()
    }

    fn now(&self) -> MutexGuard<'_, Present> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write_levels(writer: Writer<'_>, status: &Status) {
    let connections = |state, count| {
        writer.gauge_of(&all::CONNECTIONS, all::CONNECTION_STATE, state, count);
    };
    connections("idle", number(status.idle));
    connections("used", number(status.used));
    let seconds = |time: Option<Duration>| time.unwrap_or_default().as_secs_f64();
    let gauges: [(&Family, f64); 11] = [
        (&all::CONNECTIONS_MAX, number(status.max_size)),
        (&all::IDLE_MIN, number(status.min_idle)),
        (&all::IDLE_MAX, number(status.max_size)),
        (&all::PENDING_REQUESTS, number(status.waiting)),
        (&all::OLDEST_WAITER_AGE, seconds(status.oldest_waiter)),
        (&all::OPENING, number(status.opening)),
        (&all::BACKOFF, seconds(status.backoff)),
        (&all::STALE_CONNECTIONS, number(status.stale)),
        (&all::LEAKS_SUSPECTED, number(status.leaks_suspected)),
        (&all::LANE_CONNECTIONS, number(status.lane_connections)),
        (&all::LANE_OUTSTANDING, number(status.lane_outstanding)),
    ];
    for (family, value) in gauges {
        writer.gauge(family, value);
    }
    write_state(writer, status.state);
}

/// A pool whose last clone has been dropped, while borrowers may hold some of its connections.
fn write_closed(writer: Writer<'_>, open: u64) {
    for (state, count) in [("idle", 0), ("used", open)] {
        writer.gauge_of(
            &all::CONNECTIONS,
            all::CONNECTION_STATE,
            state,
            level(count),
        );
    }
    for family in [
        &all::CONNECTIONS_MAX,
        &all::IDLE_MIN,
        &all::IDLE_MAX,
        &all::PENDING_REQUESTS,
        &all::OLDEST_WAITER_AGE,
        &all::OPENING,
        &all::BACKOFF,
        &all::STALE_CONNECTIONS,
        &all::LEAKS_SUSPECTED,
        &all::LANE_CONNECTIONS,
        &all::LANE_OUTSTANDING,
    ] {
        writer.gauge(family, 0.0);
    }
    let state = if open > 0 {
        PoolState::Closing
    } else {
        PoolState::Closed
    };
    write_state(writer, state);
}

fn write_state(writer: Writer<'_>, present: PoolState) {
    for state in PoolState::ALL {
        let value = if *state == present { 1.0 } else { 0.0 };
        writer.gauge_of(&all::POOL_STATE, all::STATE, state.as_str(), value);
    }
}

fn number(count: usize) -> f64 {
    level(count.try_into().unwrap_or(u64::MAX))
}

/// Exact up to 2⁵³, which no level reaches.
#[expect(clippy::cast_precision_loss, reason = "as said")]
fn level(count: u64) -> f64 {
    count as f64
}
