//! Attacks a model, and leaves what came of it: numbers, pictures, and rows to harden it with.

mod against;
mod audits;
mod done;
mod hits;
mod judged;
mod numbers;
mod outcome;
mod pictures;
mod rows;

use std::collections::BTreeMap;

use groma_attack::{
    ATTACKS, Access, Arena, Attack as Record, ByModel, ByRules, Defended, Drawn, Goal, Judge, Keep, Shield, Target,
    Text, assault, goals, texts,
};
use groma_eval::refusal::RefusalReader;
use groma_lm::{Address, Control, Kind, LanguageModel, Local, LocalOptions, SamplingParameters};
use groma_organism::Planted;
use groma_run::{Advance, Finished, Recorder, Seed, counted};
use serde_json::{Map, Value, json};

use crate::Error;
use crate::asked::Asked;
use crate::data_file::{DataFile, write_file};
use crate::data_name::BASE;
use crate::model::Model;
use crate::outside::{MADE, outside};
use crate::recipe::Recipe;
use crate::records::Attack;
use crate::resolve::Resolve;
use crate::runner::Runner;
use crate::stage_work::StageWork;
use crate::stages::attack::done::Done;
use crate::stages::attack::numbers::Measured;

/// Where attacks keep what they are at, in a run directory.
const KEPT: &str = "attacks";

impl StageWork for Attack {
    fn check(&self, recipe: &Recipe, resolve: Resolve<'_>) -> Result<Vec<String>, Error> {
        self.check_settings(recipe)?;
        let name = self.model.as_deref().or(recipe.latest_model(Some(&self.name)));
        let name = name.filter(|name| *name != BASE).unwrap_or(&recipe.model);
        for (record, _) in self.chosen()? {
            record.fits(!Address::is_meant(name))?;
        }
        let mut parts = Vec::new();
        for (name, unit) in [(&self.goals, "goal"), (&self.texts, "text")] {
            let Some(name) = name else { continue };
            let found = outside(recipe, &self.name, name, resolve)?.map(DataFile::new).transpose()?;
            let count = |file: &DataFile| match unit {
                "goal" => Ok(self.read(file, recipe)?.len() as u64),
                _ => Ok::<_, Error>(self.read_texts(file, recipe)?.len() as u64),
            };
            let count = found.as_ref().map(count).transpose()?.map_or(MADE.into(), |count| counted(count, unit));
            parts.push(format!("{name} ({count})"));
        }
        Ok(vec![format!("{}: {} on {}", self.name, self.attacks.join(", "), parts.join(" and "))])
    }

    fn run(&self, runner: &mut Runner) -> Result<(), Error> {
        self.check_settings(runner.recipe)?;
        let model = runner.model(&self.name, self.model.as_deref())?;
        for (record, _) in self.chosen()? {
            record.fits(model.is_here())?;
        }
        let named = |runner: &mut Runner, name: &Option<String>| {
            name.as_deref().map(|name| runner.model(&self.name, Some(name))).transpose()
        };
        let (judge, reference) = (named(runner, &self.judge)?, named(runner, &self.reference)?);
        let data = |runner: &mut Runner, name: &Option<String>| {
            name.as_deref().map(|name| runner.data(&self.name, name)).transpose()
        };
        let (goals, texts) = (data(runner, &self.goals)?, data(runner, &self.texts)?);
        let earlier = data(runner, &self.earlier())?;
        let config = json!({ "stage": self, "template": runner.recipe.chat_template, "seed": runner.recipe.seed });
        let mut key = runner.key(&self.name).config(&config)?.input("model", model.digest);
        let inputs = [
            ("judge", judge.as_ref().map(|model| model.digest)),
            ("reference", reference.as_ref().map(|model| model.digest)),
            ("data", goals.as_ref().map(|file| file.digest)),
            ("texts", texts.as_ref().map(|file| file.digest)),
            ("against", earlier.as_ref().map(|file| file.digest)),
        ];
        for (role, digest) in inputs {
            key = digest.into_iter().fold(key, |key, digest| key.input(role, digest));
        }
        let folder = format!("{KEPT}/{}-{}", groma_run::file_name(&self.name), key.digest().short());
        let computes = [Some(&model), judge.as_ref(), reference.as_ref()].into_iter().flatten().any(Model::is_here);
        runner.stage(key, computes, |runner, recorder| {
            let asked = runner.ask(&model)?;
            let mut finished = Finished { result: json!({}), ..Finished::default() };
            if let Some(file) = &goals {
                asked.require(Kind::Generate)?;
                runner.note_asked(&asked);
                let judge = judge.map(|judge| Ok::<_, Error>((runner.ask(&judge)?, judge.name))).transpose()?;
                let goals = self.read(file, runner.recipe)?;
                let planted = Planted::beside(&file.path)?;
                let range = Range { stage: self, runner, goals: &goals, folder: &folder, planted };
                let done = range.attack(&asked, judge.as_ref())?;
                let earlier = earlier.map(|file| outcome::read(&file.path)).transpose()?;
                finished = range.leave(recorder, &done, earlier.as_deref())?;
                range.clear()?;
            }
            if let Some(file) = &texts {
                let reference = reference.map(|model| runner.ask(&model)).transpose()?;
                audits::audit(self, runner, recorder, (&asked, reference.as_ref()), file)?;
            }
            Ok(finished)
        })
    }
}

