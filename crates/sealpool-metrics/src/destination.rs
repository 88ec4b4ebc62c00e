use std::{fmt, ptr, sync::Arc};

use metrics::Recorder;

/// The recorder that the metrics go to.
pub(crate) struct Destination {
    /// Without one of its own, whichever is installed at the moment.
    own: Option<Arc<dyn Recorder + Send + Sync>>,
}

impl Destination {
    pub(crate) const fn new(own: Option<Arc<dyn Recorder + Send + Sync>>) -> Self {
        Self { own }
    }

    /// Hands out the recorder with its address, by which it is told from another.
    pub(crate) fn with(&self, act: impl FnOnce(&dyn Recorder, usize)) {
        match &self.own {
            Some(own) => act(own, address(own)),
            None => metrics::with_recorder(|recorder| act(recorder, address(recorder))),
        }
    }
}

fn address(recorder: &dyn Recorder) -> usize {
    ptr::from_ref(recorder).addr()
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = self.own.is_some();
        f.debug_struct("Destination").field("own", &own).finish()
    }
}
