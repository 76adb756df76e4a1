//! Dropout.
use super::parallel::for_rows;
use crate::mask::Mask;

/// Elements of a task.
const WIDTH: usize = 1024;

/// `y = x / keep` where the mask keeps the element, else 0.
pub(crate) fn dropout(y: &mut [f32], x: &[f32], keep: f32, seed: u64) {
    let (mask, factor) = (Mask::new(keep, seed), 1.0 / keep);
    for_rows(y, WIDTH, 4, |first, chunk| {
        let start = first * WIDTH;
        for (offset, (y, x)) in chunk.iter_mut().zip(&x[start..]).enumerate() {
            *y = if mask.keeps(start + offset) { x * factor } else { 0.0 };
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
