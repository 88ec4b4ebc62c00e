use tokio::time::Instant;

use super::session::Session;

/// The sessions that wait for a borrower.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    /// The one used longest ago first, each with the time: a session may be in another processor's cache.
    sessions: Vec<(Instant, Box<Session>)>,
    closed: bool,
}

impl Shelf {
    /// Lays a session down; gives it back to be closed, where the pool is.
    pub(super) fn put(&mut self, session: Box<Session>) -> Option<Box<Session>> {
        if self.closed {
            return Some(session);
        }
        let since = session.idle_since();
        let sessions = &mut self.sessions;
        if sessions.last().is_none_or(|(last, _)| *last <= since) {
            sessions.push((since, session));
        } else {
            let place = sessions.partition_point(|(laid, _)| *laid <= since);
            sessions.insert(place, (since, session));
        }
        None
    }

    /// The one used last: it is the one most surely alive, and the others may age.
    pub(super) fn take(&mut self) -> Option<Box<Session>> {
        self.sessions.pop().map(|(_, session)| session)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// How many are of that kind.
    pub(super) fn count(&self, counted: impl Fn(&Session) -> bool) -> usize {
        self.sessions.iter().filter(|(_, s)| counted(s)).count()
    }

    #[expect(clippy::vec_box, reason = "that is how they are kept")]
    pub(super) fn take_if(
        &mut self,
        mut chosen: impl FnMut(&Session) -> bool,
    ) -> Vec<Box<Session>> {
        let taken = self.sessions.extract_if(.., |(_, session)| chosen(session));
        taken.map(|(_, session)| session).collect()
    }

    /// The first of that kind.
    pub(super) fn take_first(&mut self, chosen: impl Fn(&Session) -> bool) -> Option<Box<Session>> {
        let place = self
            .sessions
            .iter()
            .position(|(_, session)| chosen(session))?;
        let (_, session) = self.sessions.remove(place);
        Some(session)
    }

    /// Takes in nothing from now on; what there was.
    pub(super) fn close(&mut self) -> impl Drop + use<> {
        self.closed = true;
        std::mem::take(&mut self.sessions)
    }
}
