//! Which rows each step sees: a function of the seed and the step alone, so that a resumed run needs no other state.

use crate::schedule::Pace;
use crate::training::{Sampling, Training};
use groma_run::Seed;

/// The order of the batch rows of all epochs.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    rows: usize,
    pace: Pace,
    sampling: Sampling,
    seed: Seed,
    /// The permutation that was made last, and its epoch.
    epoch: Option<(u64, Vec<usize>)>,
}

impl Order {
    /// For so many batch rows.
    pub(crate) fn new(training: &Training, rows: usize, pace: Pace) -> Self {
        Order { rows, pace, sampling: training.train_sampling_strategy, seed: Seed::new(training.seed), epoch: None }
    }

    /// The rows that a step (the first is 1) learns from. An epoch's last ones may be fewer; no step reaches into two epochs.
    pub(crate) fn batch(&mut self, step: u64) -> Vec<usize> {
        let collection = (step - 1) / self.pace.steps();
        let per_epoch = self.pace.collections(self.rows);
        let (epoch, index) = (collection / per_epoch, (collection % per_epoch) as usize);
        let batch = self.pace.rows;
        self.permutation(epoch).iter().skip(index * batch).take(batch).copied().collect()
    }

    fn permutation(&mut self, epoch: u64) -> &[usize] {
        if self.epoch.as_ref().is_none_or(|(made, _)| *made != epoch) {
            let order = match self.sampling {
                Sampling::Sequential => (0..self.rows).collect(),
                Sampling::Random => groma_data::order(self.rows, self.seed, epoch),
            };
            self.epoch = Some((epoch, order));
        }
        self.epoch.as_ref().map_or(&[], |(_, order)| order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Method, Settings};
    use serde_json::json;

    fn order(units: usize, sampling: &str) -> Order {
        let given = json!({"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2,
            "train_sampling_strategy": sampling});
        let settings = Settings::resolve(Method::find("sft").unwrap(), given.as_object().unwrap()).unwrap();
        Order::new(&settings.training, units, Pace::new(&settings.training, None))
    }

    #[test]
    fn each_epoch_sees_each_row_once_and_any_step_can_be_asked_for_first() {
        let mut whole = order(11, "random");
        let batches: Vec<_> = (1..=6).map(|step| whole.batch(step)).collect();
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 3, 4, 4, 3]);
        for epoch in batches.chunks(3) {
            let mut rows: Vec<usize> = epoch.iter().flatten().copied().collect();
            rows.sort_unstable();
            assert_eq!(rows, (0..11).collect::<Vec<_>>());
        }
        assert_ne!(batches[..3], batches[3..], "epochs differ");
        assert_eq!(order(11, "random").batch(5), batches[4]);
        assert_eq!(order(5, "sequential").batch(2), [4]);
    }
}
