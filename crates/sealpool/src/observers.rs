use std::fmt;

use crate::event::{Event, Observer};

/// All who are told of a pool's events, in the order in which they were named.
#[derive(Default)]
pub(crate) struct Observers(Vec<Box<dyn Observer>>);

impl Observers {
    pub(crate) fn add(&mut self, observer: impl Observer) {
        self.0.push(Box::new(observer));
    }

    /// Whether there is anybody: what happens all the time is not even measured for nobody.
    pub(crate) const fn are_there(&self) -> bool {
        !self.0.is_empty()
    }

    pub(crate) fn on_event(&self, event: &Event<'_>) {
        for observer in &self.0 {
            observer.on_event(event);
        }
    }
}

impl Observer for Observers {
    fn on_event(&self, event: &Event<'_>) {
        Self::on_event(self, event);
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} observers", self.0.len())
    }
}
