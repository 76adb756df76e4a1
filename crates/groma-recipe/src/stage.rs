//! The kinds of stages: what each reads and leaves, and how it is checked and done.
//!
//! To add one: its record and functions in a file of `stages/`, a variant of [`Stage`], and its line in [`Stage::work`].
//! Nothing else asks which kind a stage is of.

use groma_run::MODEL;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::data::{BASE, DATA_DIRECTORY};
use crate::fit::Want;
use crate::recipe::{Compare, Measure, Recipe, Train};
use crate::runner::{Resolve, Runner};
use crate::stages::generate::Generate;

/// A stage of a recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Stage {
    /// Trains a model.
    Train(Train),
    /// Measures a model.
    Measure(Measure),
    /// Compares two measured models item by item.
    Compare(Compare),
    /// Lets a model answer prompts.
    Generate(Generate),
}

/// What a stage leaves for later ones, which read it by name: `STAGE:OUTPUT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Output {
    /// Its name, unique in the stage.
    pub(crate) name: String,
    pub(crate) kind: OutputKind,
}

/// The type of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutputKind {
    /// A model or an adapter.
    Model,
    /// A file of rows.
    Rows,
    /// The scores of a subject's items.
    Measurements,
}

/// What a stage reads of earlier ones, as its record names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reference<'a> {
    pub(crate) kind: OutputKind,
    pub(crate) name: &'a str,
}

/// What every kind of stage says of itself, and does.
pub(crate) trait StageWork {
    fn name(&self) -> &str;

    /// What it names of what earlier stages leave; names of files are among those of rows.
    fn reads(&self) -> Vec<Reference<'_>>;

    /// What it wants of the models that it reads.
    fn wants(&self, _: &Recipe) -> Vec<Want<'_>> {
        Vec::new()
    }

    /// What it leaves.
    fn outputs(&self, recipe: &Recipe) -> Vec<Output>;

    /// What can be known of it before it is done, a line for each part.
    fn check(&self, recipe: &Recipe, resolve: Resolve<'_>) -> Result<Vec<String>, Error>;

    fn run(&self, runner: &mut Runner) -> Result<(), Error>;
}

impl Stage {
    /// The stage's name.
    pub fn name(&self) -> &str {
        self.work().name()
    }

    /// The training stage that it is.
    pub fn as_train(&self) -> Option<&Train> {
        if let Stage::Train(stage) = self { Some(stage) } else { None }
    }

    /// The training stage that it is.
    pub fn as_train_mut(&mut self) -> Option<&mut Train> {
        if let Stage::Train(stage) = self { Some(stage) } else { None }
    }

    /// The measuring stage that it is.
    pub fn as_measure(&self) -> Option<&Measure> {
        if let Stage::Measure(stage) = self { Some(stage) } else { None }
    }

    /// The measuring stage that it is.
    pub fn as_measure_mut(&mut self) -> Option<&mut Measure> {
        if let Stage::Measure(stage) = self { Some(stage) } else { None }
    }

    pub(crate) fn work(&self) -> &dyn StageWork {
        match self {
            Stage::Train(stage) => stage,
            Stage::Measure(stage) => stage,
            Stage::Compare(stage) => stage,
            Stage::Generate(stage) => stage,
        }
    }
}

impl OutputKind {
    /// What messages call it.
    pub(crate) fn words(self) -> &'static str {
        match self {
            OutputKind::Model => "the model",
            OutputKind::Rows => "the rows",
            OutputKind::Measurements => "the measurement",
        }
    }
}

impl Output {
    pub(crate) fn new(name: &str, kind: OutputKind) -> Self {
        Output { name: name.to_owned(), kind }
    }
}

impl Recipe {
    /// Where an output lies, relative to the run directory: the last model in `model`, others below `models`, rows below
    /// `data`.
    pub(crate) fn place(&self, stage: &str, output: &Output) -> String {
        match output.kind {
            OutputKind::Model if self.latest_model(None) == Some(stage) => MODEL.into(),
            OutputKind::Model => format!("models/{stage}"),
            OutputKind::Rows => format!("{DATA_DIRECTORY}/{stage}.{}.jsonl", groma_run::file_name(&output.name)),
            OutputKind::Measurements => String::new(),
        }
    }

    /// The stages before the one of this name; all, where none is named.
    fn before(&self, stage: Option<&str>) -> &[Stage] {
        let count = self.stages.iter().position(|other| Some(other.name()) == stage);
        &self.stages[..count.unwrap_or(self.stages.len())]
    }

    /// The output of a stage before `stage` that `name` stands for: `STAGE:OUTPUT`, or `STAGE` for its only one of the kind.
    pub(crate) fn output(&self, stage: &str, kind: OutputKind, name: &str) -> Option<(&Stage, Output)> {
        let (of, wanted) = name.split_once(':').map_or((name, None), |(of, output)| (of, Some(output)));
        let found = self.before(Some(stage)).iter().find(|other| other.name() == of)?;
        let fits = |output: &Output| output.kind == kind && wanted.is_none_or(|wanted| output.name == wanted);
        let mut fitting = found.work().outputs(self).into_iter().filter(fits);
        let output = fitting.next()?;
        fitting.next().is_none().then_some((found, output))
    }

