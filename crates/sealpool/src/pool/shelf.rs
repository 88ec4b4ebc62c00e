use std::sync::{Mutex, MutexGuard, PoisonError};

use super::session::Session;

/// Sessions that were opened before anybody asked or for somebody who went away, or taken out for a moment: deadpool takes
/// in none that it has not asked for.
#[derive(Debug, Default)]
pub(super) struct Shelf(Mutex<Laid>);

#[derive(Debug, Default)]
struct Laid {
    /// The one used longest ago first.
    sessions: Vec<Session>,
    closed: bool,
}

impl Shelf {
    /// Lays a session down; where the pool is closed, it is closed instead.
    pub(super) fn put(&self, session: Session) {
        let mut laid = self.laid();
        if laid.closed {
            // Its end tells observers, who may look at the pool.
            drop(laid);
            drop(session);
        } else {
            let older = |laid: &Session| laid.idle_since() <= session.idle_since();
            let place = laid.sessions.partition_point(older);
            laid.sessions.insert(place, session);
        }
    }

    /// The one used last, as the pool itself does.
    pub(super) fn take(&self) -> Option<Session> {
        self.laid().sessions.pop()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.laid().sessions.is_empty()
    }

    pub(super) fn take_if(&self, mut chosen: impl FnMut(&Session) -> bool) -> Vec<Session> {
        self.laid()
            .sessions
            .extract_if(.., |session| chosen(session))
            .collect()
    }

    /// Takes in nothing from now on.
    pub(super) fn close(&self) {
        let sessions = {
            let mut laid = self.laid();
            laid.closed = true;
            std::mem::take(&mut laid.sessions)
        };
        drop(sessions);
    }

    fn laid(&self) -> MutexGuard<'_, Laid> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
