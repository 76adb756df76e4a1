//! Whose completions a student learns from: those of the rows, or what it samples itself.

use crate::Error;
use crate::collect::{Collector, Speaker};
use crate::group::Group;
use crate::parameter::{Kind, Parameter, Range};
use crate::rollout::Sampling;
use groma_data::below;
use serde::Deserialize;
use std::borrow::Cow;

const LMBDA: &str = "lmbda";

/// How much is sampled; beside [`crate::rollout::SAMPLING`].
pub(crate) const PARAMETERS: &[Parameter] = &[Parameter {
    name: LMBDA,
    kind: Kind::Float,
    default: "0.5",
    range: Some(Range::closed(0.0, 1.0)),
    doc: "Share of rows whose completions the model in training samples itself; 1 learns from its own alone.",
}];

/// What is logged of it.
pub(crate) const METRICS: &[&str] = &["on_policy"];

/// Values of [`PARAMETERS`], and how is sampled.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct OnPolicy {
    lmbda: f64,
    #[serde(flatten)]
    pub(crate) sampling: Sampling,
}

impl OnPolicy {
    /// How the student is sampled, where it is.
    pub(crate) fn sampling(&self) -> Option<&Sampling> {
        (self.lmbda > 0.0).then_some(&self.sampling)
    }

    /// Rows of the method of this id, with completions of the student's in some: each row is drawn by itself, by the collection's seed
    /// and the row's place in it, and one without a completion gets one in any case.
    ///
    /// # Errors
    /// [`Error::Setting`] for a row without a completion where nothing may be sampled; those of sampling.
    pub(crate) fn collect<'a>(
        &self,
        method: &'static str,
        collector: &mut Collector<'_>,
        mut rows: Vec<Cow<'a, Group>>,
    ) -> Result<Vec<Cow<'a, Group>>, Error> {
        let mut own = Vec::new();
        for (index, row) in rows.iter().enumerate() {
            let samples = self.samples(method, collector, index, row)?;
            collector.metrics.add("on_policy", f64::from(u8::from(samples)), 1.0);
            own.extend(samples.then_some(index));
        }
        if !own.is_empty() {
            let prompts: Vec<Cow<'_, Group>> = own.iter().map(|&index| rows[index].clone()).collect();
            let (found, _) = collector.samples(Speaker::Policy, &prompts, (&self.sampling, 1))?;
            own.into_iter().zip(found).for_each(|(index, group)| rows[index] = Cow::Owned(group));
        }
        Ok(rows)
    }

    /// Whether the student finds the completion to a row.
    fn samples(
        &self,
        method: &'static str,
        collector: &Collector<'_>,
        index: usize,
        row: &Group,
    ) -> Result<bool, Error> {
        const UNIT: u64 = 1 << 53;
        let completed = row.sequences().all(|sequence| sequence.scored_count() > 0);
        if self.lmbda == 0.0 && !completed {
            let problem = format!("{} has no completion to learn from: give completions, or set it to 1", row.place);
            return Err(Error::Setting { method, name: LMBDA.into(), value: "0".into(), problem });
        }
        let mut rng = collector.seed.named("on-policy").index(index as u64).rng();
        Ok(!completed || (below(&mut rng, UNIT) as f64 / UNIT as f64) < self.lmbda)
    }
}
