//! The record of an attacking stage.

use std::collections::BTreeMap;

use groma_attack::Budget;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::declared::Declared;
use crate::guard::Guard;
use crate::output::{Output, OutputKind, Reference};
use crate::records::TaskConfig;
use crate::want::{Part, Want};

/// Attacks a model by attacks of `groma attack --list`; those that serve as controls are always among them. What succeeded is
/// left as rows: `NAME:successes` (prompt, a refusal as `chosen`, the answer as `rejected`) and `NAME:refusals` (prompt and refusal
/// as `completion`); `NAME:outcomes` says what came of each goal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attack {
    /// The stage's name, also that of the subject in the results. Other names draw other random numbers.
    pub name: String,
    /// `base`, the name of an earlier training stage, or another model (a path or hub id with a `/`, or `URL#NAME`); the
    /// latest where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The attacks.
    pub attacks: Vec<String>,
    /// What is wanted of the model, for attacks that want something: rows with `prompt`, and as far as known `target` and `truth`;
    /// for `injection` also `document` and `injection`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goals: Option<String>,
    /// What training may have had, for attacks on privacy: rows with `text`, and as far as known `prefix`, `secret`, and `member` or
    /// `repetitions`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub texts: Option<String>,
    /// A model that did not train on those texts, to hold their likelihood against: named like `model`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Use at most so many goals and texts, drawn by the recipe's seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Leave out so many goals and texts before that: those that another stage of the recipe attacks with this number as its `limit`.
    /// So a model can be hardened on some goals and measured on others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip: Option<usize>,
    /// How an answer begins that grants a goal, where its row does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// What each attack may take for each goal.
    #[serde(default)]
    pub budget: Budget,
    /// Longest answer, in tokens.
    #[serde(default = "default_tokens")]
    pub max_new_tokens: usize,
    /// What stands before the model when it is asked for answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defence: Option<Guard>,
    /// The model that judges answers, in place of the rows' truth: named like `model`. Where rows have their truth, its errors are
    /// measured against it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<String>,
    /// Longest verdict of the judge, in tokens.
    #[serde(default = "default_judge_tokens")]
    pub judge_max_new_tokens: usize,
    /// Settings by attack.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, Map<String, Value>>,
    /// An earlier attacking stage on the same goals, whose outcomes those of this stage are compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<String>,
    /// Writes inputs and answers into the log of hits as they are; without it their lengths and digests alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub show_hits: bool,
    /// What its numbers depend on beside attack, defence and budget, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub factors: BTreeMap<String, String>,
}

/// The rows that it leaves.
pub(crate) const SUCCESSES: &str = "successes";
/// See [`SUCCESSES`].
pub(crate) const REFUSALS: &str = "refusals";
/// See [`SUCCESSES`].
pub(crate) const OUTCOMES: &str = "outcomes";

fn default_tokens() -> usize {
    64
}

fn default_judge_tokens() -> usize {
    512
}

impl Attack {
    /// A stage of this name, of the latest model, with everything else as it is where nothing is said.
    pub fn new(name: &str, attacks: Vec<String>) -> Self {
        Attack {
            name: name.into(),
            model: None,
            attacks,
            goals: None,
            texts: None,
            reference: None,
            limit: None,
            skip: None,
            target: None,
            budget: Budget::default(),
            max_new_tokens: default_tokens(),
            defence: None,
            judge: None,
            judge_max_new_tokens: default_judge_tokens(),
            settings: BTreeMap::new(),
            against: None,
            show_hits: false,
            factors: BTreeMap::new(),
        }
    }

    /// Where the outcomes of the stage that it is compared with are, as stages name them.
    pub(crate) fn earlier(&self) -> Option<String> {
        self.against.as_ref().map(|stage| format!("{stage}:{OUTCOMES}"))
    }

    /// A file of rows that it leaves.
    pub(crate) fn output(name: &str) -> Output {
        Output::new(name, OutputKind::Rows)
    }
}

impl Declared for Attack {
    fn name(&self) -> &str {
        &self.name
    }

    fn reads(&self) -> Vec<Reference<'_>> {
        let models = [&self.model, &self.judge, &self.reference].into_iter().flatten();
        let models = models.map(|name| Reference { kind: OutputKind::Model, name });
        let rows = [&self.goals, &self.texts].into_iter().flatten();
        models.chain(rows.map(|name| Reference { kind: OutputKind::Rows, name })).collect()
    }

    fn wants(&self, _: &[TaskConfig]) -> Vec<Want<'_>> {
        let want = |model, needs| Want { model, part: Part::Prediction, needs };
        let judge = self.judge.iter().map(|judge| want(Some(judge.as_str()), format!("the judge `{judge}`")));
        let reference = self.reference.iter().map(|name| want(Some(name.as_str()), format!("the reference `{name}`")));
        let target = std::iter::once(want(self.model.as_deref(), "an attack".to_owned()));
        target.chain(judge).chain(reference).collect()
    }

    fn outputs(&self, _: &[TaskConfig]) -> Vec<Output> {
        // Attacks on privacy leave numbers alone.
        let rows = [SUCCESSES, REFUSALS, OUTCOMES].into_iter().filter(|_| self.goals.is_some());
        rows.map(Attack::output).chain([Output::measurements()]).collect()
    }
}
