//! The learning rate of each step, by the formulas of Hugging Face's schedulers.

use crate::rollout::Rollouts;
use crate::training::{Scheduler, Training};
use groma_model::training::learning_rate;

/// How many steps there are, and how the learning rate moves over them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Schedule {
    /// Optimizer steps in all.
    pub(crate) total_steps: u64,
    /// Optimizer steps in an epoch.
    pub(crate) steps_per_epoch: u64,
    warmup_steps: u64,
    peak: f64,
    scheduler: Scheduler,
}

/// How rows are gathered, and how long is learned from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Batch rows that are gathered at once.
    pub(crate) rows: usize,
    /// Optimizer steps over which they are spread.
    pub(crate) parts: usize,
    /// Passes over them.
    pub(crate) passes: u64,
    /// Whether the last rows of an epoch, too few for another time, are left out.
    pub(crate) whole: bool,
}

impl Pace {
    /// Of rows as they are: one step each; or of rollouts.
    pub(crate) fn new(training: &Training, rollouts: Option<&Rollouts>) -> Self {
        match rollouts {
            None => Pace { rows: training.step_batch_size(), parts: 1, passes: 1, whole: false },
            Some(rollouts) => Pace {
                rows: rollouts.prompts(training),
                parts: rollouts.steps(training),
                passes: rollouts.num_iterations,
                whole: true,
            },
        }
    }

    /// Optimizer steps on what is gathered at once.
    pub(crate) fn steps(&self) -> u64 {
        self.parts as u64 * self.passes
    }

    /// How often is gathered in an epoch of so many rows.
    pub(crate) fn collections(&self, rows: usize) -> u64 {
        let times = if self.whole { rows / self.rows } else { rows.div_ceil(self.rows) };
        times.max(1) as u64
    }
}

impl Schedule {
    /// For so many batch rows in an epoch; at least one.
    pub(crate) fn new(training: &Training, rows: usize, pace: Pace) -> Self {
        let steps_per_epoch = pace.collections(rows) * pace.steps();
        let total_steps = match u64::try_from(training.max_steps) {
            Ok(steps) if steps > 0 => steps,
            _ => (training.num_train_epochs * steps_per_epoch as f64).ceil() as u64,
        };
        let warmup_steps = match training.warmup_steps {
            0 => (total_steps as f64 * training.warmup_ratio).ceil() as u64,
            steps => steps,
        };
        let (peak, scheduler) = (training.learning_rate, training.lr_scheduler_type);
        Schedule { total_steps, steps_per_epoch, warmup_steps, peak, scheduler }
    }

    /// The learning rate of a step; the first step is 1.
    pub(crate) fn lr(&self, step: u64) -> f64 {
        learning_rate(self.scheduler, self.peak, step, (self.warmup_steps, self.total_steps))
    }

    /// Epochs done after a step.
    pub(crate) fn epoch(&self, step: u64) -> f64 {
        step as f64 / self.steps_per_epoch as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Method, Settings};
    use serde_json::json;

    fn schedule(given: serde_json::Value, units: usize) -> Schedule {
        let given = given.as_object().cloned().unwrap();
        let settings = Settings::resolve(Method::find("dpo").unwrap(), &given).unwrap();
        Schedule::new(&settings.training, units, Pace::new(&settings.training, None))
    }

    #[test]
    fn steps_are_counted_as_the_trainer_counts_them() {
        let given =
            json!({"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "num_train_epochs": 2.5});
        let schedule = schedule(given, 17);
        assert_eq!((schedule.steps_per_epoch, schedule.total_steps), (3, 8));
        assert_eq!(schedule.epoch(3), 1.0);
    }

    #[test]
    fn learning_rates_follow_the_formulas() {
        let linear = schedule(json!({"learning_rate": 1.0, "max_steps": 10, "warmup_steps": 2}), 100);
        let rates: Vec<f64> = (1..=10).map(|step| linear.lr(step)).collect();
        let expected = [0.0, 0.5, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125];
        assert!(rates.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-15), "{rates:?}");
        let cosine = schedule(json!({"learning_rate": 2.0, "max_steps": 4, "lr_scheduler_type": "cosine"}), 100);
        for (step, expected) in [(1, 2.0), (3, 1.0), (2, 1.0 + std::f64::consts::FRAC_1_SQRT_2)] {
            assert!((cosine.lr(step) - expected).abs() < 1e-12);
        }
        let given =
            json!({"learning_rate": 3.0, "max_steps": 10, "warmup_ratio": 0.15, "lr_scheduler_type": "constant"});
        let constant = schedule(given, 100);
        assert_eq!((constant.lr(1), constant.lr(2), constant.lr(3), constant.lr(10)), (0.0, 1.5, 3.0, 3.0));
    }
}
