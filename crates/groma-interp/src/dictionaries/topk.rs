//! `latents = ReLU(the k largest of W_enc (x - b_dec) + b_enc)`: L0 is set, not traded for; dead latents learn what the
//! others leave (on the planted source of the tests that revived none).
//!
//! Gao et al. 2024, "Scaling and evaluating sparse autoencoders", arXiv 2406.04093: loss `MSE + a MSE_aux`, where `MSE_aux` is
//! that of the `k_aux` largest latents among the dead ones against the error of the others, `a = 1/32` and `k_aux` half the
//! width of the activations. As in EleutherAI's sparsify, the auxiliary loss is scaled down where fewer latents are dead than
//! `k_aux`.

use std::sync::Arc;

use groma_kernels::{Activation, Tape, Var};
use groma_model::ParameterStore;
use serde::Deserialize;

use super::{Kind, Moment, Sparsity};

pub(super) const TOPK: Kind = Kind {
    id: "topk",
    title: "TopK",
    paper: "Gao et al. 2024, arXiv 2406.04093",
    doc: "Keeps the k largest latents of each row. Parameters: k (32); k_aux, latents that dead ones learn with (0: half the \
          width of the activations); aux_coefficient (0.03125); dead_after, rows without activity after which a latent \
          counts as dead (10000000).",
    build: |parameters| Ok(Arc::new(serde_json::from_value::<TopK>(parameters)?)),
};

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TopK {
    k: usize,
    k_aux: usize,
    aux_coefficient: f32,
    dead_after: f32,
}

impl Default for TopK {
    fn default() -> Self {
        TopK { k: 32, k_aux: 0, aux_coefficient: 1.0 / 32.0, dead_after: 1e7 }
    }
}

impl Sparsity for TopK {
    fn problem(&self) -> Option<String> {
        let bad = self.k == 0 || self.aux_coefficient.is_nan() || self.aux_coefficient < 0.0 || self.dead_after <= 0.0;
        bad.then(|| "k and dead_after must be above 0, aux_coefficient at least 0".into())
    }

    fn latents(&self, tape: &mut Tape, _: &ParameterStore, pre: &Var) -> Var {
        let largest = tape.top_k(pre, self.k);
        tape.activation(&largest, Activation::Relu)
    }

    fn penalty(&self, tape: &mut Tape, _: &ParameterStore, at: &Moment) -> Option<Var> {
        let dead: Vec<f32> = at.idle.iter().map(|&rows| f32::from(u8::from(rows > self.dead_after))).collect();
        let count = dead.iter().sum::<f32>();
        if count == 0.0 || self.aux_coefficient == 0.0 {
            return None;
        }
        let k_aux = if self.k_aux == 0 { (at.error.width() / 2).max(1) } else { self.k_aux };
        let mask = Var::constant(tape.backend().upload(&dead), 1, dead.len());
        let mask = tape.gather_rows(&mask, &vec![0; at.pre.rows()].into());
        let positive = tape.activation(at.pre, Activation::Relu);
        let of_dead = tape.multiply(&positive, &mask);
        let largest = tape.top_k(&of_dead, k_aux);
        let explained = tape.linear(&largest, at.decoder, None);
        let error = tape.mean_squared_error(&explained, at.error);
        let scale = self.aux_coefficient * (count / k_aux as f32).min(1.0) / at.variance;
        Some(tape.scale(&error, scale))
    }
}

#[cfg(test)]
mod tests {
    use groma_kernels::{Backend, Cotangent, Cpu, Gradients};

    use super::*;

    /// Two rows of four latents, of which the second and fourth are dead, against an error of width two.
    #[test]
    fn dead_latents_alone_learn_what_is_left() {
        let backend: Arc<dyn Backend> = Arc::new(Cpu::new());
        let var = |values: &[f32], width: usize| Var::constant(backend.upload(values), values.len() / width, width);
        let mut tape = Tape::recording(backend.clone());
        let pre = tape.watch(var(&[5.0, 1.0, 3.0, -2.0, 4.0, 0.5, 6.0, 2.0], 4));
        let (error, decoder) = (var(&[1.0, 0.0, 0.0, 1.0], 2), var(&[9.0, 1.0, 9.0, 0.0, 9.0, 0.0, 9.0, 1.0], 4));
        let topk = TopK { k: 1, k_aux: 2, aux_coefficient: 0.5, dead_after: 10.0 };
        let mut penalty = |idle: &[f32]| {
            let moment = Moment { pre: &pre, error: &error, idle, decoder: &decoder, variance: 2.0 };
            topk.penalty(&mut tape, &ParameterStore::default(), &moment)
        };
        assert!(penalty(&[0.0, 10.0, 0.0, 3.0]).is_none(), "none is dead");
        let found = penalty(&[0.0, 11.0, 0.0, 12.0]).unwrap();
        // Row 0: latent 1 gives (1, 0), which is the error. Row 1: (0.5, 2) instead of (0, 1).
        let value = 0.5 / 2.0 * (0.25 + 1.0) / 4.0;
        assert!((backend.download(found.buffer())[0] - value).abs() < 1e-6);
        let one = backend.upload(&[1.0]);
        let watched = tape.backward(vec![Cotangent::Value(&found, one)], &mut Gradients::new());
        let slope = 0.5 / 2.0 * 2.0 / 4.0;
        let want = [0.0, 0.0, 0.0, 0.0, 0.0, slope * 0.5, 0.0, slope];
        let got = backend.download(watched.get(&pre).unwrap());
        assert!(got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6), "{got:?}");
    }
}
