//! Log-probabilities of continuations, every shared prefix computed once.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use groma_kernels::{HeadOutput, HeadWants, Tape, together};

use crate::hooks::Cell;
use crate::tree::distinct_rows;
use crate::{Error, Pass, PrefixCache, Result, TokenTree, Transformer, View};

/// A continuation to be scored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScoreRequest {
    /// What comes before; may be empty, and then the continuation's first token has no score.
    pub context: Vec<u32>,
    /// The tokens to score.
    pub continuation: Vec<u32>,
}

/// How to score.
#[derive(Clone, Copy, Debug)]
pub struct ScoreOptions<'a> {
    /// Tokens per forward pass, shared ones counted once.
    pub budget_tokens: usize,
    /// Divides the logits.
    pub temperature: f32,
    /// Also compute the entropy at each token.
    pub entropy: bool,
    /// How the model is looked at. Sequences of its addresses are the requests.
    pub view: &'a View,
}

impl Default for ScoreOptions<'_> {
    fn default() -> Self {
        ScoreOptions { budget_tokens: 2048, temperature: 1.0, entropy: false, view: View::plain() }
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
    let mut each = |scored: &mut Scored| score_each(transformer, requests, options, scored);
    collected(requests.len(), progress, &mut each)
}

/// [`score`], to the bit, where what `cache` holds is not computed again; and what is computed is held in it.
pub fn score_from(
    transformer: &Transformer,
    requests: &[ScoreRequest],
    options: &ScoreOptions,
    cache: &mut PrefixCache,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<Vec<ContinuationScore>> {
    let mut each = |scored: &mut Scored| match cache.ready(transformer, options.view) {
        Some(cache) => passes(transformer, requests, options, (cache, true), scored),
        None => score_each(transformer, requests, options, scored),
    };
    let scores = collected(requests.len(), progress, &mut each);
    if scores.is_err() {
        // A pass that failed has left rows without their values.
        cache.clear();
    }
    scores
}

/// Takes what a pass has scored, with the index of its request; `false` stops the work.
type Scored<'a> = dyn FnMut(Vec<(usize, ContinuationScore)>) -> bool + 'a;

/// The scores of all requests, in their order.
fn collected(
    requests: usize,
    progress: &mut dyn FnMut(usize) -> bool,
    each: &mut dyn FnMut(&mut Scored) -> Result<()>,
) -> Result<Vec<ContinuationScore>> {
    let mut scores = vec![ContinuationScore::default(); requests];
    let mut done = 0;
    each(&mut |scored| {
        done += scored.len();
        scored.into_iter().for_each(|(request, score)| scores[request] = score);
        progress(done)
    })?;
    Ok(scores)
}

/// [`score`], handing out what each pass has scored, with the index of its request. Stops with [`Error::Cancelled`] where
/// `scored` returns `false`.
pub fn score_each(
    transformer: &Transformer,
    requests: &[ScoreRequest],
    options: &ScoreOptions,
    scored: &mut dyn FnMut(Vec<(usize, ContinuationScore)>) -> bool,
) -> Result<()> {
    let mut trunk = PrefixCache::new(transformer, usize::MAX);
    passes(transformer, requests, options, (&mut trunk, false), scored)
}

/// Scores pass by pass, continuing what `cache` holds. It keeps everything where `all`, else the path that the next pass
/// continues: its trunk.
fn passes(
    transformer: &Transformer,
    requests: &[ScoreRequest],
    options: &ScoreOptions,
    (cache, all): (&mut PrefixCache, bool),
    scored: &mut Scored,
) -> Result<()> {
    let paths: Vec<Vec<u32>> = requests.iter().map(|r| [&r.context[..], &r.continuation].concat()).collect();
    // Each path's last token is never read, but asked for.
    paths.iter().try_for_each(|path| transformer.check_tokens(path))?;
    let hooks = &options.view.hooks;
    hooks.begin(transformer.spec())?;
    for mut order in alike(requests.len(), options.view) {
        order.sort_by(|&a, &b| paths[a].cmp(&paths[b]));
        let plan = plan(&order, &paths, requests, options.budget_tokens);
        if !all {
            cache.clear();
        }
        for (index, planned) in plan.iter().enumerate() {
            let next = plan.get(index + 1).map_or(0, |next| next.shared);
            let next = (!all).then_some(next);
            let batch = Batch { transformer, requests, paths: &paths, order: &order[planned.range.clone()], options };
            let scores = together(|| batch.score(cache, next))?;
            if !scored(batch.order.iter().copied().zip(scores).collect()) {
                return Err(Error::Cancelled);
            }
        }
    }
    hooks.finish()
}

/// The requests, those apart that edits mean alone.
fn alike(requests: usize, view: &View) -> Vec<Vec<usize>> {
    let mut groups: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    (0..requests).for_each(|i| groups.entry(view.hooks.own_edits(i..i + 1)).or_default().push(i));
    groups.into_values().collect()
}

/// A shorter shared prefix is computed again rather than kept.
const SHORTEST_TRUNK: usize = 16;

/// One pass: a run of the sorted paths.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Planned {
    range: Range<usize>,
    /// How many tokens of its first path the pass before has computed, with none among them whose prediction is wanted.
    shared: usize,
}

