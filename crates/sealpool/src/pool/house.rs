use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32},
};

use super::{hooks::Hooks, ledger::Ledger, permits::Permits, shelf::Shelf, suspension::Suspension};
use crate::connect::Loan;

/// What all sessions of a pool go by, and where those are that nobody has.
#[derive(Debug)]
pub(super) struct House {
    pub(super) closing: AtomicBool,
    /// How often all connections were to be replaced.
    pub(super) evictions: AtomicU32,
    /// How often a statement was found to be older than its tables.
    pub(super) redefinitions: Arc<AtomicU32>,
    /// The loan of cancel requests that the pool itself sends: it does not end.
    pub(super) own_loan: Arc<Loan>,
    pub(super) ledger: Ledger,
    pub(super) hooks: Hooks,
    pub(super) permits: Permits,
    pub(super) suspension: Suspension,
}

impl House {
    pub(super) fn new(hooks: Hooks, permits: Permits) -> Self {
        Self {
            closing: AtomicBool::new(false),
            evictions: AtomicU32::new(0),
            own_loan: Arc::default(),
            ledger: Ledger::default(),
            redefinitions: Arc::default(),
            hooks,
            permits,
            suspension: Suspension::default(),
        }
    }

    /// What is idle, under the lock that guards the permits: a session that comes out is to be dropped after it.
    pub(super) fn shelf<T>(&self, act: impl FnOnce(&mut Shelf) -> T) -> T {
        self.permits.shelf(act)
    }
}