    /// Whether `name` stands for rows that a stage before `stage` leaves.
    pub(crate) fn leaves_rows(&self, stage: &str, name: &str) -> bool {
        name.contains(':') && self.output(stage, OutputKind::Rows, name).is_some()
    }

    /// The name of the latest stage that leaves a model, of those before `stage`.
    pub(crate) fn latest_model(&self, stage: Option<&str>) -> Option<&str> {
        let leaves = |other: &&Stage| other.work().outputs(self).iter().any(|output| output.kind == OutputKind::Model);
        self.before(stage).iter().rev().find(leaves).map(Stage::name)
    }

    /// Whether any stage reads data with this prefix.
    pub(crate) fn uses(&self, prefix: &str) -> bool {
        let has = |name: &str| name.split_once(':').is_some_and(|(first, _)| first == prefix);
        self.stages.iter().any(|stage| stage.work().reads().iter().any(|reference| has(reference.name)))
    }

    /// What `stage` reads of others must be left by an earlier one, in the right type.
    pub(crate) fn check_references(&self, stage: &Stage) -> Result<(), String> {
        for Reference { kind, name } in stage.work().reads() {
            let of = name.split_once(':').map_or(name, |(of, _)| of);
            let is_stage = self.stages.iter().any(|other| other.name() == of);
            let elsewhere = match kind {
                OutputKind::Model => name == BASE || self.is_outside(name),
                OutputKind::Rows => !(is_stage && name.contains(':')),
                OutputKind::Measurements => false,
            };
            if elsewhere || self.output(stage.name(), kind, name).is_some() {
                continue;
            }
            let base = (kind == OutputKind::Model).then(|| BASE.to_owned());
            let known = self.before(Some(stage.name())).iter().flat_map(|other| {
                let of_kind = other.work().outputs(self).into_iter().filter(|output| output.kind == kind);
                let name = |output: Output| match kind {
                    OutputKind::Rows => format!("{}:{}", other.name(), output.name),
                    _ => other.name().to_owned(),
                };
                of_kind.map(name).collect::<Vec<_>>()
            });
            let list = base.into_iter().chain(known).collect::<Vec<_>>().join(", ");
            let list = if list.is_empty() { "none".to_owned() } else { list };
            let (what, stage) = (kind.words(), stage.name());
            return Err(format!("stage `{stage}` refers to {what} `{name}`; before it there are: {list}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAGES: &str = "
        name = 'x'
        model = 'm'
        [[stage]]
        kind = 'measure'
        name = 'asked'
        tasks = [{ task = 'refusal', data = 'p.jsonl' }, { task = 'arc-*', data = 'q.jsonl' }]
        [[stage]]
        kind = 'train'
        name = 'sft'
        method = 'sft'
        data = 'asked:refusal'
        [[stage]]
        kind = 'train'
        name = 'dpo'
        method = 'dpo'
        data = 'd.jsonl'
        [[stage]]
        kind = 'measure'
        name = 'again'
        model = 'sft:model'";

    #[test]
    fn outputs_are_named_typed_and_placed() {
        let recipe = Recipe::parse("x", STAGES, &[]).unwrap();
        let (of, said) = recipe.output("sft", OutputKind::Rows, "asked:refusal").unwrap();
        assert_eq!((of.name(), recipe.place(of.name(), &said)), ("asked", "data/asked.refusal.jsonl".to_owned()));
        assert!(recipe.leaves_rows("sft", "asked:refusal") && !recipe.leaves_rows("asked", "asked:refusal"));
        for (name, place) in [("sft", "models/sft"), ("dpo:model", "model")] {
            let (of, model) = recipe.output("again", OutputKind::Model, name).unwrap();
            assert_eq!(recipe.place(of.name(), &model), place);
        }
        assert_eq!((recipe.latest_model(Some("again")), recipe.latest_model(Some("asked"))), (Some("dpo"), None));
        // Questions with choices leave no text; a stage that is named for another type is not found.
        assert!(recipe.output("sft", OutputKind::Rows, "asked:arc-easy").is_none());
        assert!(recipe.output("sft", OutputKind::Model, "asked").is_none());
    }

    #[test]
    fn what_no_earlier_stage_leaves_is_told() {
        let error = |from: &str, to: &str| Recipe::parse("x", &STAGES.replace(from, to), &[]).unwrap_err().to_string();
        let late = error("'asked:refusal'", "'dpo:model'");
        assert!(late.contains("refers to the rows `dpo:model`; before it there are: asked:refusal"), "{late}");
        assert!(
            error("'sft:model'", "'asked'")
                .contains("refers to the model `asked`; before it there are: base, sft, dpo")
        );
        assert!(error("name = 'sft'", "name = 'village'").contains("reserved"));
        // A reward model is read like any other: of an earlier stage, and known before anything is done.
        let judged = error("data = 'd.jsonl'", "data = 'd.jsonl'\nsettings = { reward_model = 'judge' }");
        assert!(judged.contains("refers to the model `judge`"), "{judged}");
        // A prefix that is no stage's is part of a file's name or hub id.
        assert!(Recipe::parse("x", &STAGES.replace("'asked:refusal'", "'owner/name:rows.jsonl'"), &[]).is_ok());
    }
}
