//! Lets a model answer prompts, and leaves the answers as rows to train on or to read.

use groma_data::{Content, ReadOptions, Shape, ShapeOptions, read};
use groma_lm::{Ask, Control, Kind, LanguageModel, Reply, SamplingParameters};
use groma_run::{EventKind, Finished, Recorder, Seed};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::Error;
use crate::asked::Asked;
use crate::data_file::{DataFile, write_file};
use crate::outside::{MADE, outside};
use crate::recipe::Recipe;
use crate::records::Generate;
use crate::resolve::Resolve;
use crate::rows::question;
use crate::runner::Runner;
use crate::stage_work::StageWork;

impl StageWork for Generate {
    fn check(&self, recipe: &Recipe, resolve: Resolve<'_>) -> Result<Vec<String>, Error> {
        self.check_numbers(recipe)?;
        let found = outside(recipe, &self.name, &self.data, resolve)?;
        let found = found.map(|path| prompts(&path, self.limit, Seed::new(recipe.seed))).transpose()?;
        let count = found.map_or(MADE.into(), |prompts| groma_run::counted(prompts.len() as u64, "prompt"));
        Ok(vec![format!("{}: answers to {} ({count})", self.name, self.data)])
    }

    fn run(&self, runner: &mut Runner) -> Result<(), Error> {
        let model = runner.model(&self.name, self.model.as_deref())?;
        let data = runner.data(&self.name, &self.data)?;
        let config = json!({ "stage": self, "template": runner.recipe.chat_template, "seed": runner.recipe.seed });
        let key = runner.key(&self.name).config(&config)?.input("model", model.digest).input("data", data.digest);
        runner.stage(key, model.is_here(), |runner, recorder| {
            let asked = runner.ask(&model)?;
            asked.require(Kind::Generate)?;
            runner.note_asked(&asked);
            self.answer(runner, recorder, &asked, &data)
        })
    }
}

impl Generate {
    fn check_numbers(&self, recipe: &Recipe) -> Result<(), Error> {
        let wrong = |key: &str, must: &str| {
            let problem = format!("stage `{}`: {key} must be {must}", self.name);
            Err(Error::Recipe { name: recipe.name.clone(), problem })
        };
        match self {
            _ if !(self.temperature.is_finite() && self.temperature >= 0.0) => wrong("temperature", "0 or more"),
            _ if !(self.top_p > 0.0 && self.top_p <= 1.0) => wrong("top_p", "above 0 and at most 1"),
            Generate { num_generations: 0, .. } => wrong("num_generations", "1 or more"),
            Generate { max_new_tokens: 0, .. } => wrong("max_new_tokens", "1 or more"),
            _ => Ok(()),
        }
    }

    fn asks(&self, prompts: &[Content], seed: Seed) -> Vec<Ask> {
        let sampling = SamplingParameters {
            max_new_tokens: self.max_new_tokens,
            temperature: self.temperature,
            top_p: self.top_p,
            samples: self.num_generations,
            ..SamplingParameters::default()
        };
        let ask = |(index, prompt): (usize, &Content)| Ask {
            prompt: prompt.clone(),
            sampling: sampling.clone(),
            seed: seed.index(index as u64),
            logps: false,
        };
        prompts.iter().enumerate().map(ask).collect()
    }

    fn answer(
        &self,
        runner: &mut Runner,
        recorder: &Recorder,
        asked: &Asked,
        data: &DataFile,
    ) -> Result<Finished, Error> {
        let seed = Seed::new(runner.recipe.seed).named(&self.name);
        let prompts = prompts(&data.path, self.limit, seed)?;
        let progress = &*runner.work.progress;
        progress.begin(&self.name, Some(prompts.len() as u64), "prompt");
        let control = Control { progress, cancel: &runner.work.cancel };
        let generate = |model: &dyn LanguageModel| Ok::<_, Error>(model.generate(&self.asks(&prompts, seed), control));
        let (replies, _) = asked.lend(None, generate)?;
        runner.work.cancel.check()?;
        let mut finished = Finished::default();
        let mut lines = String::new();
        let mut failures: BTreeMap<String, u64> = BTreeMap::new();
        for (prompt, reply) in prompts.iter().zip(replies) {
            match reply {
                Ok(reply) => {
                    finished.tokens += reply.usage.completion_tokens;
                    rows(prompt, &reply).for_each(|row| lines.push_str(&format!("{row}\n")));
                }
                Err(failure) => {
                    finished.unanswered += u64::from(failure.may_be_answered_later());
                    *failures.entry(failure.to_string()).or_default() += 1;
                }
            }
        }
        progress.finish(&format!(
            "{} answered",
            groma_run::counted(prompts.len() as u64 - failures.values().sum::<u64>(), "prompt")
        ));
        for (reason, count) in &failures {
            recorder.message(
                EventKind::Warning,
                &format!("no answer to {}: {reason}", groma_run::counted(*count, "prompt")),
            );
        }
        let file = runner.recipe.place(&self.name, &Generate::output());
        write_file(&runner.directory.inside(&file)?, lines.as_bytes())?;
        finished.outputs.push(file);
        finished.result = json!({ "prompts": prompts.len(), "failures": failures });
        Ok(finished)
    }
}

/// The different prompts of a file's rows, in their order.
fn prompts(path: &Path, limit: Option<usize>, seed: Seed) -> Result<Vec<Content>, Error> {
    let table = read(path, &ReadOptions::default())?.limited(limit, seed);
    let rows = table.into_rows(&ShapeOptions::default(), Shape::ALL)?;
    let mut found: Vec<Content> = Vec::new();
    let mut seen = BTreeSet::new();
    for (_, prompt, text) in rows.rows.iter().map(question) {
        let prompt = prompt.unwrap_or(text);
        if seen.insert(prompt.to_value().to_string()) {
            found.push(prompt);
        }
    }
    Ok(found)
}

/// A row for each answer, in the form of the prompt.
fn rows<'a>(prompt: &'a Content, reply: &'a Reply) -> impl Iterator<Item = Value> + 'a {
    reply.choices.iter().map(move |choice| {
        let completion = prompt.answered(&choice.text);
        json!({ "prompt": prompt, "completion": completion })
    })
}
