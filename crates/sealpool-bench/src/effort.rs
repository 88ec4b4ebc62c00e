use std::time::Duration;

/// How much is measured. Every row is there in each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// For the numbers that are published.
    Full,
    /// For a look, in under five minutes: as many pairs, each of them shorter.
    Quick,
    /// For a test that everything can be measured: once, on one server.
    Smoke,
}

impl Effort {
    /// How often each contender has its turn, where nothing speaks against it.
    pub(crate) fn rounds(self) -> usize {
        match self {
            Self::Full => 21,
            Self::Quick => 15,
            Self::Smoke => 1,
        }
    }

    /// The same for what takes milliseconds and has a tight target: the more pairs, the steadier their median.
    pub(crate) fn many_rounds(self) -> usize {
        self.rounds() * 3
    }

    /// The same for what takes seconds each time, and has no ratio as its target.
    pub(crate) fn few_rounds(self) -> usize {
        match self {
            Self::Full => 15,
            Self::Quick => 5,
            Self::Smoke => 1,
        }
    }

    /// How long one repetition takes that takes this long in full.
    pub(crate) fn lasting(self, full: Duration) -> Duration {
        match self {
            Self::Full => full,
            Self::Quick => full / 4,
            Self::Smoke => full / 50,
        }
    }

    /// Where along a line is measured.
    pub(crate) fn points(self, all: &[u32]) -> &[u32] {
        match self {
            Self::Full | Self::Quick => all,
            Self::Smoke => all.get(..1).unwrap_or(all),
        }
    }

    /// What it is called on the command line.
    pub(crate) fn flag(self) -> &'static str {
        match self {
            Self::Full => "",
            Self::Quick => "--quick ",
            Self::Smoke => "--smoke ",
        }
    }
}
