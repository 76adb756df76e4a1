//! A long text in windows, by the conventions of lm-evaluation-harness.

/// One window over a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollingWindow {
    /// Tokens that are read only.
    pub context: Vec<u32>,
    /// Tokens that are predicted; each token of the text is so in exactly one window.
    pub targets: Vec<u32>,
}

/// Windows whose targets are disjoint and cover `tokens`, for a model that reads `limit` tokens at a time: the first predicts
/// `limit` tokens after `prefix`, each next one the following `limit` after one token of context, and the last is filled up
/// with context on the left.
pub fn rolling_windows(tokens: &[u32], prefix: u32, limit: usize) -> Vec<RollingWindow> {
    let limit = limit.max(1);
    let first = tokens.len().min(limit);
    let mut windows = Vec::new();
    if first > 0 {
        windows.push(RollingWindow { context: vec![prefix], targets: tokens[..first].to_vec() });
    }
    let mut done = first;
    while done < tokens.len() {
        let end = tokens.len().min(done + limit);
        windows.push(RollingWindow {
            context: tokens[end - limit - 1..done].to_vec(),
            targets: tokens[done..end].to_vec(),
        });
        done = end;
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The windows of lm_eval.utils.get_rolling_token_windows and make_disjoint_window, prefix 100, length 4, 10 tokens.
    #[test]
    fn windows_as_in_the_harness() {
        let tokens: Vec<u32> = (0..10).collect();
        let found: Vec<(Vec<u32>, Vec<u32>)> =
            rolling_windows(&tokens, 100, 4).into_iter().map(|window| (window.context, window.targets)).collect();
        let expected = vec![(vec![100], vec![0, 1, 2, 3]), (vec![3], vec![4, 5, 6, 7]), (vec![5, 6, 7], vec![8, 9])];
        assert_eq!(found, expected);
        assert!(rolling_windows(&[], 100, 4).is_empty());
    }

    proptest::proptest! {
        #[test]
        fn targets_cover_the_text_once(length in 0usize..200, limit in 1usize..30) {
            let tokens: Vec<u32> = (0..length as u32).collect();
            let windows = rolling_windows(&tokens, 999, limit);
            let targets: Vec<u32> = windows.iter().flat_map(|window| window.targets.clone()).collect();
            proptest::prop_assert_eq!(targets, tokens);
            for window in windows {
                proptest::prop_assert!(window.context.len() + window.targets.len() <= limit + 1 && !window.context.is_empty());
            }
        }
    }
}
