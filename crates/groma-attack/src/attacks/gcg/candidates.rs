//! Which changes of a suffix are tried.

use std::collections::BTreeSet;

use groma_data::below;
use groma_run::{Random, Seed};
use rayon::prelude::*;
use serde::Deserialize;

/// How positions are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Places {
    /// Each equally likely, as in nanoGCG.
    Uniform,
    /// Each as often as the others, as in llm-attacks.
    Stratified,
}

/// For each position of a suffix, the `count` tokens that promise most: the smallest slopes first, the lowest id among equals;
/// none that is forbidden or there already.
pub(super) fn promising(slopes: &[f32], current: &[u32], allowed: &[bool], count: usize) -> Vec<Vec<u32>> {
    let of_position = |(slopes, now): (&[f32], &u32)| {
        let mut ids: Vec<u32> = (0..allowed.len() as u32).filter(|id| allowed[*id as usize] && id != now).collect();
        let order = |a: &u32, b: &u32| slopes[*a as usize].total_cmp(&slopes[*b as usize]).then(a.cmp(b));
        if count < ids.len() {
            ids.select_nth_unstable_by(count, order);
            ids.truncate(count);
        }
        ids.sort_unstable_by(order);
        ids
    };
    slopes.chunks_exact(allowed.len()).zip(current).map(of_position).collect()
}

/// Says whether a candidate is valid, on any thread.
pub(super) type IsValid<'a> = dyn Fn(&[u32]) -> bool + Sync + 'a;

/// Adds those that are valid, in their order.
fn add_valid(found: &mut Vec<Vec<u32>>, drawn: Vec<Vec<u32>>, is_valid: &IsValid<'_>) {
    let valid: Vec<bool> = drawn.par_iter().map(|candidate| is_valid(candidate)).collect();
    found.extend(drawn.into_iter().zip(valid).filter(|(_, valid)| *valid).map(|(candidate, _)| candidate));
}

/// What is drawn from.
pub(super) struct Draw<'a> {
    pub(super) current: &'a [u32],
    /// By position, see [`promising`].
    pub(super) promising: &'a [Vec<u32>],
    /// How many are wanted.
    pub(super) width: usize,
    /// Tokens that a candidate changes.
    pub(super) replaced: usize,
    pub(super) places: Places,
    pub(super) seed: Seed,
}

