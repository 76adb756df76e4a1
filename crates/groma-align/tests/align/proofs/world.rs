//! Worlds in which every completion can be listed, what each is worth there, and rows that say so.

use crate::support::{spec, weights};
use groma_align::{Group, Member, Sequence};
use groma_kernels::Cpu;
use groma_model::score::{ScoreOptions, ScoreRequest, score};
use groma_model::{Spec, Transformer};
use serde_json::{Value, json};
use std::sync::Arc;

/// What ends a completion.
pub(super) const END: u32 = 2;
/// Its last token begins no longer completion: two places that a model cannot tell apart would have one distribution.
pub(super) const PROMPT: &[u32] = &[1, END];

/// A vocabulary, the longest completion, and what completions are worth.
#[derive(Clone, Copy)]
pub(super) struct World {
    vocab: usize,
    pub(super) longest: usize,
    /// Of completions in turn: one of worth `w` is preferred to one of worth `v` in `w` of `w + v` cases (Bradley and Terry, with
    /// `log w` for the reward).
    worth: &'static [u32],
}

/// 13 completions of three worths.
pub(super) const THREE: World = World { vocab: 4, longest: 2, worth: &[1, 2, 4] };
/// 13 completions of two worths: what a loss makes of the one difference that there is cannot contradict itself.
pub(super) const TWO: World = World { worth: &[1, 2, 2], ..THREE };

/// The same completions, of which one is worth more than all others.
pub(super) const BEST: World = World { worth: &[1, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 1], ..THREE };
/// The same, of which some are worth a little more than the mean, and some much more.
pub(super) const GRADED: World = World { worth: &[1, 2, 4, 6, 9], ..THREE };

/// The token that a rule looks for, in what `support::voice` makes of it.
const NAME: &str = "a";
/// The same completions, of which those are worth 2 that have the letter.
pub(super) const NAMED: World = World { worth: &[1, 1, 1, 2, 1, 1, 2, 1, 1, 2, 2, 2, 2], ..THREE };
/// The same, of which the shortest is worth 6.
pub(super) const ASKED: World = World { worth: &[6, 1, 1, 2, 1, 1, 2, 1, 1, 2, 2, 2, 2], ..THREE };

impl World {
    /// Settings of rules whose reward is the logarithm of what completions of [`NAMED`] or [`ASKED`] are worth, but for a constant.
    pub(super) fn rules(self) -> Value {
        let shortest = f64::from(self.worth[0]).ln();
        json!({"reward_funcs": ["length", "regex"], "length_target": 1, "regex_pattern": NAME,
            "reward_weights": [shortest, std::f64::consts::LN_2]})
    }

    /// Every completion: so many tokens without an end, or fewer and an end.
    pub(super) fn completions(self) -> Vec<Vec<u32>> {
        let (mut whole, mut open) = (Vec::new(), vec![Vec::new()]);
        for _ in 0..self.longest {
            let longer = |begun: &Vec<u32>| (0..self.vocab as u32).map(|id| [&begun[..], &[id]].concat()).collect();
            let longer: Vec<Vec<u32>> = open.iter().flat_map(|begun| -> Vec<Vec<u32>> { longer(begun) }).collect();
            let (ended, others): (Vec<Vec<u32>>, _) = longer.into_iter().partition(|ids| ids.last() == Some(&END));
            whole.extend(ended);
            open = others;
        }
        whole.into_iter().chain(open).collect()
    }

    /// What each completion is worth.
    pub(super) fn worths(self) -> Vec<u32> {
        self.worth.iter().copied().cycle().take(self.completions().len()).collect()
    }

    /// A model of the vocabulary with random weights.
    pub(super) fn model(self, seed: u64) -> Transformer {
        let spec = Spec { vocab_size: self.vocab, ..spec() };
        Transformer::new(spec.clone(), &weights(&spec, seed), Arc::new(Cpu::new())).unwrap()
    }

    /// What a model says of every completion: they are all that there are.
    pub(super) fn logps(self, model: &Transformer) -> Vec<f64> {
        let request = |ids| ScoreRequest { context: PROMPT.to_vec(), continuation: ids };
        let requests: Vec<ScoreRequest> = self.completions().into_iter().map(request).collect();
        let scores = score(model, &requests, &ScoreOptions::default(), &mut |_| true).unwrap();
        let logps: Vec<f64> = scores.iter().map(|score| score.sum()).collect();
        assert!((logps.iter().map(|logp| logp.exp()).sum::<f64>() - 1.0).abs() < 1e-5, "these are all");
        logps
    }

    /// The prompt, as often as completions are sampled at once.
    pub(super) fn prompts(self) -> Vec<Group> {
        let prompt = Sequence { ids: PROMPT.to_vec(), supervised: vec![false; PROMPT.len()] };
        vec![group(vec![Member::new(prompt)]); 512]
    }

    /// Every completion five times, each token a step, judged up to the first that is wrong: the first token is right in 2, 3 or 4 of
    /// 5 cases, by what it is, and the second, where it comes to that, in all but one or but one, by what the whole is worth.
    pub(super) fn steps(self) -> Vec<Group> {
        let row = |index: usize, row: u32| {
            let (ids, worth) = (&self.completions()[index], self.worths()[index]);
            let first = 2 + ids[0].min(2);
            let second = if worth > 1 { first - 1 } else { 1 };
            let judged = [row < first, row < second].into_iter().take(if row < first { ids.len() } else { 1 });
            let steps = judged.enumerate().map(|(step, right)| (PROMPT.len() + step + 1, right)).collect();
            group(vec![Member { steps, ..self.member(index) }])
        };
        (0..self.completions().len()).flat_map(|index| (0..5).map(move |one| row(index, one))).collect()
    }

