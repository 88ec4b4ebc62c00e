use std::{
    sync::{PoisonError, RwLock},
    time::Duration,
};

use metrics::{Histogram, Key};

use crate::{catalogue::METADATA, destination::Destination};

/// One histogram of one pool, with the handle that its recorder gave.
#[derive(Debug)]
pub(crate) struct Timing {
    key: Key,
    handle: RwLock<Option<Handle>>,
}

#[derive(Debug)]
struct Handle {
    /// Where and since which collection it is good.
    stamp: (usize, u64),
    histogram: Histogram,
}

impl Timing {
    pub(crate) const fn new(key: Key) -> Self {
        Self {
            key,
            handle: RwLock::new(None),
        }
    }

    pub(crate) const fn key(&self) -> &Key {
        &self.key
    }

    /// Records a duration. The handle is asked for anew when another recorder has been installed, and with each collection,
    /// since an exporter that drops what is idle drops it when it is scraped.
    pub(crate) fn record(&self, duration: Duration, destination: &Destination) {
        let seconds = duration.as_secs_f64();
        destination.with(|recorder, address| {
            let stamp = (address, destination.collections());
            {
                let handle = self.handle.read().unwrap_or_else(PoisonError::into_inner);
                if let Some(handle) = handle.as_ref().filter(|handle| handle.stamp == stamp) {
                    handle.histogram.record(seconds);
                    return;
                }
            }
            let histogram = recorder.register_histogram(&self.key, &METADATA);
            histogram.record(seconds);
            *self.handle.write().unwrap_or_else(PoisonError::into_inner) =
                Some(Handle { stamp, histogram });
        });
    }
}
