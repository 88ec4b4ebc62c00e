use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering},
};

use deadpool_postgres::StatementCache;

use super::complaint::Complaint;

/// The statements that a session keeps prepared, dropped as soon as its own traffic says that they are of no use.
///
/// That is before the answer reaches the driver: whoever asks next, in whatever way, gets a statement that is new.
#[derive(Debug, Default)]
pub(crate) struct Statements(OnceLock<Kept>);

#[derive(Debug)]
struct Kept {
    cache: Arc<StatementCache>,
    most: usize,
    /// The size of the cache when it was last looked at, and what was prepared since.
    prepared: AtomicUsize,
    /// How often a session of this pool was told that a table is not what it was.
    redefinitions: Arc<AtomicU32>,
    seen: AtomicU32,
    /// How often it has been emptied.
    cleared: AtomicU64,
}

/// Which statements are of no use any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stale {
    #[default]
    None,
    /// Those of this session.
    Here,
    /// Those of every session of the pool.
    Everywhere,
}

impl Stale {
    pub(super) fn of_tag(tag: &[u8]) -> Self {
        match tag {
            b"DISCARD ALL" | b"DEALLOCATE ALL" => Self::Here,
            _ => Self::None,
        }
    }

    /// An error too many that is taken for one of these costs no more than that some statements are prepared again.
    pub(super) fn of_error(complaint: &Complaint) -> Self {
        match complaint.code() {
            b"0A000" if complaint.routine() == b"RevalidateCachedQuery" => Self::Everywhere,
            // Without a routine, from a server that is not quite PostgreSQL; or the statement is not there; or the types of
            // its parameters do not fit what the tables have become: ambiguous, mismatch, no cast, no such operator.
            b"0A000" | b"26000" | b"42725" | b"42804" | b"42846" | b"42883" => Self::Here,
            _ => Self::None,
        }
    }
}

impl Statements {
    /// Looks after a cache from now on; `most` statements are kept, and `redefinitions` is the pool's.
    pub(crate) fn keep(
        &self,
        cache: &Arc<StatementCache>,
        most: usize,
        redefinitions: Arc<AtomicU32>,
    ) {
        let seen = redefinitions.load(Ordering::Relaxed).into();
        self.0.get_or_init(|| Kept {
            cache: Arc::clone(cache),
            most,
            prepared: AtomicUsize::new(0),
            redefinitions,
            seen,
            cleared: AtomicU64::new(0),
        });
    }

    /// Another number means that statements prepared before are of no use any more, whoever keeps them.
    pub(crate) fn cleared(&self) -> u64 {
        let kept = self.0.get();
        kept.map_or(0, |kept| kept.cleared.load(Ordering::SeqCst))
    }

    /// Drops, before the session is lent, what another session has found out to be stale.
    pub(crate) fn renew(&self) {
        let Some(kept) = self.0.get() else { return };
        let redefinitions = kept.redefinitions.load(Ordering::Relaxed);
        if kept.seen.load(Ordering::Relaxed) != redefinitions {
            kept.seen.store(redefinitions, Ordering::Relaxed);
            kept.clear();
        }
    }

    /// Takes note of what has passed: of what is stale, and how many statements were prepared.
    pub(super) fn follow(&self, stale: Stale, prepared: usize) {
        let Some(kept) = self.0.get() else { return };
        match stale {
            Stale::None => kept.limit(prepared),
            Stale::Here => kept.clear(),
            Stale::Everywhere => {
                let before = kept.redefinitions.fetch_add(1, Ordering::Relaxed);
                kept.seen.store(before.wrapping_add(1), Ordering::Relaxed);
                kept.clear();
            }
        }
    }
}

impl Kept {
    fn clear(&self) {
        self.cleared.fetch_add(1, Ordering::SeqCst);
        self.cache.clear();
    }

    /// A cache cleared while a statement is being prepared does not take it in: with `most` = 0 it never has any.
    fn limit(&self, prepared: usize) {
        if prepared == 0 {
            return;
        }
        let prepared = self.prepared.fetch_add(prepared, Ordering::Relaxed) + prepared;
        // To ask a cache for its size is to count, so this is done when it may be too large.
        if prepared > self.most {
            let size = if self.most == 0 { 0 } else { self.cache.size() };
            let kept = if size < self.most { size } else { 0 };
            if kept == 0 {
                self.clear();
            }
            self.prepared.store(kept, Ordering::Relaxed);
        }
    }
}
