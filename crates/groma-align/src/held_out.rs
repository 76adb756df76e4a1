//! Rows that are not learned from: what a method says of them.

use crate::feed::{Batch, Feed};
use crate::learn::{Learner, Loss, Models};
use crate::objective::Objective;
use crate::role::Role;
use crate::roles::Around;
use crate::session::Session;
use crate::{Error, Metrics, Prepared, Settings};
use groma_kernels::together;
use groma_model::Transformer;
use groma_run::Seed;
use std::collections::BTreeMap;

/// Evaluates a model on groups, outside of a run: the metrics that training would log, with the prefix `eval_`.
///
/// # Errors
/// Those of the model; and for methods that compare with a reference or sample, which are not at hand here.
pub fn evaluate(model: &Transformer, settings: &Settings, rows: &Prepared) -> Result<BTreeMap<String, f64>, Error> {
    let mut objective = (settings.method.build)(settings)?;
    if objective.asks_reference() || objective.sampling().is_some() || settings.method.roles.contains(&Role::Teacher) {
        return Err(settings.invalid("eval_steps", "held-out rows are evaluated during training, beside the roles"));
    }
    let session = Session::new(settings, rows);
    // No pass of a reference is made.
    let (pass_rows, temperature) = (0, objective.reads().temperature());
    let around = Around {
        session: &session,
        teacher: None,
        vocabularies: None,
        rewards: &[],
        costs: &[],
        pass_rows,
        temperature,
        cancel: &session.cancel,
    };
    held_out_metrics(around.models(model, None, None, None), &around, &mut *objective, rows)
}

/// What a method logs of held-out rows, with the prefix `eval_`.
///
/// # Errors
/// Those of the model and of who fills roles.
pub(crate) fn held_out_metrics(
    models: Models<'_>,
    around: &Around<'_, '_>,
    objective: &mut dyn Objective,
    rows: &Prepared,
) -> Result<BTreeMap<String, f64>, Error> {
    let training = &around.session.settings.training;
    let batch_rows = match objective.rollouts() {
        Some(rollouts) => rollouts.prompts(training),
        None => training.per_device_eval_batch_size,
    };
    let mut metrics = Metrics::default();
    let feed = Feed::new(&rows.groups, objective.packs());
    let all: Vec<usize> = (0..feed.rows()).collect();
    let seed = Seed::new(training.seed).named("held-out rollouts");
    for (number, rows) in all.chunks(batch_rows).enumerate() {
        let rows = feed.batch(rows, rows.len());
        let mut collector = around.collector(models, &mut metrics, seed.index(number as u64));
        collector.rows = &[];
        let groups = together(|| objective.collect(&mut collector, rows.groups))?;
        let batch = match objective.rollouts() {
            None => Batch { groups, micros: rows.micros },
            Some(_) => Batch::of_members(groups, training.per_device_train_batch_size),
        };
        let loss = measure(models, objective, &batch, &mut metrics)?;
        metrics.add("loss", loss.value * loss.weight, loss.weight);
    }
    Ok(metrics.values("eval_"))
}

/// The loss and metrics of one batch, without gradients.
///
/// # Errors
/// Those of the model.
pub(crate) fn measure(
    models: Models<'_>,
    objective: &mut dyn Objective,
    batch: &Batch<'_>,
    metrics: &mut Metrics,
) -> Result<Loss, Error> {
    let mut learner =
        Learner { models, gradients: None, metrics, dropout: None, noise: None, forgets: None, recompute: false };
    together(|| learner.learn(objective, &batch.groups, &batch.micros))
}
