//! How each token of a text was foreseen: its log-probability, and how log-probabilities were spread over the vocabulary there.

use groma_kernels::{Tape, together};

use crate::tree::{distinct_rows, pack};
use crate::{Error, Pass, Result, TokenTree, Transformer, View};

/// Tokens of one pass.
const BUDGET: usize = 1024;
/// Logits that exist at once, 16 MiB.
const LOGITS: usize = 1 << 22;

/// A token of a text, as the model foresaw it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Foreseen {
    /// Natural log-probability of the token.
    pub logp: f64,
    /// Mean log-probability of what the model would draw there: minus the entropy.
    pub mean: f64,
    /// Its standard deviation.
    pub deviation: f64,
}

/// Of each text, all tokens but the first, which nothing foresees.
///
/// `progress` is told the number of texts done, and stops the work with [`Error::Cancelled`] by returning `false`.
///
/// # Errors
/// If a text is too long, or the model predicts nothing.
pub fn foreseen(
    transformer: &Transformer,
    texts: &[Vec<u32>],
    view: &View,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<Vec<Vec<Foreseen>>> {
    let lengths: Vec<usize> = texts.iter().map(Vec::len).collect();
    let mut found = Vec::with_capacity(texts.len());
    for batch in pack(&lengths, BUDGET) {
        found.extend(together(|| one_pass(transformer, &texts[batch], view))?);
        if !progress(found.len()) {
            return Err(Error::Cancelled);
        }
    }
    Ok(found)
}

fn one_pass(transformer: &Transformer, texts: &[Vec<u32>], view: &View) -> Result<Vec<Vec<Foreseen>>> {
    texts.iter().try_for_each(|text| transformer.check_tokens(text))?;
    // A text's last token is only predicted.
    let read: Vec<&[u32]> = texts.iter().map(|text| &text[..text.len().saturating_sub(1)]).collect();
    let (tree, ends) = TokenTree::share_prefixes(&read);
    let paths: Vec<Vec<u32>> = ends.into_iter().map(|end| tree.path_rows(end)).collect();
    let wanted: Vec<u32> = paths.concat();
    if wanted.is_empty() {
        return Ok(vec![Vec::new(); texts.len()]);
    }
    let (rows, places) = distinct_rows(&wanted);
    let mut tape = Tape::inference(transformer.backend().clone());
    let hidden = transformer.hidden_at(&mut tape, &tree, &rows, &Pass::of(view))?;
    let vocab = transformer.spec().vocab_size;
    let targets = texts.iter().flat_map(|text| text.iter().skip(1)).copied();
    let mut of_row: Vec<Vec<(usize, u32)>> = vec![Vec::new(); rows.len()];
    for (at, (place, target)) in places.iter().zip(targets).enumerate() {
        of_row[*place as usize].push((at, target));
    }
    let mut all = vec![Foreseen::default(); wanted.len()];
    let chunk = (LOGITS / vocab).max(1);
    for first in (0..rows.len()).step_by(chunk) {
        let index = (first as u32..(first + chunk).min(rows.len()) as u32).collect();
        let some = tape.gather_rows(&hidden, &index);
        let (logits, sums) = transformer.distributions(&some, 1.0)?;
        let logits = transformer.backend().read(&logits);
        for ((row, logits), sum) in (first..).zip(logits.chunks_exact(vocab)).zip(sums) {
            let (mean, deviation) = spread(logits, sum);
            for (at, target) in &of_row[row] {
                all[*at] = Foreseen { logp: f64::from(logits[*target as usize]) - sum, mean, deviation };
            }
        }
    }
    let mut all = all.into_iter();
    Ok(paths.iter().map(|path| all.by_ref().take(path.len()).collect()).collect())
}

/// Mean and deviation of the log-probability, under the distribution itself.
fn spread(logits: &[f32], log_sum_exp: f64) -> (f64, f64) {
    let (mut mean, mut square) = (0.0, 0.0);
    for logit in logits {
        let logp = f64::from(*logit) - log_sum_exp;
        let weight = logp.exp();
        if weight > 0.0 {
            mean += weight * logp;
            square += weight * logp * logp;
        }
    }
    (mean, (square - mean * mean).max(0.0).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The figures of the specification: p = (1/2, 1/4, 1/4).
    #[test]
    fn mean_and_deviation_are_under_the_distribution_itself() {
        let logits = [0.5f32, 0.25, 0.25].map(f32::ln);
        let (mean, deviation) = spread(&logits, 0.0);
        assert!((mean + 1.039_720_8).abs() < 1e-6, "{mean}");
        assert!((deviation * deviation - 0.120_113_3).abs() < 1e-6, "{deviation}");
        let scores = logits.map(|logit| (f64::from(logit) - mean) / deviation);
        assert!((scores[0] - 1.0).abs() < 1e-5 && (scores[1] + 1.0).abs() < 1e-5, "{scores:?}");
    }
}
