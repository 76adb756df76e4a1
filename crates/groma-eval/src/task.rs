//! A task is data: one record that says what it reads, what it asks, how it scores and what the numbers mean. It is written
//! as a file; see [`crate::Tasks`].

use groma_run::Group;

use crate::form::Form;
use crate::metric::Metric;
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
    /// The temperature at which answers are drawn, where what is measured is how often something is said; `None` where the
    /// subject says how it is asked.
    pub temperature: Option<f32>,
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

    /// Whether its answers can be judged by nobody but a model.
    pub fn needs_judge(&self) -> bool {
        self.scorer.judge.as_ref().is_some_and(|judged| judged.stands_in.is_none())
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
