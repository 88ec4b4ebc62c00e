use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// For how long the oldest statement of a connection has been under way, without a look at the clock for each.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// When it was looked at, and the last statement at that time; those of which something is not answered.
    looks: VecDeque<(Instant, u64)>,
    seen: u64,
    quiet_since: Option<Instant>,
}

impl Watched {
    /// Takes note of the last statement and of the last that was answered; the least age of the oldest between.
    pub(super) fn look(&mut self, now: Instant, last: u64, answered: u64) -> Option<Duration> {
        if last != self.seen || last > answered || self.quiet_since.is_none() {
            self.quiet_since = Some(now);
        }
        self.seen = last;
        while self
            .looks
            .front()
            .is_some_and(|(_, last)| *last <= answered)
        {
            self.looks.pop_front();
        }
        let newest = self.looks.back().map_or(answered, |(_, newest)| *newest);
        if last > newest {
            self.looks.push_back((now, last));
        }
        self.looks.front().map(|(since, _)| now - *since)
    }

    /// For how long there has been none.
    pub(super) fn quiet_for(&self, now: Instant) -> Duration {
        self.quiet_since.map_or(Duration::ZERO, |since| now - since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_statement_is_at_least_as_old_as_it_was_when_first_seen() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let mut watched = Watched::default();
        assert_eq!(watched.look(at(0), 0, 0), None);
        assert_eq!(watched.look(at(1), 3, 0), seconds(0));
        assert_eq!(watched.look(at(2), 4, 0), seconds(1));
        assert_eq!(watched.look(at(3), 9, 2), seconds(2));
        assert_eq!(
            watched.look(at(4), 9, 3),
            seconds(2),
            "the fourth came after one second"
        );
        assert_eq!(watched.look(at(5), 9, 4), seconds(2));
        assert_eq!(watched.look(at(6), 9, 9), None);
        assert_eq!(watched.quiet_for(at(6)), Duration::from_secs(1));
        assert_eq!(watched.look(at(9), 9, 9), None);
        assert_eq!(watched.quiet_for(at(9)), Duration::from_secs(4));
        assert_eq!(watched.look(at(10), 10, 10), None);
        assert_eq!(watched.quiet_for(at(10)), Duration::ZERO);
        assert_eq!(watched.look(at(11), 11, 10), seconds(0));
    }
}
