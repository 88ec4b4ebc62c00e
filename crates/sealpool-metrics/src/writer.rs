use std::cell::Cell;

use metrics::{Histogram, IntoF64, Key, Label, Recorder, SharedString};

use crate::{
    catalogue::{Family, METADATA, Name, Naming, POOL_NAME},
    durations::Durations,
    totals::ClosedSet,
};

/// Writes the series of one pool into a recorder.
#[derive(Clone, Copy)]
pub(crate) struct Writer<'a> {
    pub(crate) recorder: &'a dyn Recorder,
    pub(crate) naming: Naming,
    pub(crate) pool: &'a SharedString,
}

impl Writer<'_> {
    pub(crate) fn counter(self, family: &Family, total: u64) {
        self.write_total(family, None, total);
    }

    /// One series for each value there is, whether it has occurred or not.
    pub(crate) fn counters<T: ClosedSet>(self, family: &Family, label: Name, counts: &[(T, u64)]) {
        for (value, total) in counts {
            let value = SharedString::const_str(value.as_str());
            self.write_total(family, Some((label, value)), *total);
        }
    }

    pub(crate) fn gauge(self, family: &Family, value: f64) {
        self.write_level(family, None, value);
    }

    pub(crate) fn gauge_of(
        self,
        family: &Family,
        label: Name,
        of: impl Into<SharedString>,
        value: f64,
    ) {
        self.write_level(family, Some((label, of.into())), value);
    }

    /// Takes the durations, unless nobody would have them: then they stay where they are until there is a recorder.
    pub(crate) fn histogram(self, family: &Family, durations: &[&Durations]) {
        let key = key(family, self.naming, self.pool, None);
        let histogram = self.recorder.register_histogram(&key, &METADATA);
        if !records(&histogram) {
            return;
        }
        for (mean, count) in durations.iter().flat_map(|durations| durations.take()) {
            histogram.record_many(mean, count.try_into().unwrap_or(usize::MAX));
        }
    }

    fn write_total(self, family: &Family, label: Option<(Name, SharedString)>, total: u64) {
        let key = key(family, self.naming, self.pool, label);
        self.recorder
            .register_counter(&key, &METADATA)
            .absolute(total);
    }

    fn write_level(self, family: &Family, label: Option<(Name, SharedString)>, value: f64) {
        let key = key(family, self.naming, self.pool, label);
        self.recorder.register_gauge(&key, &METADATA).set(value);
    }
}

/// Whether it is the handle of a recorder: only that asks for the value.
fn records(histogram: &Histogram) -> bool {
    struct Asked<'a>(&'a Cell<bool>);

    impl IntoF64 for Asked<'_> {
        fn into_f64(self) -> f64 {
            self.0.set(true);
            0.0
        }
    }

    let asked = Cell::new(false);
    histogram.record_many(Asked(&asked), 0);
    asked.get()
}

fn key(
    family: &Family,
    naming: Naming,
    pool: &SharedString,
    label: Option<(Name, SharedString)>,
) -> Key {
    let mut labels = vec![Label::new(POOL_NAME.of(naming), pool.clone())];
    labels.extend(label.map(|(name, value)| Label::new(name.of(naming), value)));
    Key::from_parts(family.name.of(naming), labels)
}
