//! `latents = pre [pre > theta]` with a learned threshold for each latent, and the number of active ones as the penalty.
//!
//! Rajamanoharan et al. 2024, "Jumping ahead: improving reconstruction fidelity with JumpReLU sparse autoencoders", arXiv
//! 2407.14435: loss `MSE + coefficient L0`, gradients of thresholds by a rectangular window. Here the error is a share of the
//! variance, and L0 a share of the latents; theta itself is learned, not its logarithm.

use std::sync::Arc;

use groma_kernels::{Tape, Threshold, Var};
use groma_model::ParameterStore;
use serde::Deserialize;

use super::{Kind, Moment, Sparsity};

pub(super) const JUMP_RELU: Kind = Kind {
    id: "jump_relu",
    title: "JumpReLU",
    paper: "Rajamanoharan et al. 2024, arXiv 2407.14435",
    doc: "Latents above thresholds that are learned. Parameters: coefficient of the share of active latents (1.0); bandwidth \
          of the window around thresholds (0.05); theta, with which they begin (0.01).",
    build: |parameters| Ok(Arc::new(serde_json::from_value::<JumpRelu>(parameters)?)),
};

const THETA: &str = "threshold.bias";

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct JumpRelu {
    coefficient: f32,
    bandwidth: f32,
    theta: f32,
}

impl Default for JumpRelu {
    fn default() -> Self {
        JumpRelu { coefficient: 1.0, bandwidth: 0.05, theta: 0.01 }
    }
}

impl JumpRelu {
    fn threshold(&self, tape: &mut Tape, parameters: &ParameterStore, pre: &Var, kind: Threshold) -> Option<Var> {
        let theta = parameters.var(parameters.id(THETA)?);
        Some(tape.threshold(pre, &theta, kind, self.bandwidth))
    }
}

impl Sparsity for JumpRelu {
    fn problem(&self) -> Option<String> {
        let fine = self.coefficient >= 0.0 && self.bandwidth > 0.0 && self.theta > 0.0;
        (!fine).then(|| "bandwidth and theta must be above 0, coefficient at least 0".into())
    }

    fn learned(&self) -> Option<(&'static str, f32)> {
        Some((THETA, self.theta))
    }

    fn latents(&self, tape: &mut Tape, parameters: &ParameterStore, pre: &Var) -> Var {
        self.threshold(tape, parameters, pre, Threshold::Jump).unwrap_or_else(|| pre.clone())
    }

    fn penalty(&self, tape: &mut Tape, parameters: &ParameterStore, at: &Moment) -> Option<Var> {
        let active = self.threshold(tape, parameters, at.pre, Threshold::Step)?;
        let backend = tape.backend().clone();
        let count = active.rows() * active.width();
        let sum: f64 = backend.download(active.buffer()).iter().map(|&x| f64::from(x)).sum();
        let share = backend.upload(&[(sum / count as f64) as f32]);
        let share = tape.closure(&[&active], (share, 1, 1), move |backend, dy| {
            let each = backend.download(dy).first().map_or(0.0, |dy| dy / count as f32);
            vec![backend.upload(&vec![each; count])]
        });
        Some(tape.scale(&share, self.coefficient))
    }
}
