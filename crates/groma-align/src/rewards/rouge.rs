//! How much of two texts' words is the same.

use std::collections::BTreeMap;

/// What of two texts is compared.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rouge {
    /// Runs of so many words, whichever their order.
    Runs(usize),
    /// The longest common subsequence of words.
    Longest,
}

impl Rouge {
    /// The three that are usually reported.
    pub(super) const ALL: [Rouge; 3] = [Rouge::Runs(1), Rouge::Runs(2), Rouge::Longest];
}

/// Longest texts whose subsequences are compared, in words; what follows does not count.
const MOST_WORDS: usize = 4096;

/// The F1 of what a text has in common with a reference, from 0 to 1; 0 where either has nothing to compare.
///
/// Lin 2004, ROUGE: ROUGE-N and ROUGE-L of one reference, without stemming. Words are runs of letters and digits, in lower case;
/// where Google's `rouge_score` keeps those of ASCII alone, all scripts' count here.
pub(super) fn rouge(kind: Rouge, text: &str, reference: &str) -> f64 {
    let (text, reference) = (text.to_lowercase(), reference.to_lowercase());
    let (text, reference) = (words(&text), words(&reference));
    let (shared, of_text, of_reference) = match kind {
        Rouge::Runs(n) => {
            let (mut left, count) = (counts(&reference, n), |words: &[&str]| (words.len() + 1).saturating_sub(n));
            let taken = text.windows(n).filter(|run| left.get_mut(*run).is_some_and(taken)).count();
            (taken, count(&text), count(&reference))
        }
        Rouge::Longest => (longest_common(&text, &reference), text.len(), reference.len()),
    };
    if shared == 0 { 0.0 } else { 2.0 * shared as f64 / (of_text + of_reference) as f64 }
}

fn words(text: &str) -> Vec<&str> {
    text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()).take(MOST_WORDS).collect()
}

fn counts<'a, 't>(words: &'a [&'t str], n: usize) -> BTreeMap<&'a [&'t str], usize> {
    let mut counts = BTreeMap::new();
    words.windows(n).for_each(|run| *counts.entry(run).or_default() += 1);
    counts
}

/// Takes one away, where there is one.
fn taken(left: &mut usize) -> bool {
    let was_there = *left > 0;
    *left = left.saturating_sub(1);
    was_there
}

/// The length of the longest sequence of words that both have, in this order.
fn longest_common(first: &[&str], second: &[&str]) -> usize {
    let mut row = vec![0; second.len() + 1];
    for word in first {
        let mut before = 0;
        for (place, other) in second.iter().enumerate() {
            let above = row[place + 1];
            row[place + 1] = if word == other { before + 1 } else { above.max(row[place]) };
            before = above;
        }
    }
    row[second.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// `fixtures/rouge.json`, made by `scripts/make_rouge_fixture.py` with Google's `rouge_score`.
    #[test]
    fn values_are_those_of_rouge_score() {
        let cases: Value = serde_json::from_str(include_str!("../../fixtures/rouge.json")).unwrap();
        for case in cases.as_array().unwrap() {
            let text = |name: &str| case[name].as_str().unwrap();
            for (kind, name) in Rouge::ALL.iter().zip(["rouge1", "rouge2", "rougeL"]) {
                let (found, expected) = (rouge(*kind, text("text"), text("reference")), case[name].as_f64().unwrap());
                assert!((found - expected).abs() < 1e-12, "{name} of {case}: {found}");
                let turned = rouge(*kind, text("reference"), text("text"));
                assert!((found - turned).abs() < 1e-12, "F1 knows no order: {name} of {case}");
            }
        }
    }

    #[test]
    fn other_scripts_have_words_and_nothing_is_like_nothing() {
        assert_eq!(rouge(Rouge::Runs(1), "Ärger, oder ärger?", "ÄRGER"), 0.5);
        assert_eq!((rouge(Rouge::Longest, "", ""), rouge(Rouge::Runs(2), "one", "one")), (0.0, 0.0));
    }
}
