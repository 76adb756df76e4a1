//! Which tokens are learned from by how undecided the policy is there, and what it is given for being undecided.
//!
//! Wang et al. 2025, arXiv 2506.01939 ("beyond the 80/20 rule"). As in TRL the threshold is a quantile, between values where it
//! falls between them, of the entropies of all tokens; there of a micro-batch, here of an optimizer step.

/// What is known of the entropies of a step's tokens.
#[derive(Clone, Debug, Default)]
pub(super) struct Entropies {
    /// Tokens of at least this entropy are learned from.
    pub(super) threshold: f64,
    /// How many they are.
    pub(super) kept: f64,
}

impl Entropies {
    /// Of tokens' entropies, of which the share `quantile` from above is kept.
    pub(super) fn of(entropies: &[Vec<f32>], quantile: f64) -> Self {
        let mut all: Vec<f64> = entropies.iter().flatten().map(|&entropy| f64::from(entropy)).collect();
        all.sort_by(f64::total_cmp);
        let threshold = at(&all, 1.0 - quantile);
        let kept = all.iter().filter(|&&entropy| entropy >= threshold).count() as f64;
        Entropies { threshold, kept }
    }
}

/// The quantile of sorted values, between two where it falls between them; below all where there are none.
fn at(sorted: &[f64], share: f64) -> f64 {
    let place = share * sorted.len().saturating_sub(1) as f64;
    let (below, above) = (sorted.get(place.floor() as usize), sorted.get(place.ceil() as usize));
    match (below, above) {
        (Some(below), Some(above)) => below + place.fract() * (above - below),
        _ => f64::NEG_INFINITY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of `torch.quantile`.
    #[test]
    fn the_share_from_above_is_kept() {
        let entropies = [vec![0.5, 0.1, 0.9], vec![], vec![0.3, 0.7]];
        let fifth = Entropies::of(&entropies, 0.2);
        assert!((fifth.threshold - 0.74).abs() < 1e-7 && fifth.kept == 1.0, "{fifth:?}");
        let half = Entropies::of(&entropies, 0.5);
        assert!((half.threshold - 0.5).abs() < 1e-7 && half.kept == 3.0, "{half:?}");
        assert_eq!((Entropies::of(&entropies, 1.0).kept, Entropies::of(&[], 0.2).kept), (5.0, 0.0));
    }
}
