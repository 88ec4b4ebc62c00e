use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32},
};

use super::{hooks::Hooks, ledger::Ledger, permits::Permits};

/// What all sessions of a pool go by.
#[derive(Debug)]
pub(super) struct House {
    pub(super) closing: AtomicBool,
    /// How often all connections were to be replaced.
    pub(super) evictions: AtomicU32,
    /// How often a statement was found to be older than its tables.
    pub(super) redefinitions: Arc<AtomicU32>,
    pub(super) ledger: Ledger,
    pub(super) hooks: Hooks,
    pub(super) permits: Arc<Permits>,
}

impl House {
    pub(super) fn new(hooks: Hooks, permits: Arc<Permits>) -> Self {
        Self {
            closing: AtomicBool::new(false),
            evictions: AtomicU32::new(0),
            ledger: Ledger::default(),
            redefinitions: Arc::default(),
            hooks,
            permits,
        }
    }
}
