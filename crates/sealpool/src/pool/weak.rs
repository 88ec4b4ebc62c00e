use std::sync::{Arc, Weak};

use super::{ConnectionInfo, Holder, Pool, Status, manager::Manager};
use crate::connect::CertificateInUse;

/// A pool as seen by somebody who only looks at it: it does not keep the pool open.
#[derive(Clone, Debug)]
pub struct WeakPool(Weak<Manager>);

impl WeakPool {
    /// [`Pool::status`], unless the pool's last clone has been dropped.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        Some(self.0.upgrade()?.status())
    }

    /// [`Pool::connections`], unless the pool's last clone has been dropped.
    #[must_use]
    pub fn connections(&self) -> Option<Vec<ConnectionInfo>> {
        Some(self.0.upgrade()?.house.ledger.connections())
    }

    /// [`Pool::holders`], unless the pool's last clone has been dropped.
    #[must_use]
    pub fn holders(&self) -> Option<Vec<Holder>> {
        Some(self.0.upgrade()?.house.ledger.holders())
    }

    /// [`Pool::certificates`], unless the pool's last clone has been dropped.
    #[must_use]
    pub fn certificates(&self) -> Option<Vec<CertificateInUse>> {
        Some(self.0.upgrade()?.connector().certificates())
    }
}

impl Pool {
    /// A handle that does not keep the pool open.
    #[must_use]
    pub fn downgrade(&self) -> WeakPool {
        WeakPool(Arc::downgrade(&self.manager))
    }
}
