//! Of each token that is read, a likely other one that could stand in its place: the likeliest, or one that is drawn among the likeliest.

use crate::sequence::Sequence;
use groma_data::uniform;
use groma_kernels::{Cotangent, HeadVar, Tape, Var};
use groma_run::Seed;
use std::sync::Arc;

/// Among whom a rival is drawn, by their probabilities.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Among {
    /// So many of the likeliest other tokens; 1 draws nothing.
    pub(crate) count: usize,
    pub(crate) seed: Seed,
}

impl Default for Among {
    fn default() -> Self {
        Among { count: 1, seed: Seed::new(0) }
    }
}

/// What rivals of a forest's tokens are drawn by.
#[derive(Clone, Debug)]
pub(crate) struct Draws {
    pub(crate) among: Among,
    /// By slot, a number of the tokens up to its own, so that what is drawn hangs neither on the batch nor on how it is cut.
    pub(crate) keys: Vec<u64>,
}

impl Draws {
    /// The key of each scored token of a sequence.
    pub(crate) fn keys(sequence: &Sequence) -> Vec<u64> {
        const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut key = 0_u64;
        let behind = sequence.ids.iter().map(|&id| {
            key = (key.rotate_left(5) ^ u64::from(id)).wrapping_mul(MULTIPLIER);
            key
        });
        let behind: Vec<u64> = behind.collect();
        sequence.scored().map(|at| behind[at]).collect()
    }

    /// Which of a slot's candidates, given by their log-probabilities, is drawn.
    fn draw(&self, slot: usize, candidates: &[f32]) -> usize {
        match candidates {
            [] | [_] => 0,
            _ => drawn(candidates, uniform(&mut self.among.seed.index(self.keys[slot]).rng())),
        }
    }
}

/// Of the likeliest tokens, the places of those that may stand for a target: all but itself or, where it is not among them, all but the
/// last, as the authors' code has it.
fn candidates(likeliest: &[u32], target: u32) -> Vec<usize> {
    let last = likeliest.len() - 1;
    let own = likeliest.iter().position(|id| *id == target).unwrap_or(last);
    (0..likeliest.len()).filter(|&place| place != own || last == 0).collect()
}

/// Which one stands at a share of the probabilities of all, one behind the other.
fn drawn(logps: &[f32], share: f64) -> usize {
    let weights: Vec<f64> = logps.iter().map(|&logp| f64::from(logp).exp()).collect();
    let total: f64 = weights.iter().sum();
    let mut left = share * total;
    let passed = weights.iter().position(|weight| {
        left -= weight;
        left < 0.0
    });
    passed.unwrap_or(logps.len() - 1)
}

/// Rivals, by slot.
#[derive(Debug)]
pub(crate) struct Rivals {
    /// The likeliest tokens of each row: one more than a rival is drawn among.
    head: HeadVar,
    /// Which of them is the rival.
    places: Vec<usize>,
    /// Slopes by place, while a cotangent lends them.
    slopes: Vec<f32>,
}

impl Rivals {
    /// Of targets, one a hidden row.
    pub(crate) fn of(
        tape: &mut Tape<'_>,
        hidden: &Var,
        unembed: &Var,
        targets: &[u32],
        ((softcap, temperature), draws): ((Option<f32>, f32), &Draws),
    ) -> Self {
        let count = unembed.rows().min(draws.among.count + 1);
        let (ids, head): (Arc<[u32]>, HeadVar) = tape.top_tokens(hidden, unembed, count, softcap, temperature);
        let rival = |(row, target): (usize, &u32)| {
            let first = row * count;
            let candidates = candidates(&ids[first..first + count], *target);
            let logps: Vec<f32> = candidates.iter().map(|&place| head.output().logp[first + place]).collect();
            first + candidates[draws.draw(row, &logps)]
        };
        let places = targets.iter().enumerate().map(rival).collect();
        Rivals { head, places, slopes: Vec::new() }
    }

    /// Their log-probabilities.
    pub(crate) fn logps(&self) -> Vec<f32> {
        self.places.iter().map(|&place| self.head.output().logp[place]).collect()
    }

    /// The cotangent of slopes by slot.
    pub(crate) fn cotangent(&mut self, d_logp: &[f32]) -> Cotangent<'_> {
        self.slopes = vec![0.0; self.head.output().logp.len()];
        for (&place, slope) in self.places.iter().zip(d_logp) {
            self.slopes[place] += slope;
        }
        Cotangent::Head { head: &self.head, d_logp: &self.slopes, d_entropy: &[] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_those_of_the_probabilities() {
        let logps = [0.2_f32, 0.5, 0.3].map(f32::ln);
        let found = [0.0, 0.19, 0.21, 0.69, 0.71, 0.999].map(|share| drawn(&logps, share));
        assert_eq!(found, [0, 0, 1, 1, 2, 2]);
    }

    #[test]
    fn the_target_is_no_rival_of_itself() {
        let likeliest = [7, 5, 9];
        assert_eq!((candidates(&likeliest, 5), candidates(&likeliest, 9)), (vec![0, 2], vec![0, 1]));
        assert_eq!((candidates(&likeliest, 1), candidates(&[4], 4)), (vec![0, 1], vec![0]));
        assert_eq!((candidates(&[7, 5], 7), candidates(&[7, 5], 1)), (vec![1], vec![0]), "one alone: nothing is drawn");
    }

    #[test]
    fn keys_go_by_what_stands_before() {
        let keys = |ids: &[u32]| Draws::keys(&Sequence::completion(&[1, 2], ids));
        assert_eq!(keys(&[3, 4])[0], keys(&[3, 5])[0]);
        assert_ne!(keys(&[3, 4])[1], keys(&[3, 5])[1]);
        assert_ne!(keys(&[3, 4])[1], keys(&[4, 4])[1]);
    }
}
