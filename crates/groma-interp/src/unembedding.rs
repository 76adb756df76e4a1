//! Rows of the unembedding, which are what single logits are made with.

use std::sync::Arc;

use groma_kernels::{Tape, Var};
use groma_model::{Result, Transformer};

/// The rows of these tokens, `[ids.len() * hidden_size]`.
pub(crate) fn unembedding_rows(model: &Transformer, ids: &[u32]) -> Result<Vec<f32>> {
    model.check_tokens(ids)?;
    let mut tape = Tape::inference(model.backend().clone());
    let rows = tape.embed(&model.unembed()?, &Arc::from(ids));
    Ok(model.backend().download(rows.buffer()))
}

/// The logit of the first token less that of the second, for each row of normed hidden states, the final cap applied; in f64 from
/// the numbers of the model.
pub(crate) fn logit_differences(model: &Transformer, hidden: &Var, [answer, foil]: [u32; 2]) -> Result<Vec<f64>> {
    let rows = unembedding_rows(model, &[answer, foil])?;
    let (first, second) = rows.split_at(hidden.width());
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    let capped = |logit: f64| {
        model.spec().final_softcap.map_or(logit, |cap| {
            let cap = f64::from(cap);
            cap * (logit / cap).tanh()
        })
    };
    let hidden_rows = model.backend().download(hidden.buffer());
    let difference = |row: &[f32]| capped(dot(row, first)) - capped(dot(row, second));
    Ok(hidden_rows.chunks_exact(hidden.width().max(1)).map(difference).collect())
}
