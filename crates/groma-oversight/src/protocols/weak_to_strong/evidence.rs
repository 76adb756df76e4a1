//! Cases with a hidden label, and signs of it of which each is right with a known probability.

use groma_run::Seed;

/// Signs of a case.
const WEAK: usize = 3;
const STRONG: usize = 7;

/// Tokens: where a sequence begins, the two labels, and then two for each kind of sign.
const BEGIN: u32 = 0;
const LABELS: u32 = 1;
const WEAK_SIGNS: u32 = 3;
const STRONG_SIGNS: u32 = 5;
pub(super) const VOCABULARY: usize = 7;
/// Most tokens of a case with its label.
pub(super) const LONGEST: usize = 2 + WEAK + STRONG;

/// What somebody sees of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum View {
    /// The weak signs.
    Weak,
    /// The strong ones.
    Strong,
    /// All.
    Both,
}

/// A case.
pub(super) struct Case {
    pub(super) label: bool,
    weak: [bool; WEAK],
    strong: [bool; STRONG],
}

/// Cases with labels as a coin has them; a weak and a strong sign are right with `accuracies`.
pub(super) fn cases(count: usize, accuracies: &[f64; 2], seed: Seed) -> Vec<Case> {
    let case = |index: usize| {
        let mut random = seed.index(index as u64).rng();
        let label = groma_data::below(&mut random, 2) == 1;
        let mut sign = |accuracy: f64| label == (groma_data::uniform(&mut random) < accuracy);
        let weak = std::array::from_fn(|_| sign(accuracies[0]));
        Case { label, weak, strong: std::array::from_fn(|_| sign(accuracies[1])) }
    };
    (0..count).map(case).collect()
}

/// The token of a label.
pub(super) fn token(label: bool) -> u32 {
    LABELS + u32::from(label)
}

/// The word of a label in rows.
pub(super) fn word(label: bool) -> &'static str {
    if label { "1" } else { "0" }
}

impl Case {
    /// The tokens that somebody sees.
    pub(super) fn tokens(&self, view: View) -> Vec<u32> {
        let weak = self.weak.iter().map(|sign| WEAK_SIGNS + u32::from(*sign)).filter(|_| view != View::Strong);
        let strong = self.strong.iter().map(|sign| STRONG_SIGNS + u32::from(*sign)).filter(|_| view != View::Weak);
        std::iter::once(BEGIN).chain(weak).chain(strong).collect()
    }

    /// The same as text.
    pub(super) fn shown(&self, view: View) -> String {
        let word = |token: &u32| match token {
            token if *token >= STRONG_SIGNS => format!("s{}", token - STRONG_SIGNS),
            token => format!("w{}", token - WEAK_SIGNS),
        };
        self.tokens(view)[1..].iter().map(word).collect::<Vec<_>>().join(" ")
    }
}

/// How often the best guess from a view is right: all signs are gone through, and of each the likelier label is taken.
pub(super) fn accuracy(view: View, accuracies: &[f64; 2]) -> f64 {
    let count = |kind: View, signs: usize| if view == kind || view == View::Both { signs } else { 0 };
    let (weak, strong) = (count(View::Weak, WEAK), count(View::Strong, STRONG));
    let mut right = 0.0;
    for signs in 0..1_usize << (weak + strong) {
        let likelihood = |label: bool| -> f64 {
            let of = |sign: usize| {
                let accuracy = accuracies[usize::from(sign >= weak)];
                if (signs >> sign & 1 == 1) == label { accuracy } else { 1.0 - accuracy }
            };
            (0..weak + strong).map(of).product()
        };
        right += 0.5 * likelihood(true).max(likelihood(false));
    }
    right
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Majorities of signs, as of Condorcet's jury: .6 of three is .648 (golden.md, "majority_vote_3").
    #[test]
    fn the_best_guess_is_the_majority() {
        assert!((accuracy(View::Weak, &[0.6, 0.8]) - 0.648).abs() < 1e-12);
        let both = accuracy(View::Both, &[0.7, 0.8]);
        assert!(both > accuracy(View::Strong, &[0.7, 0.8]) && accuracy(View::Strong, &[0.7, 0.8]) > 0.96);
        assert_eq!(accuracy(View::Both, &[0.5, 0.5]), 0.5);
    }

    #[test]
    fn signs_are_as_right_as_they_are_said_to_be_and_views_show_their_own() {
        let cases = cases(4000, &[0.7, 0.9], Seed::new(5));
        let share = |right: &dyn Fn(&Case) -> usize, of: usize| {
            cases.iter().map(right).sum::<usize>() as f64 / (of * cases.len()) as f64
        };
        let weak = share(&|case| case.weak.iter().filter(|sign| **sign == case.label).count(), WEAK);
        let strong = share(&|case| case.strong.iter().filter(|sign| **sign == case.label).count(), STRONG);
        assert!((weak - 0.7).abs() < 0.02 && (strong - 0.9).abs() < 0.01, "{weak} {strong}");
        let lengths = [View::Weak, View::Strong, View::Both].map(|view| cases[0].tokens(view).len());
        assert_eq!(lengths, [4, 8, 11]);
        assert!(cases[0].shown(View::Strong).split(' ').all(|word| word.starts_with('s')));
    }
}
