//! A task is data: one record that says what it reads, what it asks, how it scores and what the numbers mean.

use crate::item::{Item, Scores};
use crate::refusal::RefusalReader;
use crate::request::{Answer, Failure, Kind};
use groma_run::{Group, Seed, Unit};
use groma_stats::formulas::{MEAN, SHARE};
use groma_stats::{Across, Formula, Statistic};
use serde_json::{Map, Value};

/// A task.
#[derive(Debug)]
pub struct Task {
    /// Its name on the command line and in results.
    pub id: &'static str,
    /// Other names that find it.
    pub aliases: &'static [&'static str],
    /// One line about what it measures.
    pub title: &'static str,
    /// Where it was published.
    pub paper: &'static str,
    /// Where the data come from and under which licence.
    pub source: &'static str,
    /// The dataset on the hub, where there is one.
    pub hub: Option<HubData>,
    /// What it stands for.
    pub group: Group,
    /// Raised whenever a change here changes numbers.
    pub version: u32,
    /// How it asks: kind of requests, prompt form, shots.
    pub mode: &'static str,
    /// The kind of its requests.
    pub kind: Kind,
    /// What it reads.
    pub input: Input,
    /// From an item's answers to its scores; several of them where an item has parts (windows of a text).
    pub score: Score,
    /// What is reported; the first is the headline.
    pub metrics: &'static [Metric],
}

/// Scores an item's answers, which come in the order of its requests.
pub type Score = fn(&Item, &[Answer], &Tools<'_>) -> Result<Vec<Scores>, Failure>;

/// A dataset on the Hugging Face hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HubData {
    /// Its id, e.g. `allenai/ai2_arc`.
    pub id: &'static str,
    /// Its configuration, where it has several.
    pub config: Option<&'static str>,
    /// The split that is measured on.
    pub split: &'static str,
}

/// What a task reads.
#[derive(Clone, Copy, Debug)]
pub enum Input {
    /// Rows with named columns; a row is read by the first form whose columns it has.
    Rows(&'static [Form]),
    /// The same, of several subjects: rows say theirs in a column `subject`, or else it is the file's name without `_test`,
    /// `_dev` and the like.
    Subjects(&'static [Form]),
    /// Preference pairs, in any of `groma-data`'s shapes.
    Preferences,
    /// Plain text, or rows with a text column.
    Texts,
}

/// One form that rows may have.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// Where rows of this form are found.
    pub name: &'static str,
    /// The columns that make a row one of this form.
    pub columns: &'static [&'static str],
    /// Reads a row.
    pub read: fn(&Map<String, Value>) -> Result<Item, String>,
}

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
    /// The score whose mean is what chance alone would give.
    pub chance: Option<&'static str>,
    /// Whether it is a null control, which must come out at chance.
    pub is_control: bool,
}

/// What scoring may need beside the answers.
#[derive(Clone, Copy, Debug)]
pub struct Tools<'a> {
    /// Reads refusals.
    pub refusals: &'a RefusalReader,
    /// For null controls; each item draws from the seed named after it.
    pub seed: Seed,
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

impl Task {
    /// The metric of this name.
    pub fn metric(&self, id: &str) -> Option<&'static Metric> {
        self.metrics.iter().find(|metric| metric.id == id)
    }

    /// Whether worked examples can stand before its questions. Tasks with examples of their own take none.
    pub fn takes_shots(&self) -> bool {
        self.kind == Kind::Continuation && self.mode == crate::choice::MODE
    }

    /// The columns of the rows that it reads, for messages and lists.
    pub fn expected(&self) -> String {
        match self.input {
            Input::Rows(forms) | Input::Subjects(forms) => {
                let form = |form: &Form| format!("{} ({})", form.columns.join(", "), form.name);
                forms.iter().map(form).collect::<Vec<_>>().join(", or ")
            }
            Input::Preferences => "chosen, rejected and, unless they begin alike, prompt".to_owned(),
            Input::Texts => "text".to_owned(),
        }
    }
}
