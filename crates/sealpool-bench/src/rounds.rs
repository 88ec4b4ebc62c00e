use crate::{Failure, peers::scrape};

/// What was measured, round by round: A B C, A B C, … so that whatever else the machine does hits all of them.
pub(crate) struct Rounds<T> {
    names: Vec<String>,
    /// One list a contender; `None` where it had no turn.
    measured: Vec<Vec<Option<T>>>,
}

/// Somebody who has a turn in every round, or in every `pace`-th.
pub(crate) struct Entrant<C> {
    pub(crate) name: String,
    pub(crate) contender: C,
    pub(crate) pace: usize,
}

impl<C> Entrant<C> {
    pub(crate) fn new(name: impl Into<String>, contender: C) -> Self {
        Self {
            name: name.into(),
            contender,
            pace: 1,
        }
    }

    /// For who takes so long that every round would be too much: `turns` of all `rounds`.
    pub(crate) fn slow(self, turns: usize, rounds: usize) -> Self {
        Self {
            pace: rounds.div_ceil(turns).max(1),
            ..self
        }
    }
}

impl<T> Rounds<T> {
    /// The first entrant is the one to whom ratios are.
    pub(crate) async fn interleaved<C>(
        rounds: usize,
        entrants: &mut [Entrant<C>],
        mut repetition: impl AsyncFnMut(&mut C) -> Result<T, Failure>,
    ) -> Result<Self, Failure> {
        let mut measured: Vec<_> = entrants.iter().map(|_| Vec::new()).collect();
        for round in 0..rounds {
            scrape()?;
            for (entrant, measured) in entrants.iter_mut().zip(&mut measured) {
                let turn = round % entrant.pace == 0;
                measured.push(match turn {
                    true => Some(
                        repetition(&mut entrant.contender)
                            .await
                            .map_err(|error| format!("{}: {error}", entrant.name))?,
                    ),
                    false => None,
                });
            }
        }
        Ok(Self {
            names: entrants
                .iter()
                .map(|entrant| entrant.name.clone())
                .collect(),
            measured,
        })
    }

    /// One number of each repetition, by contender; without those who have none.
    pub(crate) fn series(&self, number: impl Fn(&T) -> Option<f64>) -> Vec<Series> {
        let numbers = self.names.iter().zip(&self.measured);
        numbers
            .map(|(name, measured)| Series {
                name: name.clone(),
                values: measured
                    .iter()
                    .map(|value| value.as_ref().and_then(&number))
                    .collect(),
            })
            .filter(|series| series.summary().is_some())
            .collect()
    }
}

/// One contender's numbers, by round.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) values: Vec<Option<f64>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Series {
    pub(crate) fn summary(&self) -> Option<Summary> {
        Summary::of(self.values.iter().flatten().copied())
    }

    /// The ratios of each round, and of them the median.
    pub(crate) fn ratio(&self, reference: &Self) -> Option<Summary> {
        let pairs = self.values.iter().zip(&reference.values);
        Summary::of(pairs.filter_map(|(own, other)| Some((*own)? / (*other)?)))
    }

    /// The differences of each round.
    pub(crate) fn minus(&self, other: &Self) -> Self {
        let pairs = self.values.iter().zip(&other.values);
        Self {
            name: self.name.clone(),
            values: pairs
                .map(|(own, other)| Some((*own)? - (*other)?))
                .collect(),
        }
    }
}

impl Summary {
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values
            .into_iter()
            .filter(|value| value.is_finite())
            .collect();
        sorted.sort_by(f64::total_cmp);
        let upper = *sorted.get(sorted.len() / 2)?;
        let median = match sorted.len() % 2 {
            0 => f64::midpoint(*sorted.get(sorted.len() / 2 - 1)?, upper),
            _ => upper,
        };
        Some(Self {
            median,
            min: *sorted.first()?,
            max: *sorted.last()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(values: &[Option<f64>]) -> Series {
        let values = values.to_vec();
        Series {
            name: String::new(),
            values,
        }
    }

    #[test]
    fn a_median_is_the_middle_one_or_between_two() {
        let summary = |values: &[f64]| Summary::of(values.iter().copied());
        assert_eq!(summary(&[]), None);
        assert_eq!(summary(&[3.0, 1.0, 2.0]).unwrap().median, 2.0);
        let four = summary(&[4.0, 1.0, 2.0, 3.0]).unwrap();
        assert_eq!((four.median, four.min, four.max), (2.5, 1.0, 4.0));
    }

    #[test]
    fn ratios_are_made_round_by_round_where_both_had_a_turn() {
        let own = series(&[Some(2.0), Some(30.0), None, Some(5.0)]);
        let reference = series(&[Some(1.0), Some(10.0), Some(7.0), None]);
        let ratio = own.ratio(&reference).unwrap();
        assert_eq!((ratio.median, ratio.min, ratio.max), (2.5, 2.0, 3.0));
    }
}
