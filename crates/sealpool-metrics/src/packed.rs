use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Up to 4,095 durations of 52 days in sum, as a single atomic: so few bits for their count, and the rest for nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct Packed(AtomicU64);

const COUNT_BITS: u32 = 12;
const MOST: u64 = (1 << COUNT_BITS) - 1;

impl Packed {
    /// Says whether there was room for it.
    pub(crate) fn add(&self, nanos: u64) -> bool {
        let Self(packed) = self;
        let added = packed.fetch_update(Relaxed, Relaxed, |packed| {
            if packed & MOST == MOST || nanos > u64::MAX >> COUNT_BITS {
                return None;
            }
            packed.checked_add(nanos << COUNT_BITS | 1)
        });
        added.is_ok()
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.load(Relaxed) & MOST
    }

    /// Their count and sum; none is left.
    pub(crate) fn take(&self) -> (u64, u64) {
        let packed = self.0.swap(0, Relaxed);
        (packed & MOST, packed >> COUNT_BITS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: u64 = u64::MAX >> COUNT_BITS;

    /// What has come of it, and whether there was room for the last.
    fn filled(nanos: impl IntoIterator<Item = u64>) -> ((u64, u64), bool) {
        let packed = Packed::default();
        let fits = nanos.into_iter().fold(true, |_, nanos| packed.add(nanos));
        let count = packed.count();
        let taken = packed.take();
        assert_eq!(count, taken.0);
        assert_eq!(packed.take(), (0, 0), "none is left");
        (taken, fits)
    }

    #[test]
    fn what_fits_is_added() {
        assert_eq!(filled([]), ((0, 0), true));
        assert_eq!(filled([0]), ((1, 0), true));
        assert_eq!(filled([5, 7]), ((2, 12), true));
        assert_eq!(filled([0, LONGEST]), ((2, LONGEST), true));
        assert_eq!(filled([1; 4095]), ((4095, 4095), true));
    }

    #[test]
    fn what_does_not_fit_changes_nothing() {
        assert_eq!(filled([1; 4096]), ((4095, 4095), false));
        assert_eq!(filled([LONGEST, 1]), ((1, LONGEST), false));
        assert_eq!(filled([7, LONGEST + 1]), ((1, 7), false));
        assert_eq!(filled([7, u64::MAX]), ((1, 7), false));
    }
}
