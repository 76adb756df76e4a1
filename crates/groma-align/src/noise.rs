//! Noise on embeddings in training: NEFTune.
//!
//! Jain et al. 2023, arXiv 2310.05914, algorithm 1: uniform in `±alpha / sqrt(L d)`, `L` the tokens of the sequence and `d` the
//! width of the embedding. transformers takes for `L` the length that a batch is padded to; nothing is padded here, and a token that
//! several sequences share has the noise of the longest.

use groma_data::uniform;
use groma_run::Seed;

/// How strong it is, and what draws it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noise {
    pub(crate) alpha: f64,
    pub(crate) seed: Seed,
}

impl Noise {
    /// For each of so many rows, `[rows, width]`, of sequences whose tokens have these.
    pub(crate) fn rows(self, rows: usize, paths: &[Vec<u32>], width: usize) -> Vec<f32> {
        let mut lengths = vec![1usize; rows];
        for path in paths {
            for &row in path {
                let length = &mut lengths[row as usize];
                *length = path.len().max(*length);
            }
        }
        let mut rng = self.seed.rng();
        let mut row = |length: usize| {
            let most = self.alpha / ((length * width) as f64).sqrt();
            (0..width).map(|_| (most * (2.0 * uniform(&mut rng) - 1.0)) as f32).collect::<Vec<f32>>()
        };
        lengths.into_iter().flat_map(&mut row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use groma_model::TokenTree;

    #[test]
    fn it_is_uniform_within_its_bounds_and_a_function_of_the_seed() {
        let long: Vec<u32> = (0..400).collect();
        let (tree, ends) = TokenTree::share_prefixes(&[&long[..], &long[..100], &[7, 8, 9, 10]]);
        let paths: Vec<Vec<u32>> = ends.iter().map(|&end| tree.path_rows(end)).collect();
        let (noise, width) = (Noise { alpha: 5.0, seed: Seed::new(3) }, 16);
        let found = noise.rows(tree.len(), &paths, width);
        assert_eq!((found.len(), tree.len()), (404 * width, 404));
        assert_eq!(found, noise.rows(tree.len(), &paths, width));
        assert_ne!(found, Noise { seed: Seed::new(4), ..noise }.rows(tree.len(), &paths, width));
        let bound = |length: f64| (5.0 / (length * width as f64).sqrt()) as f32;
        for (rows, length) in [(&found[..400 * width], 400.0), (&found[400 * width..], 4.0)] {
            let largest = rows.iter().fold(0.0f32, |most, value| most.max(value.abs()));
            assert!(largest <= bound(length) && largest > 0.8 * bound(length), "{largest} {length}");
        }
        // The variance of a uniform distribution is a third of its squared bound.
        let long = &found[..400 * width];
        let square: f32 = long.iter().map(|value| value * value).sum::<f32>() / long.len() as f32;
        assert!((square / (bound(400.0).powi(2) / 3.0) - 1.0).abs() < 0.05);
    }
}
