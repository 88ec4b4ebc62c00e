use std::sync::atomic::{AtomicUsize, Ordering};

/// One more of a number, until it is dropped.
pub(crate) struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    /// Also tells how many there were before.
    pub(crate) fn new(number: &'a AtomicUsize) -> (Self, usize) {
        let before = number.fetch_add(1, Ordering::SeqCst);
        (Self(number), before)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
