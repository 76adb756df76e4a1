//! A metric: from scores to a number.

use groma_run::Unit;
use groma_stats::formulas::{EXP_RATIO, MEAN, SHARE};
use groma_stats::{Across, Formula, Statistic};

/// How a metric comes from scores, and what it is called.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    /// Its name in results.
    pub id: &'static str,
    /// One line about what it says.
    pub title: &'static str,
    /// The scores that its formula adds up, in that order; the one of its own name where none is given.
    pub scores: &'static [&'static str],
    /// From the sums over items, or over the items of each group, to the number.
    pub statistic: Statistic,
    /// Which way is good; `None` where neither is.
    pub higher_is_better: Option<bool>,
    /// How to write it.
    pub unit: Unit,
    /// The least and the most that it can be; `None` where its unit and formula say that.
    pub range: Option<(f64, f64)>,
    /// The score whose mean is what chance alone would give.
    pub chance: Option<&'static str>,
    /// Whether it is a null control, which must come out at chance.
    pub is_control: bool,
}

impl Metric {
    /// A share of items, higher being better.
    pub const fn share(id: &'static str, title: &'static str) -> Self {
        Metric {
            id,
            title,
            scores: &[],
            statistic: Statistic { formula: &SHARE, across: None },
            higher_is_better: Some(true),
            unit: Unit::Share,
            range: None,
            chance: None,
            is_control: false,
        }
    }

    /// A mean over items, neither way being good.
    pub const fn mean(id: &'static str, title: &'static str, unit: Unit) -> Self {
        Metric { higher_is_better: None, unit, ..Metric::share(id, title) }.of(&[], &MEAN)
    }

    /// The same, as another formula of these scores.
    pub const fn of(self, scores: &'static [&'static str], formula: &'static Formula) -> Self {
        Metric { scores, statistic: Statistic { formula, ..self.statistic }, ..self }
    }

    /// The same, of each group of items, and then across groups.
    pub const fn across(self, across: &'static Across) -> Self {
        Metric { statistic: Statistic { across: Some(across), ..self.statistic }, ..self }
    }

    /// The same, lower being better.
    pub const fn lower_is_better(self) -> Self {
        Metric { higher_is_better: Some(false), ..self }
    }

    /// The same, which lies between these.
    pub const fn within(self, least: f64, most: f64) -> Self {
        Metric { range: Some((least, most)), ..self }
    }

    /// The least and the most that it can be: a share lies between 0 and 1, and an exponential is not negative.
    pub fn bounds(&self) -> (f64, f64) {
        match (self.range, self.unit) {
            (Some(range), _) => range,
            (None, Unit::Share) => (0.0, 1.0),
            (None, _) if *self.statistic.formula == EXP_RATIO => (0.0, f64::INFINITY),
            (None, _) => (f64::NEG_INFINITY, f64::INFINITY),
        }
    }

    /// The same, with a score whose mean is the chance level.
    pub const fn with_chance(self, score: &'static str) -> Self {
        Metric { chance: Some(score), ..self }
    }

    /// A null control: neither way is good.
    pub const fn control(self) -> Self {
        Metric { is_control: true, higher_is_better: None, ..self }
    }

    /// The names of the scores that its formula adds up.
    pub fn scores(&self) -> Vec<&'static str> {
        if self.scores.is_empty() { vec![self.id] } else { self.scores.to_vec() }
    }
}
