use std::{
    pin::Pin,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use crate::{
    Failure,
    peers::{Single, expect},
};

pub(crate) const TASKS: usize = 64;

/// What many tasks got done, each with one statement after the other.
#[derive(Clone, Debug)]
pub(crate) struct Crowd {
    pub(crate) per_second: f64,
    /// From the call to its result; nobody but us tells them.
    pub(crate) latencies: Option<Latencies>,
}

#[derive(Clone, Debug)]
pub(crate) struct Latencies {
    /// Of all calls, sorted.
    sorted: Vec<Duration>,
    /// How many calls the task with the fewest had, and the mean of all.
    pub(crate) least_served: f64,
}

impl Latencies {
    /// In milliseconds.
    pub(crate) fn quantile(&self, quantile: f64) -> Option<f64> {
        let rank = quantile * (self.sorted.len() as f64 - 1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an index"
        )]
        let latency = self.sorted.get(rank.round() as usize)?;
        Some(latency.as_secs_f64() * 1e3)
    }
}

/// One repetition of somebody who executes single statements.
pub(crate) type Turn =
    Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<Crowd, Failure>> + Send>> + Send>;

pub(crate) fn turn<S: Single>(single: S, tasks: usize, lasting: Duration) -> Turn {
    spread(vec![single], tasks, lasting)
}

/// The same with the tasks dealt out: each keeps to one of them.
pub(crate) fn spread<S: Single>(singles: Vec<S>, tasks: usize, lasting: Duration) -> Turn {
    Box::new(move || Box::pin(crowd(singles.clone(), tasks, lasting)))
}

async fn crowd<S: Single>(
    singles: Vec<S>,
    tasks: usize,
    lasting: Duration,
) -> Result<Crowd, Failure> {
    let started = Instant::now();
    let mut running = JoinSet::new();
    for single in singles.iter().cycle().take(tasks) {
        let single = single.clone();
        running.spawn(async move {
            let mut latencies = Vec::new();
            let mut began = Instant::now();
            loop {
                expect(single.single().await?, 1)?;
                let ended = Instant::now();
                latencies.push(ended - began);
                began = ended;
                if ended - started > lasting {
                    return Ok::<_, Failure>(latencies);
                }
            }
        });
    }
    let mut sorted = Vec::new();
    let mut least = usize::MAX;
    while let Some(done) = running.join_next().await {
        let latencies = done??;
        least = least.min(latencies.len());
        sorted.extend(latencies);
    }
    let elapsed = started.elapsed();
    sorted.sort();
    let mean = sorted.len() as f64 / tasks as f64;
    Ok(Crowd {
        per_second: sorted.len() as f64 / elapsed.as_secs_f64(),
        latencies: Some(Latencies {
            sorted,
            least_served: least as f64 / mean,
        }),
    })
}
