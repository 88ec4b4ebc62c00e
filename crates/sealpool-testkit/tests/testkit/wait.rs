use std::fmt::Debug;
use std::thread;
use std::time::{Duration, Instant};

/// Asks again and again until the answer is `expected`; fails with the last answer.
pub(crate) fn until<T: PartialEq + Debug>(what: &str, expected: &T, mut ask: impl FnMut() -> T) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = ask();
        if answer == *expected {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{what}: still {answer:?} and not {expected:?}"
        );
        thread::sleep(Duration::from_millis(5));
    }
}
