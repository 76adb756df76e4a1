//! How far one measured model's predictions are from another's, token by token, on the answers of rows.

use std::collections::BTreeMap;

use groma_data::Shape;
use groma_eval::{EstimateOptions, Metric, estimate};
use groma_kernels::Divergence;
use groma_lm::Encoder;
use groma_model::score::ScoreRequest;
use groma_model::{LocalModel, divergence};
use groma_run::{Advance, Group, Item, Measurement, Recorder, Seed, Unit};
use groma_stats::formulas::RATIO;

use crate::Error;
use crate::data_file::DataFile;
use crate::model::Model;
use crate::reading::Reading;
use crate::rows::{question, read_rows};
use crate::runner::Runner;

/// What it is called in results.
const TASK: &str = "divergence";
const MODE: &str = "KL(before|after) at each token of the rows' answers";

/// How far the second model is from the first.
const METRIC: Metric = Metric::mean("kl_per_token", "mean of KL(before|after) over tokens", Unit::Nats)
    .of(&["kl", "tokens"], &RATIO)
    .within(0.0, f64::INFINITY);

/// Two models, and the rows on whose answers they are held against each other.
pub(crate) struct Apart {
    pub(crate) models: (Model, Model),
    pub(crate) data: DataFile,
    pub(crate) limit: Option<usize>,
}

impl Apart {
    /// Measures it for both subjects, as the table has two sides: the first is not apart from itself. Returns the tokens
    /// worked through.
    pub(crate) fn measure(
        &self,
        runner: &Runner,
        recorder: &Recorder,
        (before, after): (&str, &str),
        factors: &BTreeMap<String, String>,
    ) -> Result<u64, Error> {
        let template = runner.template()?;
        let open = |model: &Model| -> Result<LocalModel, Error> {
            let mut opened = LocalModel::open(model.directory()?, &template, runner.work.backend.clone())?;
            opened.freeze();
            Ok(opened)
        };
        let (first, second) = (open(&self.models.0)?, open(&self.models.1)?);
        if first.tokenizer.digest() != second.tokenizer.digest() {
            let problem = format!(
                "compares {before} and {after} token by token (`divergence`), but their models have different tokenizers"
            );
            return Err(Error::Recipe { name: runner.recipe.name.clone(), problem });
        }
        let (ids, requests, left_out) = self.requests(&first, Seed::new(runner.recipe.seed).named(TASK))?;
        let progress = &*runner.work.progress;
        progress.begin(TASK, Some(requests.len() as u64), "row");
        let found =
            divergence(&first.transformer, &second.transformer, &requests, Divergence::ForwardKl, &mut |done| {
                progress.advance(&Advance { done: done as u64, ..Advance::default() });
                !runner.work.cancel.is_requested()
            })?;
        let items = |scale: f64| -> Vec<Item> {
            let item = |((id, request), values): ((&String, &ScoreRequest), &Vec<f32>)| Item {
                id: id.clone(),
                digest: Some(digest(request)),
                scores: [
                    ("kl".to_owned(), scale * values.iter().map(|value| f64::from(*value)).sum::<f64>()),
                    ("tokens".to_owned(), values.len() as f64),
                ]
                .into(),
                ..Item::default()
            };
            ids.iter().zip(&requests).zip(&found).map(item).collect()
        };
        let tokens = requests.iter().map(|request| (request.context.len() + request.continuation.len()) as u64).sum();
        let seed = runner.recipe.seed;
        for (subject, items) in [(before, items(0.0)), (after, items(1.0))] {
            let options = EstimateOptions { seed, ..EstimateOptions::default() };
            let Some(measured) = estimate(&METRIC, &items, &options) else { continue };
            let interval = measured.interval.map(|found| groma_run::Interval {
                low: found.low,
                high: found.high,
                level: found.level,
                method: found.method.name().to_owned(),
            });
            let note = (left_out > 0 && subject == after)
                .then(|| format!("{} longer than the models read left out", groma_run::counted(left_out, "row")));
            let measurement = Measurement {
                mode: MODE.into(),
                interval,
                statistic: Some(METRIC.record()),
                seed: Some(seed),
                unit: Unit::Nats,
                group: Group::Other,
                factors: factors.clone(),
                samples: Some(recorder.items(subject, TASK, &items)?),
                tokens,
                note,
                ..Measurement::new(subject, TASK, METRIC.id, measured.value, measured.n as u64)
            };
            recorder.measure(measurement)?;
        }
        progress.finish(&groma_run::counted(requests.len() as u64, "row"));
        Ok(tokens)
    }

    /// The rows' ids, and prompts and answers in tokens; and how many rows are longer than the models read.
    fn requests(&self, model: &LocalModel, seed: Seed) -> Result<(Vec<String>, Vec<ScoreRequest>, u64), Error> {
        let rows = read_rows(&self.data.path, Shape::ALL, self.limit, seed, &Reading::default())?;
        let encoder = Encoder::of(model);
        let (mut ids, mut requests, mut left_out) = (Vec::new(), Vec::new(), 0);
        for row in &rows.rows {
            let (id, prompt, answer) = question(row);
            let request = match prompt {
                Some(prompt) => {
                    let tokens = encoder.reply(&prompt, &answer)?;
                    ScoreRequest { context: tokens.prompt, continuation: tokens.completion }
                }
                None => ScoreRequest { context: Vec::new(), continuation: encoder.prompt(&answer)? },
            };
            if request.context.len() + request.continuation.len() > model.transformer.spec().max_positions {
                left_out += 1;
            } else if !request.continuation.is_empty() {
                ids.push(id);
                requests.push(request);
            }
        }
        Ok((ids, requests, left_out))
    }
}

/// The digest of what is asked, by which items of other runs are found again.
fn digest(request: &ScoreRequest) -> String {
    let mut hasher = groma_run::Hasher::default();
    for part in [&request.context, &request.continuation] {
        let bytes: Vec<u8> = part.iter().flat_map(|id| id.to_le_bytes()).collect();
        hasher.part(&bytes);
    }
    hasher.finish().short()
}
