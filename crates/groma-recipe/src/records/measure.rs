//! The record of a measuring stage.

use std::collections::BTreeMap;

use groma_eval::{Task, Tasks, find};
use groma_lm::Kind;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::declared::Declared;
use crate::decoding::{ADVANTAGE, Decoding};
use crate::guard::Guard;
use crate::output::{Output, OutputKind, Reference};
use crate::records::TaskConfig;
use crate::want::{Part, Want};

/// Measures a model by tasks of `groma eval --list`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measure {
    /// The stage's name, also that of the subject in the results, such as `before`.
    pub name: String,
    /// `base`, `twin`, the name of an earlier training stage, or another model (a path or hub id with a `/`, or `URL#NAME`);
    /// the latest where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The model that judges the answers to tasks that ask one, and whether answers refuse in place of rules: named in the
    /// same way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<String>,
    /// Longest verdict of the judge, in tokens.
    #[serde(default = "default_judge_tokens", skip_serializing_if = "is_default_judge_tokens")]
    pub judge_max_new_tokens: usize,
    /// What stands before the model when it is asked for answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defence: Option<Guard>,
    /// How answers are decoded, where that is not as the model would.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoding: Option<Decoding>,
    /// What is measured; that of the first measuring stage where empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskConfig>,
    /// What its numbers depend on, by name, for tables and curves of the report: a budget, a layer, a language ...
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub factors: BTreeMap<String, String>,
}

impl Measure {
    /// A stage of this name that measures nothing yet, of the latest model.
    pub fn new(name: &str) -> Self {
        Measure {
            name: name.into(),
            model: None,
            judge: None,
            judge_max_new_tokens: default_judge_tokens(),
            defence: None,
            decoding: None,
            tasks: Vec::new(),
            factors: BTreeMap::new(),
        }
    }

    /// The model of the unwanted that decoding names.
    pub(crate) fn unwanted(&self) -> Option<&str> {
        self.decoding.as_ref().and_then(|decoding| decoding.detox.as_deref())
    }

    /// Its tasks: its own, or else `defaults`; a pattern stands for all that it fits.
    pub(crate) fn tasks(&self, defaults: &[TaskConfig]) -> Result<Vec<TaskConfig>, Error> {
        let chosen = if self.tasks.is_empty() { defaults } else { &self.tasks };
        let mut found = Vec::new();
        for config in chosen {
            let named = |task: &Task| TaskConfig { task: task.id.clone(), ..config.clone() };
            match config.task.contains('*') {
                true => found.extend(Tasks::built_in()?.matching(&config.task)?.into_iter().map(named)),
                false => found.push(config.clone()),
            }
        }
        Ok(found)
    }
}

impl Declared for Measure {
    fn name(&self) -> &str {
        &self.name
    }

    fn reads(&self) -> Vec<Reference<'_>> {
        let models = self.model.as_deref().into_iter().chain(self.judge.as_deref()).chain(self.unwanted());
        let models = models.map(|name| Reference { kind: OutputKind::Model, name });
        let rows = self.tasks.iter().flat_map(|task| std::iter::once(&task.data).chain(&task.fewshot_data));
        models.chain(rows.map(|name| Reference { kind: OutputKind::Rows, name })).collect()
    }

    fn wants(&self, defaults: &[TaskConfig]) -> Vec<Want<'_>> {
        let tasks = self.tasks(defaults).unwrap_or_default();
        let tasks: Vec<&'static Task> = tasks.iter().filter_map(|config| find(&config.task).ok()).collect();
        // Of a reply both kinds of models know how good they find it.
        let predicted = tasks.iter().filter(|task| task.kind() != Kind::Reply);
        let want = |model, needs| Want { model, part: Part::Prediction, needs };
        let subject = predicted.map(|task| want(self.model.as_deref(), format!("the task `{}`", task.id)));
        let judge = self.judge.iter().map(|judge| want(Some(judge.as_str()), format!("the judge `{judge}`")));
        let unwanted = self.unwanted().map(|name| want(Some(name), format!("the setting `detox` (`{name}`)")));
        let valued = self.decoding.as_ref().and_then(|decoding| decoding.advantage);
        let valued = valued.map(|_| Want {
            model: self.model.as_deref(),
            part: Part::ActionValues,
            needs: ADVANTAGE.to_owned(),
        });
        subject.chain(judge).chain(unwanted).chain(valued).collect()
    }

    fn outputs(&self, defaults: &[TaskConfig]) -> Vec<Output> {
        let said = self.tasks(defaults).unwrap_or_default();
        let said = said.iter().filter_map(TaskConfig::said);
        std::iter::once(Output::measurements()).chain(said).collect()
    }
}

fn default_judge_tokens() -> usize {
    512
}

fn is_default_judge_tokens(count: &usize) -> bool {
    *count == default_judge_tokens()
}
