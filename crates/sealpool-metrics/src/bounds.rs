use std::time::Duration;

use crate::catalogue::{BUCKETS, Family, Naming};

/// Where the buckets end in which durations are gathered: four times in each power of two between a microsecond and a
/// quarter of an hour, and where those end that are shipped. As in Prometheus an end belongs to its bucket.
#[derive(Debug)]
pub(crate) struct Bounds {
    /// In nanoseconds.
    ends: Box<[u64]>,
    /// For each quarter of a power of two its first bucket: it has one, or two when a shipped bound divides it.
    quarters: Box<[usize]>,
}

/// What is shorter is in the first quarter, what is longer in the last.
const SHORTEST: u64 = 1 << 10;
const LONGEST: u64 = 1 << 40;

impl Bounds {
    /// With those that are shipped for that family.
    pub(crate) fn of(family: &Family) -> Self {
        let name = family.name.of(Naming::Prometheus);
        let shipped = BUCKETS.iter().find(|(prefix, _)| name.starts_with(prefix));
        Self::new(shipped.map_or(&[], |(_, bounds)| bounds))
    }

    /// With those shipped, in seconds: not more than one in a quarter.
    fn new(shipped: &[f64]) -> Self {
        let shipped: Vec<_> = shipped
            .iter()
            .map(|bound| nanos(Duration::from_secs_f64(*bound)))
            .collect();
        let mut ends = Vec::new();
        let mut begin = 0;
        let quarters = (quarter(SHORTEST - 1)..=quarter(LONGEST)).map(|quarter| {
            let (power, fourth) = (quarter / 4, quarter % 4);
            let end = match (5 + fourth) << (power - 2) {
                end if end > LONGEST => u64::MAX,
                end => end,
            };
            let bucket = ends.len();
            let mut shipped = shipped.iter().copied();
            ends.extend(shipped.find(|bound| begin < *bound && *bound < end));
            ends.push(end);
            begin = end;
            bucket
        });
        Self {
            quarters: quarters.collect(),
            ends: ends.into(),
        }
    }

    /// In which bucket it is, counted from 0.
    pub(crate) fn bucket(&self, nanos: u64) -> usize {
        let below = nanos.saturating_sub(1).clamp(SHORTEST - 1, LONGEST);
        let index = usize::try_from(quarter(below) - quarter(SHORTEST - 1));
        let first = index.ok().and_then(|index| self.quarters.get(index));
        let first = first.copied().unwrap_or_default();
        let is_beyond = self.ends.get(first).is_some_and(|end| nanos > *end);
        first + usize::from(is_beyond)
    }

    /// Where the buckets end, in nanoseconds.
    pub(crate) fn ends(&self) -> &[u64] {
        &self.ends
    }
}

/// In which quarter a duration is that is a nanosecond longer, so that the end of a quarter is in it: four times the power
/// of two, and which of its four.
const fn quarter(below: u64) -> u64 {
    let power = below.ilog2();
    4 * power as u64 + (below >> (power - 2)) - 4
}

/// Up to 584 years.
pub(crate) fn nanos(duration: Duration) -> u64 {
    let seconds = duration.as_secs().saturating_mul(1_000_000_000);
    seconds.saturating_add(duration.subsec_nanos().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_bound_is_the_end_of_a_bucket() {
        for (name, shipped) in BUCKETS {
            let bounds = Bounds::new(shipped);
            for seconds in shipped {
                let end = nanos(Duration::from_secs_f64(*seconds));
                assert_eq!(end as f64 / 1e9, *seconds);
                let bucket = bounds.bucket(end);
                assert_eq!(bounds.ends().get(bucket), Some(&end), "{name} {seconds}");
                assert_eq!(bounds.bucket(end + 1), bucket + 1, "{name} {seconds}");
            }
        }
    }

    #[test]
    fn each_bucket_ends_where_it_says() {
        for (name, shipped) in BUCKETS {
            let bounds = Bounds::new(shipped);
            assert!(bounds.ends().is_sorted_by(|one, next| one < next));
            assert_eq!(bounds.bucket(0), 0);
            let last = bounds.ends().len() - 1;
            assert_eq!(bounds.ends().last(), Some(&u64::MAX));
            assert_eq!(bounds.bucket(u64::MAX), last);
            for (bucket, end) in bounds.ends().iter().enumerate() {
                assert_eq!(bounds.bucket(*end), bucket, "{name} {end}");
                assert_eq!(bounds.bucket(*end - 1), bucket, "{name} {end}");
                if bucket < last {
                    assert_eq!(bounds.bucket(*end + 1), bucket + 1, "{name} {end}");
                }
            }
        }
    }

    #[test]
    fn no_bucket_is_wider_than_a_quarter_of_its_durations() {
        let bounds = Bounds::new(&[]);
        let (ends, longest) = (bounds.ends(), LONGEST);
        for pair in ends
            .windows(2)
            .filter(|pair| pair.iter().all(|end| *end <= longest))
        {
            let [begin, end] = pair else { unreachable!() };
            assert!(end - begin <= begin / 4, "{begin} to {end}");
        }
        assert!(ends.contains(&SHORTEST) && ends.contains(&LONGEST));
    }
}
