//! Where the time of training went. Clocks differ from run to run, so none of this is among metrics or in a checkpoint: those are the
//! same to the bit for a run that was resumed.

use serde_json::Value;
use std::time::Duration;

/// What the steps of a training took, those of this process alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeSpent {
    /// Sampling from the model in training.
    pub sampling: Duration,
    /// Asking for rewards and costs, as far as nothing else was done meanwhile: judges on servers are asked while is sampled.
    pub rewards: Duration,
    /// All else: forward and backward passes, the reference's, teacher's and critic's too, and the optimizer.
    pub learning: Duration,
}

impl TimeSpent {
    /// Each part under its name, as a metric would have.
    pub fn parts(&self) -> [(&'static str, Duration); 3] {
        [("time/sampling", self.sampling), ("time/rewards", self.rewards), ("time/learning", self.learning)]
    }

    /// The shares in words, where anything was sampled.
    pub fn words(&self) -> Option<String> {
        let total: Duration = self.parts().iter().map(|(_, time)| *time).sum();
        let share = |time: Duration| 100.0 * time.as_secs_f64() / total.as_secs_f64();
        let part = |(name, time): (&str, Duration)| {
            format!("{} {:.0} % ({:.1} s)", name.trim_start_matches("time/"), share(time), time.as_secs_f64())
        };
        (!self.sampling.is_zero()).then(|| self.parts().map(part).join(", "))
    }

    /// Each part in seconds, for records.
    pub fn seconds(&self) -> Value {
        let seconds = |(name, time): (&str, Duration)| (name.to_owned(), Value::from(time.as_secs_f64()));
        self.parts().into_iter().map(seconds).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_all_steps_and_only_of_those_that_sample() {
        let [sampling, rewards, learning] = [3, 1, 4].map(Duration::from_secs);
        let spent = TimeSpent { sampling, rewards, learning };
        assert_eq!(spent.words().unwrap(), "sampling 38 % (3.0 s), rewards 12 % (1.0 s), learning 50 % (4.0 s)");
        assert_eq!(spent.seconds()["time/learning"], 4.0);
        assert_eq!(TimeSpent { learning, ..TimeSpent::default() }.words(), None);
    }
}
