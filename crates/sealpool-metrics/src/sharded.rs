use std::{
    cell::Cell,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

const SHARDS: usize = 8;

/// Something that all threads write to, several times over, so that those on different cores do not write to the same memory.
#[derive(Debug)]
pub(crate) struct Sharded<T>(Box<[Shard<T>]>);

/// Has pairs of cache lines for itself, since there are processors that fetch them in pairs.
#[derive(Debug)]
#[repr(align(128))]
struct Shard<T>(T);

impl<T> Sharded<T> {
    pub(crate) fn new(shard: impl Fn() -> T) -> Self {
        Self((0..SHARDS).map(|_| Shard(shard())).collect())
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|Shard(shard)| shard)
    }

    /// That of this thread: threads get them in turns.
    pub(crate) fn own(&self) -> Option<&T> {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static OWN: Cell<Option<usize>> = const { Cell::new(None) };
        }
        let own = OWN.with(|own| {
            own.get().unwrap_or_else(|| {
                let next = THREADS.fetch_add(1, Relaxed) % SHARDS;
                own.set(Some(next));
                next
            })
        });
        self.0.get(own).map(|Shard(shard)| shard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_keeps_its_shard_and_the_next_has_another() {
        let sharded = Sharded::new(|| AtomicUsize::new(0));
        for _ in 0..SHARDS {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let count = || sharded.own().map(|shard| shard.fetch_add(1, Relaxed));
                    let before = count();
                    assert_eq!(count(), before.map(|before| before + 1));
                });
            });
        }
        let written = sharded.all().filter(|shard| shard.load(Relaxed) > 0);
        assert!(written.count() > 1);
        let counts = sharded.all().map(|shard| shard.load(Relaxed));
        assert_eq!(counts.sum::<usize>(), 2 * SHARDS);
    }
}
