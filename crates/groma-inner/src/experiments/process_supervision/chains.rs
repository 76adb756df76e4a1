//! Sums in steps, some of which are wrong.

use groma_align::{Group, Member, Sequence};
use groma_run::Seed;
use groma_stats::below;

/// Numbers are added modulo this.
pub(super) const MODULUS: u32 = 5;
/// Steps of a solution.
pub(super) const STEPS: usize = 5;
/// Begins a text; numbers follow it.
const BEGIN: u32 = 0;
/// Tokens that there are.
pub(super) const VOCABULARY: usize = MODULUS as usize + 1;
/// Tokens of a solution with its problem.
pub(super) const LONGEST: usize = 2 + 2 * STEPS;

/// A number, and what is added to it step by step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    start: u32,
    added: [u32; STEPS],
}

/// A problem with what somebody said comes out behind each step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Solution {
    pub(super) problem: Problem,
    said: [u32; STEPS],
}

impl Problem {
    pub(super) fn drawn(seed: Seed) -> Self {
        let mut random = seed.rng();
        let mut number = || below(MODULUS as usize, &mut random) as u32;
        Problem { start: number(), added: std::array::from_fn(|_| number()) }
    }

    /// What comes out in the end.
    fn answer(&self) -> u32 {
        (self.start + self.added.iter().sum::<u32>()) % MODULUS
    }

    /// A solution, each of whose steps goes wrong with this probability and goes on from what it said.
    pub(super) fn solved(&self, rate: f64, seed: Seed) -> Solution {
        let (mut goes_wrong, mut by) = (seed.named("goes wrong").rng(), seed.named("by how much").rng());
        let mut random = || groma_data::uniform(&mut goes_wrong);
        self.with_errors(|_| (random() < rate).then(|| 1 + below(MODULUS as usize - 1, &mut by) as u32))
    }

    /// A solution whose step of that place alone is wrong.
    pub(super) fn wrong_at(&self, step: usize, seed: Seed) -> Solution {
        let by = 1 + below(MODULUS as usize - 1, &mut seed.rng()) as u32;
        self.with_errors(|index| (index == step).then_some(by))
    }

    fn with_errors(&self, mut error: impl FnMut(usize) -> Option<u32>) -> Solution {
        let mut at = self.start;
        let said = std::array::from_fn(|index| {
            at = (at + self.added[index] + error(index).unwrap_or(0)) % MODULUS;
            at
        });
        Solution { problem: self.clone(), said }
    }
}

impl Solution {
    /// Whether each step follows from what was said before it.
    pub(super) fn labels(&self) -> [bool; STEPS] {
        let before = |index: usize| if index == 0 { self.problem.start } else { self.said[index - 1] };
        std::array::from_fn(|index| self.said[index] == (before(index) + self.problem.added[index]) % MODULUS)
    }

    /// What it says comes out.
    pub(super) fn answer(&self) -> u32 {
        self.said[STEPS - 1]
    }

    /// Whether that is so; two errors may make up for each other.
    pub(super) fn is_right(&self) -> bool {
        self.answer() == self.problem.answer()
    }

    /// The number to begin with, then each step: what is added, and what comes out.
    pub(super) fn tokens(&self) -> Vec<u32> {
        let steps = self.problem.added.iter().zip(&self.said).flat_map(|(added, said)| [added + 1, said + 1]);
        [BEGIN, self.problem.start + 1].into_iter().chain(steps).collect()
    }

    /// Behind how many tokens each step ends.
    pub(super) fn ends() -> [usize; STEPS] {
        std::array::from_fn(|index| 4 + 2 * index)
    }

    /// As a row to learn from, each step labelled so.
    pub(super) fn row(&self, labels: [bool; STEPS]) -> Group {
        let tokens = self.tokens();
        let steps = Solution::ends().into_iter().zip(labels).collect();
        let member = Member { steps, ..Member::new(Sequence::completion(&tokens[..2], &tokens[2..])) };
        Group { members: vec![member], ..Group::default() }
    }
}

/// How often the most frequent of `n` answers among those given is right: the mean over subsets that are drawn; a tie counts as the
/// share of its answers that are right.
pub(super) fn majority(n: usize, solutions: &[Solution], draws: u64, seed: Seed) -> f64 {
    let of = |draw: u64| {
        let mut random = seed.index(draw).rng();
        let mut places: Vec<usize> = (0..solutions.len()).collect();
        let mut votes = [0usize; MODULUS as usize];
        for taken in 0..n.min(places.len()) {
            let other = taken + below(places.len() - taken, &mut random);
            places.swap(taken, other);
            votes[solutions[places[taken]].answer() as usize] += 1;
        }
        let most = votes.iter().copied().max().unwrap_or(0);
        let first: Vec<usize> = (0..votes.len()).filter(|&answer| votes[answer] == most).collect();
        let right = solutions.first().map_or(0, |solution| solution.problem.answer()) as usize;
        f64::from(u8::from(first.contains(&right))) / first.len() as f64
    };
    (0..draws).map(of).sum::<f64>() / draws.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_say_which_steps_are_wrong() {
        let problem = Problem::drawn(Seed::new(3));
        let right = problem.solved(0.0, Seed::new(1));
        assert!(right.labels().iter().all(|label| *label) && right.is_right());
        for step in 0..STEPS {
            let labels = problem.wrong_at(step, Seed::new(7)).labels();
            assert!((0..STEPS).all(|index| labels[index] == (index != step)));
        }
        let tokens = right.tokens();
        assert_eq!((tokens.len(), Solution::ends()[STEPS - 1]), (LONGEST, LONGEST));
        assert!(tokens.iter().all(|&token| (token as usize) < VOCABULARY));
    }

    #[test]
    fn errors_come_at_their_rate_and_votes_are_counted() {
        let problem = Problem::drawn(Seed::new(3));
        let drawn: Vec<Solution> = (0..2000).map(|i| problem.solved(0.2, Seed::new(i))).collect();
        let wrong = drawn.iter().flat_map(Solution::labels).filter(|label| !label).count();
        assert!((wrong as f64 / 10_000.0 - 0.2).abs() < 0.02, "{wrong}");
        // One vote is right as often as a solution is, many as often as the most frequent answer is.
        let share = drawn.iter().filter(|solution| solution.is_right()).count() as f64 / 2000.0;
        assert!((majority(1, &drawn, 4000, Seed::new(1)) - share).abs() < 0.03);
        assert!(majority(301, &drawn, 20, Seed::new(1)) > 0.95);
    }
}
