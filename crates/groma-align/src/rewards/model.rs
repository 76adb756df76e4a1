//! A reward model: the score behind the last token of prompt and completion, in its own tokens and template; of a process reward
//! model, what the scores of the steps come to; of a model of attributes, the weighted sum of these.

use super::parts::{Part, step_ends};
use super::reward::{Reward, Rollout};
use crate::Error;
use crate::encode::{Continuation, Encode};
use crate::training::Boundary;
use groma_data::Content;
use groma_model::rewards::{StepReward, Stepped, doubted_rewards, rewards, step_rewards};
use groma_model::{Head, Spec, Transformer, View};
use groma_run::Cancel;

/// A model with a scalar head, and what puts text to it.
pub(super) struct ModelReward<'a> {
    model: Held<'a>,
    encoder: &'a dyn Encode,
    steps: StepReward,
    /// How much each output of its head counts.
    weights: Vec<f32>,
    /// What its doubt costs.
    pessimism: f32,
}

/// What rewards of several parts come to.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    /// Of steps.
    pub(super) steps: StepReward,
    /// How much each attribute counts, the others nothing; all of them alike where nothing is said.
    pub(super) attributes: Option<Vec<(String, f64)>>,
    /// How much doubt takes off a reward.
    pub(super) pessimism: f64,
}

impl Parts {
    /// How much each output of a model's head counts.
    ///
    /// # Errors
    /// [`Error::Role`] where it has not all the attributes that are weighed.
    fn weights(&self, spec: &Spec) -> Result<Vec<f32>, Error> {
        let known = spec.attributes();
        let missing = |name: &String| Error::Role {
            role: "reward",
            problem: match known {
                [] => format!("the model has one score, and no attribute `{name}` that could be weighed"),
                known => format!("the model has no attribute `{name}`, only {}", known.join(", ")),
            },
        };
        let Some(wanted) = &self.attributes else {
            let count = known.len().max(1);
            return Ok(vec![1.0 / count as f32; count]);
        };
        if let Some((name, _)) = wanted.iter().find(|(name, _)| !known.contains(name)) {
            return Err(missing(name));
        }
        let weight = |name: &String| wanted.iter().find(|(of, _)| of == name).map_or(0.0, |(_, weight)| *weight as f32);
        Ok(known.iter().map(weight).collect())
    }
}

/// A model that others have too, or one of its own.
enum Held<'a> {
    Lent(&'a Transformer),
    Own(Box<Transformer>),
}

impl std::ops::Deref for Held<'_> {
    type Target = Transformer;

    fn deref(&self) -> &Transformer {
        match self {
            Held::Lent(model) => model,
            Held::Own(model) => model,
        }
    }
}

impl<'a> ModelReward<'a> {
    /// Of a reward model, its tokenizer and its template.
    ///
    /// # Errors
    /// If the model has no score head.
    pub(super) fn new(model: &'a Transformer, encoder: &'a dyn Encode, parts: &Parts) -> Result<Self, Error> {
        Spec::require_reward(&model.spec().outputs, "a reward or cost of completions")?;
        let doubts = model.spec().outputs.iter().any(Head::doubts) && !model.spec().rewards_steps();
        if parts.pessimism > 0.0 && !doubts {
            let problem = "the model keeps nothing of its comparisons, which pessimism goes by: train it with keep_covariance = true";
            return Err(Error::Role { role: "reward", problem: problem.into() });
        }
        let (weights, pessimism) = (parts.weights(model.spec())?, parts.pessimism as f32);
        Ok(ModelReward { model: Held::Lent(model), encoder, steps: parts.steps, weights, pessimism })
    }

    /// Of the mean of the weights of several, adapters merged; texts are put to it as to the first.
    ///
    /// Ramé et al. 2024 (WARM), arXiv 2401.12187, equation 1.
    ///
    /// # Errors
    /// As [`ModelReward::new`], and where they are not of one architecture.
    pub(super) fn averaged(models: &[(&'a Transformer, &'a dyn Encode)], parts: &Parts) -> Result<Option<Self>, Error> {
        let Some(((first, encoder), others)) = models.split_first() else { return Ok(None) };
        let unlike = |other: &&(&Transformer, &dyn Encode)| other.0.spec() != first.spec();
        if others.iter().any(|other| unlike(&other)) {
            let problem = "models whose weights are averaged must be of one architecture, with the same heads".into();
            return Err(Error::Role { role: "reward", problem });
        }
        let mut mean = first.merged_weights();
        for (name, weight) in others.iter().flat_map(|(other, _)| other.merged_weights()) {
            let sums = mean.get_mut(&name).map(|sum| &mut sum.values[..]).unwrap_or_default();
            sums.iter_mut().zip(weight.values).for_each(|(sum, value)| *sum += value);
        }
        let count = models.len() as f32;
        mean.values_mut().flat_map(|sum| &mut sum.values).for_each(|sum| *sum /= count);
        let model = Transformer::new(first.spec().clone(), &mean, first.backend().clone())?;
        let lent = ModelReward::new(first, *encoder, parts)?;
        Ok(Some(ModelReward { model: Held::Own(Box::new(model)), ..lent }))
    }