impl Draw<'_> {
    /// Distinct candidates that are valid, `width` of them where there are so many: those that are not valid are made up for. With
    /// one replaced token and a width of all pairs, all there are.
    ///
    /// So many are drawn at once as are wanted still, so that no more are drawn than one by one would take.
    pub(super) fn candidates(&self, is_valid: &IsValid<'_>) -> Vec<Vec<u32>> {
        match self.replaced {
            0 | 1 => self.single(is_valid),
            _ => self.several(is_valid),
        }
    }

    fn single(&self, is_valid: &IsValid<'_>) -> Vec<Vec<u32>> {
        let mut rng = self.seed.rng();
        let of_position = |place: usize| self.promising[place].iter().map(move |&id| (place, id));
        let positions = 0..self.current.len();
        // Runs of pairs, and how many are taken of each.
        let runs: Vec<(Vec<(usize, u32)>, usize)> = match self.places {
            Places::Uniform => vec![(positions.flat_map(of_position).collect(), self.width)],
            Places::Stratified => {
                let share = |place: usize| {
                    let next = |place: usize| (place * self.width).div_ceil(self.current.len());
                    next(place + 1) - next(place)
                };
                positions.map(|place| (of_position(place).collect(), share(place))).collect()
            }
        };
        let mut found = Vec::new();
        for (mut pairs, wanted) in runs {
            let (full, mut at) = (found.len() + wanted, 0);
            while found.len() < full && at < pairs.len() {
                let next = (at + full - found.len()).min(pairs.len());
                let drawn = (at..next).map(|at| {
                    let other = at + below(&mut rng, (pairs.len() - at) as u64) as usize;
                    pairs.swap(at, other);
                    let mut candidate = self.current.to_vec();
                    candidate[pairs[at].0] = pairs[at].1;
                    candidate
                });
                let drawn = drawn.collect();
                add_valid(&mut found, drawn, is_valid);
                at = next;
            }
        }
        found
    }

    /// Draws until there are enough, or mostly such as were there come.
    fn several(&self, is_valid: &IsValid<'_>) -> Vec<Vec<u32>> {
        let mut rng = self.seed.rng();
        let mut seen: BTreeSet<Vec<u32>> = BTreeSet::new();
        let mut found = Vec::new();
        let mut left = 8 * self.width;
        while found.len() < self.width && left > 0 {
            let count = (self.width - found.len()).min(left);
            let drawn: Vec<Vec<u32>> = (0..count).map(|_| self.changed(&mut rng)).collect();
            let is_new = |candidate: &Vec<u32>| *candidate != self.current && seen.insert(candidate.clone());
            let new = drawn.into_iter().filter(is_new).collect();
            add_valid(&mut found, new, is_valid);
            left -= count;
        }
        found
    }

    fn changed(&self, rng: &mut Random) -> Vec<u32> {
        let mut places: Vec<usize> =
            (0..self.current.len()).filter(|place| !self.promising[*place].is_empty()).collect();
        let mut candidate = self.current.to_vec();
        for _ in 0..self.replaced.min(places.len()) {
            let place = places.swap_remove(below(rng, places.len() as u64) as usize);
            let ids = &self.promising[place];
            candidate[place] = ids[below(rng, ids.len() as u64) as usize];
        }
        candidate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw<'a>(current: &'a [u32], promising: &'a [Vec<u32>], width: usize, places: Places) -> Draw<'a> {
        Draw { current, promising, width, replaced: 1, places, seed: Seed::new(3) }
    }

    #[test]
    fn forbidden_tokens_are_left_out_before_the_best_are_taken() {
        let slopes = [0.0, -3.0, -2.0, -1.0, /* next position */ -1.0, -1.0, 5.0, -1.0];
        let allowed = [true, false, true, true];
        assert_eq!(promising(&slopes, &[0, 3], &allowed, 1), [vec![2], vec![0]]);
        assert_eq!(promising(&slopes, &[2, 0], &allowed, 9), [vec![3, 0], vec![3, 2]]);
    }

    #[test]
    fn a_width_of_all_pairs_gives_all_pairs_once() {
        let promising = vec![vec![1, 2, 3], vec![0, 2, 3]];
        for places in [Places::Uniform, Places::Stratified] {
            let found = draw(&[0, 1], &promising, 6, places).candidates(&|_| true);
            let mut sorted = found.clone();
            sorted.sort();
            assert_eq!(sorted, [[0, 0], [0, 2], [0, 3], [1, 1], [2, 1], [3, 1]]);
        }
        let valid = draw(&[0, 1], &promising, 3, Places::Uniform).candidates(&|ids| ids[1] != 3);
        assert_eq!(valid.len(), 3, "invalid ones are made up for");
    }

    #[test]
    fn strata_are_as_large_as_arange_has_them() {
        let promising: Vec<Vec<u32>> = (0..3).map(|_| (10..40).collect()).collect();
        let found = draw(&[1, 2, 3], &promising, 8, Places::Stratified).candidates(&|_| true);
        let counts = [0, 1, 2].map(|place| found.iter().filter(|ids| ids[place] >= 10).count());
        // The integer parts of arange(0, 3, 3 / 8).
        assert_eq!(counts, [3, 3, 2]);
    }

    #[test]
    fn several_tokens_change_at_different_places() {
        let promising: Vec<Vec<u32>> = (0..4).map(|_| (10..20).collect()).collect();
        let draw = Draw { replaced: 3, ..draw(&[1, 2, 3, 4], &promising, 50, Places::Uniform) };
        let found = draw.candidates(&|_| true);
        assert_eq!(found.len(), 50);
        assert!(found.iter().all(|ids| ids.iter().filter(|id| **id >= 10).count() == 3));
        assert_eq!(found, draw.candidates(&|_| true));
    }
}
