use std::sync::{Arc, Weak};

use tokio::{
    runtime::{Handle, Id},
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::house::House;

/// Who ends the waits that have lasted long enough: a task in each runtime in which somebody waits, since to have a timer
/// each costs more than most waits.
#[derive(Debug, Default)]
pub(super) struct Alarms(Vec<Alarm>);

#[derive(Debug)]
struct Alarm {
    runtime: Id,
    rings: Instant,
    earlier: Arc<Notify>,
}

impl Alarms {
    /// Sees to it that one rings by then; it is to be started if there is none yet.
    pub(super) fn set(&mut self, runtime: Id, by: Instant) -> Option<Arc<Notify>> {
        let Some(alarm) = self.0.iter_mut().find(|alarm| alarm.runtime == runtime) else {
            let earlier = Arc::new(Notify::new());
            self.0.push(Alarm {
                runtime,
                rings: by,
                earlier: Arc::clone(&earlier),
            });
            return Some(earlier);
        };
        if by < alarm.rings {
            alarm.rings = by;
            alarm.earlier.notify_one();
        }
        None
    }

    /// Puts it off, or ends it; whether it was there.
    pub(super) fn put_off(&mut self, earlier: &Arc<Notify>, until: Option<Instant>) -> bool {
        let mut alarms = self.0.iter_mut();
        let place = alarms.position(|alarm| Arc::ptr_eq(&alarm.earlier, earlier));
        match (place, until) {
            (Some(place), Some(until)) => {
                if let Some(alarm) = self.0.get_mut(place) {
                    alarm.rings = until;
                }
            }
            (Some(place), None) => drop(self.0.swap_remove(place)),
            (None, _) => {}
        }
        place.is_some()
    }

    /// Has them all look whether there is anything left to do.
    pub(super) fn ring(&self) {
        for alarm in &self.0 {
            alarm.earlier.notify_one();
        }
    }
}

/// Keeps time in this runtime, until nobody waits.
pub(super) fn start(house: &Arc<House>, runtime: &Handle, earlier: Arc<Notify>) {
    let clock = Clock {
        house: Arc::downgrade(house),
        earlier,
        has_begun: false,
    };
    runtime.spawn(clock.run());
}

struct Clock {
    house: Weak<House>,
    earlier: Arc<Notify>,
    has_begun: bool,
}

impl Clock {
    async fn run(mut self) {
        self.has_begun = true;
        while let Some(house) = self.house.upgrade()
            && let Some(next) = house.permits.end_late(&self.earlier)
        {
            drop(house);
            tokio::select! {
                () = sleep_until(next) => {}
                () = self.earlier.notified() => {}
            }
        }
    }
}

/// Its runtime may end before it, while those who wait go on elsewhere: they start another. In one that has ended already,
/// they would do so time and again.
impl Drop for Clock {
    fn drop(&mut self) {
        if let Some(house) = self.house.upgrade()
            && house.permits.unset(&self.earlier)
            && self.has_begun
        {
            house.permits.wake_all();
        }
    }
}
