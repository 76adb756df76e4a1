//! Tokens of the past that are not attended to: forgetful causal masking.
//!
//! Liu et al. 2022, arXiv 2210.13432, as Liu et al. 2023, arXiv 2302.02676 (chain of hindsight) use it: of each sequence a share is drawn,
//! and then each token but the first with that probability; what follows does not see those that were drawn. Such a token still sees
//! what is before it, and predicts the next. In the token tree it is a leaf, and what follows goes on before it, at its own position.
//! The papers' code draws for each token anew which of those before it are seen; their text, as here, for all that follow alike.

use groma_data::uniform;
use groma_run::Seed;

/// Which of so many tokens are forgotten, of which `most` is the largest share.
pub(crate) fn forgotten(tokens: usize, most: f64, seed: Seed) -> Vec<bool> {
    let mut rng = seed.rng();
    let share = most * uniform(&mut rng);
    (0..tokens).map(|at| at > 0 && uniform(&mut rng) < share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forest::{Beside, Forest, Run, SlopesBySlot};
    use crate::sequence::Sequence;
    use groma_kernels::{Backend, Cpu, Gradients, Naive, Tape};
    use groma_model::{Checkpoint, open_transformer};
    use serde_json::Value;
    use std::path::Path;
    use std::sync::Arc;

    #[test]
    fn shares_are_uniform_up_to_the_most() {
        let shares: Vec<f64> = (0..400)
            .map(|index| {
                let drawn = forgotten(1001, 0.4, Seed::new(3).index(index));
                assert!(!drawn[0], "the first is always seen");
                drawn.iter().filter(|&&drawn| drawn).count() as f64 / 1000.0
            })
            .collect();
        let mean = shares.iter().sum::<f64>() / 400.0;
        let below = |most: f64| shares.iter().filter(|&&share| share < most).count() as f64 / 400.0;
        // Of 400 draws a mean has a standard error of 0.006, and a share of one of 0.025.
        assert!((mean - 0.2).abs() < 0.02 && (below(0.1) - 0.25).abs() < 0.08 && (below(0.3) - 0.75).abs() < 0.08);
        assert_eq!(forgotten(50, 0.4, Seed::new(3)), forgotten(50, 0.4, Seed::new(3)));
        assert!(!forgotten(500, 0.0, Seed::new(3)).contains(&true));
        assert!(forgotten(0, 1.0, Seed::new(3)).is_empty());
    }

    /// Log-probabilities of all tokens, and the gradient of their sum, where transformers computes attention with a mask of columns
    /// (`scripts/make_forgetful_fixture.py`); of all sequences in one tree, and of each in its own.
    #[test]
    fn attention_is_masked_as_a_dense_mask_does_it() {
        let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/distillation/student");
        let checkpoint = Checkpoint::open(&place).unwrap();
        let fixture: Value = serde_json::from_str(include_str!("../fixtures/forgetful.json")).unwrap();
        let of = |name: &str| fixture["cases"].as_array().unwrap().iter().map(|case| case[name].clone()).collect();
        let read = |name: &str| -> Vec<Vec<f64>> { serde_json::from_value(of(name)).unwrap() };
        let sequence = |ids: Vec<f64>| Sequence::completion(&[], &ids.iter().map(|&id| id as u32).collect::<Vec<_>>());
        let sequences: Vec<Sequence> = read("ids").into_iter().map(sequence).collect();
        let masks: Vec<Vec<bool>> = serde_json::from_value(of("forgotten")).unwrap();
        let norms: Vec<f64> = serde_json::from_value(of("norm")).unwrap();
        let backends: [Arc<dyn Backend>; 2] = [Arc::new(Cpu::new()), Arc::new(Naive)];
        for backend in backends {
            let model = open_transformer(&place, &checkpoint, checkpoint.spec().clone(), backend.clone()).unwrap();
            let all = Forest::forgetful(&sequences.iter().collect::<Vec<_>>(), &masks);
            let run = |forest: &Forest| {
                let tape = Tape::recording(backend.clone());
                forest.forward(&model, tape, Run::plain(true), &Beside::default()).unwrap().output().logp.clone()
            };
            let together = run(&all);
            for (index, expected) in read("logps").into_iter().enumerate() {
                let what = format!("{}, {index}", backend.name());
                let alone = Forest::forgetful(&[&sequences[index]], &masks[index..=index]);
                let tape = Tape::recording(backend.clone());
                let scored = alone.forward(&model, tape, Run::plain(true), &Beside::default()).unwrap();
                let said = |forest: &Forest, place: usize, by_slot: &[f32]| -> Vec<f32> {
                    forest.slots(place).iter().map(|&slot| by_slot[slot as usize]).collect()
                };
                let own = said(&alone, 0, &scored.output().logp);
                assert_eq!(own, said(&all, index, &together), "{what}: beside others");
                assert_eq!(own.len(), expected.len());
                for (found, expected) in own.iter().zip(expected) {
                    assert!((f64::from(*found) - expected).abs() < 2e-5, "{what}: {found} {expected}");
                }
                let mut gradients = Gradients::default();
                let (logps, none) = (vec![1.0; alone.slot_count()], &[][..]);
                let slopes = SlopesBySlot {
                    logps: &logps,
                    entropies: none,
                    values: none,
                    rivals: none,
                    divergences: none,
                    actions: &[],
                };
                scored.backward(slopes, &mut gradients);
                let norm = gradients.norm(&*backend);
                assert!((norm - norms[index]).abs() < 1e-4 * norms[index], "{what}: {norm} {}", norms[index]);
            }
        }
    }
}
