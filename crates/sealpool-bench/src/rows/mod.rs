use clap::ValueEnum;

use crate::{Failure, bench::Bench, row::Row};

mod acquire;
mod burst;
mod connect;
mod flights;
mod observing;
mod payload;
mod process;
mod restart;
mod statements;

/// What is measured, each with rows of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// Acquire and release: one task, and 64 tasks on a pool of 8.
    Acquire,
    /// `SELECT 1`, prepared, 64 tasks on a pool of 8: throughput and fairness.
    Statements,
    /// Many rows.
    Payload,
    /// One connection more, up to its first query.
    Connect,
    /// Round trips and hellos of a connection.
    Flights,
    /// The first connect of a process.
    FirstConnect,
    /// Many connections from nothing.
    Burst,
    /// A server that goes away and comes back.
    Restart,
    /// Memory of an idle connection.
    Memory,
    /// What an observer and the metrics cost.
    Observing,
}

impl Workload {
    pub(crate) fn run(self, bench: &Bench) -> Result<Vec<Row>, Failure> {
        match self {
            Self::Acquire => acquire::run(bench),
            Self::Statements => statements::run(bench),
            Self::Payload => payload::run(bench),
            Self::Connect => connect::run(bench),
            Self::Flights => flights::run(bench),
            Self::FirstConnect => process::first_connect(bench),
            Self::Burst => burst::run(bench),
            Self::Restart => restart::run(bench),
            Self::Memory => process::memory(bench),
            Self::Observing => observing::run(bench),
        }
    }
}
