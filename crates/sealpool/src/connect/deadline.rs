use std::time::Duration;

use tokio::time::Instant;

/// The end of a stretch that holds several phases; none may outlast it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(Option<Instant>);

impl Deadline {
    pub(super) fn after(limit: Option<Duration>) -> Self {
        Self(limit.map(|limit| Instant::now() + limit))
    }

    /// The earlier of the two ends.
    pub(super) fn and(self, limit: Option<Duration>) -> Self {
        let Self(other) = Self::after(limit);
        Self([self.0, other].into_iter().flatten().min())
    }

    /// What is left for a phase with a limit of its own.
    pub(super) fn cap(self, limit: Duration) -> Duration {
        self.0.map_or(limit, |end| {
            limit.min(end.saturating_duration_since(Instant::now()))
        })
    }
}
