//! Who leaves what in a recipe, and who reads it.

use groma_run::MODEL;

use crate::data_name::{BASE, DATA_DIRECTORY, TWIN};
use crate::output::{Output, OutputKind, Reference};
use crate::recipe::Recipe;
use crate::records::TaskConfig;
use crate::stage::Stage;

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

    /// The tasks of measuring stages that name none: those of the first one that has some.
    pub(crate) fn default_tasks(&self) -> &[TaskConfig] {
        let mut tasks = self.stages.iter().filter_map(Stage::as_measure).map(|stage| &stage.tasks[..]);
        tasks.find(|tasks| !tasks.is_empty()).unwrap_or_default()
    }

    /// What a stage leaves.
    pub(crate) fn outputs(&self, stage: &Stage) -> Vec<Output> {
        stage.declared().outputs(self.default_tasks())
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
        let mut fitting = self.outputs(found).into_iter().filter(fits);
        let output = fitting.next()?;
        fitting.next().is_none().then_some((found, output))
    }

    /// Whether `name` stands for rows that a stage before `stage` leaves.
    pub(crate) fn leaves_rows(&self, stage: &str, name: &str) -> bool {
        name.contains(':') && self.output(stage, OutputKind::Rows, name).is_some()
    }

    /// The name of the latest stage that leaves a model, of those before `stage`.
    pub(crate) fn latest_model(&self, stage: Option<&str>) -> Option<&str> {
        let leaves = |other: &&Stage| self.outputs(other).iter().any(|output| output.kind == OutputKind::Model);
        self.before(stage).iter().rev().find(leaves).map(Stage::name)
    }

    /// Whether the model that `stage` names was trained by a stage on top of another: what the rows of the first say is no
    /// longer all that it learned.
    pub(crate) fn is_trained_further(&self, stage: &str, named: Option<&str>) -> bool {
        let named = named.map(|name| name.split_once(':').map_or(name, |(of, _)| of));
        let name = named.or_else(|| self.latest_model(Some(stage)));
        let trained =
            name.and_then(|name| self.stages.iter().find(|other| other.name() == name)).and_then(Stage::as_train);
        trained.is_some_and(|train| match train.model.as_deref() {
            Some(model) => ![BASE, TWIN].contains(&model),
            None => self.latest_model(Some(&train.name)).is_some(),
        })
    }

    /// Whether any stage reads data with this prefix.
    pub(crate) fn uses(&self, prefix: &str) -> bool {
        let has = |name: &str| name.split_once(':').is_some_and(|(first, _)| first == prefix);
        self.references().any(|reference| has(reference.name))
    }

    /// Whether the village, or its twin, plays a part: its untrained model, or its data.
    pub(crate) fn needs_organism(&self, whose: &str) -> bool {
        let is_model = |reference: Reference<'_>| reference.kind == OutputKind::Model && reference.name == whose;
        self.model == whose || self.uses(whose) || self.references().any(is_model)
    }

    fn references(&self) -> impl Iterator<Item = Reference<'_>> {
        self.stages.iter().flat_map(|stage| stage.declared().reads())
    }

    /// What `stage` reads of others must be left by an earlier one, in the right type.
    pub(crate) fn check_references(&self, stage: &Stage) -> Result<(), String> {
        for Reference { kind, name } in stage.declared().reads() {
            let of = name.split_once(':').map_or(name, |(of, _)| of);
            let is_stage = self.stages.iter().any(|other| other.name() == of);
            let elsewhere = match kind {
                OutputKind::Model => [BASE, TWIN].contains(&name) || self.is_outside(name),
                OutputKind::Rows => !(is_stage && name.contains(':')),
                OutputKind::Measurements => false,
            };
            if elsewhere || self.output(stage.name(), kind, name).is_some() {
                continue;
            }
            let base = (kind == OutputKind::Model).then(|| BASE.to_owned());
            let known = self.before(Some(stage.name())).iter().flat_map(|other| {
                let of_kind = self.outputs(other).into_iter().filter(|output| output.kind == kind);
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

    /// Whether a model's name is that of one which no stage leaves: a path, a hub id, or an address.
    pub(crate) fn is_outside(&self, name: &str) -> bool {
        let of = name.split_once(':').map_or(name, |(of, _)| of);
        name.contains('/') && self.stages.iter().all(|stage| stage.name() != of)
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
