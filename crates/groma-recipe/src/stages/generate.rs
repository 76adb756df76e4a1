//! Lets a model answer prompts, and leaves the answers, or pairs of them, as rows to train on or to read.

mod answered;
mod pairs;

use groma_data::{Content, ReadOptions, Shape, ShapeOptions, read};
use groma_lm::{Ask, Control, Kind, LanguageModel, SamplingParameters};
use groma_run::{EventKind, Finished, Recorder, Seed};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::Error;
use crate::asked::Asked;
use crate::data_file::write_file;
use crate::outside::{MADE, outside};
use crate::recipe::Recipe;
use crate::records::{Generate, Pairs};
use crate::resolve::Resolve;
use crate::rows::question;
use crate::runner::Runner;
use crate::stage_work::StageWork;
use crate::worth::Worth;
pub(super) use answered::{Answered, Question};
use pairs::demonstration;
pub(super) use pairs::{Prefers, row as pair};

impl StageWork for Generate {
    fn check(&self, recipe: &Recipe, resolve: Resolve<'_>) -> Result<Vec<String>, Error> {
        self.check_numbers(recipe)?;
        let found = outside(recipe, &self.name, &self.data, resolve)?;
        let found = found.map(|path| prompts(&path, self.limit, Seed::new(recipe.seed))).transpose()?;
        found.iter().try_for_each(|prompts| self.check_pairs(recipe, prompts))?;
        let count = found.map_or(MADE.into(), |prompts| groma_run::counted(prompts.len() as u64, "prompt"));
        let what = if self.pairs.is_some() { "pairs of answers" } else { "answers" };
        Ok(vec![format!("{}: {what} to {} ({count})", self.name, self.data)])
    }

