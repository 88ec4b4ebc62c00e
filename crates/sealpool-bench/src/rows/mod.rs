use clap::ValueEnum;

use crate::{Failure, bench::Bench, row::Row};

mod acquire;

/// What is measured, each with rows of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// Acquire and release: one task, and 64 tasks on a pool of 8.
    Acquire,
}

impl Workload {
    pub(crate) fn run(self, bench: &Bench) -> Result<Vec<Row>, Failure> {
        match self {
            Self::Acquire => acquire::run(bench),
        }
    }
}
