use std::sync::{Mutex, MutexGuard, PoisonError};

use super::session::Session;

/// Sessions opened in the background, before anybody asked: deadpool takes in none that it has not asked for.
#[derive(Debug, Default)]
pub(super) struct Shelf(Mutex<Vec<Session>>);

impl Shelf {
    pub(super) fn put(&self, session: Session) {
        self.sessions().push(session);
    }

    pub(super) fn take(&self) -> Option<Session> {
        self.sessions().pop()
    }

    pub(super) fn take_if(&self, mut chosen: impl FnMut(&Session) -> bool) -> Vec<Session> {
        self.sessions()
            .extract_if(.., |session| chosen(session))
            .collect()
    }

    fn sessions(&self) -> MutexGuard<'_, Vec<Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
