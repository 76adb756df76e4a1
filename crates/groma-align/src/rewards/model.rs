//! A reward model: the score behind the last token of prompt and completion, in its own tokens and template.

use super::reward::{Reward, Rollout};
use crate::Error;
use crate::encode::Encode;
use crate::training::Boundary;
use groma_data::Content;
use groma_model::rewards::rewards;
use groma_model::{Spec, Transformer, View};
use groma_run::Cancel;

/// A model with a scalar head, and what puts text to it.
pub(super) struct ModelReward<'a> {
    model: &'a Transformer,
    encoder: &'a dyn Encode,
}

impl<'a> ModelReward<'a> {
    /// Of a reward model, its tokenizer and its template.
    ///
    /// # Errors
    /// If the model has no score head.
    pub(super) fn new(model: &'a Transformer, encoder: &'a dyn Encode) -> Result<Self, Error> {
        Spec::require_reward(&model.spec().outputs, "a reward or cost of completions")?;
        Ok(ModelReward { model, encoder })
    }

    /// Prompt and completion as the model's tokens; `None` where they are longer than it can read.
    fn sequence(&self, rollout: &Rollout<'_>) -> Result<Option<Vec<u32>>, Error> {
        let prompt = rollout.columns.get("prompt").cloned().unwrap_or_default();
        let role = |problem| Error::Role { role: "reward", problem };
        let prompt = Content::from_value("prompt", prompt).map_err(role)?;
        let answer = prompt.answered(rollout.completion);
        let ids = self.encoder.continuation(&prompt, &answer, Boundary::Separate)?.ids;
        let fits = !ids.is_empty() && ids.len() <= self.model.spec().max_positions;
        Ok(fits.then_some(ids))
    }
}

impl Reward for ModelReward<'_> {
    fn score(&self, rollouts: &[Rollout<'_>], cancel: &Cancel) -> Result<Vec<Option<f64>>, Error> {
        let sequences = rollouts.iter().map(|rollout| self.sequence(rollout)).collect::<Result<Vec<_>, _>>()?;
        let fitting: Vec<&[u32]> = sequences.iter().flatten().map(Vec::as_slice).collect();
        let scores = rewards(self.model, &fitting, View::plain(), &mut |_| !cancel.is_requested())?;
        let mut scores = scores.into_iter().flatten();
        Ok(sequences.iter().map(|sequence| sequence.as_ref().and_then(|_| scores.next()).map(f64::from)).collect())
    }
}
