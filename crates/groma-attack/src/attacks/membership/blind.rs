//! A baseline that reads texts without any model: how the two lots differ by themselves (Das et al. 2024, arXiv 2406.16201).

use std::collections::{BTreeMap, BTreeSet};

use groma_run::Seed;

use crate::texts::Text;

/// Parts of the texts, each of which is judged by what the others are like.
const FOLDS: usize = 5;

/// For each text, how much likelier its words and its length are among members than among others: naive Bayes with one added to each
/// count, learned from the texts of the other folds. None for texts of which nothing is known.
pub(super) fn blind(texts: &[Text], seed: Seed) -> Vec<Option<f64>> {
    let mut fold = vec![0; texts.len()];
    for (place, text) in groma_data::order(texts.len(), seed.named("folds"), 0).into_iter().enumerate() {
        fold[text] = place % FOLDS;
    }
    let features: Vec<BTreeSet<String>> = texts.iter().map(features).collect();
    let mut scores = vec![None; texts.len()];
    for held_out in 0..FOLDS {
        let learned = (0..texts.len()).filter(|text| fold[*text] != held_out);
        let counts = Counts::of(learned.filter_map(|text| Some((texts[text].member?, &features[text]))));
        for text in (0..texts.len()).filter(|text| fold[*text] == held_out && texts[*text].member.is_some()) {
            scores[text] = Some(counts.score(&features[text]));
        }
    }
    scores
}

/// The words of a text, and its length in doublings.
fn features(text: &Text) -> BTreeSet<String> {
    let words = text.text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    let length = format!("length {}", text.text.len().ilog2());
    words.map(str::to_lowercase).chain([length]).collect()
}

/// How many members and others have each feature.
#[derive(Default)]
struct Counts {
    all: [f64; 2],
    with: BTreeMap<String, [f64; 2]>,
}

impl Counts {
    fn of<'a>(texts: impl Iterator<Item = (bool, &'a BTreeSet<String>)>) -> Self {
        let mut counts = Counts::default();
        for (member, features) in texts {
            let lot = usize::from(member);
            counts.all[lot] += 1.0;
            features.iter().for_each(|feature| counts.with.entry(feature.clone()).or_default()[lot] += 1.0);
        }
        counts
    }

    fn score(&self, features: &BTreeSet<String>) -> f64 {
        let share = |with: &[f64; 2], lot: usize| (with[lot] + 1.0) / (self.all[lot] + 2.0);
        let known = features.iter().filter_map(|feature| self.with.get(feature));
        known.map(|with| share(with, 1).ln() - share(with, 0).ln()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use groma_stats::auroc;

    fn area(text: impl Fn(usize, bool) -> String) -> f64 {
        let of = |id: usize| {
            let member = id.is_multiple_of(2);
            let text = text(id, member);
            Text { id: id.to_string(), known: 0, end: text.len(), text, member: Some(member) }
        };
        let texts: Vec<Text> = (0..200).map(of).collect();
        let scores = blind(&texts, Seed::new(2));
        let lot = |member: bool| {
            let chosen = texts.iter().zip(&scores).filter(|(text, _)| text.member == Some(member));
            chosen.map(|(_, score)| score.unwrap()).collect::<Vec<f64>>()
        };
        auroc(&lot(true), &lot(false)).unwrap()
    }

    #[test]
    fn it_finds_what_the_lots_differ_by_and_nothing_else() {
        let word = |id: usize| format!("w{}", Seed::new(7).index(id as u64).bits() % 30);
        let dated = area(|id, member| format!("{} in {}", word(id), if member { "spring" } else { "autumn" }));
        assert!(dated > 0.99, "{dated}");
        let alike = area(|id, _| format!("{} and {}", word(id), word(id + 1000)));
        assert!((0.38..0.62).contains(&alike), "{alike}");
    }
}
