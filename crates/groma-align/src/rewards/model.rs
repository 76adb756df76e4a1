//! A reward model: the score behind the last token of prompt and completion, in its own tokens and template.

use super::{Reward, Rollout};
use crate::Error;
use crate::encode::Encode;
use crate::forest::{Forest, Run, Sequence};
use crate::training::Boundary;
use groma_data::Content;
use groma_kernels::{Tape, together};
use groma_model::{Head, Transformer};
use groma_run::Cancel;

/// Tokens in one pass.
pub(crate) const PASS_TOKENS: usize = 8192;

/// A model with a scalar head, and what puts text to it.
pub(super) struct ModelReward<'a> {
    model: &'a Transformer,
    encoder: &'a dyn Encode,
}

impl<'a> ModelReward<'a> {
    /// Of a reward model, its tokenizer and its template.
    ///
    /// # Errors
    /// [`Error::Role`] if the model has no score head.
    pub(super) fn new(model: &'a Transformer, encoder: &'a dyn Encode) -> Result<Self, Error> {
        if model.spec().head(&Head::SCORE.name) != Some(&Head::SCORE) {
            return Err(Error::Role {
                role: "reward",
                problem: "the model has no score head; train one with `reward`".into(),
            });
        }
        Ok(ModelReward { model, encoder })
    }

    /// Prompt and completion as the model's tokens; `None` where they are longer than it can read.
    fn sequence(&self, rollout: &Rollout<'_>) -> Result<Option<Sequence>, Error> {
        let prompt = rollout.columns.get("prompt").cloned().unwrap_or_default();
        let role = |problem| Error::Role { role: "reward", problem };
        let prompt = Content::from_value("prompt", prompt).map_err(role)?;
        let answer = prompt.answered(rollout.completion);
        let ids = self.encoder.continuation(&prompt, &answer, Boundary::Separate)?.ids;
        let fits = !ids.is_empty() && ids.len() <= self.model.spec().max_positions;
        Ok(fits.then(|| Sequence { supervised: vec![false; ids.len()], ids }))
    }
}

impl Reward for ModelReward<'_> {
    fn score(&self, rollouts: &[Rollout<'_>], _: &Cancel) -> Result<Vec<Option<f64>>, Error> {
        let sequences = rollouts.iter().map(|rollout| self.sequence(rollout)).collect::<Result<Vec<_>, _>>()?;
        let fitting: Vec<&Sequence> = sequences.iter().flatten().collect();
        let sizes: Vec<usize> = fitting.iter().map(|sequence| sequence.ids.len()).collect();
        let mut scores = Vec::with_capacity(fitting.len());
        for range in groma_model::tree::pack(&sizes, PASS_TOKENS) {
            let forest = Forest::new(&fitting[range]);
            let mut tape = Tape::inference(self.model.backend().clone());
            let found = together(|| forest.forward_scores(self.model, &mut tape, Run::plain(true)))?;
            scores.extend(self.model.backend().download(found.buffer()));
        }
        let mut scores = scores.into_iter();
        Ok(sequences.iter().map(|sequence| sequence.as_ref().and_then(|_| scores.next()).map(f64::from)).collect())
    }
}