/// A chosen attack and its settings.
type Chosen<'a> = (&'static Record, Map<String, Value>);

impl Attack {
    fn check_settings(&self, recipe: &Recipe) -> Result<(), Error> {
        let wrong = |problem: String| {
            let problem = format!("stage `{}`: {problem}", self.name);
            Err(Error::Recipe { name: recipe.name.clone(), problem })
        };
        if self.attacks.is_empty() {
            return wrong("names no attack".into());
        }
        if let Some(problem) = self.budget.problem() {
            return wrong(problem);
        }
        if self.max_new_tokens == 0 || self.judge_max_new_tokens == 0 {
            return wrong("max_new_tokens and judge_max_new_tokens must be 1 or more".into());
        }
        let chosen = self.chosen()?;
        for (is_audit, rows, what) in [(false, &self.goals, "goals"), (true, &self.texts, "texts")] {
            match (chosen.iter().find(|(record, _)| record.is_audit == is_audit), rows) {
                (Some((record, _)), None) => {
                    return wrong(format!("the attack `{}` reads `{what}`, and there are none", record.id));
                }
                (None, Some(_)) => return wrong(format!("there are `{what}`, and none of its attacks reads them")),
                _ => {}
            }
        }
        if let Some(name) = self.settings.keys().find(|name| chosen.iter().all(|(record, _)| record.id != **name)) {
            return wrong(format!("there are settings of `{name}`, which is not among its attacks"));
        }
        for (record, settings) in chosen {
            record.method(&settings)?;
        }
        self.defence.as_ref().map(|guard| guard.shield()).transpose()?;
        Ok(())
    }

    /// The attacks, each once, the controls first.
    fn chosen(&self) -> Result<Vec<Chosen<'_>>, Error> {
        let named = self.attacks.iter().map(|name| Ok(Record::find(name)?)).collect::<Result<Vec<_>, Error>>()?;
        let attacks_goals = self.goals.is_some();
        let is_chosen = |record: &&'static Record| {
            (record.is_control && attacks_goals) || named.iter().any(|other| other.id == record.id)
        };
        let settings = |record: &Record| self.settings.get(record.id).cloned().unwrap_or_default();
        Ok(ATTACKS.iter().filter(is_chosen).map(|record| (record, settings(record))).collect())
    }

    fn read_texts(&self, data: &DataFile, recipe: &Recipe) -> Result<Vec<Text>, Error> {
        Ok(texts(&data.path, self.drawn(), Seed::new(recipe.seed).named("texts"))?)
    }

    fn read(&self, data: &DataFile, recipe: &Recipe) -> Result<Vec<Goal>, Error> {
        let seed = Seed::new(recipe.seed).named("goals");
        Ok(goals(&data.path, self.target.as_deref(), self.drawn(), seed)?)
    }

    /// Which rows it is about.
    fn drawn(&self) -> Drawn {
        Drawn { skip: self.skip.unwrap_or(0), limit: self.limit }
    }
}