/// Cuts sorted paths into runs of at most `budget` new tokens each: those of the run's radix tree that the run before does
/// not leave.
fn plan(order: &[usize], paths: &[Vec<u32>], requests: &[ScoreRequest], budget: usize) -> Vec<Planned> {
    let mut plan: Vec<Planned> = Vec::new();
    let (mut filled, mut with_first) = (0, 0);
    for (at, &request) in order.iter().enumerate() {
        let path = read_tokens(&paths[request]);
        let common = if at > 0 { common_prefix(read_tokens(&paths[order[at - 1]]), path) } else { 0 };
        let new = path.len() - common;
        if plan.is_empty() || (new > 0 && filled + new > budget) {
            plan.push(Planned { range: at..at, shared: common.min(path.len().saturating_sub(1)) });
            (filled, with_first) = (0, path.len());
        } else {
            with_first = with_first.min(common);
        }
        filled += new;
        let Some(run) = plan.last_mut() else { continue };
        run.range.end = at + 1;
        // The row behind the first prediction that this path wants; if the run's first path has it too, it is not shared.
        let wanted = first_predicted(&requests[request]) - 1;
        if wanted < with_first {
            run.shared = run.shared.min(wanted);
        }
    }
    for run in plan.iter_mut().filter(|run| run.shared < SHORTEST_TRUNK) {
        run.shared = 0;
    }
    plan
}

/// The index in its path of the first token of a request that has a score.
fn first_predicted(request: &ScoreRequest) -> usize {
    request.context.len().max(1)
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

/// One pass, with what it is made of.
struct Batch<'a> {
    transformer: &'a Transformer,
    requests: &'a [ScoreRequest],
    paths: &'a [Vec<u32>],
    /// Which of them, sorted.
    order: &'a [usize],
    options: &'a ScoreOptions<'a>,
}

