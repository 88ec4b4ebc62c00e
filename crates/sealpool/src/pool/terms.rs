use std::time::Duration;

use tokio::time::Instant;

use crate::{connect::Connector, policy::Care};

/// A session's copy of what the policy in force grants it: to read that itself would take a lock at every return.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    revision: u64,
    pub(super) care: Care,
    pub(super) max_uses: Option<u32>,
    lifetime: Duration,
    grace: Duration,
}

impl Terms {
    pub(super) fn of(connector: &Connector) -> Self {
        // Before the policy: a newer one than its number says is only copied once more.
        let revision = connector.revision();
        let policy = connector.policy();
        let lifetime = policy.pooling.max_lifetime;
        Self {
            revision,
            care: policy.care,
            max_uses: policy.pooling.max_uses,
            lifetime,
            grace: match policy.pooling.min_idle {
                0 => Duration::ZERO,
                _ => lifetime / 10,
            },
        }
    }

    /// The same, or those of the policy that has come into force since.
    pub(super) fn renewed(self, connector: &Connector) -> Self {
        if self.revision == connector.revision() {
            self
        } else {
            Self::of(connector)
        }
    }

    /// When a session is to be replaced.
    pub(super) fn expiry(&self, opened: Instant, turn: f64) -> Instant {
        opened + self.lifetime.mul_f64(0.9 + 0.2 * turn)
    }

    /// When it is closed even if nothing replaces it.
    pub(super) fn overdue(&self, opened: Instant, turn: f64) -> Instant {
        self.expiry(opened, turn) + self.grace
    }
}
