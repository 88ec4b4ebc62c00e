use crate::rounds::{Series, Summary};

/// sealpool as it is for everybody: what is asked of it holds with the metrics as well.
pub(crate) const SEALPOOL: &[&str] = &["sealpool", "sealpool, metrics"];

/// One workload, one number of it, all contenders.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) title: String,
    pub(crate) unit: &'static str,
    /// Where and how, and what the number is.
    pub(crate) about: String,
    pub(crate) lines: Vec<Line>,
}

#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) values: Summary,
    pub(crate) ratio: Option<Summary>,
    pub(crate) verdicts: Vec<Verdict>,
}

/// A target, and how far it is reached.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) target: String,
    /// Zero or less: `ok`.
    pub(crate) short_by: f64,
}

/// What sealpool must reach.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
    /// Of the first line's value.
    RatioAtLeast(f64),
    RatioAtMost(f64),
    /// Of the value of the line with this name.
    TimesAtLeast(f64, &'static str),
}

impl Row {
    /// With ratios to the first of the series if `compared`.
    pub(crate) fn new(
        title: impl Into<String>,
        unit: &'static str,
        about: impl Into<String>,
        series: &[Series],
    ) -> Self {
        let lines = series.iter().filter_map(|own| {
            Some(Line {
                name: own.name.clone(),
                values: own.summary()?,
                ratio: series.first().and_then(|first| own.ratio(first)),
                verdicts: Vec::new(),
            })
        });
        Self {
            title: title.into(),
            unit,
            about: about.into(),
            lines: lines.collect(),
        }
    }

    /// Holds the lines of these names against the target.
    pub(crate) fn must(mut self, who: &[&str], target: Target, series: &[Series]) -> Self {
        for line in &mut self.lines {
            if who.contains(&line.name.as_str())
                && let Some(verdict) = target.judge(line, series)
            {
                line.verdicts.push(verdict);
            }
        }
        self
    }

    pub(crate) fn without_ratios(mut self) -> Self {
        for line in &mut self.lines {
            line.ratio = None;
        }
        self
    }
}

impl Target {
    fn judge(self, line: &Line, series: &[Series]) -> Option<Verdict> {
        let verdict = |target, short_by| Some(Verdict { target, short_by });
        let value = line.values.median;
        match self {
            Self::AtLeast(limit) => verdict(format!("≥ {limit}"), limit - value),
            Self::AtMost(limit) => verdict(format!("≤ {limit}"), value - limit),
            Self::RatioAtLeast(limit) => {
                verdict(format!("ratio ≥ {limit}"), limit - line.ratio?.median)
            }
            Self::RatioAtMost(limit) => {
                verdict(format!("ratio ≤ {limit}"), line.ratio?.median - limit)
            }
            Self::TimesAtLeast(times, of) => {
                let own = series.iter().find(|own| own.name == line.name)?;
                let other = series.iter().find(|other| other.name == of)?;
                let reached = own.ratio(other)?.median;
                verdict(format!("≥ {times} × {of}"), times - reached)
            }
        }
    }
}

impl Verdict {
    pub(crate) fn is_met(&self) -> bool {
        self.short_by <= 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_reached_or_short() {
        let series =
            [("deadpool", 100.0), ("bb8", 50.0), ("sealpool", 98.0)].map(|(name, value)| {
                let (name, values) = (name.to_owned(), vec![Some(value)]);
                Series { name, values }
            });
        for (target, short_by) in [
            (Target::AtLeast(99.0), 1.0),
            (Target::AtMost(97.5), 0.5),
            (Target::RatioAtLeast(0.97), -0.01),
            (Target::RatioAtMost(0.97), 0.01),
            (Target::TimesAtLeast(1.9, "bb8"), -0.06),
        ] {
            let row = Row::new("a row", "ns", "", &series).must(&["sealpool"], target, &series);
            let judged: Vec<_> = row.lines.iter().flat_map(|line| &line.verdicts).collect();
            assert_eq!(judged.len(), 1);
            assert!((judged[0].short_by - short_by).abs() < 1e-9, "{judged:?}");
            assert_eq!(judged[0].is_met(), short_by <= 0.0);
        }
    }
}
