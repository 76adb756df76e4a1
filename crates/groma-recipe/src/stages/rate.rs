//! Lets a reward model rate answers, and leaves them with what it said, all or the best of each prompt.

use std::collections::BTreeMap;
use std::path::Path;

use groma_data::{Answer, Fields, Row, Shape};
use groma_lm::{Continuation, Control, Failure, LanguageModel, Local, LocalOptions};
use groma_model::LocalModel;
use groma_run::{EventKind, Finished, Recorder, Seed, counted};
use serde_json::{Map, Value, json};

use crate::data_file::write_file;
use crate::outside::{MADE, outside};
use crate::recipe::Recipe;
use crate::records::Rate;
use crate::resolve::Resolve;
use crate::rows::read_rows;
use crate::runner::Runner;
use crate::stage_work::StageWork;
use crate::{Error, Reading};

/// Shapes of rows whose answers are rated.
const SHAPES: &[Shape] = &[Shape::PromptCompletion, Shape::Preference, Shape::Ranked, Shape::Labelled];
/// The column of a model that says one number.
const SCORE: &str = "score";

impl StageWork for Rate {
    fn check(&self, recipe: &Recipe, resolve: Resolve<'_>) -> Result<Vec<String>, Error> {
        if self.round.is_some_and(|step| !(step.is_finite() && step > 0.0)) {
            let problem = format!("stage `{}`: round must be above 0", self.name);
            return Err(Error::Recipe { name: recipe.name.clone(), problem });
        }
        let found = match outside(recipe, &self.name, &self.data, resolve)? {
            Some(path) => counted(self.rows(&path, Seed::new(recipe.seed))?.len() as u64, "answer"),
            None => MADE.into(),
        };
        Ok(vec![format!("{}: ratings of {} ({found})", self.name, self.data)])
    }

    fn run(&self, runner: &mut Runner) -> Result<(), Error> {
        let model = runner.model(&self.name, self.model.as_deref())?;
        let data = runner.data(&self.name, &self.data)?;
        let config = json!({ "stage": self, "template": runner.recipe.chat_template, "seed": runner.recipe.seed });
        let key = runner.key(&self.name).config(&config)?.input("model", model.digest).input("data", data.digest);
        runner.stage(key, true, |runner, recorder| {
            let asked = runner.ask(&model)?;
            runner.note_asked(&asked);
            self.rate(runner, recorder, asked.weights()?, &data.path)
        })
    }
}

impl Rate {
    /// The answers of a file's rows, each as a row of its own.
    fn rows(&self, path: &Path, seed: Seed) -> Result<Vec<Row>, Error> {
        let read = read_rows(path, SHAPES, self.limit, seed.named(&self.name), &Reading::default())?;
        let apart = |row: &Row| {
            let (prompt, other) = (row.question().clone(), row.other.clone());
            let location = row.location.clone();
            let one = move |answer: &Answer| {
                let row = Row::completion(prompt.clone(), answer.content.clone(), location.clone());
                Row { other: other.clone(), ..row }
            };
            row.answers.iter().map(one).collect::<Vec<_>>()
        };
        Ok(read.rows.iter().flat_map(apart).collect())
    }

    fn rate(&self, runner: &Runner, recorder: &Recorder, model: &LocalModel, path: &Path) -> Result<Finished, Error> {
        let rows = self.rows(path, Seed::new(runner.recipe.seed))?;
        let reply = |row: &Row| {
            let reply = row.answer(0).cloned().unwrap_or_else(|| row.question().answered(""));
            Continuation::Reply { prompt: row.question().clone(), reply }
        };
        let wanted: Vec<Continuation> = rows.iter().map(reply).collect();
        let (names, said) = said(model, &wanted, runner)?;
        let (mut rated, mut failures) = (Vec::new(), BTreeMap::<String, u64>::new());
        for (row, said) in rows.into_iter().zip(said) {
            match said {
                Ok(values) if values.iter().all(|value| value.is_finite()) => rated.push((row, values)),
                Ok(_) => *failures.entry(Failure::NotFinite.to_string()).or_default() += 1,
                Err(failure) => *failures.entry(failure.to_string()).or_default() += 1,
            }
        }
        for (reason, count) in &failures {
            recorder.message(EventKind::Warning, &format!("no rating of {}: {reason}", counted(*count, "answer")));
        }
        let kept = if self.best { best(rated) } else { rated };
        let lines = kept.iter().map(|(row, values)| format!("{}\n", Value::Object(self.columns(row, &names, values))));
        let file = runner.recipe.place(&self.name, &Rate::output());
        write_file(&runner.directory.inside(&file)?, lines.collect::<String>().as_bytes())?;
        let result = json!({ "rows": kept.len(), "failures": failures });
        Ok(Finished { outputs: vec![file], result, ..Finished::default() })
    }

