use std::time::Duration;

use tokio::time::Instant;

use crate::{connect::Connector, policy::Care};

/// A session's copy of what the policy in force grants it: to read that itself would take a lock at every return.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    revision: u64,
    pub(super) care: Care,
    pub(super) max_uses: Option<u32>,
    /// When the session is to be replaced.
    pub(super) expiry: Instant,
    /// When it is closed even if nothing replaces it.
    pub(super) overdue: Instant,
}

impl Terms {
    /// Those of a session opened at that time; `turn` spreads the ends of sessions opened together: 0 is the first of them, 1
    /// the last.
    pub(super) fn of(connector: &Connector, opened: Instant, turn: f64) -> Self {
        // Before the policy: a newer one than its number says is only copied once more.
        let revision = connector.revision();
        let policy = connector.policy();
        let lifetime = policy.pooling.max_lifetime;
        let expiry = opened + lifetime.mul_f64(0.9 + 0.2 * turn);
        let grace = match policy.pooling.min_idle {
            0 => Duration::ZERO,
            _ => lifetime / 10,
        };
        Self {
            revision,
            care: policy.care,
            max_uses: policy.pooling.max_uses,
            expiry,
            overdue: expiry + grace,
        }
    }

    /// Whether they are those of the policy in force.
    pub(super) fn are_in_force(&self, connector: &Connector) -> bool {
        self.revision == connector.revision()
    }
}
