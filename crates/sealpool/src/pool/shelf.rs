use std::sync::{Mutex, MutexGuard, PoisonError};

use super::session::Session;

/// The sessions that wait for a borrower.
#[derive(Debug, Default)]
pub(super) struct Shelf(Mutex<Laid>);

#[derive(Debug, Default)]
#[expect(clippy::vec_box, reason = "each loan moves a session twice")]
struct Laid {
    /// The one used longest ago first.
    sessions: Vec<Box<Session>>,
    closed: bool,
}

impl Shelf {
    /// Lays a session down; where the pool is closed, it is closed instead.
    pub(super) fn put(&self, session: Box<Session>) {
        let mut laid = self.laid();
        if laid.closed {
            // Its end tells observers, who may look at the pool.
            drop(laid);
            drop(session);
        } else {
            let since = session.idle_since();
            let sessions = &mut laid.sessions;
            if sessions
                .last()
                .is_none_or(|last| last.idle_since() <= since)
            {
                sessions.push(session);
            } else {
                let place = sessions.partition_point(|laid| laid.idle_since() <= since);
                sessions.insert(place, session);
            }
        }
    }

    /// The one used last: it is the one most surely alive, and the others may age.
    pub(super) fn take(&self) -> Option<Box<Session>> {
        self.laid().sessions.pop()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.laid().sessions.is_empty()
    }

    /// How many are of that kind.
    pub(super) fn count(&self, counted: impl Fn(&Session) -> bool) -> usize {
        let laid = self.laid();
        laid.sessions.iter().filter(|s| counted(s)).count()
    }

    #[expect(clippy::vec_box, reason = "that is how they are kept")]
    pub(super) fn take_if(&self, mut chosen: impl FnMut(&Session) -> bool) -> Vec<Box<Session>> {
        let mut laid = self.laid();
        let taken = laid.sessions.extract_if(.., |session| chosen(session));
        taken.collect()
    }

    /// The first of that kind.
    pub(super) fn take_first(&self, chosen: impl Fn(&Session) -> bool) -> Option<Box<Session>> {
        let mut laid = self.laid();
        let place = laid.sessions.iter().position(|session| chosen(session))?;
        Some(laid.sessions.remove(place))
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
