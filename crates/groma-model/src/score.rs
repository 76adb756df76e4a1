//! Log-probabilities of continuations, every shared prefix computed once.

use std::sync::Arc;

use groma_kernels::{HeadWants, Tape};

use crate::{Error, Pass, Result, TokenTree, Transformer};

/// A continuation to be scored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScoreRequest {
    /// What comes before; may be empty, and then the continuation's first token has no score.
    pub context: Vec<u32>,
    /// The tokens to score.
    pub continuation: Vec<u32>,
}

/// How to score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreOptions {
    /// Tokens per forward pass, shared ones counted once.
    pub budget_tokens: usize,
    /// Divides the logits.
    pub temperature: f32,
    /// Also compute the entropy at each token.
    pub entropy: bool,
    /// Whether an attached adapter takes part.
    pub adapter: bool,
}

impl Default for ScoreOptions {
    fn default() -> Self {
        ScoreOptions { budget_tokens: 8192, temperature: 1.0, entropy: false, adapter: true }
    }
}

/// Scores of one continuation. A continuation without context lacks the score of its first token.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContinuationScore {
    /// Natural log-probability of each token.
    pub logps: Vec<f32>,
    /// Entropy of the prediction of each token, in nats; empty unless asked for.
    pub entropies: Vec<f32>,
    /// Whether each token was the most likely one.
    pub is_greedy: bool,
}

impl ContinuationScore {
    /// Sum of the log-probabilities, in f64.
    pub fn sum(&self) -> f64 {
        self.logps.iter().map(|&logp| f64::from(logp)).sum()
    }
}

/// Scores `requests`, in their order. A score does not depend, to the bit, on what it was scored with.
///
/// `progress` is told the number of requests done, and stops the work with [`Error::Cancelled`] by returning `false`.
pub fn score(
    transformer: &Transformer,
    requests: &[ScoreRequest],
    options: &ScoreOptions,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<Vec<ContinuationScore>> {
    let paths: Vec<Vec<u32>> = requests.iter().map(|r| [&r.context[..], &r.continuation].concat()).collect();
    let mut order: Vec<usize> = (0..requests.len()).collect();
    order.sort_by(|&a, &b| paths[a].cmp(&paths[b]));
    let mut scores = vec![ContinuationScore::default(); requests.len()];
    let mut done = 0;
    for batch in batches(&order, &paths, options.budget_tokens) {
        score_batch(transformer, requests, &paths, batch, options, &mut scores)?;
        done += batch.len();
        if !progress(done) {
            return Err(Error::Cancelled);
        }
    }
    Ok(scores)
}

/// Cuts sorted paths into runs whose radix tree has at most `budget` tokens.
fn batches<'a>(order: &'a [usize], paths: &[Vec<u32>], budget: usize) -> Vec<&'a [usize]> {
    let mut batches = Vec::new();
    let (mut start, mut filled) = (0, 0);
    for i in 0..order.len() {
        let path = read_tokens(&paths[order[i]]);
        let shared = if i > start { common_prefix(read_tokens(&paths[order[i - 1]]), path) } else { 0 };
        if i > start && filled + path.len() - shared > budget {
            batches.push(&order[start..i]);
            (start, filled) = (i, path.len());
        } else {
            filled += path.len() - shared;
        }
    }
    if start < order.len() {
        batches.push(&order[start..]);
    }
    batches
}

/// What the model reads of a path: all but the last token, which is only predicted. So one-token continuations of a context
/// cost nothing beside it, and a path may be one token longer than the model's longest sequence.
fn read_tokens(path: &[u32]) -> &[u32] {
    &path[..path.len().saturating_sub(1)]
}

/// Number of leading tokens that `a` and `b` share.
pub fn common_prefix(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

fn score_batch(
    transformer: &Transformer,
    requests: &[ScoreRequest],
    paths: &[Vec<u32>],
    batch: &[usize],
    options: &ScoreOptions,
    scores: &mut [ContinuationScore],
) -> Result<()> {
    let borrowed: Vec<&[u32]> = batch.iter().map(|&i| read_tokens(&paths[i])).collect();
    let (tree, ends) = TokenTree::share_prefixes(&borrowed);
    let mut wanted = Vec::new();
    for (&i, &end) in batch.iter().zip(&ends) {
        let rows = tree.path_rows(end);
        let first = requests[i].context.len().max(1);
        wanted.extend((first..paths[i].len()).map(|at| (rows[at - 1], paths[i][at])));
    }
    // Continuations of one context ask for the same predictions where they agree: each is computed once.
    let mut unique = wanted.clone();
    unique.sort_unstable();
    unique.dedup();
    let rows: Arc<[u32]> = unique.iter().map(|&(row, _)| row).collect();
    let targets: Arc<[u32]> = unique.iter().map(|&(_, target)| target).collect();

    let mut tape = Tape::inference(transformer.backend().clone());
    let mut pass = Pass { adapter: options.adapter, ..Pass::default() };
    let hidden = transformer.hidden(&mut tape, &tree, &mut pass)?;
    let hidden = tape.gather_rows(&hidden, &rows);
    let wants = HeadWants { entropy: options.entropy, argmax: true, mean_logit: false };
    let softcap = transformer.spec().final_softcap;
    let head = tape.head(&hidden, &transformer.unembed()?, &targets, softcap, options.temperature, wants);
    let output = head.output();

    let mut next = wanted.iter();
    for &i in batch {
        let count = paths[i].len().saturating_sub(requests[i].context.len().max(1));
        let score = &mut scores[i];
        score.is_greedy = true;
        for pair in next.by_ref().take(count) {
            let at = unique.partition_point(|other| other < pair);
            score.logps.push(output.logp[at]);
            score.is_greedy &= output.argmax[at] == pair.1;
            if options.entropy {
                score.entropies.push(output.entropy[at]);
            }
        }
    }
    Ok(())
}
