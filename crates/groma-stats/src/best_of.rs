//! The best of n samples, of which more were drawn.

/// What is to be expected of the best by `scores` of `n` samples, in `values`: the mean over all subsets of that size of those that
/// were drawn, which is unbiased (Nakano et al. 2021, arXiv 2112.09332, appendix I; Gao et al. 2023, arXiv 2210.10760). Among equal
/// scores each is as likely taken as another. `None` where there are fewer than `n`, or `n` is 0.
///
/// In order of scores the i-th of N is the best of `C(i - 1, n - 1)` of the `C(N, n)` subsets.
pub fn best_of(n: usize, scores: &[f64], values: &[f64]) -> Option<f64> {
    let count = scores.len().min(values.len());
    if n == 0 || n > count {
        return None;
    }
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    // The share of subsets whose best has a place before this one: all n of them among the first so many.
    let among = |first: usize| (0..n).map(|i| first.saturating_sub(i) as f64 / (count - i) as f64).product::<f64>();
    let (mut expected, mut place) = (0.0, 0);
    while place < count {
        let tied = order[place..].partition_point(|&other| scores[other] <= scores[order[place]]);
        let mean = order[place..place + tied].iter().map(|&index| values[index]).sum::<f64>() / tied as f64;
        expected += (among(place + tied) - among(place)) * mean;
        place += tied;
    }
    Some(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mean over all subsets, one by one.
    fn by_force(n: usize, scores: &[f64], values: &[f64]) -> f64 {
        let subsets = (0u32..1 << scores.len()).filter(|subset| subset.count_ones() as usize == n);
        let of = |subset: u32| {
            let taken: Vec<usize> = (0..scores.len()).filter(|i| subset >> i & 1 == 1).collect();
            let most = taken.iter().map(|&i| scores[i]).fold(f64::NEG_INFINITY, f64::max);
            let best: Vec<f64> = taken.iter().filter(|&&i| scores[i] == most).map(|&i| values[i]).collect();
            best.iter().sum::<f64>() / best.len() as f64
        };
        let all: Vec<f64> = subsets.map(of).collect();
        all.iter().sum::<f64>() / all.len() as f64
    }

    #[test]
    fn it_is_the_mean_over_all_subsets() {
        let scores = [0.3, -1.0, 2.0, 0.3, 0.7, -4.0, 2.0];
        let values = [1.0, 0.0, 0.0, 1.0, 1.0, 0.5, 1.0];
        for n in 1..=scores.len() {
            let found = best_of(n, &scores, &values).unwrap();
            assert!((found - by_force(n, &scores, &values)).abs() < 1e-12, "{n}");
        }
        assert_eq!((best_of(0, &scores, &values), best_of(8, &scores, &values)), (None, None));
        // Of one, nothing is chosen; the best of all by the values themselves is the largest.
        assert!((best_of(1, &scores, &values).unwrap() - 4.5 / 7.0).abs() < 1e-12);
        assert_eq!(best_of(7, &values, &values), Some(1.0));
    }
}
