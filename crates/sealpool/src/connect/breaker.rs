use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// So many failures in a row open the circuit of a server.
const FAILURES: u32 = 2;
/// For how long it then comes after the others; afterwards one connect tries it in its place.
const PAUSE: Duration = Duration::from_secs(10);

/// Keeps a server that is down from costing every connect its limit, while another one works: it is tried last for a
/// while. It is never left out, so that nothing is lost when all are down.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<HashMap<Target, Circuit>>);

/// A host by its name, or one of its addresses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Target {
    Address(SocketAddr),
    Host(Arc<str>, u16),
}

#[derive(Debug)]
struct Circuit {
    failures: u32,
    open_until: Instant,
}

impl Breaker {
    /// Puts those whose circuit is open behind the others.
    pub(super) fn order<T>(&self, all: Vec<T>, target: impl Fn(&T) -> Target) -> Vec<T> {
        if all.len() < 2 {
            return all;
        }
        let now = Instant::now();
        let mut circuits = self.circuits();
        let (mut first, last): (Vec<_>, Vec<_>) = all.into_iter().partition(|one| {
            circuits
                .get_mut(&target(one))
                .is_none_or(|circuit| circuit.admits(now))
        });
        first.extend(last);
        first
    }

    pub(super) fn failed(&self, target: Target) {
        let now = Instant::now();
        let mut circuits = self.circuits();
        // Addresses come and go with names that move.
        circuits.retain(|_, circuit| now < circuit.open_until + PAUSE);
        let circuit = circuits.entry(target).or_insert(Circuit {
            failures: 0,
            open_until: now,
        });
        circuit.failures = circuit.failures.saturating_add(1);
        circuit.open_until = now + PAUSE;
    }

    pub(super) fn succeeded(&self, target: &Target) {
        self.circuits().remove(target);
    }

    fn circuits(&self) -> MutexGuard<'_, HashMap<Target, Circuit>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Circuit {
    /// Whether it is tried in its place; when the pause is over, by the first one who asks.
    fn admits(&mut self, now: Instant) -> bool {
        if self.failures < FAILURES {
            return true;
        }
        let is_over = now >= self.open_until;
        if is_over {
            self.open_until = now + PAUSE;
        }
        is_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str) -> Target {
        Target::Host(name.into(), 5432)
    }

    fn order(breaker: &Breaker) -> Vec<&'static str> {
        breaker.order(vec!["a", "b", "c"], |name| host(name))
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_keeps_failing_is_tried_last_for_a_while() {
        let breaker = Breaker::default();
        breaker.failed(host("a"));
        assert_eq!(order(&breaker), ["a", "b", "c"], "once may be chance");
        breaker.failed(host("a"));
        assert_eq!(order(&breaker), ["b", "c", "a"]);
        tokio::time::advance(PAUSE).await;
        assert_eq!(order(&breaker), ["a", "b", "c"], "one tries it again");
        assert_eq!(order(&breaker), ["b", "c", "a"], "and only one");
        breaker.succeeded(&host("a"));
        assert_eq!(order(&breaker), ["a", "b", "c"]);
    }

    #[tokio::test(start_paused = true)]
    async fn none_is_left_out_when_all_fail() {
        let breaker = Breaker::default();
        for name in ["b", "a", "c", "a", "c", "b"] {
            breaker.failed(host(name));
        }
        assert_eq!(order(&breaker), ["a", "b", "c"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_over_is_forgotten() {
        let breaker = Breaker::default();
        breaker.failed(host("a"));
        tokio::time::advance(2 * PAUSE).await;
        breaker.failed(host("b"));
        assert_eq!(breaker.circuits().len(), 1);
    }
}