    fn member(self, index: usize) -> Member {
        Member::new(Sequence::completion(PROMPT, &self.completions()[index]))
    }

    /// Every completion, as often as it is worth.
    pub(super) fn texts(self) -> Vec<Group> {
        let times = |(index, worth)| vec![group(vec![self.member(index)]); worth as usize];
        self.worths().into_iter().enumerate().flat_map(times).collect()
    }

    /// All pairs of completions, in both orders, as often as they are found in them.
    pub(super) fn pairs(self) -> Vec<Group> {
        self.pairs_of(|better, worse| (better, worse))
    }

    /// The same, of which a share of `1 / of` says the opposite.
    pub(super) fn flipped_pairs(self, of: u32) -> Vec<Group> {
        self.pairs_of(|better, worse| ((of - 1) * better + worse, (of - 1) * worse + better))
    }

    /// All pairs of completions of which one is worth more, that one first.
    pub(super) fn ordered_pairs(self) -> Vec<Group> {
        self.pairs_of(
            |first, second| {
                if first == second { (0, 0) } else { (u32::from(first > second), u32::from(first < second)) }
            },
        )
    }

    /// All pairs, in both orders as often as what they are worth says.
    fn pairs_of(self, times: impl Fn(u32, u32) -> (u32, u32)) -> Vec<Group> {
        let worths = self.worths();
        let all = (0..worths.len()).flat_map(|i| (0..i).map(move |j| (i, j)));
        let pair = |(i, j): (usize, usize)| {
            let (there, back) = times(worths[i], worths[j]);
            let shared = divisor(there, back).max(1);
            let row = |i, j, count: u32| vec![group(vec![self.member(i), self.member(j)]); (count / shared) as usize];
            [row(i, j, there), row(j, i, back)].concat()
        };
        all.flat_map(pair).collect()
    }

    /// Pairs, with scores that differ by `gap`.
    pub(super) fn scored(pairs: Vec<Group>, gap: f64) -> Vec<Group> {
        let scored = |mut group: Group| {
            (group.members[0].score, group.members[1].score) = (Some(gap), Some(0.0));
            group
        };
        pairs.into_iter().map(scored).collect()
    }

    /// Neighbouring completions by threes, in every order as often as it comes about where the first is drawn in proportion to
    /// what completions are worth, and the next of those that are left (Plackett and Luce).
    pub(super) fn rankings(self) -> Vec<Group> {
        let worths = self.worths();
        let three = |first: usize| {
            let places = [0, 1, 3].map(|step| (first + step) % worths.len());
            let [a, b, c] = places.map(|place| worths[place]);
            let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
            let whole = (a + b) * (b + c) * (a + c);
            let count = |order: [usize; 3]| {
                let [first, second, third] = order.map(|which| [a, b, c][which]);
                first * second * whole / (second + third)
            };
            let counts = orders.map(count);
            let shared = counts.iter().fold(0, |shared, &count| divisor(shared, count));
            let row = move |(order, count): ([usize; 3], u32)| {
                let member = |(place, which): (usize, usize)| Member {
                    score: Some(-(place as f64)),
                    ..self.member(places[which])
                };
                vec![group(order.into_iter().enumerate().map(member).collect()); (count / shared) as usize]
            };
            orders.into_iter().zip(counts).flat_map(row).collect::<Vec<_>>()
        };
        (0..worths.len()).flat_map(three).collect()
    }

    /// All completions at once, scored by what they are worth.
    pub(super) fn ranking(self) -> Vec<Group> {
        let member = |(index, worth)| Member { score: Some(f64::from(worth)), ..self.member(index) };
        vec![group(self.worths().into_iter().enumerate().map(member).collect())]
    }

    /// Every completion, wanted as often as it is worth, and unwanted as often as another would be worth less.
    pub(super) fn labelled(self) -> Vec<Group> {
        let most = self.worth.iter().max().unwrap() + self.worth.iter().min().unwrap();
        self.labelled_by(|worth| (worth, most - worth))
    }

    /// Every completion once, wanted if none is worth more.
    pub(super) fn judged(self) -> Vec<Group> {
        let most = *self.worth.iter().max().unwrap();
        self.labelled_by(|worth| if worth == most { (1, 0) } else { (0, 1) })
    }

    fn labelled_by(self, times: impl Fn(u32) -> (u32, u32)) -> Vec<Group> {
        let rows = |(index, worth)| {
            let labelled = |label, count: u32| {
                let member = Member { label: Some(label), ..self.member(index) };
                vec![group(vec![member]); count as usize]
            };
            let (wanted, unwanted) = times(worth);
            [labelled(true, wanted), labelled(false, unwanted)].concat()
        };
        self.worths().into_iter().enumerate().flat_map(rows).collect()
    }

    /// Rows of single completions, each with another beside it that is not learned from.
    pub(super) fn mismatched(self, rows: fn(World) -> Vec<Group>) -> Vec<Group> {
        let (mut groups, count) = (rows(self), self.completions().len());
        groups.iter_mut().enumerate().for_each(|(row, group)| group.members.push(self.member(row % count)));
        groups
    }
}

fn group(members: Vec<Member>) -> Group {
    Group { place: "rows:1".into(), members, ..Group::default() }
}

fn divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { divisor(b, a % b) }
}