    fn columns(&self, row: &Row, names: &[String], values: &[f64]) -> Map<String, Value> {
        let rounded = |value: f64| self.round.map_or(value, |step| (value / step).round() * step + 0.0);
        let mut columns = row.fields();
        columns.extend(names.iter().cloned().zip(values.iter().map(|&value| number(rounded(value)))));
        columns
    }
}

/// A number as people write it: a whole one without a point.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 1e15 { json!(value as i64) } else { json!(value) }
}

/// What a model says of answers, and what that is called.
type Said = (Vec<String>, Vec<Result<Vec<f64>, Failure>>);

fn said(model: &LocalModel, wanted: &[Continuation], runner: &Runner) -> Result<Said, Error> {
    let local = Local::new(model, LocalOptions::default());
    let names = model.transformer.spec().attributes();
    let cancel = &runner.work.cancel;
    if !names.is_empty() {
        let wide = |values: Vec<f32>| values.into_iter().map(f64::from).collect();
        let found = local.attributes(wanted, cancel).map_err(Error::from)?;
        return Ok((names.to_vec(), found.into_iter().map(|one| one.map(wide)).collect()));
    }
    let scored = local.score(wanted, Control { progress: &*runner.work.progress, cancel });
    cancel.check()?;
    let one = |scored: groma_lm::Scored| scored.reward.map(|reward| vec![f64::from(reward)]).ok_or(Failure::WrongKind);
    Ok((vec![SCORE.to_owned()], scored.into_iter().map(|one_of| one_of.and_then(one)).collect()))
}

/// The highest of each prompt, the first of equals, in the order of their prompts.
fn best(rated: Vec<(Row, Vec<f64>)>) -> Vec<(Row, Vec<f64>)> {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let (mut places, mut kept) = (BTreeMap::<String, usize>::new(), Vec::<(Row, Vec<f64>)>::new());
    for one in rated {
        match places.get(&one.0.question().to_value().to_string()) {
            Some(&place) if mean(&one.1) > mean(&kept[place].1) => kept[place] = one,
            Some(_) => {}
            None => {
                places.insert(one.0.question().to_value().to_string(), kept.len());
                kept.push(one);
            }
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use groma_data::{Content, Location};

    #[test]
    fn the_best_of_each_prompt_is_kept_and_numbers_are_rounded() {
        let text = |text: &str| Content::Text(text.to_owned());
        let row = |prompt: &str, said: &str| Row::completion(text(prompt), text(said), Location::new("rows", 1));
        let rated = vec![
            (row("a", "1"), vec![0.0, 1.0]),
            (row("b", "2"), vec![-1.0, -1.0]),
            (row("a", "3"), vec![2.0, 0.0]),
            (row("a", "4"), vec![1.0, 1.0]),
        ];
        let kept: Vec<String> = best(rated).iter().map(|(row, _)| row.answer(0).unwrap().plain()).collect();
        assert_eq!(kept, ["3", "2"]);
        let stage = |round: Option<f64>| Rate {
            name: "rated".into(),
            model: None,
            data: String::new(),
            limit: None,
            round,
            best: false,
        };
        let columns = |round| stage(round).columns(&row("a", "b"), &["x".into(), "y".into()], &[1.3, -0.2]);
        assert_eq!((&columns(Some(1.0))["x"], &columns(Some(1.0))["y"]), (&json!(1), &json!(0)));
        assert_eq!((&columns(Some(0.5))["x"], &columns(None)["y"]), (&json!(1.5), &json!(-0.2)));
    }
}