    fn run(&self, runner: &mut Runner) -> Result<(), Error> {
        let model = runner.model(&self.name, self.model.as_deref())?;
        let data = runner.data(&self.name, &self.data)?;
        let config = json!({ "stage": self, "template": runner.recipe.chat_template, "seed": runner.recipe.seed });
        let by = self.by.as_deref().map(|name| runner.model(&self.name, Some(name))).transpose()?;
        let mut key = runner.key(&self.name).config(&config)?.input("model", model.digest).input("data", data.digest);
        if let Some(by) = &by {
            key = key.input("by", by.digest);
        }
        runner.stage(key, model.is_here(), |runner, recorder| {
            let seed = Seed::new(runner.recipe.seed).named(&self.name);
            let prompts = prompts(&data.path, self.limit, seed)?;
            self.check_pairs(runner.recipe, &prompts)?;
            let asked = runner.ask(&model)?;
            asked.require(Kind::Generate)?;
            runner.note_asked(&asked);
            let by = by.as_ref().map(|by| runner.ask(by)).transpose()?;
            let asks = if self.pairs == Some(Pairs::Judge) { Kind::Generate } else { Kind::Reply };
            by.as_ref().map_or(Ok(()), |by| by.require(asks))?;
            self.answer(runner, recorder, (&asked, by.as_ref()), (&prompts, seed))
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
            Generate { pairs: Some(pairs), num_generations: 1, .. } if *pairs != Pairs::Demonstrations => {
                wrong("num_generations", "2 or more, so that one answer can be better than another")
            }
            Generate { pairs: Some(pairs), by: None, .. } if pairs.needs_other() => {
                wrong("by", "given with these pairs")
            }
            Generate { pairs, by: Some(_), .. } if pairs.and_then(Pairs::asks).is_none() => {
                wrong("by", "left out with these pairs: nobody else is asked")
            }
            _ => Ok(()),
        }
    }

    /// # Errors
    /// Rows that do not have what their answers are compared with.
    fn check_pairs(&self, recipe: &Recipe, prompts: &[Question]) -> Result<(), Error> {
        match self.pairs {
            Some(Pairs::Truth) => prompts.iter().try_for_each(|prompt| Worth::of(&prompt.row).map(drop)),
            Some(Pairs::Demonstrations) if !prompts.iter().any(|prompt| demonstration(&prompt.row).is_some()) => {
                let rows = groma_run::counted(prompts.len() as u64, "prompt");
                let problem = format!(
                    "stage `{}`: pairs = \"demonstrations\" prefers a row's own answer, and none of {rows} of `{}` has one: name rows \
                     of prompts with answers",
                    self.name, self.data
                );
                Err(Error::Recipe { name: recipe.name.clone(), problem })
            }
            _ => Ok(()),
        }
    }

    fn asks(&self, prompts: &[Question], seed: Seed) -> Vec<Ask> {
        let prompts: Vec<Content> = prompts.iter().map(|question| question.prompt.clone()).collect();
        let sampling = SamplingParameters {
            max_new_tokens: self.max_new_tokens,
            temperature: self.temperature,
            top_p: self.top_p,
            samples: self.num_generations,
            ..SamplingParameters::default()
        };
        asks(&prompts, &sampling, seed)
    }

    fn answer(
        &self,
        runner: &mut Runner,
        recorder: &Recorder,
        (asked, by): (&Asked, Option<&Asked>),
        (prompts, seed): (&[Question], Seed),
    ) -> Result<Finished, Error> {
        let progress = &*runner.work.progress;
        progress.begin(&self.name, Some(prompts.len() as u64), "prompt");
        let control = Control { progress, cancel: &runner.work.cancel };
        let generate = |model: &dyn LanguageModel| Ok::<_, Error>(model.generate(&self.asks(prompts, seed), control));
        let (replies, _) = asked.lend(None, generate)?;
        runner.work.cancel.check()?;
        let mut finished = Finished::default();
        let (mut answered, mut failures): (_, BTreeMap<String, u64>) = (Vec::new(), BTreeMap::new());
        for (question, reply) in prompts.iter().zip(replies) {
            match reply {
                Ok(reply) => {
                    finished.tokens += reply.usage.completion_tokens;
                    let texts = reply.choices.into_iter().map(|choice| choice.text).collect();
                    answered.push(Answered { question, texts });
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
        let rows = match self.pairs {
            None => answered.iter().flat_map(Answered::rows).collect(),
            Some(pairs) => Prefers { pairs, model: asked, by, control }.of(&answered)?,
        };
        if self.pairs.is_some() {
            let text = format!(
                "{} of {}",
                groma_run::counted(rows.len() as u64, "pair"),
                groma_run::counted(answered.len() as u64, "prompt")
            );
            recorder.message(EventKind::Note, &text);
        }
        let file = runner.recipe.place(&self.name, &self.output());
        let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
        write_file(&runner.directory.inside(&file)?, lines.as_bytes())?;
        finished.outputs.push(file);
        finished.result = json!({ "prompts": prompts.len(), "failures": failures, "rows": rows.len() });
        Ok(finished)
    }
}

/// What is asked, each with a seed of its own.
pub(super) fn asks(prompts: &[Content], sampling: &SamplingParameters, seed: Seed) -> Vec<Ask> {
    let ask = |(index, prompt): (usize, &Content)| Ask {
        prompt: prompt.clone(),
        sampling: sampling.clone(),
        seed: seed.index(index as u64),
        logps: false,
    };
    prompts.iter().enumerate().map(ask).collect()
}

/// The different prompts of a file's rows, in their order.
pub(super) fn prompts(path: &Path, limit: Option<usize>, seed: Seed) -> Result<Vec<Question>, Error> {
    let table = read(path, &ReadOptions::default())?.limited(limit, seed);
    let rows = table.into_rows(&ShapeOptions::default(), Shape::ALL)?;
    let mut found: Vec<Question> = Vec::new();
    let mut seen = BTreeSet::new();
    for row in rows.rows {
        let (_, prompt, text) = question(&row);
        let prompt = prompt.unwrap_or(text);
        if seen.insert(prompt.to_value().to_string()) {
            found.push(Question { prompt, row });
        }
    }
    Ok(found)
}
