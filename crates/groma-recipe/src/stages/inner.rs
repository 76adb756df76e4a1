//! Does an experiment on what is learned.

use groma_inner::{Bench, Experiment};
use groma_run::{Finished, Seed};
use serde_json::json;

use crate::Error;
use crate::recipe::Recipe;
use crate::records::Inner;
use crate::resolve::Resolve;
use crate::runner::Runner;
use crate::stage_work::StageWork;

impl StageWork for Inner {
    fn check(&self, _: &Recipe, _: Resolve<'_>) -> Result<Vec<String>, Error> {
        let experiment = Experiment::find(&self.experiment)?;
        experiment.settings(&self.settings)?;
        Ok(vec![format!("{}: {} ({})", self.name, experiment.id, experiment.hypothesis)])
    }

    fn run(&self, runner: &mut Runner) -> Result<(), Error> {
        let experiment = Experiment::find(&self.experiment)?;
        let settings = experiment.settings(&self.settings)?;
        let config = json!({ "experiment": experiment.id, "settings": settings, "seed": runner.recipe.seed });
        let key = runner.key(&self.name).config(&config)?;
        runner.stage(key, true, |runner, recorder| {
            let progress = &*runner.work.progress;
            progress.begin(&self.name, None, "part");
            let results = (experiment.carry_out)(&Bench {
                experiment,
                settings: settings.clone(),
                seed: Seed::new(runner.recipe.seed).named(&self.name),
                backend: runner.work.backend.clone(),
                progress,
                cancel: &runner.work.cancel,
            })?;
            progress.finish(&groma_run::counted(results.measurements.len() as u64, "number"));
            recorder.results(results)?;
            Ok(Finished::default())
        })
    }
}
