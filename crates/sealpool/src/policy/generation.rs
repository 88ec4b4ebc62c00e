use std::{
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// All connections that were made with the same certificates, keys and lists.
#[derive(Debug, Default)]
pub(crate) struct Generation {
    open: AtomicUsize,
    superseded: OnceLock<Instant>,
}

impl Generation {
    pub(crate) fn opened(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn closed(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    pub(super) fn supersede(&self) {
        self.superseded.get_or_init(Instant::now);
    }

    /// How long ago the material was replaced; `None` while it is in force.
    pub(crate) fn superseded_for(&self) -> Option<Duration> {
        self.superseded.get().map(Instant::elapsed)
    }
}
