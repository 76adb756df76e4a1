//! Who watches a training run: told of each step, with the model at hand for reading.

use crate::alarm::Alarm;
use crate::group::Group;
use groma_model::Transformer;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// A step that was taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Its number; the first is 1.
    pub step: u64,
    /// How many there will be.
    pub total_steps: u64,
    /// Epochs done.
    pub epoch: f64,
    /// The batch's loss, before the step.
    pub loss: f64,
    /// Norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Tokens seen since training began.
    pub num_tokens: u64,
}

/// What was sampled at once.
#[derive(Clone, Copy, Debug)]
pub struct Collected<'a> {
    /// The first step that learns from it.
    pub step: u64,
    /// Prompts with their completions.
    pub groups: &'a [Cow<'a, Group>],
    /// Tokens that were sampled.
    pub tokens: u64,
    /// How long that took, rewards and the reference included.
    pub seconds: Duration,
}

/// Watches a run. All methods do nothing by default; an error from one ends the run.
pub trait Observer {
    /// Training begins, or goes on after `step` steps. The model is as it is then.
    ///
    /// # Errors
    /// A reason to end the run.
    fn started(&mut self, _step: u64, _model: &Transformer) -> Result<(), String> {
        Ok(())
    }
    /// A step was taken. The model is that after the step.
    ///
    /// # Errors
    /// A reason to end the run.
    fn step(&mut self, _report: &StepReport, _model: &Transformer) -> Result<(), String> {
        Ok(())
    }
    /// Completions were sampled, and their rewards are known.
    fn collected(&mut self, _report: &Collected<'_>) {}
    /// Metrics were logged, under TRL's names.
    fn logged(&mut self, _step: u64, _metrics: &BTreeMap<String, f64>) {}
    /// A watch raised its alarm, at the step that was logged last.
    fn alarmed(&mut self, _alarm: &Alarm) {}
    /// Held-out rows were evaluated; names carry the prefix `eval_`.
    fn evaluated(&mut self, _step: u64, _metrics: &BTreeMap<String, f64>) {}
    /// A checkpoint was written.
    fn saved(&mut self, _step: u64, _path: &Path) {}
}

/// Calls a function at every `steps`-th step, and costs nothing at the others: for samples and probes on the way.
pub struct Every<F> {
    /// How often.
    pub steps: u64,
    /// What is done.
    pub call: F,
}

impl<F: FnMut(&StepReport, &Transformer) -> Result<(), String>> Observer for Every<F> {
    fn step(&mut self, report: &StepReport, model: &Transformer) -> Result<(), String> {
        if report.step.is_multiple_of(self.steps.max(1)) { (self.call)(report, model) } else { Ok(()) }
    }
}

/// Keeps all metrics in memory.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Logged metrics, by step.
    pub logged: Vec<(u64, BTreeMap<String, f64>)>,
    /// Evaluations, by step.
    pub evaluated: Vec<(u64, BTreeMap<String, f64>)>,
    /// Each step.
    pub steps: Vec<StepReport>,
}

impl Observer for History {
    fn step(&mut self, report: &StepReport, _model: &Transformer) -> Result<(), String> {
        self.steps.push(*report);
        Ok(())
    }

    fn logged(&mut self, step: u64, metrics: &BTreeMap<String, f64>) {
        self.logged.push((step, metrics.clone()));
    }

    fn evaluated(&mut self, step: u64, metrics: &BTreeMap<String, f64>) {
        self.evaluated.push((step, metrics.clone()));
    }
}
