use std::{
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use crate::event::CloseReason;

/// All connections that were made with the same certificates, keys, lists and settings.
#[derive(Debug, Default)]
pub(crate) struct Generation {
    open: AtomicUsize,
    superseded: OnceLock<(Instant, CloseReason)>,
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

    pub(super) fn supersede(&self, reason: CloseReason) {
        self.superseded.get_or_init(|| (Instant::now(), reason));
    }

    /// How long ago that was replaced, and why they are closed for it; `None` while it is in force.
    pub(crate) fn superseded_for(&self) -> Option<(Duration, CloseReason)> {
        let (since, reason) = self.superseded.get()?;
        Some((since.elapsed(), *reason))
    }
}