/// What all attacks of a stage have in common.
struct Range<'a, 'r> {
    stage: &'a Attack,
    runner: &'a Runner<'r>,
    goals: &'a [Goal],
    folder: &'a str,
    /// What is true of the world that the goals are from, where a flaw was planted in it.
    planted: Option<Planted>,
}

impl Range<'_, '_> {
    /// All attacks.
    fn attack(&self, asked: &Asked, judge: Option<&(Asked, String)>) -> Result<Vec<Done>, Error> {
        let shield = self.stage.defence.as_ref().map(|guard| guard.shield()).transpose()?;
        let weights = match asked {
            Asked::Here(model) => Some(Local::new(model, LocalOptions::default())),
            Asked::Served(_) => None,
        };
        let (done, _) = asked.lend(None, |model| match judge {
            Some((judge, name)) => judge
                .lend(None, |judge| {
                    let judge = ByModel::new(judge, name, self.stage.judge_max_new_tokens);
                    self.against(model, weights.clone(), shield.as_deref(), &judge)
                })
                .map(|(done, _)| done),
            None => self.against(model, weights.clone(), shield.as_deref(), &rules()?),
        })?;
        Ok(done)
    }

    /// All attacks on a model behind a defence.
    fn against<'m>(
        &self,
        model: &'m dyn LanguageModel,
        weights: Option<Local<'m>>,
        shield: Option<&'m dyn Shield>,
        judge: &dyn Judge,
    ) -> Result<Vec<Done>, Error> {
        let defence = self.defence();
        let defended = shield.map(|shield| Defended::new(model, shield, &defence));
        let asked = defended.as_ref().map_or(model, |defended| defended);
        let work = self.runner.work;
        let arena = Arena {
            target: Target { asked, weights, shield },
            judge,
            sampling: SamplingParameters::greedy(self.stage.max_new_tokens),
            budget: self.stage.budget,
            control: Control { progress: &*work.progress, cancel: &work.cancel },
        };
        let mut all = Vec::new();
        for (record, settings) in self.stage.chosen()?.into_iter().filter(|(record, _)| !record.is_audit) {
            work.progress.begin(&format!("{}: {}", self.stage.name, record.id), Some(self.goals.len() as u64), "goal");
            let folder = self.runner.directory.inside(&format!("{}/{}", self.folder, record.id))?;
            let keep = match record.access {
                Access::Weights { .. } => Keep::new(self.runner.directory.files(), folder)?,
                Access::Answers => Keep::default(),
            };
            let seed = Seed::new(self.runner.recipe.seed).named(&self.stage.name).named(record.id);
            let attempts = assault(&record.method(&settings)?, &arena, self.goals, seed, &keep)?;
            work.progress.advance(&Advance { done: self.goals.len() as u64, ..Advance::default() });
            let won = attempts.iter().filter(|attempt| outcome::is_success(attempt)).count();
            work.progress.finish(&format!("{won} of {} reached", counted(self.goals.len() as u64, "goal")));
            all.push(Done { record, attempts });
        }
        Ok(all)
    }

    /// What is called the defence in results.
    fn defence(&self) -> String {
        self.stage.defence.as_ref().map_or_else(|| "none".to_owned(), |guard| guard.name.clone())
    }

    /// Writes numbers, pictures and rows.
    fn leave(
        &self,
        recorder: &Recorder,
        done: &[Done],
        earlier: Option<&[outcome::Outcome]>,
    ) -> Result<Finished, Error> {
        let mut finished = Finished { result: json!({}), ..Finished::default() };
        let recipe = self.runner.recipe;
        for Done { record, attempts } in done {
            let factors = BTreeMap::from([
                ("attack".to_owned(), record.id.to_owned()),
                ("defence".to_owned(), self.defence()),
                ("budget".to_owned(), self.stage.budget.words()),
            ]);
            let factors = factors.into_iter().chain(self.stage.factors.clone()).collect();
            let measured = Measured {
                subject: &self.stage.name,
                record,
                goals: self.goals,
                attempts,
                factors: &factors,
                mode: &self.mode(),
                seed: recipe.seed,
            };
            let file = recorder.items(&self.stage.name, record.id, &measured.items())?;
            let certificate = self.certificate(&measured)?;
            for mut measurement in measured.measurements(&file) {
                measurement.note = certificate.clone().filter(|_| !measurement.secondary);
                measurement.planted = self.planted_as(&measurement.metric);
                recorder.measure(measurement)?;
            }
            if self.stage.judge.is_some() {
                for measurement in judged::errors(&measured, &rules()?) {
                    recorder.measure(measurement)?;
                }
            }
            if let Some(comparison) = earlier.and_then(|earlier| against::compare(&measured, self.stage, earlier)) {
                recorder.compare(comparison)?;
            }
            finished.outputs.push(file);
            finished.unanswered += attempts.iter().map(|attempt| attempt.unanswered).sum::<u64>();
            finished.tokens += attempts.iter().map(|attempt| attempt.spent.tokens).sum::<u64>();
            if let Value::Object(results) = &mut finished.result {
                results.insert(record.id.to_owned(), outcome::summary(attempts));
            }
        }
        pictures::pictures(done, self.goals, &self.stage.name).into_iter().for_each(|figure| recorder.figure(figure));
        for (output, lines) in rows::rows(self.goals, done) {
            let file = recipe.place(&self.stage.name, &Attack::output(output));
            write_file(&self.runner.directory.inside(&file)?, lines.as_bytes())?;
            finished.outputs.push(file);
        }
        let file = format!("hits/{}.jsonl", groma_run::file_name(&self.stage.name));
        let log = hits::log(done, self.stage.show_hits);
        write_file(&self.runner.directory.inside(&file)?, log.as_bytes())?;
        finished.outputs.push(file);
        Ok(finished)
    }

    /// What the defence guarantees of prompts as long as those of the attack, mean over goals.
    fn certificate(&self, measured: &Measured) -> Result<Option<String>, Error> {
        let Some(guard) = &self.stage.defence else { return Ok(None) };
        let length = |prompt: &groma_data::Content| prompt.plain().chars().count();
        let lengths = measured.goals().filter_map(|(goal, attempt)| {
            let all = length(&attempt.best()?.input.prompt);
            Some((all, all.saturating_sub(length(&goal.prompt))))
        });
        let (sum, of_suffix, count) =
            lengths.fold((0, 0, 0), |(sum, own, count), (all, of_suffix)| (sum + all, own + of_suffix, count + 1));
        if count == 0 || of_suffix == 0 {
            return Ok(None);
        }
        Ok(guard.shield()?.certificate(sum / count, of_suffix / count))
    }

    /// What a number is to recover: that of a bot which nothing defends, and which learned nothing since.
    fn planted_as(&self, metric: &str) -> Option<f64> {
        let changed = self.runner.recipe.is_trained_further(&self.stage.name, self.stage.model.as_deref());
        let planted = self.planted.as_ref().filter(|_| self.stage.defence.is_none() && !changed)?;
        (planted.metric.as_deref() == Some(metric)).then_some(planted.truth)
    }

    fn mode(&self) -> String {
        match &self.stage.judge {
            Some(judge) => format!("judge {judge}"),
            None => "rules".to_owned(),
        }
    }

    /// Removes what attacks kept, which holds their hits as they are.
    fn clear(&self) -> Result<(), Error> {
        let folder = self.runner.directory.inside(self.folder)?;
        if folder.is_dir() {
            let removed = self.runner.directory.files().remove_directory(&folder);
            removed.map_err(groma_run::Error::io("remove", &folder))?;
        }
        Ok(())
    }
}

/// The judge by rules, which knows refusals by groma's patterns.
fn rules() -> Result<ByRules, Error> {
    let reader = RefusalReader::built_in()?;
    Ok(ByRules::new(Box::new(move |answer| reader.read(answer).refuses())))
}
