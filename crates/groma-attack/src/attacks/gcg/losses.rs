//! The losses of suffixes, and their gradient.

use groma_lm::Local;
use groma_model::PrefixCache;
use groma_model::score::{ScoreOptions, ScoreRequest, score_from};

use super::gradient::{OneHot, one_hot};
use super::loss::Loss;
use crate::Error;
use crate::slot::Frame;

/// The losses of suffixes in a frame, of which what comes before the suffix is computed once.
pub(super) struct Losses<'a> {
    local: &'a Local<'a>,
    frame: &'a Frame,
    loss: Loss,
    /// Holds what comes before the suffix, and nothing else.
    before: PrefixCache,
}

/// What was found of some suffixes.
pub(super) struct Found {
    /// Of each, its loss, and whether the target is the most likely beginning.
    pub(super) losses: Vec<(f64, bool)>,
    /// Tokens that were worked through.
    pub(super) tokens: u64,
}

impl<'a> Losses<'a> {
    pub(super) fn new(local: &'a Local<'a>, frame: &'a Frame, loss: Loss) -> Result<Self, Error> {
        let before = PrefixCache::new(local.transformer, frame.before.len());
        let mut losses = Losses { local, frame, loss, before };
        // What is computed first is what the cache has room for.
        let first = ScoreRequest { context: frame.before.clone(), continuation: frame.target[..1].to_vec() };
        losses.score(&[first], &mut |_| true)?;
        Ok(losses)
    }

    /// Of each suffix; stops once `going` says so.
    pub(super) fn of(&mut self, suffixes: &[Vec<u32>], going: &mut dyn FnMut(usize) -> bool) -> Result<Found, Error> {
        let request = |suffix: &Vec<u32>| ScoreRequest {
            context: self.frame.context(suffix),
            continuation: self.frame.target.clone(),
        };
        let requests: Vec<ScoreRequest> = suffixes.iter().map(request).collect();
        let before = self.before.computed();
        let losses = self.score(&requests, going)?;
        Ok(Found { losses, tokens: (self.before.computed() - before) as u64 })
    }

    /// The gradient at a suffix.
    pub(super) fn gradient(&self, suffix: &[u32]) -> Result<OneHot, Error> {
        Ok(one_hot(self.local.transformer, &self.local.view.adapter, self.frame, suffix, self.loss)?)
    }

