use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    Lane,
    error::{Kind, LaneError},
    track::Track,
};
use crate::{
    connect::Outcome,
    counted::Counted,
    error::{AcquireTimeout, Error},
    pool::{
        queue::{End, Wait},
        waiting::Waiting,
    },
};

/// The limit of a call that has to wait or to begin again.
#[derive(Debug, Default)]
pub(super) struct Deadline(Option<Instant>);

impl Lane {
    /// A connection with a place for one more statement.
    pub(super) async fn place(&self, deadline: &mut Deadline) -> Result<Arc<Track>, LaneError> {
        let manager = self.manager();
        let tracks = &manager.lane;
        if tracks.max_size() == 0 {
            return Err(LaneError::new(Kind::Off, Outcome::NotSent));
        }
        if tracks.is_closed() {
            return Err(Error::Closed.into());
        }
        self.pool.keep_up();
        tracks.keeper.ensure(tracks);
        if tracks.waiting.load(Ordering::SeqCst) == 0
            && !manager.house.suspension.is_on()
            && let Some(track) = tracks.choose()
        {
            return Ok(track);
        }
        self.wait(deadline).await
    }

    /// The same, in the order of asking.
    async fn wait(&self, deadline: &mut Deadline) -> Result<Arc<Track>, LaneError> {
        let manager = self.manager();
        let tracks = &manager.lane;
        let policy = manager.connector().policy();
        let (_waiting, before) = Counted::new(&tracks.waiting);
        if let Some(most) = policy.pooling.max_waiting.filter(|most| before >= *most) {
            return Err(Error::QueueFull(most).into());
        }
        let limit = policy.pooling.acquire_timeout;
        let until = deadline.within(limit);
        let waiting = Waiting::enter(&manager.house, Wait::until(Some(until)));
        let work = async {
            // It is never closed.
            let _next = tracks.turnstile.acquire().await;
            manager.house.suspension.over().await;
            let (mut failures, _) = tracks.failure();
            loop {
                if tracks.is_closed() {
                    return Err(Error::Closed);
                }
                if let Some(track) = tracks.choose() {
                    return Ok(track);
                }
                tracks.room.notified().await;
                let (times, last) = tracks.failure();
                if let Some(error) = last.filter(|_| times != failures) {
                    failures = times;
                    let is_hopeless = !policy.pooling.retry || !error.is_transient();
                    if is_hopeless && tracks.all().is_empty() {
                        return Err(Error::Connect(error));
                    }
                    tracks.unpause();
                }
            }
        };
        let ended = match waiting.unless_ended(work).await {
            Ok(placed) => return placed.map_err(LaneError::from),
            Err(ended) => ended,
        };
        Err(match ended {
            End::Closed => Error::Closed,
            End::Late => self.late(limit),
            End::Refused(error) => Error::Connect(error),
        }
        .into())
    }

    fn late(&self, limit: Duration) -> Error {
        let manager = self.manager();
        Error::Timeout(AcquireTimeout {
            limit,
            setting: Some("pool.acquire_timeout"),
            status: manager.status().into(),
            oldest: None,
            last: manager.gate.last_failure(),
        })
    }
}

impl Deadline {
    /// From the first wait on.
    fn within(&mut self, limit: Duration) -> Instant {
        *self.0.get_or_insert_with(|| Instant::now() + limit)
    }

    /// From the first failure on.
    pub(super) fn is_over(&mut self, lane: &Lane) -> bool {
        let limit = lane.manager().connector().policy().pooling.acquire_timeout;
        Instant::now() >= self.within(limit)
    }
}