impl Batch<'_> {
    /// Scores the paths, and leaves in `cache` the first `next` tokens of the last one, or everything.
    fn score(&self, cache: &mut PrefixCache, next: Option<usize>) -> Result<Vec<ContinuationScore>> {
        let borrowed: Vec<&[u32]> = self.order.iter().map(|&i| read_tokens(&self.paths[i])).collect();
        let (tree, ends) = TokenTree::share_prefixes(&borrowed);
        let mut wanted = Vec::new();
        for (&i, &end) in self.order.iter().zip(&ends) {
            let rows = tree.path_rows(end);
            wanted.extend(self.predicted(i).map(|at| (rows[at - 1], self.paths[i][at])));
        }
        // Continuations of one context ask for the same predictions where they agree: each is computed once.
        let mut unique = wanted.clone();
        unique.sort_unstable();
        unique.dedup();
        let last = ends.last().map_or_else(Vec::new, |&end| tree.path_rows(end));
        let kept = next.map(|next| &last[..next]);
        let mut scores = vec![ContinuationScore { is_greedy: true, ..Default::default() }; self.order.len()];
        if unique.is_empty() && kept.is_none_or(<[u32]>::is_empty) {
            return Ok(scores);
        }
        let cells = match self.options.view.hooks.is_empty() {
            true => Vec::new(),
            false => tree.cells(self.order.iter().copied().zip(ends)),
        };
        let output = self.head(&tree, (cache, kept), &unique, &cells)?;
        if let Some(kept) = kept {
            let path: Vec<u32> = kept.iter().map(|&row| tree.tokens()[row as usize]).collect();
            cache.retain(&path);
        }
        let mut wanted = wanted.iter();
        for (&i, score) in self.order.iter().zip(&mut scores) {
            for pair in wanted.by_ref().take(self.predicted(i).len()) {
                let at = unique.partition_point(|other| other < pair);
                score.logps.push(output.logp[at]);
                score.is_greedy &= output.argmax[at] == pair.1;
                if self.options.entropy {
                    score.entropies.push(output.entropy[at]);
                }
            }
        }
        Ok(scores)
    }

    /// The indices in a request's path of the tokens that have scores.
    fn predicted(&self, request: usize) -> Range<usize> {
        first_predicted(&self.requests[request])..self.paths[request].len()
    }

    /// The head's results for pairs of a row and the token that it is to predict, sorted.
    fn head(
        &self,
        tree: &TokenTree,
        cache: (&mut PrefixCache, Option<&[u32]>),
        pairs: &[(u32, u32)],
        cells: &[Cell],
    ) -> Result<HeadOutput> {
        let transformer = self.transformer;
        let (rows, of_pair) = distinct_rows(&pairs.iter().map(|&(row, _)| row).collect::<Vec<_>>());
        let targets: Arc<[u32]> = pairs.iter().map(|&(_, target)| target).collect();
        let mut tape = Tape::inference(transformer.backend().clone());
        let hidden = transformer.hidden_among(&mut tape, tree, cache, &rows, cells, &Pass::of(self.options.view))?;
        let hidden = tape.gather_rows(&hidden, &of_pair);
        let wants = HeadWants { entropy: self.options.entropy, argmax: true, mean_logit: false };
        let softcap = transformer.spec().final_softcap;
        let head = tape.head(&hidden, &transformer.unembed()?, &targets, softcap, self.options.temperature, wants);
        Ok(head.output().clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten questions of two tokens, four options each, below a prefix of 100 tokens.
    fn requests() -> Vec<ScoreRequest> {
        let prefix: Vec<u32> = (0..100).collect();
        let question = |i: u32| [&prefix[..], &[200 + i, 7]].concat();
        (0..40).map(|i| ScoreRequest { context: question(i / 4), continuation: vec![i % 4] }).collect()
    }

    fn planned(requests: &[ScoreRequest], budget: usize) -> Vec<Planned> {
        let paths: Vec<Vec<u32>> = requests.iter().map(|r| [&r.context[..], &r.continuation].concat()).collect();
        let mut order: Vec<usize> = (0..requests.len()).collect();
        order.sort_by(|&a, &b| paths[a].cmp(&paths[b]));
        plan(&order, &paths, requests, budget)
    }

    #[test]
    fn a_prefix_is_computed_once_whatever_the_budget() {
        assert_eq!(planned(&requests(), 1000), [Planned { range: 0..40, shared: 0 }]);
        let runs = planned(&requests(), 104);
        let expected = [(0..8, 0), (8..40, 100)].map(|(range, shared)| Planned { range, shared });
        assert_eq!(runs, expected);
        let runs = planned(&requests(), 4);
        assert!(runs[1..].iter().all(|run| run.shared == 100), "{runs:?}");
    }

    #[test]
    fn wanted_rows_are_not_shared() {
        let path: Vec<u32> = (0..60).collect();
        let branch = [&path[..58], &[99, 98]].concat();
        let early = [&path[..20], &[99; 30]].concat();
        let requests = [(&path, 50), (&branch, 30), (&early, 50)].map(|(path, at)| ScoreRequest {
            context: path[..at].to_vec(),
            continuation: [&path[at..], &[1]].concat(),
        });
        let shared: Vec<usize> = planned(&requests, 1).iter().map(|run| run.shared).collect();
        assert_eq!(shared, [0, 29, 20]);
    }
}
