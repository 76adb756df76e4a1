//! A task is data: one record that says what it reads, what it asks, how it scores and what the numbers mean. It is written
//! as a file; see [`crate::Tasks`].

use groma_run::{Group, Unit};
use groma_stats::formulas::{EXP_RATIO, MEAN, SHARE};
use groma_stats::{Across, Formula, Statistic};

use crate::form::Form;
use crate::scorers::Scorer;
use groma_lm::Kind;

/// A task.
#[derive(Debug)]
pub struct Task {
    /// Its name on the command line and in results.
    pub id: String,
    /// Other names that find it.
    pub aliases: Vec<String>,
    /// One line about what it measures.
    pub title: String,
    /// Where it was published.
    pub paper: String,
    /// Where the data come from.
    pub source: String,
    /// Their licence; empty where a user's own rows are read.
    pub licence: String,
    /// The section of Shen et al. 2023 (arXiv 2309.15025) that it belongs to; empty where it belongs to none.
    pub section: String,
    /// What it stands for.
    pub group: Group,
    /// Raised whenever a change here changes numbers.
    pub version: u32,
    /// The digest of its file, where that is a user's: it may change without its version.
    pub digest: Option<String>,
    /// The file, where that is a user's.
    pub path: Option<String>,
    /// How it asks; the number of worked examples is added where a result is told.
    pub mode: String,
    /// Where its data are.
    pub data: Data,
    /// What reads them.
    pub reader: Reader,
    /// The forms of its rows; a row is of the first whose columns it has.
    pub forms: Vec<Form>,
    /// How worked examples stand before its questions; `None` where it takes none.
    pub fewshot: Option<FewShot>,
    /// How it asks and scores.
    pub scorer: &'static Scorer,
    /// What is reported, the headlines first.
    pub metrics: Vec<Metric>,
    /// How many of the metrics are headlines; the others add detail.
    pub headlines: usize,
}

/// Where a task's data are. All of it may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// The dataset on the Hugging Face hub, e.g. `allenai/ai2_arc`.
    pub hub: Option<String>,
    /// Its configuration, where it has several.
    pub config: Option<String>,
    /// The split that is measured on.
    pub split: Option<String>,
    /// The commit that is measured on.
    pub revision: Option<String>,
    /// A file: on the hub where `hub` is given, or else beside the task's own file.
    pub file: Option<String>,
}

impl Data {
    /// The file, as `groma eval` takes it: a path, or `owner/name[@revision]:file` on the hub; `None` where none is said.
    pub fn location(&self) -> Option<String> {
        let file = self.file.as_ref()?;
        let revision = self.revision.as_ref().map_or(String::new(), |revision| format!("@{revision}"));
        Some(self.hub.as_ref().map_or_else(|| file.clone(), |hub| format!("{hub}{revision}:{file}")))
    }
}

/// What reads a task's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// Rows with named columns.
    Rows,
    /// The same, of several subjects: rows say theirs in a column `subject`, or else it is the file's name without `_test`,
    /// `_dev` and the like.
    Subjects,
    /// Preference pairs, in any of `groma-data`'s shapes.
    Preferences,
    /// Plain text, or rows with a text column.
    Texts,
}

/// How worked examples stand before a question.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FewShot {
    /// The split that they are from; a directory of this name in or beside that of the questions is found without being
    /// named.
    pub split: String,
    /// Behind each example.
    pub separator: String,
}

impl Default for FewShot {
    fn default() -> Self {
        FewShot { split: "dev".to_owned(), separator: "\n\n".to_owned() }
    }
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

impl Task {
    /// The metric of this name.
    pub fn metric(&self, id: &str) -> Option<&Metric> {
        self.metrics.iter().find(|metric| metric.id == id)
    }

    /// Whether a metric is a headline.
    pub fn is_headline(&self, metric: &str) -> bool {
        self.metrics.iter().take(self.headlines).any(|headline| headline.id == metric)
    }

    /// What stands for it in the keys of stages: its version, or the digest of a user's file.
    pub fn edition(&self) -> serde_json::Value {
        self.digest.as_deref().map_or_else(|| self.version.into(), Into::into)
    }

    /// The kind of its requests.
    pub fn kind(&self) -> Kind {
        self.scorer.kind
    }

    /// Whether its answers are judged by a model.
    pub fn needs_judge(&self) -> bool {
        self.scorer.judge.is_some()
    }

    /// The columns of the rows that it reads, for messages and lists.
    pub fn expected(&self) -> String {
        match self.reader {
            Reader::Rows | Reader::Subjects => {
                let form = |form: &Form| format!("{} ({})", form.required().join(", "), form.name);
                self.forms.iter().map(form).collect::<Vec<_>>().join(", or ")
            }
            Reader::Preferences => "chosen, rejected and, unless they begin alike, prompt".to_owned(),
            Reader::Texts => "text".to_owned(),
        }
    }
}
