//! Dropout with a mask that is computed, not stored: a hash of the seed and the element's index.
use super::parallel::for_rows;

/// Elements of a task.
const WIDTH: usize = 1024;

/// The finaliser of SplitMix64 (Steele, Lea & Flood 2014) over a Weyl sequence: a counter-based generator.
fn hash(seed: u64, index: u64) -> u64 {
    let mut z = seed.wrapping_add((index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// `y = x / keep` where the element's hash says keep, else 0.
pub(crate) fn dropout(y: &mut [f32], x: &[f32], keep: f32, seed: u64) {
    // Two seeds that differ by a little must not give shifted copies of one sequence, so the seed is hashed as well.
    let key = hash(seed, 0);
    let bound = (f64::from(keep.clamp(0.0, 1.0)) * (1u64 << 32) as f64) as u64;
    let factor = 1.0 / keep;
    for_rows(y, WIDTH, 4, |first, chunk| {
        let start = first * WIDTH;
        for (offset, (y, x)) in chunk.iter_mut().zip(&x[start..]).enumerate() {
            let kept = hash(key, (start + offset) as u64) >> 32 < bound;
            *y = if kept { x * factor } else { 0.0 };
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_its_share_and_the_mean() {
        let x = vec![1.0f32; 100_000];
        let mut y = vec![0.0; x.len()];
        dropout(&mut y, &x, 0.8, 5);
        let kept = y.iter().filter(|&&value| value != 0.0).count() as f64 / 1e5;
        assert!((kept - 0.8).abs() < 0.005, "{kept}");
        assert!(y.iter().all(|&value| value == 0.0 || value == 1.25));
        let mut other = vec![0.0; x.len()];
        dropout(&mut other, &x, 0.8, 6);
        let same = y.iter().zip(&other).filter(|(a, b)| a == b).count() as f64 / 1e5;
        assert!((same - 0.68).abs() < 0.01, "masks of two seeds are independent: {same}");
    }

    #[test]
    fn keeping_everything_is_the_identity() {
        let x: Vec<f32> = (0..3000).map(|i| i as f32).collect();
        let mut y = vec![0.0; x.len()];
        dropout(&mut y, &x, 1.0, 1);
        assert_eq!(x, y);
    }
}
