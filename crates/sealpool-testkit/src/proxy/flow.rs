use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// What the server sends.
    ToClient,
    /// What the client sends.
    ToServer,
}

/// What becomes of the bytes that go one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Treatment {
    /// Each piece waits so long before it goes on.
    Delay(Duration),
    /// They are taken and thrown away, and so is the news that their sender has ended: a black hole, if it goes both ways.
    Discard,
    /// One at a time goes on, and each waits so long before it does.
    Drip(Duration),
    /// A FIN takes their place: a half-close. What is sent the other way is not touched.
    Fin,
    /// They wait until the treatment changes; their sender fills the buffers and has to wait too.
    Hold,
    /// They go on as they come.
    Pass,
    /// The connection ends with a RST to both sides, whichever way this is for.
    Reset,
}

/// A treatment, and after how many bytes there is another one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Course {
    treatment: Treatment,
    next: Option<(u64, Treatment)>,
}

impl Default for Course {
    fn default() -> Self {
        Self::of(Treatment::Pass)
    }
}

impl Course {
    pub(super) fn of(treatment: Treatment) -> Self {
        Self {
            treatment,
            next: None,
        }
    }

    pub(super) fn then(self, bytes: u64, treatment: Treatment) -> Self {
        Self {
            treatment: self.treatment,
            next: Some((bytes.max(1), treatment)),
        }
    }
}

/// The bytes that go one way through a link.
#[derive(Debug)]
pub(super) struct Flow {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    course: Course,
    passed: u64,
    ended: bool,
}

/// What goes on of the bytes at hand.
pub(super) struct Portion {
    pub(super) count: usize,
    /// Whether another treatment begins behind it.
    pub(super) last: bool,
}

impl Flow {
    pub(super) fn new(course: Course) -> Self {
        Self {
            state: Mutex::new(State {
                course,
                passed: 0,
                ended: false,
            }),
            changed: Condvar::new(),
        }
    }

    pub(super) fn treatment(&self) -> Treatment {
        self.state().course.treatment
    }

    pub(super) fn passed(&self) -> u64 {
        self.state().passed
    }

    pub(super) fn treat(&self, treatment: Treatment) {
        self.state().course = Course::of(treatment);
        self.changed.notify_all();
    }

    pub(super) fn treat_after(&self, bytes: u64, treatment: Treatment) {
        let mut state = self.state();
        state.course = state.course.then(bytes, treatment);
    }

    pub(super) fn end(&self) {
        self.state().ended = true;
        self.changed.notify_all();
    }

    /// How much of `len` bytes goes on, once it may, and counts as gone on from then; `None` when they are to be dropped.
    pub(super) fn portion(&self, len: usize) -> Option<Portion> {
        let came = Instant::now();
        let mut state = self.state();
        loop {
            if state.ended {
                return None;
            }
            let (wait, most) = match state.course.treatment {
                Treatment::Discard | Treatment::Fin | Treatment::Reset => return None,
                Treatment::Hold => (None, 0),
                Treatment::Pass => (Some(Duration::ZERO), len),
                Treatment::Delay(wait) => (Some(wait), len),
                Treatment::Drip(wait) => (Some(wait), len.min(1)),
            };
            let left = wait.map(|wait| wait.saturating_sub(came.elapsed()));
            state = match left {
                None => self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => return Some(state.take(most)),
                Some(left) => {
                    let (state, _) = self
                        .changed
                        .wait_timeout(state, left)
                        .unwrap_or_else(PoisonError::into_inner);
                    state
                }
            };
        }
    }

    /// Whether the end of what is sent is to be passed on, once that is decided.
    pub(super) fn passes_end(&self) -> bool {
        self.portion(0).is_some()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, most: usize) -> Portion {
        let (count, last) = match &mut self.course.next {
            None => (most, false),
            Some((left, _)) => {
                let count = most.min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= count as u64;
                (count, *left == 0)
            }
        };
        self.passed += count as u64;
        if let Some((0, treatment)) = self.course.next {
            self.course = Course::of(treatment);
        }
        Portion { count, last }
    }
}
