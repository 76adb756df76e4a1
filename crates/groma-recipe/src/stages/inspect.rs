//! Looks inside a model with one instrument, and leaves numbers, pictures and what can be read again.

use groma_interp::{Found, Instrument, Material, Need, Subject};
use groma_lm::{Control, Encoder, Local, LocalOptions};
use groma_model::LocalModel;
use groma_organism::Planted;
use groma_run::{EventKind, Finished, Measurement, Pillar, Recorder, Seed};
use serde_json::json;

use crate::Error;
use crate::cases::{Casing, cases, chosen_rows, texts};
use crate::data_file::{DataFile, write_file};
use crate::model::Model;
use crate::outside::{MADE, outside};
use crate::recipe::Recipe;
use crate::records::Inspect;
use crate::resolve::Resolve;
use crate::runner::Runner;
use crate::stage_work::StageWork;

/// Where what can be read again lies in a run directory.
const DIRECTORY: &str = "inspect";

impl StageWork for Inspect {
    fn check(&self, recipe: &Recipe, resolve: Resolve<'_>) -> Result<Vec<String>, Error> {
        let instrument = Instrument::find(&self.instrument)?;
        instrument.set(&self.settings)?;
        self.check_needs(instrument, recipe)?;
        let mut read = Vec::new();
        for (role, chosen) in self.chosen() {
            let found = outside(recipe, &self.name, chosen.rows(), resolve)?;
            let seed = Seed::new(recipe.seed);
            let rows = found.map(|path| chosen_rows(&path, chosen, self.limit, seed)).transpose()?;
            let count = rows.map_or(MADE.into(), |rows| groma_run::counted(rows.len() as u64, "row"));
            read.push(format!("{role} {} ({count})", chosen.rows()));
        }
        Ok(vec![format!("{}: {} on {}", self.name, instrument.id, read.join(", "))])
    }

    fn run(&self, runner: &mut Runner) -> Result<(), Error> {
        let instrument = Instrument::find(&self.instrument)?;
        self.check_needs(instrument, runner.recipe)?;
        let model = runner.model(&self.name, self.model.as_deref())?;
        let files =
            self.chosen().map(|(_, chosen)| runner.data(&self.name, chosen.rows())).collect::<Result<Vec<_>, _>>()?;
        let planted = self.planted(&files)?;
        let mut config = json!({ "stage": self, "template": runner.recipe.chat_template, "seed": runner.recipe.seed });
        if let Some(planted) = planted {
            config["planted"] = json!(planted);
        }
        let mut key = runner.key(&self.name).config(&config)?.input("model", model.digest);
        for ((role, _), file) in self.chosen().zip(&files) {
            key = key.input(role, file.digest);
        }
        let texts = self.texts.as_deref().map(|name| runner.data(&self.name, name)).transpose()?;
        if let Some(file) = &texts {
            key = key.input("texts", file.digest);
        }
        let kept = runner.directory.checkpoints().join(format!("{}.{}", self.name, key.digest().short()));
        runner.stage(key, true, |runner, recorder| {
            let mut opened = LocalModel::open(model.directory()?, &runner.template()?, runner.work.backend.clone())?;
            opened.freeze();
            runner.note_template(&opened);
            let material = self.material(runner, recorder, &opened, (&files, texts.as_ref()))?;
            let seed = Seed::new(runner.recipe.seed).named(&self.name);
            let subject = Subject {
                name: self.subject(&model),
                local: Local::new(&opened, LocalOptions::default()),
                seed,
                kept: &kept,
                files: runner.directory.files().clone(),
                control: Control { progress: &*runner.work.progress, cancel: &runner.work.cancel },
            };
            let found = instrument.set(&self.settings)?.look(&subject, &material)?;
            self.leave(runner, recorder, (instrument, planted), found)
        })?;
        if kept.exists() {
            groma_run::atomic::remove_directory(runner.directory.files(), &kept)?;
        }
        Ok(())
    }
}

impl Inspect {
    fn check_needs(&self, instrument: &Instrument, recipe: &Recipe) -> Result<(), Error> {
        let missing = instrument.needs.iter().find_map(|need| match need {
            Need::Against if self.against.is_none() => Some(("rows of a second class", "against")),
            Need::Texts if self.texts.is_none() => Some(("plain texts", "texts")),
            _ => None,
        });
        missing.map_or(Ok(()), |(what, field)| {
            let id = instrument.id;
            let problem = format!("stage `{}`: the instrument `{id}` needs {what}: give `{field}`", self.name);
            Err(Error::Recipe { name: recipe.name.clone(), problem })
        })
    }

    /// What is true of the rows that are measured, where those are a plant's.
    fn planted(&self, files: &[DataFile]) -> Result<Option<f64>, Error> {
        let measured = self.chosen().zip(files).filter(|((role, _), _)| matches!(*role, "data" | "test")).last();
        let found = measured.map(|(_, file)| Planted::beside(&file.path)).transpose()?.flatten();
        Ok(found.map(|planted| planted.truth))
    }

    fn subject<'a>(&'a self, model: &'a Model) -> &'a str {
        self.subject.as_deref().unwrap_or(&model.name)
    }

    fn material(
        &self,
        runner: &Runner,
        recorder: &Recorder,
        model: &LocalModel,
        (files, plain): (&[DataFile], Option<&DataFile>),
    ) -> Result<Material, Error> {
        let encoder = Encoder::of(model);
        let how = Casing {
            encoder: &encoder,
            max_positions: model.transformer.spec().max_positions,
            limit: self.limit,
            cluster: self.cluster.as_deref(),
            seed: Seed::new(runner.recipe.seed).named("rows"),
        };
        let mut material = Material::default();
        for ((role, chosen), file) in self.chosen().zip(files) {
            let (found, left_out) = cases(&file.path, chosen, how)?;
            if left_out > 0 {
                let text = format!(
                    "{} of {} longer than the model reads, and left out",
                    groma_run::counted(left_out, "row"),
                    chosen.rows()
                );
                recorder.message(EventKind::Warning, &text);
            }
            match role {
                "against" => material.against = found,
                "test" => material.test = found,
                "test_against" => material.test_against = found,
                _ => material.data = found,
            }
        }
        if let (Some(file), Some(name)) = (plain, &self.texts) {
            material.texts = texts(&file.path, name, how)?;
        }
        Ok(material)
    }

    /// Records what was found.
    fn leave(
        &self,
        runner: &Runner,
        recorder: &Recorder,
        (instrument, planted): (&Instrument, Option<f64>),
        found: Found,
    ) -> Result<Finished, Error> {
        let mut finished = Finished::default();
        for measurement in found.measurements {
            let (pillar, seed) = (Pillar::Interpretability, Some(runner.recipe.seed));
            let planted = planted.filter(|_| instrument.finds == Some(&*measurement.metric));
            recorder.measure(Measurement { pillar, seed, planted, ..measurement })?;
        }
        found.figures.into_iter().for_each(|figure| recorder.figure(figure));
        found.notes.iter().for_each(|note| recorder.message(EventKind::Note, note));
        for (name, bytes) in &found.files {
            let place = format!("{DIRECTORY}/{}.{name}", groma_run::file_name(&self.name));
            write_file(&runner.directory.inside(&place)?, bytes)?;
            finished.outputs.push(place);
        }
        finished.result = json!({ "instrument": instrument.id, "files": finished.outputs });
        Ok(finished)
    }
}
