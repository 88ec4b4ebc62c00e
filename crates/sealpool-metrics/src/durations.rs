use std::{
    cell::Cell,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::{
    bounds::{Bounds, nanos},
    catalogue::{BUCKETS, Family},
    packed::Packed,
};

const SHARDS: usize = 8;
const CELLS: usize = 16;

/// Durations of one kind, bucket by bucket, until they are taken to be written into a recorder.
///
/// Each thread writes to one of a few shards, so that those on different cores do not write to the same memory. What a shard
/// has in a bucket is a single atomic with count and sum, so that whoever takes it takes what belongs together.
#[derive(Debug)]
pub(crate) struct Durations {
    bounds: Bounds,
    /// Shard by shard, and in each bucket by bucket.
    lines: Box<[Line]>,
    beyond: Mutex<Beyond>,
}

/// A pair of cache lines, since there are processors that fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Line([Packed; CELLS]);

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
    /// With the bounds that are shipped for that family.
    pub(crate) fn new(family: &Family) -> Self {
        let name = family.name.of(crate::Naming::Prometheus);
        let shipped = BUCKETS.iter().find(|(prefix, _)| name.starts_with(prefix));
        let bounds = Bounds::new(shipped.map_or(&[], |(_, bounds)| bounds));
        let lines = SHARDS * bounds.ends().len().div_ceil(CELLS);
        let beyond = Beyond {
            buckets: vec![Samples::default(); bounds.ends().len()].into(),
            taken: 0,
        };
        Self {
            bounds,
            lines: (0..lines).map(|_| Line::default()).collect(),
            beyond: Mutex::new(beyond),
        }
    }

    pub(crate) fn record(&self, duration: Duration) {
        let nanos = nanos(duration);
        let bucket = self.bounds.bucket(nanos);
        let Some(cell) = self.cell(shard(), bucket) else {
            return;
        };
        if !cell.add(nanos) {
            self.clear(cell, bucket, nanos);
        }
    }

    /// Once in some thousand times, and for what does not fit into a cell at all.
    #[cold]
    fn clear(&self, cell: &Packed, bucket: usize, nanos: u64) {
        // Under the lock, so that nobody counts while it is in neither place.
        let mut beyond = self.beyond();
        if let Some(samples) = beyond.buckets.get_mut(bucket) {
            samples.add(cell.take());
            samples.add((1, nanos));
        }
    }

    /// How many there have been, taken or not.
    pub(crate) fn count(&self) -> u64 {
        let beyond = self.beyond();
        let cells = self.lines.iter().flat_map(|Line(cells)| cells);
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
            for cell in (0..SHARDS).filter_map(|shard| self.cell(shard, bucket)) {
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

    fn cell(&self, shard: usize, bucket: usize) -> Option<&Packed> {
        let Line(cells) = self
            .lines
            .get(shard * self.lines.len() / SHARDS + bucket / CELLS)?;
        cells.get(bucket % CELLS)
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

/// Which shard this thread writes to: threads get them in turns.
fn shard() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SHARD: Cell<Option<usize>> = const { Cell::new(None) };
    }
    SHARD.with(|shard| {
        shard.get().unwrap_or_else(|| {
            let next = THREADS.fetch_add(1, Relaxed) % SHARDS;
            shard.set(Some(next));
            next
        })
    })
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
