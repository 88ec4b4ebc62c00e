/// Of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// From zero.
    Linear,
    /// By decades.
    Log,
}

impl Scale {
    /// Round numbers, of which the first and the last enclose the values.
    pub(crate) fn ticks(self, values: impl Iterator<Item = f64>) -> Vec<f64> {
        let (least, most) = ends(values);
        match self {
            Self::Linear => {
                let power = 10_f64.powf((most / 4.0).log10().floor());
                let steps = [5.0, 2.0, 1.0].map(|times| times * power);
                let step = steps.into_iter().find(|step| most / step >= 4.0);
                let step = step.unwrap_or(power);
                let ticks = (0..=10).map(|count| f64::from(count) * step);
                ticks.take_while(|tick| *tick < most + step).collect()
            }
            Self::Log => {
                let (first, last) = (least.log10().floor(), most.log10().ceil());
                let powers = (-12..=12).map(f64::from);
                let powers = powers.filter(|power| (first..=last).contains(power));
                powers.map(|power| 10_f64.powf(power)).collect()
            }
        }
    }

    /// Where the value is between the ends, from 0 to 1.
    pub(crate) fn share(self, value: f64, (first, last): (f64, f64)) -> f64 {
        match self {
            _ if first >= last => 0.5,
            Self::Linear => (value - first) / (last - first),
            Self::Log => (value / first).ln() / (last / first).ln(),
        }
    }
}

/// The least value and the greatest.
pub(crate) fn ends(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold(
        (f64::INFINITY, f64::NEG_INFINITY),
        |(least, most), value| (least.min(value), most.max(value)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_enclose_the_values() {
        let ticks = |scale: Scale, values: &[f64]| scale.ticks(values.iter().copied());
        assert_eq!(
            ticks(Scale::Linear, &[300.0, 9_300.0]),
            [0.0, 2e3, 4e3, 6e3, 8e3, 1e4]
        );
        assert_eq!(ticks(Scale::Linear, &[4.0]), [0.0, 1.0, 2.0, 3.0, 4.0]);
        assert_eq!(ticks(Scale::Log, &[0.3, 20.0]), [0.1, 1.0, 10.0, 100.0]);
    }

    #[test]
    fn a_value_has_its_place_between_the_ends() {
        assert_eq!(Scale::Linear.share(5.0, (0.0, 20.0)), 0.25);
        assert!((Scale::Log.share(10.0, (1.0, 10_000.0)) - 0.25).abs() < 1e-9);
        assert_eq!(Scale::Log.share(3.0, (3.0, 3.0)), 0.5);
    }
}
