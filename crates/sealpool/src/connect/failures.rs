use crate::{
    error::{Attempt, ConnectError},
    event::Event,
    observers::Observers,
};

/// The failed attempts of one connect; each is told of as it is added.
pub(crate) struct Failures<'a> {
    observers: &'a Observers,
    attempts: Vec<Attempt>,
}

impl<'a> Failures<'a> {
    pub(crate) const fn new(observers: &'a Observers) -> Self {
        Self {
            observers,
            attempts: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, attempt: Attempt) {
        self.observers.on_event(&Event::ConnectFailed {
            host: &attempt.host,
            port: attempt.port,
            address: attempt.address,
            stage: attempt.stage,
            failure: attempt.failure,
        });
        self.attempts.push(attempt);
    }

    pub(super) fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    pub(crate) fn into_error(self) -> ConnectError {
        ConnectError::new(self.attempts)
    }
}