    fn score(
        &mut self,
        requests: &[ScoreRequest],
        going: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Vec<(f64, bool)>, Error> {
        let budget_tokens = self.local.options.budget_tokens;
        let options = ScoreOptions { budget_tokens, view: self.local.view, ..ScoreOptions::default() };
        let scores = score_from(self.local.transformer, requests, &options, &mut self.before, going)?;
        Ok(scores.iter().map(|score| (self.loss.of(&score.logps), score.is_greedy)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::candidates::{Draw, Places, promising};
    use super::super::state::{Entry, Rule, State};
    use super::*;
    use groma_data::below;
    use groma_lm::LocalOptions;
    use groma_model::LocalModel;
    use groma_model::Transformer;
    use groma_model::score::score;
    use groma_run::Seed;

    const VOCAB: usize = 64;
    const LENGTH: usize = 4;

    /// The village's model with a vocabulary of 64 and other weights.
    fn small(change: impl Fn(&str, &mut [f32])) -> LocalModel {
        let mut model = crate::testing::model();
        let mut spec = model.transformer.spec().clone();
        spec.vocab_size = VOCAB;
        let mut weights = model.transformer.weights();
        for (name, tensor) in &mut weights {
            if tensor.shape[0] > VOCAB && name.contains("embed") {
                tensor.shape[0] = VOCAB;
                tensor.values.truncate(VOCAB * spec.hidden_size);
            }
            change(name, &mut tensor.values);
        }
        model.transformer = Transformer::new(spec, &weights, model.transformer.backend().clone()).unwrap();
        model.freeze();
        model
    }

    fn frame() -> Frame {
        Frame { before: vec![3, 9, 1], after: vec![8, 2], target: vec![5, 17] }
    }

    /// The loss of one suffix, alone and without any cache.
    fn alone(model: &LocalModel, suffix: &[u32]) -> f64 {
        let request = ScoreRequest { context: frame().context(suffix), continuation: frame().target };
        let found = score(&model.transformer, &[request], &ScoreOptions::default(), &mut |_| true).unwrap();
        Loss::CrossEntropy.of(&found[0].logps)
    }

    /// One step over all changes of one token.
    fn exhaustive(losses: &mut Losses, state: &mut State, rule: Rule) -> usize {
        let from = state.current.ids.clone();
        let slopes = losses.gradient(&from).unwrap().slopes;
        let all = promising(&slopes, &from, &[true; VOCAB], VOCAB);
        let width = LENGTH * (VOCAB - 1);
        let seed = Seed::new(1).index(state.step);
        let draw = Draw { current: &from, promising: &all, width, replaced: 1, places: Places::Uniform, seed };
        let candidates = draw.candidates(&|_| true);
        let found = losses.of(&candidates, &mut |_| true).unwrap();
        let best = (0..candidates.len()).min_by(|a, b| found.losses[*a].0.total_cmp(&found.losses[*b].0)).unwrap();
        state.accept(Entry { ids: candidates[best].clone(), loss: found.losses[best].0 }, rule);
        state.step += 1;
        candidates.len()
    }

    /// With vocabulary 64, length 4 and a width of all 4 * 63 changes, a step is the best of all changes of one token, each of
    /// which is scored here alone; and where what there is may stay, the loss never rises.
    #[test]
    fn an_exhaustive_step_is_the_brute_force_one() {
        let model = small(|_, values| values.iter_mut().for_each(|value| *value *= 4.0));
        let local = Local::new(&model, LocalOptions::default());
        let frame = frame();
        let mut losses = Losses::new(&local, &frame, Loss::CrossEntropy).unwrap();
        let first = vec![10, 20, 30, 40];
        let mut state = State::new(Entry { loss: alone(&model, &first), ids: first });
        for _ in 0..4 {
            let from = state.current.clone();
            let changes = (0..LENGTH).flat_map(|place| (0..VOCAB as u32).map(move |id| (place, id)));
            let changed = changes.filter(|(place, id)| from.ids[*place] != *id).map(|(place, id)| {
                let mut ids = from.ids.clone();
                ids[place] = id;
                ids
            });
            let brute = changed.map(|ids| (alone(&model, &ids), ids)).min_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
            assert_eq!(exhaustive(&mut losses, &mut state, Rule::Improving), LENGTH * (VOCAB - 1));
            if brute.0 < from.loss {
                assert_eq!((state.current.loss, &state.current.ids), (brute.0, &brute.1), "to the bit");
            } else {
                assert_eq!(state.current, from);
            }
        }
        assert!(state.best.loss < alone(&model, &[10, 20, 30, 40]));
    }

    /// Attention alike to all tokens, weakly, and no MLP: the loss is a sum of what each position brings, so that the best of all
    /// 64^4 suffixes has the best token of each position.
    #[test]
    fn where_the_loss_is_separable_the_optimum_of_all_suffixes_is_found() {
        let model = small(|name, values| {
            let factor = match name {
                _ if name.contains("attention.q") || name.contains("attention.k") || name.contains("mlp") => 0.0,
                _ if name.contains("attention.v") => 0.01,
                _ => 4.0,
            };
            values.iter_mut().for_each(|value| *value *= factor);
        });
        let local = Local::new(&model, LocalOptions::default());
        let frame = frame();
        let mut losses = Losses::new(&local, &frame, Loss::CrossEntropy).unwrap();
        let first = vec![10, 20, 30, 40];
        let begun = alone(&model, &first);
        let changed = |place: usize, id: u32| {
            let mut ids = first.clone();
            ids[place] = id;
            ids
        };
        let brings: Vec<Vec<f64>> = (0..LENGTH)
            .map(|place| (0..VOCAB as u32).map(|id| alone(&model, &changed(place, id)) - begun).collect())
            .collect();
        let sum = |ids: &[u32]| begun + ids.iter().zip(&brings).map(|(id, of)| of[*id as usize]).sum::<f64>();
        let least = |of: &Vec<f64>| (0..VOCAB).min_by(|a, b| of[*a].total_cmp(&of[*b])).unwrap() as u32;
        let optimum: Vec<u32> = brings.iter().map(least).collect();
        let gain = begun - sum(&optimum);
        let mut rng = Seed::new(5).rng();
        for _ in 0..100 {
            let ids: Vec<u32> = (0..LENGTH).map(|_| below(&mut rng, VOCAB as u64) as u32).collect();
            let error = (alone(&model, &ids) - sum(&ids)).abs();
            assert!(error < 0.05 * gain, "{ids:?} is off by {error}, and there is {gain} to be had");
        }
        let mut state = State::new(Entry { loss: begun, ids: first.clone() });
        for _ in 0..2 * LENGTH {
            exhaustive(&mut losses, &mut state, Rule::Improving);
        }
        assert!(state.best.loss <= alone(&model, &optimum) + 1e-6, "{state:?}, and {optimum:?} is the optimum");
        assert!(state.best.loss < begun - 0.9 * gain);
    }

    #[test]
    fn what_comes_before_is_computed_once() {
        let model = crate::testing::model();
        let local = Local::new(&model, LocalOptions::default());
        let frame = frame();
        let mut losses = Losses::new(&local, &frame, Loss::CrossEntropy).unwrap();
        let suffixes: Vec<Vec<u32>> = vec![vec![10, 20, 30], vec![10, 20, 31], vec![11, 20, 30]];
        for _ in 0..2 {
            // Suffix, what comes behind it, and the target but for its last token; the first two tokens are shared by two.
            assert_eq!(losses.of(&suffixes, &mut |_| true).unwrap().tokens, 3 * (3 + 2 + 1) - 2);
        }
    }
}
