//! The backward half of heads.

use super::flow::Flow;
use super::record::Op;

/// Where a backward pass starts at a head.
#[derive(Clone, Copy, Debug)]
pub(super) enum Slopes<'a> {
    Head { d_logp: &'a [f32], d_entropy: &'a [f32] },
    Divergence { d_value: &'a [f32] },
}

/// Sends the gradient at a head on.
pub(super) fn backward(flow: &mut Flow, op: Op, slopes: Slopes<'_>) {
    match (op, slopes) {
        (Op::Head { hidden, unembed, targets, output, logits, shape }, Slopes::Head { d_logp, d_entropy }) => {
            let (h, u) = (&hidden.buffer, &unembed.buffer);
            let mut dh = flow.lend(hidden.key, h.len());
            let mut du = flow.lend(unembed.key, u.len());
            let backend = &flow.backend;
            backend.head_backward(dh.as_mut(), du.as_mut(), h, u, &targets, &output, logits, d_logp, d_entropy, shape);
            flow.give_back(hidden.key, dh);
            flow.give_back(unembed.key, du);
        }
        (Op::Divergence { hidden, unembed, teacher, comparison, output, shape }, Slopes::Divergence { d_value }) => {
            let (h, u) = (&hidden.buffer, &unembed.buffer);
            let mut dh = flow.lend(hidden.key, h.len());
            let mut du = flow.lend(unembed.key, u.len());
            let (backend, teacher) = (&flow.backend, teacher.teacher());
            backend.divergence_backward(dh.as_mut(), du.as_mut(), h, u, teacher, comparison, &output, d_value, shape);
            flow.give_back(hidden.key, dh);
            flow.give_back(unembed.key, du);
        }
        _ => {}
    }
}
