//! The divergence of one row among the student's likeliest tokens: they alone, as if nothing else could follow, or with all others
//! taken together as one token more (Hübotter et al. 2026, arXiv 2601.20802, as TRL's SDPO has it, which keeps that one from becoming
//! quite impossible).

use crate::Divergence;
use crate::backend::Shares;

/// Both distributions among these tokens.
pub(crate) struct Likeliest {
    by: Divergence,
    /// The tokens, ascending.
    tokens: Vec<u32>,
    /// Of each of them and, where all others are one, of that at the end.
    each: Vec<Shares>,
    /// Log-sum-exp of the student's logits of the others, where they are one.
    others: Option<f64>,
    mean_score: f64,
}

impl Likeliest {
    /// Of the finished logits of a whole row, or its log-probabilities: the student's and the teacher's. How many tokens, and whether
    /// all others are one more.
    pub(crate) fn new<T: Copy + Into<f64>>(
        own: &[T],
        teacher: &[T],
        by: Divergence,
        (count, tail): (usize, bool),
    ) -> Self {
        let tokens = likeliest(own, count);
        let [(own, others), (teacher, _)] = [own, teacher].map(|line| among(line, &tokens, tail));
        let each: Vec<Shares> = own.iter().zip(&teacher).map(|(&own, &teacher)| by.shares(own, teacher)).collect();
        let mean_score = each.iter().map(|token| token.p * token.score).sum();
        Likeliest { by, tokens, each, others: others.filter(|others| others.is_finite()), mean_score }
    }

    /// The divergence, in nats.
    pub(crate) fn value(&self) -> f64 {
        self.each.iter().map(|token| token.value).sum()
    }

    /// The mean under the student of how the divergence changes with its probabilities.
    pub(crate) fn mean_score(&self) -> f64 {
        self.mean_score
    }

    /// Tells how the divergence changes with each of the student's finished logits, `own`; of those that it does not, nothing.
    pub(crate) fn gradient<T: Copy + Into<f64>>(&self, own: &[T], tell: &mut dyn FnMut(usize, f64)) {
        let slope = |share: &Shares| self.by.slope(share, self.mean_score);
        for (&token, share) in self.tokens.iter().zip(&self.each) {
            tell(token as usize, slope(share));
        }
        let (Some(others), Some(tail)) = (self.others, self.each.last()) else { return };
        let slope = slope(tail);
        for token in others_than(&self.tokens, own.len()) {
            tell(token, slope * (own[token].into() - others).exp());
        }
    }
}

/// The tokens of the largest values, ascending; the lowest ids among equals.
fn likeliest<T: Copy + Into<f64>>(line: &[T], count: usize) -> Vec<u32> {
    let mut tokens: Vec<u32> = (0..line.len() as u32).collect();
    if count < tokens.len() {
        let larger_first =
            |a: &u32, b: &u32| line[*b as usize].into().total_cmp(&line[*a as usize].into()).then(a.cmp(b));
        tokens.select_nth_unstable_by(count, larger_first);
        tokens.truncate(count);
        tokens.sort_unstable();
    }
    tokens
}

/// Log-probabilities among some tokens and, where all others are one more, of that; with the log-sum-exp of the others.
fn among<T: Copy + Into<f64>>(line: &[T], tokens: &[u32], tail: bool) -> (Vec<f64>, Option<f64>) {
    let mut logits: Vec<f64> = tokens.iter().map(|&token| line[token as usize].into()).collect();
    let others = tail.then(|| log_sum_exp(others_than(tokens, line.len()).map(|token| line[token].into())));
    logits.extend(others);
    let all = log_sum_exp(logits.iter().copied());
    (logits.into_iter().map(|logit| logit - all).collect(), others)
}

/// The tokens of a vocabulary that are not among some, which ascend.
fn others_than(tokens: &[u32], vocab: usize) -> impl Iterator<Item = usize> + Clone {
    let mut rest = tokens.iter().peekable();
    (0..vocab).filter(move |&token| rest.next_if(|&&next| next as usize == token).is_none())
}

/// `log sum exp`, about the largest; of nothing, minus infinity.
fn log_sum_exp(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let max = values.clone().fold(f64::NEG_INFINITY, f64::max);
    if max == f64::NEG_INFINITY { max } else { max + values.map(|value| (value - max).exp()).sum::<f64>().ln() }
}
