//! The score-function gradient of small policies, on the tape.

use groma_kernels::{Backend, Buffer, Tape, Var};

/// The loss whose slope is the policy gradient (Williams 1992): `-Σ A log π(a) - c Σ H(π)`, summed over rows, of logits
/// `[rows, actions]`. An advantage `A` stands in `advantages` at the action that was taken, 0 elsewhere; several may stand in one
/// row. `H` is the entropy of a row. Advantages are constants: no slope goes through them. Returns `[1, 1]`.
pub(crate) fn loss<'m>(tape: &mut Tape<'m>, logits: &Var, advantages: Vec<f32>, entropy: f32) -> Var {
    let (rows, actions) = (logits.rows(), logits.width());
    assert_eq!(advantages.len(), rows * actions, "each action has an advantage");
    let logps = log_softmax(&tape.backend().download(logits.buffer()), actions);
    let pairs = || logps.chunks(actions).zip(advantages.chunks(actions));
    let value: f64 = pairs().map(|(logps, advantages)| row(logps, advantages, entropy)).sum();
    let slopes: Vec<f32> = pairs().flat_map(|(logps, advantages)| slopes(logps, advantages, entropy)).collect();
    let value = tape.backend().upload(&[value as f32]);
    tape.closure(&[logits], (value, 1, 1), move |backend, outer| vec![scaled(backend, &slopes, outer)])
}

/// `log π` of each row of logits.
pub(crate) fn log_softmax(logits: &[f32], actions: usize) -> Vec<f64> {
    let row = |row: &[f32]| {
        let top = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let total = row.iter().map(|&logit| (f64::from(logit) - top).exp()).sum::<f64>().ln() + top;
        row.iter().map(|&logit| f64::from(logit) - total).collect::<Vec<_>>()
    };
    logits.chunks(actions).flat_map(row).collect()
}

/// An action drawn from log-probabilities by a number from 0 up to 1.
pub(crate) fn drawn(logps: &[f64], uniform: f64) -> usize {
    let mut below = 0.0;
    let at = logps.iter().position(|logp| {
        below += logp.exp();
        uniform < below
    });
    at.unwrap_or(logps.len() - 1)
}

fn negative_entropy(logps: &[f64]) -> f64 {
    logps.iter().map(|logp| logp.exp() * logp).sum()
}

fn row(logps: &[f64], advantages: &[f32], entropy: f32) -> f64 {
    let gain: f64 = logps.iter().zip(advantages).map(|(logp, advantage)| f64::from(*advantage) * logp).sum();
    f64::from(entropy) * negative_entropy(logps) - gain
}

/// With respect to the logits: `-(A - π ΣA) + c π (log π + H)`.
fn slopes(logps: &[f64], advantages: &[f32], entropy: f32) -> Vec<f32> {
    let total: f64 = advantages.iter().map(|advantage| f64::from(*advantage)).sum();
    let negative = negative_entropy(logps);
    let slope = |(logp, advantage): (&f64, &f32)| {
        let p = logp.exp();
        (p * total - f64::from(*advantage) + f64::from(entropy) * p * (logp - negative)) as f32
    };
    logps.iter().zip(advantages).map(slope).collect()
}

fn scaled(backend: &dyn Backend, slopes: &[f32], outer: &Buffer) -> Buffer {
    let outer: f32 = backend.download(outer).iter().sum();
    backend.upload(&slopes.iter().map(|slope| slope * outer).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use groma_kernels::{Cotangent, Cpu, Gradients, ParameterId};
    use std::sync::Arc;

    const ROWS: usize = 3;
    const ACTIONS: usize = 4;

    fn value(logits: &[f32], advantages: &[f32]) -> f64 {
        let logps = log_softmax(logits, ACTIONS);
        logps.chunks(ACTIONS).zip(advantages.chunks(ACTIONS)).map(|(l, a)| row(l, a, 0.3)).sum()
    }

    #[test]
    fn the_slope_is_that_of_the_value() {
        let backend: Arc<dyn Backend> = Arc::new(Cpu::new());
        let logits: Vec<f32> = (0..ROWS * ACTIONS).map(|i| ((i * 7 % 5) as f32 - 2.0) * 0.6).collect();
        let mut advantages = vec![0.0; ROWS * ACTIONS];
        [(1, 1.5), (6, -0.7), (7, 0.2), (8, 2.0)].into_iter().for_each(|(at, advantage)| advantages[at] = advantage);
        let buffer = Arc::new(backend.upload(&logits));
        let var = Var::parameter(ParameterId(0), buffer, ROWS, ACTIONS, true);
        let mut tape = Tape::recording(backend.clone());
        let found = loss(&mut tape, &var, advantages.clone(), 0.3);
        assert!((f64::from(backend.download(found.buffer())[0]) - value(&logits, &advantages)).abs() < 1e-5);
        let mut gradients = Gradients::new();
        let one = backend.upload(&[1.0]);
        tape.backward(vec![Cotangent::Value(&found, one)], &mut gradients);
        let slopes = backend.download(gradients.get(ParameterId(0)).unwrap());
        for at in 0..logits.len() {
            let moved = |by: f32| {
                let mut logits = logits.clone();
                logits[at] += by;
                value(&logits, &advantages)
            };
            let expected = (moved(0.01) - moved(-0.01)) / 0.02;
            assert!((f64::from(slopes[at]) - expected).abs() < 1e-3, "{at}: {} {expected}", slopes[at]);
        }
    }

    #[test]
    fn actions_are_drawn_as_often_as_they_are_likely() {
        let logps = log_softmax(&[0.0, 1.0, -1.0, 0.5], ACTIONS);
        let mut counts = [0; ACTIONS];
        (0..10_000).for_each(|i| counts[drawn(&logps, f64::from(i) / 10_000.0)] += 1);
        for (count, logp) in counts.iter().zip(&logps) {
            assert!((f64::from(*count) / 10_000.0 - logp.exp()).abs() < 2e-4, "{counts:?}");
        }
    }
}
