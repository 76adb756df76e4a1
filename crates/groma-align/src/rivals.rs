//! Of each token that is read, the likeliest other one that could stand in its place.

use groma_kernels::{Cotangent, HeadVar, Tape, Var};
use std::sync::Arc;

/// The likeliest other tokens, by slot.
#[derive(Debug)]
pub(crate) struct Rivals {
    /// The two likeliest tokens of each row.
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
        (softcap, temperature): (Option<f32>, f32),
    ) -> Self {
        let count = unembed.rows().min(2);
        let (ids, head): (Arc<[u32]>, HeadVar) = tape.top_tokens(hidden, unembed, count, softcap, temperature);
        let rival = |(row, target): (usize, &u32)| {
            let first = row * count;
            if ids[first] == *target { first + count - 1 } else { first }
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
