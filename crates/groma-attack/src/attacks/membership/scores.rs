//! Scores of a text by what a model finds of its tokens.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;

/// The mean of numbers, at least one.
pub(super) fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len() as f64
}

/// The mean of the least of numbers: of a share of them, and at least one.
pub(super) fn least(numbers: &[f64], share: f64) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let count = ((share * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len());
    mean(&sorted[..count])
}

/// Bytes of a text that is compressed by zlib at level 6.
pub(super) fn zlib(text: &str) -> usize {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(6));
    // What is written to memory does not fail.
    let written = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish());
    written.map_or(text.len(), |bytes| bytes.len()).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_are_at_least_one() {
        assert_eq!(least(&[-1.0, -5.0, -3.0, -2.0, -4.0], 0.4), -4.5);
        assert_eq!(least(&[-1.0, -5.0, -3.0], 0.2), -5.0, "a short text has a score");
        assert_eq!(least(&[-2.0, -4.0], 1.0), mean(&[-2.0, -4.0]));
    }

    #[test]
    fn what_repeats_itself_is_short() {
        assert!(zlib(&"ab".repeat(200)) < 40);
        assert!(zlib("q8$kZ!02mx") >= 10);
        assert!(zlib("") >= 1);
    }
}
