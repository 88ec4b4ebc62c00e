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

use crate::{
    catalogue::{CREATE_TIME, HANDSHAKE_DURATION, USE_TIME, WAIT_TIME},
    durations::Durations,
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
///
/// What each acquire and return touches is in nothing but [`Durations`].
#[derive(Debug)]
pub(crate) struct Totals {
    /// Of the acquires that gave a client at once.
    pub(crate) direct: Durations,
    /// Of those that waited and gave one.
    pub(crate) waited: Durations,
    unsuccessful: Tally<AcquireOutcome>,
    pub(crate) use_time: Durations,
    /// Of each connection that was opened.
    pub(crate) create_time: Durations,
    pub(crate) closed: Tally<CloseReason>,
    pub(crate) connect_failures: Tally<Stage>,
    pub(crate) handshakes: AtomicU64,
    pub(crate) handshake_failures: Tally<HandshakeFailure>,
    pub(crate) handshake_duration: Durations,
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
    pub(crate) fn new() -> Self {
        Self {
            direct: Durations::new(&WAIT_TIME),
            waited: Durations::new(&WAIT_TIME),
            unsuccessful: Tally::default(),
            use_time: Durations::new(&USE_TIME),
            create_time: Durations::new(&CREATE_TIME),
            closed: Tally::default(),
            connect_failures: Tally::default(),
            handshakes: AtomicU64::default(),
            handshake_failures: Tally::default(),
            handshake_duration: Durations::new(&HANDSHAKE_DURATION),
            versions: Tally::default(),
            groups: Tally::default(),
            bindings: Tally::default(),
            reloads: Tally::default(),
            credentials: Tally::default(),
            checks: Tally::default(),
            lane: Tally::default(),
            lane_evictions: AtomicU64::default(),
            leaks: AtomicU64::default(),
            last_reload: Moment::default(),
            credential_expiry: Moment::default(),
        }
    }

    pub(crate) fn add(&self, event: &Event<'_>) {
        match event {
            Event::AcquireEnded {
                outcome, duration, ..
            } => match outcome {
                AcquireOutcome::Direct => self.direct.record(*duration),
                AcquireOutcome::Waited => self.waited.record(*duration),
                outcome => self.unsuccessful.add(*outcome),
            },
            Event::ClientReturned { held, .. } => self.use_time.record(*held),
            Event::ConnectFailed { stage, .. } => self.connect_failures.add(*stage),
            Event::ConnectionClosed { reason, .. } => self.closed.add(*reason),
            Event::ConnectionOpened { duration, .. } => self.create_time.record(*duration),
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
            Event::HandshakeSealed {
                duration, session, ..
            } => {
                self.handshake_duration.record(*duration);
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

    pub(crate) fn acquires(&self) -> Vec<(AcquireOutcome, u64)> {
        let mut acquires = self.unsuccessful.counts();
        for (outcome, count) in &mut acquires {
            match outcome {
                AcquireOutcome::Direct => *count = self.direct.count(),
                AcquireOutcome::Waited => *count = self.waited.count(),
                _ => {}
            }
        }
        acquires
    }

    pub(crate) fn opened(&self) -> u64 {
        self.create_time.count()
    }

    /// How many connections are open. What has ended is read first, so that it is never negative.
    pub(crate) fn open(&self) -> u64 {
        let closed = sum(&self.closed.counts());
        self.opened().saturating_sub(closed)
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
