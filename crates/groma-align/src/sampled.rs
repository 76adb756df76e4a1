//! What is measured of completions that were sampled and rewarded at once, beside their rewards: what watches read.

use crate::Metrics;
use crate::group::{Group, Member};
use crate::moments::mean_and_deviation;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// The tokens in a row that are looked for again.
const GRAM: usize = 3;
/// Quantiles of rewards that are logged.
const QUANTILES: [(&str, f64); 3] = [("reward_p10", 0.1), ("reward_p50", 0.5), ("reward_p90", 0.9)];

/// Metrics that every method logs which learns from rewards.
pub const SAMPLED_METRICS: &[&str] = &[
    "sampling/entropy",
    "completions/empty",
    "completions/repetition",
    "completions/same",
    "reward_p10",
    "reward_p50",
    "reward_p90",
];

/// How many tokens were sampled, as what a sum over them is divided by.
pub(crate) fn tokens(groups: &[Cow<'_, Group>]) -> f64 {
    groups.iter().flat_map(|group| &group.members).map(|member| member.sampled.len()).sum::<usize>() as f64
}

/// Logs of completions how sure the policy was of them, how many say nothing, how repetitive they are, and how many of them answer
/// several prompts; `texts`: the same as texts, by prompt.
pub(crate) fn measure_texts(metrics: &mut Metrics, groups: &[Group], texts: &[Vec<String>]) {
    for text in texts.iter().flatten() {
        metrics.add("completions/empty", f64::from(u8::from(text.trim().is_empty())), 1.0);
    }
    for member in groups.iter().flat_map(|group| &group.members) {
        let surprise: f64 = member.sampled.iter().map(|&logp| -f64::from(logp)).sum();
        metrics.add("sampling/entropy", surprise, member.sampled.len() as f64);
        metrics.add("completions/repetition", repetition(completion(member)), 1.0);
    }
    let (same, all) = answers_of_several(groups);
    metrics.add("completions/same", same as f64, all as f64);
}

/// Logs quantiles of the rewards of all that was sampled at once.
pub(crate) fn measure_rewards(metrics: &mut Metrics, groups: &[Group]) {
    let rewards = groups.iter().flat_map(|group| &group.members).filter_map(|member| member.reward);
    let mut rewards: Vec<f64> = rewards.collect();
    rewards.sort_by(f64::total_cmp);
    if let Some(last) = rewards.len().checked_sub(1) {
        QUANTILES.iter().for_each(|(name, share)| {
            metrics.add(name, rewards[(share * last as f64).round() as usize], 1.0);
        });
    }
}

/// Logs what rewards that do not count say, and how far those that count agree. Of each its weight and its values.
pub(crate) fn measure_rewarders(metrics: &mut Metrics, said: &[(f64, &[Option<f64>])]) {
    for (_, values) in said.iter().filter(|(weight, _)| *weight == 0.0) {
        let known: Vec<f64> = values.iter().flatten().copied().collect();
        let (mean, deviation) = mean_and_deviation(&known);
        metrics.add("rewards/held_out", mean * known.len() as f64, known.len() as f64);
        metrics.add("rewards/held_out_std", deviation, 1.0);
    }
    let counting: Vec<_> = said.iter().filter(|(weight, _)| *weight != 0.0).map(|(_, values)| values).collect();
    for (place, one) in counting.iter().enumerate() {
        for other in &counting[place + 1..] {
            if let Some(correlation) = correlation(one, other) {
                metrics.add("rewards/agreement", correlation, 1.0);
            }
        }
    }
}

/// Logs how far the policy is from the reference, where that was asked: the mean over completions of
/// `Σ (log policy - log reference)` on the policy's own samples, which is an unbiased estimate of the divergence of whole completions.
pub(crate) fn measure_distance(metrics: &mut Metrics, groups: &[Cow<'_, Group>]) {
    let members = groups.iter().flat_map(|group| &group.members);
    for member in members.filter(|member| !member.sampled.is_empty() && member.reference.len() == member.sampled.len())
    {
        let distance: f64 =
            member.sampled.iter().zip(&member.reference).map(|(p, r)| f64::from(*p) - f64::from(*r)).sum();
        metrics.add("sampling/kl", distance, 1.0);
    }
}

/// The tokens of a completion.
pub(crate) fn completion(member: &Member) -> &[u32] {
    &member.sequence.ids[member.sequence.prompt().len()..]
}

/// The share of grams of a text that were there before; 0 of a text too short for two.
fn repetition(tokens: &[u32]) -> f64 {
    let grams: Vec<&[u32]> = tokens.windows(GRAM).collect();
    let distinct: BTreeSet<&[u32]> = grams.iter().copied().collect();
    if grams.is_empty() { 0.0 } else { 1.0 - distinct.len() as f64 / grams.len() as f64 }
}

/// How many completions were also given to another prompt, and how many there are.
fn answers_of_several(groups: &[Group]) -> (usize, usize) {
    let mut asked: BTreeMap<&[u32], BTreeSet<usize>> = BTreeMap::new();
    let completions =
        || groups.iter().enumerate().flat_map(|(at, g)| g.members.iter().map(move |m| (at, completion(m))));
    for (at, tokens) in completions() {
        asked.entry(tokens).or_default().insert(at);
    }
    let same = completions().filter(|(_, tokens)| asked.get(tokens).is_some_and(|prompts| prompts.len() > 1)).count();
    (same, completions().count())
}

/// Pearson's correlation over what both say something of; `None` where one says the same of all.
fn correlation(one: &[Option<f64>], other: &[Option<f64>]) -> Option<f64> {
    let (xs, ys): (Vec<f64>, Vec<f64>) = one.iter().zip(other).filter_map(|(x, y)| Some(((*x)?, (*y)?))).unzip();
    let ((x_mean, x_spread), (y_mean, y_spread)) = (mean_and_deviation(&xs), mean_and_deviation(&ys));
    let together: f64 = xs.iter().zip(&ys).map(|(x, y)| (x - x_mean) * (y - y_mean)).sum();
    let spread = x_spread * y_spread * (xs.len() as f64 - 1.0);
    // Sums that are rounded may come out a little beyond 1.
    (spread > 0.0).then(|| (together / spread).clamp(-1.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sequence::Sequence;

    fn group(completions: &[&[u32]]) -> Group {
        let member = |ids: &&[u32]| Member::new(Sequence::completion(&[1, 2], ids));
        Group { members: completions.iter().map(member).collect(), ..Group::default() }
    }

    #[test]
    fn what_is_said_again_is_counted() {
        // Of six grams in abcabcab, three are new.
        assert_eq!(repetition(&[1, 2, 3, 1, 2, 3, 1, 2]), 0.5);
        assert_eq!((repetition(&[7, 7, 7, 7]), repetition(&[1, 2])), (0.5, 0.0));
        let groups = [group(&[&[5], &[6]]), group(&[&[5], &[5]]), group(&[&[8], &[8]])];
        assert_eq!(answers_of_several(&groups), (3, 6), "what one prompt gets twice is no answer to two");
        assert_eq!(answers_of_several(&groups[2..]), (0, 2));
    }

    #[test]
    fn what_says_nothing_is_counted() {
        let mut metrics = Metrics::default();
        let texts = [vec!["".to_owned(), " \n".to_owned()], vec!["a".to_owned(), "b".to_owned()]];
        measure_texts(&mut metrics, &[group(&[&[2], &[9, 2]]), group(&[&[5, 2], &[6, 2]])], &texts);
        assert_eq!(metrics.values("")["completions/empty"], 0.5);
    }

    #[test]
    fn rewards_agree_as_far_as_they_correlate() {
        let some = |values: &[f64]| values.iter().copied().map(Some).collect::<Vec<_>>();
        let of = |a: &[f64], b: &[f64]| correlation(&some(a), &some(b));
        assert!((of(&[1.0, 2.0, 3.0], &[10.0, 20.0, 30.0]).unwrap() - 1.0).abs() < 1e-12);
        // By hand: deviations (-1, 0, 1) and (0, 1, -1), so -1 / 2.
        assert!((of(&[1.0, 2.0, 3.0], &[2.0, 3.0, 1.0]).unwrap() + 0.5).abs() < 1e-12);
        assert_eq!(of(&[1.0, 2.0], &[3.0, 3.0]), None);
        let mut metrics = Metrics::default();
        let said = [(1.0, some(&[1.0, 2.0])), (0.0, some(&[4.0, 6.0])), (0.5, some(&[2.0, 1.0]))];
        measure_rewarders(&mut metrics, &said.each_ref().map(|(weight, values)| (*weight, &values[..])));
        let values = metrics.values("");
        assert!((values["rewards/agreement"] + 1.0).abs() < 1e-12);
        assert_eq!((values["rewards/held_out"], values["rewards/held_out_std"]), (5.0, 2f64.sqrt()));
    }

    #[test]
    fn quantiles_and_distance() {
        let mut metrics = Metrics::default();
        let mut all = group(&[&[5u32][..]; 11]);
        all.members.iter_mut().zip(0..).for_each(|(member, reward)| member.reward = Some(f64::from(10 - reward)));
        measure_rewards(&mut metrics, std::slice::from_ref(&all));
        (all.members[0].sampled, all.members[0].reference) = (vec![-1.0, -0.5], vec![-2.0, -1.0]);
        (all.members[1].sampled, all.members[1].reference) = (vec![-1.0], vec![-0.5]);
        measure_distance(&mut metrics, &[Cow::Owned(all)]);
        let values = metrics.values("");
        assert_eq!(["reward_p10", "reward_p50", "reward_p90"].map(|name| values[name]), [1.0, 5.0, 9.0]);
        assert_eq!(values["sampling/kl"], (1.5 - 0.5) / 2.0);
    }
}
