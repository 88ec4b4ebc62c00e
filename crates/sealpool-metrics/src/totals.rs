use std::{
    marker::PhantomData,
    sync::atomic::{
        AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
    time::SystemTime,
};

use sealpool::{
    AcquireOutcome, ChannelBinding, CloseReason, CredentialOutcome, Event, HandshakeFailure,
    HealthCheckOutcome, KeyExchangeGroup, Outcome, PoolState, ReloadOutcome, Stage, TlsVersion,
};

/// All values that a label may take.
pub(crate) trait ClosedSet: Copy + PartialEq + 'static {
    const ALL: &'static [Self];

    fn as_str(self) -> &'static str;
}

macro_rules! closed_sets {
    ($($name:ident)+) => {
        $(impl ClosedSet for $name {
            const ALL: &'static [Self] = Self::ALL;

            fn as_str(self) -> &'static str {
                self.as_str()
            }
        })+
    };
}

closed_sets! {
    AcquireOutcome ChannelBinding CloseReason CredentialOutcome HandshakeFailure HealthCheckOutcome KeyExchangeGroup
    Outcome PoolState ReloadOutcome Stage TlsVersion
}

/// One count for each value of a closed set.
#[derive(Debug)]
pub(crate) struct Tally<T> {
    counts: Vec<AtomicU64>,
    of: PhantomData<T>,
}

impl<T: ClosedSet> Default for Tally<T> {
    fn default() -> Self {
        Self {
            counts: T::ALL.iter().map(|_| AtomicU64::default()).collect(),
            of: PhantomData,
        }
    }
}

impl<T: ClosedSet> Tally<T> {
    fn add(&self, value: T) {
        let values = T::ALL.iter().zip(&self.counts);
        if let Some((_, count)) = values.into_iter().find(|(known, _)| **known == value) {
            count.fetch_add(1, Release);
        }
    }

    pub(crate) fn counts(&self) -> Vec<(T, u64)> {
        let values = T::ALL.iter().zip(&self.counts);
        values
            .map(|(value, count)| (*value, count.load(Acquire)))
            .collect()
    }
}

pub(crate) fn sum<T>(counts: &[(T, u64)]) -> u64 {
    counts.iter().map(|(_, count)| count).sum()
}

/// What has happened in all pools of one name, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) acquires: Tally<AcquireOutcome>,
    pub(crate) opened: AtomicU64,
    pub(crate) closed: Tally<CloseReason>,
    pub(crate) connect_failures: Tally<Stage>,
    pub(crate) handshakes: AtomicU64,
    pub(crate) handshake_failures: Tally<HandshakeFailure>,
    pub(crate) versions: Tally<TlsVersion>,
    pub(crate) groups: Tally<KeyExchangeGroup>,
    pub(crate) bindings: Tally<ChannelBinding>,
    pub(crate) reloads: Tally<ReloadOutcome>,
    pub(crate) credentials: Tally<CredentialOutcome>,
    pub(crate) checks: Tally<HealthCheckOutcome>,
    pub(crate) lane: Tally<Outcome>,
    pub(crate) lane_evictions: AtomicU64,
    pub(crate) leaks: AtomicU64,
    pub(crate) last_reload: Moment,
    pub(crate) credential_expiry: Moment,
}

impl Totals {
    pub(crate) fn add(&self, event: &Event<'_>) {
        match event {
            Event::AcquireEnded { outcome, .. } => self.acquires.add(*outcome),
            Event::ConnectFailed { stage, .. } => self.connect_failures.add(*stage),
            Event::ConnectionClosed { reason, .. } => self.closed.add(*reason),
            Event::ConnectionOpened { .. } => {
                self.opened.fetch_add(1, Relaxed);
            }
            Event::CredentialRefreshed {
                outcome,
                expires_at,
                ..
            } => {
                self.credentials.add(*outcome);
                if let Some(end) = expires_at {
                    self.credential_expiry.set(*end);
                }
            }
            Event::HandshakeFailed { failure, .. } => self.handshake_failures.add(*failure),
            Event::HandshakeSealed { session, .. } => {
                self.groups.add(session.key_exchange_group());
                self.bindings.add(session.channel_binding());
                self.versions.add(session.protocol_version());
            }
            Event::HandshakeStarted { .. } => {
                self.handshakes.fetch_add(1, Relaxed);
            }
            Event::HealthChecked { outcome, .. } => self.checks.add(*outcome),
            Event::LaneConnectionEvicted { .. } => {
                self.lane_evictions.fetch_add(1, Relaxed);
            }
            Event::LaneStatementEnded { outcome, .. } => self.lane.add(*outcome),
            Event::LeakSuspected { .. } => {
                self.leaks.fetch_add(1, Relaxed);
            }
            Event::PoolBuilt { .. } => self.last_reload.set(SystemTime::now()),
            Event::TlsReloaded { outcome, .. } => {
                self.reloads.add(*outcome);
                if *outcome != ReloadOutcome::Failed {
                    self.last_reload.set(SystemTime::now());
                }
            }
            // Certificates that end soon are levels; a weak login is in the log.
            _ => {}
        }
    }

    /// How many connections are open. What has ended is read first, so that it is never negative.
    pub(crate) fn open(&self) -> u64 {
        let closed = sum(&self.closed.counts());
        self.opened.load(Relaxed).saturating_sub(closed)
    }
}

/// A point in time, or none.
#[derive(Debug, Default)]
pub(crate) struct Moment(AtomicU64);

impl Moment {
    pub(crate) fn set(&self, time: SystemTime) {
        self.0.store(unix_time(time).to_bits(), Relaxed);
    }

    pub(crate) fn get(&self) -> Option<f64> {
        Some(f64::from_bits(self.0.load(Relaxed))).filter(|seconds| *seconds != 0.0)
    }
}

/// Seconds since 1970.
pub(crate) fn unix_time(time: SystemTime) -> f64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => since.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    }
}
