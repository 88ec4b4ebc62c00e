use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The server's standard error, kept in memory and waited for.
#[derive(Debug, Default)]
pub(crate) struct Log {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    text: String,
    open: bool,
}

/// Why a text did not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Miss {
    /// Nothing holds the pipe any more: the server and all its children are gone.
    Gone,
    Late,
}

impl Log {
    /// Reads in a thread of its own until the pipe ends.
    pub(crate) fn follow(self: &Arc<Self>, pipe: impl Read + Send + 'static) {
        self.lock().open = true;
        let log = Arc::clone(self);
        thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                log.lock().text.push_str(&String::from_utf8_lossy(&line));
                log.changed.notify_all();
                line.clear();
            }
            log.lock().open = false;
            log.changed.notify_all();
        });
    }

    pub(crate) fn text(&self) -> String {
        self.lock().text.clone()
    }

    /// Where the next line will begin.
    pub(crate) fn len(&self) -> usize {
        self.lock().text.len()
    }

    pub(crate) fn since(&self, start: usize) -> String {
        self.lock().text.get(start..).unwrap_or_default().to_owned()
    }

    pub(crate) fn between(&self, start: usize, end: usize) -> String {
        self.lock()
            .text
            .get(start..end)
            .unwrap_or_default()
            .to_owned()
    }

    /// The last lines.
    pub(crate) fn end(&self) -> String {
        let state = self.lock();
        let lines: Vec<&str> = state.text.lines().collect();
        lines
            .get(lines.len().saturating_sub(20)..)
            .unwrap_or_default()
            .join("\n")
    }

    pub(crate) fn is_open(&self) -> bool {
        self.lock().open
    }

    /// Waits until `text` occurs after `start` and returns where it ends.
    pub(crate) fn wait_for(
        &self,
        start: usize,
        text: &str,
        patience: Duration,
    ) -> Result<usize, Miss> {
        self.wait(patience, |state| {
            let rest = state.text.get(start..).unwrap_or_default();
            match rest.find(text) {
                Some(at) => Some(Ok(start + at + text.len())),
                None if !state.open => Some(Err(Miss::Gone)),
                None => None,
            }
        })
        .unwrap_or(Err(Miss::Late))
    }

    /// Waits until the server and all its children are gone; false if they are not.
    pub(crate) fn wait_for_end(&self, patience: Duration) -> bool {
        self.wait(patience, |state| (!state.open).then_some(()))
            .is_some()
    }

    fn wait<T>(&self, patience: Duration, mut found: impl FnMut(&State) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + patience;
        let mut state = self.lock();
        loop {
            if let Some(found) = found(&state) {
                return Some(found);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
