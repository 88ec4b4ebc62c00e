use std::{
    marker::PhantomData,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant, SystemTime},
};

use sealpool::{
    AcquireOutcome, CloseReason, CredentialOutcome, Event, HandshakeFailure, HealthCheckOutcome,
    ReloadOutcome, Stage,
};

use crate::{
    sharded::Sharded,
    totals::{ClosedSet, Moment},
};

/// When things last happened, and how long acquires took of late.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    pub(super) acquired: Minute,
    pub(super) acquires: Lasts<AcquireOutcome>,
    pub(super) checks: Lasts<HealthCheckOutcome>,
    pub(super) closed: Lasts<CloseReason>,
    pub(super) connect_failures: Lasts<Stage>,
    pub(super) credentials: Lasts<CredentialOutcome>,
    pub(super) handshake_failures: Lasts<HandshakeFailure>,
    pub(super) reloads: Lasts<ReloadOutcome>,
}

impl Recent {
    pub(crate) fn add(&self, event: &Event<'_>) {
        match event {
            Event::AcquireEnded {
                outcome, duration, ..
            } if outcome.gave_a_client() => self.acquired.add(*duration),
            Event::AcquireEnded { outcome, .. } => self.acquires.add(*outcome),
            Event::ConnectFailed { stage, .. } => self.connect_failures.add(*stage),
            Event::ConnectionClosed { reason, .. } => self.closed.add(*reason),
            Event::CredentialRefreshed { outcome, .. } => self.credentials.add(*outcome),
            Event::HandshakeFailed { failure, .. } => self.handshake_failures.add(*failure),
            Event::HealthChecked {
                outcome: outcome @ HealthCheckOutcome::Failed,
                ..
            } => self.checks.add(*outcome),
            Event::TlsReloaded { outcome, .. } => self.reloads.add(*outcome),
            _ => {}
        }
    }
}

/// When each value of a closed set last occurred.
#[derive(Debug)]
pub(super) struct Lasts<T> {
    moments: Vec<Moment>,
    of: PhantomData<T>,
}

impl<T: ClosedSet> Default for Lasts<T> {
    fn default() -> Self {
        Self {
            moments: T::ALL.iter().map(|_| Moment::default()).collect(),
            of: PhantomData,
        }
    }
}

impl<T: ClosedSet> Lasts<T> {
    fn add(&self, value: T) {
        if let Some(moment) = self.moment(value) {
            moment.set(SystemTime::now());
        }
    }

    pub(super) fn get(&self, value: T) -> Option<f64> {
        self.moment(value)?.get()
    }

    fn moment(&self, value: T) -> Option<&Moment> {
        let moments = T::ALL.iter().zip(&self.moments);
        let found = moments.into_iter().find(|(known, _)| **known == value);
        found.map(|(_, moment)| moment)
    }
}

const SECONDS: usize = 60;

/// Durations of the last minute, by second. What is added in the very moment that a second begins may be missing: this is
/// to be looked at, and the metrics have the exact count.
#[derive(Debug)]
pub(super) struct Minute {
    begun: Instant,
    shards: Sharded<[Second; SECONDS]>,
}

#[derive(Debug, Default)]
struct Second {
    /// Which it is, counted from 1 at the beginning.
    number: AtomicU64,
    count: AtomicU64,
    sum_in_micros: AtomicU64,
    max_in_micros: AtomicU64,
}

/// Some durations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Durations {
    pub(super) count: u64,
    pub(super) sum: Duration,
    pub(super) max: Duration,
}

impl Default for Minute {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            shards: Sharded::new(|| std::array::from_fn(|_| Second::default())),
        }
    }
}

impl Minute {
    fn add(&self, duration: Duration) {
        self.add_at(self.number(), duration);
    }

    fn number(&self) -> u64 {
        self.begun.elapsed().as_secs() + 1
    }

    fn add_at(&self, number: u64, duration: Duration) {
        let Some(second) = self.shards.own().and_then(|seconds| at(seconds, number)) else {
            return;
        };
        let known = second.number.load(Relaxed);
        let begins = |known| {
            let exchange = second
                .number
                .compare_exchange(known, number, Relaxed, Relaxed);
            exchange.is_ok()
        };
        if known < number && begins(known) {
            for value in [&second.count, &second.sum_in_micros, &second.max_in_micros] {
                value.store(0, Relaxed);
            }
        }
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        second.count.fetch_add(1, Relaxed);
        second.sum_in_micros.fetch_add(micros, Relaxed);
        if micros > second.max_in_micros.load(Relaxed) {
            second.max_in_micros.fetch_max(micros, Relaxed);
        }
    }

    /// Second by second, the present one last.
    pub(super) fn seconds(&self) -> Vec<Durations> {
        self.seconds_at(self.number())
    }

    fn seconds_at(&self, now: u64) -> Vec<Durations> {
        let ages = (0..SECONDS as u64).rev();
        let second = |age| {
            let number = now.checked_sub(age).filter(|number| *number > 0)?;
            let shards = self.shards.all().filter_map(|seconds| at(seconds, number));
            let parts = shards.filter(|second| second.number.load(Relaxed) == number);
            Some(Durations::total(parts.map(Second::durations)))
        };
        ages.map(|age| second(age).unwrap_or_default()).collect()
    }
}

/// That of this number, or the one that had its place a minute before.
fn at(seconds: &[Second; SECONDS], number: u64) -> Option<&Second> {
    seconds.get(usize::try_from(number).ok()? % SECONDS)
}

impl Second {
    fn durations(&self) -> Durations {
        Durations {
            count: self.count.load(Relaxed),
            sum: Duration::from_micros(self.sum_in_micros.load(Relaxed)),
            max: Duration::from_micros(self.max_in_micros.load(Relaxed)),
        }
    }
}

impl Durations {
    pub(super) fn total(all: impl IntoIterator<Item = Self>) -> Self {
        all.into_iter().fold(Self::default(), |total, second| Self {
            count: total.count + second.count,
            sum: total.sum + second.sum,
            max: total.max.max(second.max),
        })
    }

    /// `None` when there is none.
    pub(super) fn mean(self) -> Option<Duration> {
        let count = u32::try_from(self.count).ok();
        Some(self.sum / count.filter(|count| *count > 0)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_minute_forgets_what_is_older() {
        let minute = Minute::default();
        minute.add_at(1, 9 * MS);
        minute.add_at(2, MS);
        minute.add_at(2, 3 * MS);
        let seconds = minute.seconds_at(60);
        assert_eq!(seconds.len(), SECONDS);
        let total = Durations::total(seconds.iter().copied());
        assert_eq!((total.count, total.max), (3, 9 * MS));

        let total = Durations::total(minute.seconds_at(61));
        assert_eq!((total.count, total.max), (2, 3 * MS));
        assert_eq!(total.mean(), Some(2 * MS));

        minute.add_at(62, 5 * MS);
        let seconds = minute.seconds_at(62);
        assert_eq!(
            Durations::total(seconds.iter().copied()).count,
            1,
            "the place of the 2nd"
        );
        assert_eq!(seconds.last().map(|last| last.max), Some(5 * MS));
        assert_eq!(Durations::total(minute.seconds_at(200)).mean(), None);
    }

    #[test]
    fn the_present_second_is_the_last() {
        let minute = Minute::default();
        minute.add_at(7, MS);
        assert_eq!(minute.seconds_at(7).last().map(|last| last.count), Some(1));
        assert_eq!(minute.seconds_at(8).last().map(|last| last.count), Some(0));
    }
}
