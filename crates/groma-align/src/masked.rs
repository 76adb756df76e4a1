//! Log-probabilities of tokens among those alone that a copy of the policy, as it was some time ago, finds likely: the sampler's, to
//! the bit. What is masked has probability 0, and no gradient goes to it.

use crate::Error;
use groma_kernels::{Cotangent, HeadOutput, Tape, Var, for_each_mut};
use groma_model::guidance::ActionMask;
use groma_model::guidance::{log_probs, normalised};
use groma_model::{Head, Transformer};
use std::sync::Arc;

/// Log-probabilities by slot, and what their gradient needs.
#[derive(Debug)]
pub(crate) struct Masked {
    /// Raw, `[slots, vocab]`.
    logits: Var,
    rows: Vec<Row>,
    output: HeadOutput,
    targets: Arc<[u32]>,
}

/// The distribution at a slot: of tokens that may be chosen, their probabilities and how their finished logits change with the raw
/// ones.
#[derive(Clone, Debug, Default, PartialEq)]
struct Row {
    kept: Vec<(u32, f64, f64)>,
    logp: f64,
    entropy: f64,
}

impl Masked {
    /// Of targets, one a hidden row; `lagged`: what the copy says there, its finished logits `[slots, vocab]`.
    ///
    /// # Errors
    /// If the model has no unembedding.
    pub(crate) fn of(
        tape: &mut Tape<'_>,
        (model, hidden): (&Transformer, &Var),
        lagged: &[f32],
        targets: &Arc<[u32]>,
        (mask, temperature): (ActionMask, f32),
    ) -> Result<Self, Error> {
        let (spec, backend) = (model.spec(), model.backend());
        let logits = model.head(tape, &Head::UNEMBEDDING.name, hidden)?;
        let mut finished = backend.upload(&backend.download(logits.buffer()));
        backend.distributions(&mut finished, spec.vocab_size, spec.final_softcap, 1.0);
        let finished = backend.read(&finished);
        let mut rows = vec![Row::default(); targets.len()];
        let at = |row: usize| row * spec.vocab_size..(row + 1) * spec.vocab_size;
        for_each_mut(&mut rows, 64 * finished.len(), |row, to| {
            let own = &finished[at(row)];
            *to = Row::new(own, &lagged[at(row)], targets[row], (mask, temperature, spec.final_softcap));
        });
        let output = HeadOutput {
            logp: rows.iter().map(|row| row.logp as f32).collect(),
            entropy: rows.iter().map(|row| row.entropy as f32).collect(),
            ..HeadOutput::default()
        };
        Ok(Masked { logits, rows, output, targets: targets.clone() })
    }

    /// Log-probabilities and entropies, by slot.
    pub(crate) fn output(&self) -> &HeadOutput {
        &self.output
    }

    /// The cotangent of slopes by slot.
    pub(crate) fn cotangent(&self, tape: &Tape<'_>, d_logp: &[f32]) -> Cotangent<'_> {
        let vocab = self.logits.width();
        let mut slopes = vec![0.0; self.rows.len() * vocab];
        for (((row, slopes), target), d) in
            self.rows.iter().zip(slopes.chunks_exact_mut(vocab)).zip(&*self.targets).zip(d_logp)
        {
            row.send(*target, f64::from(*d), slopes);
        }
        Cotangent::Value(&self.logits, tape.backend().upload(&slopes))
    }
}

impl Row {
    /// Of finished logits, those of the copy, and the token that was chosen.
    fn new(
        own: &[f32],
        lagged: &[f32],
        target: u32,
        (mask, temperature, softcap): (ActionMask, f32, Option<f32>),
    ) -> Self {
        let logps = normalised(&mask.masked(&log_probs(own), &log_probs(lagged)), temperature);
        let slope = |logit: f32| {
            let capped = softcap.map_or(1.0, |cap| 1.0 - (f64::from(logit) / f64::from(cap)).powi(2));
            capped / f64::from(temperature)
        };
        let kept = logps.iter().enumerate().filter(|(_, logp)| logp.is_finite());
        let kept: Vec<(u32, f64, f64)> =
            kept.map(|(token, logp)| (token as u32, logp.exp(), slope(own[token]))).collect();
        let entropy = kept.iter().map(|(token, p, _)| -p * logps[*token as usize]).sum();
        Row { kept, logp: logps[target as usize], entropy }
    }

    /// Adds the gradient of `d` times the log-probability of the token that was chosen to raw logits.
    fn send(&self, target: u32, d: f64, to: &mut [f32]) {
        for &(token, p, slope) in &self.kept {
            let hit = f64::from(u8::from(token == target));
            to[token as usize] = (d * (hit - p) * slope) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// Log-probabilities, entropies and slopes by autograd, see `scripts/make_policy_fixtures.py`; and no slope at what is masked.
    #[test]
    fn log_probabilities_and_slopes_are_those_of_the_formula() {
        let fixture: Value = serde_json::from_str(include_str!("../fixtures/policy_losses.json")).unwrap();
        for case in fixture["masked"].as_array().unwrap() {
            let rows = |name: &str| serde_json::from_value::<Vec<Vec<f32>>>(case[name].clone()).unwrap();
            let number = |name: &str| case[name].as_f64().unwrap();
            let mask = ActionMask { top_p: number("top_p") as f32, top_k: number("top_k") as usize };
            let softcap = case["softcap"].as_f64().map(|cap| cap as f32);
            for (index, raw) in rows("logits").iter().enumerate() {
                let finished: Vec<f32> = raw.iter().map(|&z| softcap.map_or(z, |cap| cap * (z / cap).tanh())).collect();
                let target = case["targets"][index].as_u64().unwrap() as u32;
                let row =
                    Row::new(&finished, &rows("lagged")[index], target, (mask, number("temperature") as f32, softcap));
                let near = |found: f64, expected: f64| (found - expected).abs() < 1e-5 * expected.abs().max(1.0);
                assert!(near(row.logp, case["logps"][index].as_f64().unwrap()), "{row:?}");
                assert!(near(row.entropy, case["entropies"][index].as_f64().unwrap()), "{row:?}");
                let mut slopes = vec![0.0; raw.len()];
                row.send(target, 1.0, &mut slopes);
                for (token, (&found, &expected)) in slopes.iter().zip(&rows("slopes")[index]).enumerate() {
                    assert!(near(found.into(), expected.into()), "{token}: {found} {expected}");
                    let allowed = row.kept.iter().any(|(kept, ..)| *kept as usize == token);
                    assert!(allowed || found == 0.0, "{token}");
                }
                assert!(
                    row.kept.len() < raw.len() && (row.kept.iter().map(|(_, p, _)| p).sum::<f64>() - 1.0).abs() < 1e-6
                );
            }
        }
    }
}
