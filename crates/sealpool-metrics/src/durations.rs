use std::{
    array,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    bounds::{Bounds, nanos},
    catalogue::Family,
    packed::Packed,
    sharded::Sharded,
};

/// For the buckets of all that is shipped.
const CELLS: usize = 144;

/// Durations of one kind, bucket by bucket, until they are taken to be written into a recorder.
///
/// What a shard has in a bucket is a single atomic with count and sum, so that whoever takes it takes what belongs together.
#[derive(Debug)]
pub(crate) struct Durations {
    bounds: Bounds,
    shards: Sharded<[Packed; CELLS]>,
    beyond: Mutex<Beyond>,
}

#[derive(Debug)]
struct Beyond {
    /// What the cells had no room for, bucket by bucket.
    buckets: Box<[Samples]>,
    taken: u64,
}

/// Durations of one bucket.
#[derive(Clone, Copy, Debug, Default)]
struct Samples {
    count: u64,
    nanos: u128,
}

impl Durations {
    pub(crate) fn new(family: &Family) -> Self {
        let bounds = Bounds::of(family);
        let beyond = Beyond {
            buckets: vec![Samples::default(); bounds.ends().len()].into(),
            taken: 0,
        };
        Self {
            bounds,
            shards: Sharded::new(|| array::from_fn(|_| Packed::default())),
            beyond: Mutex::new(beyond),
        }
    }

    pub(crate) fn record(&self, duration: Duration) {
        let nanos = nanos(duration);
        let bucket = self.bounds.bucket(nanos);
        let cell = self.shards.own().and_then(|cells| cells.get(bucket));
        if !cell.is_some_and(|cell| cell.add(nanos)) {
            self.add_beyond(bucket, cell, nanos);
        }
    }

    /// Once in some thousand times, and for what does not fit into a cell at all.
    #[cold]
    fn add_beyond(&self, bucket: usize, cell: Option<&Packed>, nanos: u64) {
        // Under the lock, so that nobody counts while it is in neither place.
        let mut beyond = self.beyond();
        if let Some(samples) = beyond.buckets.get_mut(bucket) {
            samples.add(cell.map_or((0, 0), Packed::take));
            samples.add((1, nanos));
        }
    }

    /// How many there have been, taken or not.
    pub(crate) fn count(&self) -> u64 {
        let beyond = self.beyond();
        let cells = self.shards.all().flatten();
        let buckets = beyond.buckets.iter().map(|samples| samples.count);
        beyond.taken + buckets.chain(cells.map(Packed::count)).sum::<u64>()
    }

    /// Takes what has come since the last time: means in seconds with their counts. A mean is in the bucket of all that it
    /// stands for.
    pub(crate) fn take(&self) -> Vec<(f64, u64)> {
        let mut beyond = self.beyond();
        let Beyond { buckets, taken } = &mut *beyond;
        let mut means = Vec::new();
        for (bucket, (samples, end)) in buckets.iter_mut().zip(self.bounds.ends()).enumerate() {
            let mut samples = std::mem::take(samples);
            for cell in self.shards.all().filter_map(|cells| cells.get(bucket)) {
                // Nobody's cache is disturbed for nothing.
                if cell.count() > 0 {
                    samples.add(cell.take());
                }
            }
            if samples.count > 0 {
                *taken += samples.count;
                means.push((samples.mean(*end), samples.count));
            }
        }
        means
    }

    fn beyond(&self) -> MutexGuard<'_, Beyond> {
        self.beyond.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Samples {
    fn add(&mut self, (count, nanos): (u64, u64)) {
        self.count += count;
        self.nanos += u128::from(nanos);
    }

    /// In seconds, and rounded to no more than the end of the bucket.
    fn mean(self, end: u64) -> f64 {
        let mean = self.nanos as f64 / self.count as f64;
        mean.min(end as f64) / 1e9
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::WAIT_TIME;

    #[test]
    fn what_is_taken_is_there_no_more_but_counted() {
        let durations = Durations::new(&WAIT_TIME);
        durations.record(Duration::from_micros(100));
        durations.record(Duration::from_millis(40));
        durations.record(Duration::from_millis(38));
        assert_eq!(durations.count(), 3);
        assert_eq!(durations.take(), [(0.0001, 1), (0.039, 2)]);
        durations.record(Duration::from_secs(1));
        assert_eq!(durations.take(), [(1.0, 1)]);
        assert_eq!(durations.take(), []);
        assert_eq!(durations.count(), 4);
    }

    #[test]
    fn the_shortest_and_the_longest_are_recorded() {
        let durations = Durations::new(&WAIT_TIME);
        for duration in [Duration::ZERO, Duration::MAX, Duration::MAX] {
            durations.record(duration);
        }
        let years = u64::MAX as f64 / 1e9;
        assert_eq!(durations.take(), [(0.0, 1), (years, 2)]);
    }

    #[test]
    fn there_is_a_cell_for_every_bucket() {
        for family in crate::catalogue::FAMILIES {
            assert!(Bounds::of(family).ends().len() <= CELLS);
        }
    }

    #[test]
    fn more_than_a_cell_has_room_for_is_recorded() {
        const MANY: u64 = 10_000;
        let durations = Durations::new(&WAIT_TIME);
        for round in 1..=MANY {
            durations.record(Duration::from_millis(3));
            assert_eq!(durations.count(), round);
        }
        assert_eq!(durations.take(), [(0.003, MANY)]);
        assert_eq!(durations.count(), MANY);
    }

    #[test]
    fn a_mean_is_rounded_to_no_more_than_the_end() {
        let (end, count) = (30_000_000_000, 816_644_783_546);
        let nanos = u128::from(end) * u128::from(count);
        assert!(nanos as f64 / count as f64 > end as f64, "floating point");
        assert_eq!(Samples { count, nanos }.mean(end), 30.0);
    }

    /// Of whatever is in a bucket the mean is in it too, so that it is where Prometheus would have put each.
    #[test]
    fn a_mean_is_in_its_bucket() {
        let durations = Durations::new(&WAIT_TIME);
        let mut begin = None;
        for end in durations.bounds.ends().iter().copied() {
            let least = begin.map_or(0, |begin: u64| begin + 1);
            for (shortest, longest) in [(least, end), (least, 0), (0, end)] {
                let all = [(1, shortest), (999, longest)].into_iter();
                for (count, nanos) in all.filter(|(_, nanos)| *nanos >= least) {
                    for _ in 0..count {
                        durations.record(Duration::from_nanos(nanos));
                    }
                }
                let means = durations.take();
                let [(mean, _)] = *means else {
                    panic!("one bucket, not {means:?}")
                };
                assert!(mean <= end as f64 / 1e9, "{mean} {end}");
                assert!(
                    begin.is_none_or(|begin| mean > begin as f64 / 1e9),
                    "{mean} {end}"
                );
            }
            begin = Some(end);
        }
    }
}