    /// Prompt and completion as the model's tokens, and how many are the prompt's; `None` where they are longer than it can read.
    fn sequence(&self, rollout: &Rollout<'_>) -> Result<Option<Continuation>, Error> {
        let prompt = rollout.columns.get("prompt").cloned().unwrap_or_default();
        let role = |problem| Error::Role { role: "reward", problem };
        let prompt = Content::from_value("prompt", prompt).map_err(role)?;
        let answer = prompt.answered(rollout.completion);
        let sequence = self.encoder.continuation(&prompt, &answer, Boundary::Separate)?;
        let fits = !sequence.ids.is_empty() && sequence.ids.len() <= self.model.spec().max_positions;
        Ok(fits.then_some(sequence))
    }

    fn of(&self, sequences: &[&Continuation], go_on: &mut dyn FnMut(usize) -> bool) -> Result<Vec<f32>, Error> {
        if self.model.spec().rewards_steps() {
            return Ok(self.step_by_step(sequences, go_on)?.iter().map(|steps| self.steps.of(steps)).collect());
        }
        let ids: Vec<&[u32]> = sequences.iter().map(|sequence| sequence.ids.as_slice()).collect();
        let weighed =
            |values: Vec<f32>| -> f32 { values.iter().zip(&self.weights).map(|(value, weight)| value * weight).sum() };
        if self.pessimism > 0.0 {
            let found = doubted_rewards(&self.model, &ids, View::plain(), go_on)?;
            let held = |(values, doubt): (Vec<f32>, f32)| -> f32 { weighed(values) - self.pessimism * doubt };
            return Ok(found.into_iter().map(held).collect());
        }
        Ok(rewards(&self.model, &ids, View::plain(), go_on)?.into_iter().map(weighed).collect())
    }

    /// What a process reward model says of each step.
    fn step_by_step(
        &self,
        sequences: &[&Continuation],
        go_on: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Vec<Vec<f32>>, Error> {
        let separator = self.model.spec().step_separator();
        let ends = |sequence: &&Continuation| self.encoder.step_ends(&sequence.ids, sequence.prompt, separator);
        let ends: Vec<Vec<usize>> = sequences.iter().map(ends).collect();
        let stepped = sequences.iter().zip(&ends).map(|(sequence, ends)| Stepped { ids: &sequence.ids, ends });
        Ok(step_rewards(&self.model, &stepped.collect::<Vec<_>>(), View::plain(), go_on)?)
    }
}

/// What each step adds to what the steps up to it come to. Steps end with what separates them, and the last with the completion.
fn added(reward: StepReward, steps: &[f32], (text, separator): (&str, &str)) -> Vec<Part> {
    let so_far: Vec<f64> = (1..=steps.len()).map(|count| f64::from(reward.of(&steps[..count]))).collect();
    let ends = step_ends(text, separator);
    let end = |step: usize| ends.get(step).filter(|_| step + 1 < steps.len()).copied().unwrap_or(usize::MAX);
    Part::increments(&so_far, (0..steps.len()).map(end))
}

impl Reward for ModelReward<'_> {
    fn score(&self, rollouts: &[Rollout<'_>], cancel: &Cancel) -> Result<Vec<Option<f64>>, Error> {
        let sequences = rollouts.iter().map(|rollout| self.sequence(rollout)).collect::<Result<Vec<_>, _>>()?;
        let fitting: Vec<&Continuation> = sequences.iter().flatten().collect();
        let mut scores = self.of(&fitting, &mut |_| !cancel.is_requested())?.into_iter();
        Ok(sequences.iter().map(|sequence| sequence.as_ref().and_then(|_| scores.next()).map(f64::from)).collect())
    }

    fn judges_parts(&self) -> bool {
        self.model.spec().rewards_steps()
    }

    fn parts(&self, rollouts: &[Rollout<'_>], cancel: &Cancel) -> Result<Vec<Option<Vec<Part>>>, Error> {
        let sequences = rollouts.iter().map(|rollout| self.sequence(rollout)).collect::<Result<Vec<_>, _>>()?;
        let fitting: Vec<&Continuation> = sequences.iter().flatten().collect();
        let mut said = self.step_by_step(&fitting, &mut |_| !cancel.is_requested())?.into_iter();
        let one = |(sequence, rollout): (&Option<Continuation>, &Rollout<'_>)| {
            let steps = sequence.as_ref().and_then(|_| said.next())?;
            (!steps.is_empty())
                .then(|| added(self.steps, &steps, (rollout.completion, self.model.spec().step_separator())))
        };
        Ok(sequences.iter().zip(rollouts).map(one).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each step gets what it changes, at its line, and all of them what they come to; with `sum`, its own.
    #[test]
    fn steps_get_what_they_add() {
        let (steps, text) = ([0.5, 0.25, 1.0], "two\n\nis\nand");
        for (_, reward) in StepReward::NAMED {
            let parts = added(reward, &steps, (text, "\n"));
            assert_eq!(parts.iter().map(|part| part.end).collect::<Vec<_>>(), [4, 8, usize::MAX]);
            let whole = f64::from(reward.of(&steps));
            assert!((parts.iter().map(|part| part.worth).sum::<f64>() - whole).abs() < 1e-12, "{reward:?}");
        }
        let worths = |reward| added(reward, &steps, (text, "\n")).iter().map(|part| part.worth).collect::<Vec<_>>();
        assert_eq!(worths(StepReward::Sum), [0.5, 0.25, 1.0]);
        assert_eq!(worths(StepReward::Product), [0.5, -0.375, 0.0]);
        assert_eq!(worths(StepReward::Least), [0.5, -0.25, 0.0]);
    }
}
