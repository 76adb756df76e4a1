//! Attacks a model, and leaves what came of it: numbers, pictures, and rows to harden it with.

mod against;
mod done;
mod hits;
mod judged;
mod numbers;
mod outcome;
mod pictures;
mod rows;

use std::collections::BTreeMap;

use groma_attack::{
    ATTACKS, Access, Arena, Attack as Record, ByModel, ByRules, Defended, Goal, Judge, Keep, Shield, Target, assault,
    goals,
};
use groma_eval::refusal::RefusalReader;
use groma_lm::{Address, Control, Kind, LanguageModel, Local, LocalOptions, SamplingParameters};
use groma_run::{Advance, Finished, Recorder, Seed, counted};
use serde_json::{Map, Value, json};

use crate::Error;
use crate::asked::Asked;
use crate::data_file::{DataFile, write_file};
use crate::data_name::BASE;
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
        let found = outside(recipe, &self.name, &self.goals, resolve)?;
        let found =
            found.map(|path| Ok::<_, Error>(self.read(&DataFile::new(path)?, recipe)?.len() as u64)).transpose()?;
        let count = found.map_or(MADE.into(), |count| counted(count, "goal"));
        Ok(vec![format!("{}: {} on {} ({count})", self.name, self.attacks.join(", "), self.goals)])
    }

    fn run(&self, runner: &mut Runner) -> Result<(), Error> {
        self.check_settings(runner.recipe)?;
        let model = runner.model(&self.name, self.model.as_deref())?;
        for (record, _) in self.chosen()? {
            record.fits(model.is_here())?;
        }
        let judge = self.judge.as_deref().map(|name| runner.model(&self.name, Some(name))).transpose()?;
        let data = runner.data(&self.name, &self.goals)?;
        let earlier = self.earlier().map(|name| runner.data(&self.name, &name)).transpose()?;
        let config = json!({ "stage": self, "template": runner.recipe.chat_template, "seed": runner.recipe.seed });
        let mut key = runner.key(&self.name).config(&config)?.input("model", model.digest).input("data", data.digest);
        for (role, digest) in
            [("judge", judge.as_ref().map(|m| m.digest)), ("against", earlier.as_ref().map(|d| d.digest))]
        {
            key = digest.into_iter().fold(key, |key, digest| key.input(role, digest));
        }
        let folder = format!("{KEPT}/{}-{}", groma_run::file_name(&self.name), key.digest().short());
        let computes = model.is_here() || judge.as_ref().is_some_and(|judge| judge.is_here());
        runner.stage(key, computes, |runner, recorder| {
            let asked = runner.ask(&model)?;
            asked.require(Kind::Generate)?;
            runner.note_asked(&asked);
            let judge = judge.map(|judge| Ok::<_, Error>((runner.ask(&judge)?, judge.name))).transpose()?;
            let goals = self.read(&data, runner.recipe)?;
            let range = Range { stage: self, runner, goals: &goals, folder: &folder };
            let done = range.attack(&asked, judge.as_ref())?;
            let earlier = earlier.map(|file| outcome::read(&file.path)).transpose()?;
            let finished = range.leave(recorder, &done, earlier.as_deref())?;
            range.clear()?;
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
        let is_chosen = |record: &&'static Record| record.is_control || named.iter().any(|other| other.id == record.id);
        let settings = |record: &Record| self.settings.get(record.id).cloned().unwrap_or_default();
        Ok(ATTACKS.iter().filter(is_chosen).map(|record| (record, settings(record))).collect())
    }

    fn read(&self, data: &DataFile, recipe: &Recipe) -> Result<Vec<Goal>, Error> {
        let seed = Seed::new(recipe.seed).named("goals");
        Ok(goals(&data.path, self.target.as_deref(), self.limit, seed)?)
    }
}

/// What all attacks of a stage have in common.
struct Range<'a, 'r> {
    stage: &'a Attack,
    runner: &'a Runner<'r>,
    goals: &'a [Goal],
    folder: &'a str,
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
        for (record, settings) in self.stage.chosen()? {
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
            for measurement in measured.measurements(&file) {
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
        pictures::pictures(done, &self.stage.name).into_iter().for_each(|figure| recorder.figure(figure));
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
