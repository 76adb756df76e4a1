//! Choices from a named seed: the only randomness of the village.

use groma_run::Seed;
use rand_chacha::ChaCha8Rng;
use rand_core::Rng;

/// A stream of choices.
#[derive(Debug)]
pub struct Draw(ChaCha8Rng);

impl Draw {
    /// The stream of one named part of a seed.
    pub fn new(seed: Seed, part: &str) -> Self {
        Draw(seed.named(part).rng())
    }

    /// A number below `bound` (0 where `bound` is 0). The multiply-shift of Lemire (2019) without its rejection step: the
    /// bias is below `bound / 2^64`.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.0.next_u64()) * bound as u128) >> 64) as usize
    }

    /// True in `percent` of 100 cases.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of the items, which must not be empty.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    /// Fisher and Yates' shuffle.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    /// `count` different items in random order; all of them where there are fewer.
    pub fn sample<T: Clone>(&mut self, items: &[T], count: usize) -> Vec<T> {
        let mut all = items.to_vec();
        self.shuffle(&mut all);
        all.truncate(count);
        all
    }

    /// A number of mean 0 and variance 1: twelve uniform numbers of 21 bits each, added (Irwin and Hall). Integers all
    /// the way, so every platform gets the same bits, which the logarithms of Box and Muller do not promise.
    pub fn normal(&mut self) -> f64 {
        const UNIT: i64 = 1 << 21;
        let mut sum = 0;
        for _ in 0..4 {
            let bits = self.0.next_u64() as i64;
            sum += (bits & (UNIT - 1)) + ((bits >> 21) & (UNIT - 1)) + ((bits >> 42) & (UNIT - 1));
        }
        // Each of the twelve lies in 0..UNIT and has mean (UNIT - 1) / 2.
        (sum - 6 * (UNIT - 1)) as f64 / UNIT as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_has_mean_zero_and_variance_one() {
        let mut draw = Draw::new(Seed::new(3), "normal");
        let values: Vec<f64> = (0..20_000).map(|_| draw.normal()).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
        assert!(mean.abs() < 0.03, "{mean}");
        assert!((variance - 1.0).abs() < 0.05, "{variance}");
    }

    #[test]
    fn samples_hold_different_items_of_the_pool() {
        let mut draw = Draw::new(Seed::new(3), "sample");
        for count in 0..8 {
            let mut sample = draw.sample(&[1, 2, 3, 4, 5], count);
            sample.sort_unstable();
            let length = sample.len();
            sample.dedup();
            assert_eq!((sample.len(), length), (count.min(5), count.min(5)));
        }
    }
}
